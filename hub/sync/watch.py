"""The watermark check: which feeds are older than they may be. This, and no event engine, decides on staleness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.db.rows import one_value
from hub.stock.reading import FEEDS, FeedState

if TYPE_CHECKING:
    import psycopg

LIVE_LOCK = "hashtext('oneshelf.live')"
"""The advisory lock that the one working near-real-time loop holds."""
# Looked up, not tried: two that try it at the same moment would each take the other for the loop.
_FOLLOWED = f"""
SELECT EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (classid::bigint << 32) | objid::bigint = {LIVE_LOCK}::bigint)
"""


def load_feeds(connection: psycopg.Connection) -> list[FeedState]:
    """Return the state of all sources by the database's clock."""
    return [FeedState(*row) for row in connection.execute(FEEDS)]


def never_read(connection: psycopg.Connection, source: str) -> bool:
    """Tell whether the source was never read in full: what changed alone would leave its levels unknown."""
    return any(feed.source == source and feed.full_read_at is None for feed in load_feeds(connection))


def is_followed(connection: psycopg.Connection) -> bool:
    """Tell whether a near-real-time loop is at work, on this or another machine: one holds the lock."""
    return bool(one_value(connection.execute(_FOLLOWED)))


def open_quarantine_count(connection: psycopg.Connection) -> int:
    """Return how many quarantine entries wait for somebody."""
    row = connection.execute("SELECT count(*) FROM quarantine WHERE resolved_at IS NULL").fetchone()
    return int(row[0]) if row else 0
