"""Alembic migrations of the hub's database; run by `hub.db.migrate`."""
