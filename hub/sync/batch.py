"""Read cycles of a source: begun, ended, and settled when whoever was reading died.

Whoever reads holds an advisory lock of the batch's own for as long as it is running. The lock goes with the
connection, however the process or the server ends; a running batch whose lock is free was cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from hub.sync.staging import StagedRead

_LOCK = "hashtextextended('oneshelf.batch', id)"
# The row shows when its lock is held: both are of one statement.
_BEGIN = f"""
INSERT INTO stock_batch (source, kind, state, mapping_version) VALUES (%s, %s, 'running', %s)
RETURNING id, pg_advisory_lock({_LOCK})
"""
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('oneshelf.batch', %s))"
_SETTLE = f"""
UPDATE stock_batch SET state = 'failed', finished_at = clock_timestamp(), reason = 'the process ended'
WHERE state = 'running' AND (%(source)s::text IS NULL OR source = %(source)s) AND pg_try_advisory_xact_lock({_LOCK})
"""
_END = """
UPDATE stock_batch SET state = %s, finished_at = clock_timestamp(), pages = %s, rows = %s, rejected = %s,
    changed = %s, reason = %s WHERE id = %s
"""


def begin_batch(connection: psycopg.Connection, source: str, kind: str, mapping_version: str) -> int:
    """Begin a read cycle on this connection (in autocommit mode) and settle those of the source that were cut off."""
    settle_batches(connection, source)
    row = connection.execute(_BEGIN, (source, kind, mapping_version)).fetchone()
    if row is None:
        raise LookupError("INSERT returned no row")
    return int(row[0])


def let_go_of_batch(connection: psycopg.Connection, batch_id: int) -> None:
    """Give the batch's lock back, after its end is committed."""
    connection.execute(_UNLOCK, (batch_id,))


def settle_batches(connection: psycopg.Connection, source: str | None = None) -> int:
    """Mark batches as failed whose reader is gone, of one source or of all; returns how many."""
    return connection.execute(_SETTLE, {"source": source}).rowcount


def end_batch(
    connection: psycopg.Connection,
    batch_id: int,
    state: str,
    *,
    read: StagedRead | None = None,
    changed: int = 0,
    reason: str | None = None,
) -> None:
    """Say what became of a read cycle, in the caller's transaction."""
    connection.execute(
        _END,
        (
            state,
            read.pages if read else 0,
            read.rows if read else 0,
            len(read.rejections) if read else 0,
            changed,
            reason[:500] if reason else None,
            batch_id,
        ),
    )
