"""How fresh each source is, and where its stream of changes was left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hub.db.rows import one_value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from hub.contracts import Cursor

_FIRST_REST, _REST_GROWTH, _LONGEST_REST = 60.0, 5.0, 3600.0
CHANGES = "changes"
"""The stream of stock changes of a source."""


def declare_feed(connection: psycopg.Connection, source: str, *, stale_after_seconds: int) -> None:
    """Make the source known; without a good read so far it is stale."""
    connection.execute(
        "INSERT INTO feed (source, stale_after_seconds) VALUES (%s, %s)"
        " ON CONFLICT (source) DO UPDATE SET stale_after_seconds = excluded.stale_after_seconds",
        (source, stale_after_seconds),
    )


def database_time(connection: psycopg.Connection) -> datetime:
    """Return the database's clock, the one that all feed times are of."""
    moment: datetime = one_value(connection.execute("SELECT clock_timestamp()"))
    return moment


def note_success(connection: psycopg.Connection, source: str, began_at: datetime, *, full: bool = False) -> None:
    """Record that what the source told at `began_at` is in the levels now. Freshness never goes back."""
    connection.execute(
        "UPDATE feed SET read_at = GREATEST(read_at, %(began)s), failures = 0, error = NULL,"
        " refusals = 0, asked_after = NULL,"
        " full_read_at = CASE WHEN %(full)s THEN GREATEST(full_read_at, %(began)s) ELSE full_read_at END,"
        " snapshot_error = CASE WHEN %(full)s THEN NULL ELSE snapshot_error END"
        " WHERE source = %(source)s",
        {"source": source, "began": began_at, "full": full},
    )


def note_items_read(connection: psycopg.Connection, source: str, began_at: datetime) -> None:
    """Record that the source's articles were read in full."""
    connection.execute("UPDATE feed SET items_read_at = %s WHERE source = %s", (began_at, source))


def note_failure(connection: psycopg.Connection, source: str, error: str) -> None:
    """Record that the source could not be read; the numbers stay and grow old."""
    connection.execute(
        "UPDATE feed SET failures = failures + 1, error = %s, failed_at = clock_timestamp() WHERE source = %s",
        (error[:500], source),
    )


def note_not_let_in(connection: psycopg.Connection, source: str) -> None:
    """Leave a source alone that does not let us in: for a minute, then for longer each time, an hour at most.

    ERPs lock a user after a few wrong passwords, for people too. Until somebody mends it, asking is of no use.
    """
    connection.execute(
        "UPDATE feed SET refusals = refusals + 1, asked_after = clock_timestamp()"
        " + make_interval(secs => LEAST(%(first)s * %(growth)s ^ LEAST(refusals, 10), %(longest)s))"
        " WHERE source = %(source)s",
        {"source": source, "first": _FIRST_REST, "growth": _REST_GROWTH, "longest": _LONGEST_REST},
    )


def left_alone_until(connection: psycopg.Connection, source: str) -> datetime | None:
    """Return until when the source is left alone, None if it may be asked. Looking is a sign of life in any case."""
    row = connection.execute(
        "UPDATE feed SET failed_at = clock_timestamp() WHERE source = %s AND asked_after > clock_timestamp()"
        " RETURNING asked_after",
        (source,),
    ).fetchone()
    return None if row is None else row[0]


def ask_at_once(connection: psycopg.Connection, sources: Sequence[str]) -> None:
    """Let the sources be asked again: whoever starts anew may have mended what was wrong."""
    connection.execute("UPDATE feed SET asked_after = NULL WHERE source = ANY(%s)", (list(sources),))


def note_refusal(connection: psycopg.Connection, source: str, reason: str) -> None:
    """Record that a snapshot was refused; it shows until one is applied, however fresh the changes are."""
    connection.execute(
        "UPDATE feed SET snapshot_error = %s, failed_at = clock_timestamp() WHERE source = %s", (reason[:500], source)
    )


def load_position(connection: psycopg.Connection, source: str, stream: str = CHANGES) -> Cursor | None:
    """Return the cursor of a stream, or None before its first use."""
    row = connection.execute(
        "SELECT cursor FROM source_position WHERE source = %s AND stream = %s", (source, stream)
    ).fetchone()
    return None if row is None else row[0]


def move_position(connection: psycopg.Connection, source: str, cursor: Cursor, stream: str = CHANGES) -> None:
    """Move a stream's cursor in the caller's transaction, together with the data it covers."""
    connection.execute(
        "INSERT INTO source_position (source, stream, cursor) VALUES (%s, %s, %s::jsonb)"
        " ON CONFLICT (source, stream) DO UPDATE SET cursor = excluded.cursor, moved_at = clock_timestamp()",
        (source, stream, json.dumps(cursor, default=str)),
    )
