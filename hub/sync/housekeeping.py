"""What is kept and for how long. Full reads trim it; the stock ledger and its read cycles are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.sync.outbox import forget_published

if TYPE_CHECKING:
    import psycopg

_KEEP_DAYS = 30
_STATEMENTS = (
    "DELETE FROM tick_time WHERE drawn_at < clock_timestamp() - make_interval(days => %(days)s)",
    "DELETE FROM inbox WHERE state = 'done' AND done_at < clock_timestamp() - make_interval(days => %(days)s)",
    "DELETE FROM quarantine WHERE resolved_at < clock_timestamp() - make_interval(days => %(days)s)",
    # Whoever was reading died: nothing it had staged outlived its connection.
    """UPDATE stock_batch SET state = 'failed', finished_at = clock_timestamp(), reason = 'the process ended'
       WHERE state = 'running' AND started_at < clock_timestamp() - interval '6 hours'""",
)


def tidy(connection: psycopg.Connection, *, days: int = _KEEP_DAYS) -> None:
    """Delete what nobody asks for any more: ticks, finished pushes, resolved quarantine and published outbox rows."""
    for statement in _STATEMENTS:
        connection.execute(statement, {"days": days})
    forget_published(connection, days=days)
