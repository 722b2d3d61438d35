"""Locks that somebody holds on the database of a test; others use the same server."""

from __future__ import annotations

OUR_LOCKS = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE locktype = 'advisory' AND datname = current_database()
"""
