"""The watermark check: which feeds are older than they may be. This, and no event engine, decides on staleness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.stock.reading import FEEDS, FeedState

if TYPE_CHECKING:
    import psycopg


def load_feeds(connection: psycopg.Connection) -> list[FeedState]:
    """Return the state of all sources by the database's clock."""
    return [FeedState(*row) for row in connection.execute(FEEDS)]


def open_quarantine_count(connection: psycopg.Connection) -> int:
    """Return how many quarantine entries wait for somebody."""
    row = connection.execute("SELECT count(*) FROM quarantine WHERE resolved_at IS NULL").fetchone()
    return int(row[0]) if row else 0
