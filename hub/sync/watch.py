"""The watermark check: which feeds are older than they may be. This, and no event engine, decides on staleness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

# A source that was never read in full shows nothing or not all: it is stale however fresh its changes are.
_FEEDS = """
SELECT source, read_at, full_read_at, stale_after_seconds, failures, error,
       EXTRACT(epoch FROM clock_timestamp() - read_at)::float8 AS age_seconds,
       (read_at IS NULL OR full_read_at IS NULL
        OR clock_timestamp() - read_at > make_interval(secs => stale_after_seconds)) AS stale
FROM feed ORDER BY source
"""


@dataclass(frozen=True, slots=True)
class FeedState:
    """How fresh one source is. `age_seconds` is None when it was never read."""

    source: str
    read_at: datetime | None
    full_read_at: datetime | None
    stale_after_seconds: int
    failures: int
    error: str | None
    age_seconds: float | None
    stale: bool


def load_feeds(connection: psycopg.Connection) -> list[FeedState]:
    """Return the state of all sources by the database's clock."""
    return [FeedState(*row) for row in connection.execute(_FEEDS)]


def open_quarantine_count(connection: psycopg.Connection) -> int:
    """Return how many quarantine entries wait for somebody."""
    row = connection.execute("SELECT count(*) FROM quarantine WHERE resolved_at IS NULL").fetchone()
    return int(row[0]) if row else 0
