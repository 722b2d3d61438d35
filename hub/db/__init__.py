"""The hub's PostgreSQL: tables, migrations, units of work, and the embedded server."""
