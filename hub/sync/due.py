"""Keys that must be read (again), kept until they were.

Their read was refused or torn, their item became known late, or more keys changed than one read may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contracts import StockKey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    import psycopg

# A key that waits already waits anew: whoever is reading it now began too early for what is named now.
_ADD = """
INSERT INTO stock_due (source, item, location)
SELECT %s, * FROM unnest(%s::text[], %s::text[]) AS named(item, location) ORDER BY item, location
ON CONFLICT (source, item, location) DO UPDATE SET due_at = clock_timestamp()
"""
_CLEAR = """
DELETE FROM stock_due AS due USING unnest(%s::text[], %s::text[], %s::timestamptz[]) AS read(item, location, due_at)
WHERE due.source = %s AND due.item = read.item AND due.location = read.location AND due.due_at = read.due_at
"""


def add_due(connection: psycopg.Connection, source: str, keys: Collection[StockKey]) -> None:
    """Queue keys in the caller's transaction."""
    if keys:
        connection.execute(_ADD, (source, [key.item for key in keys], [key.location for key in keys]))


def load_due(connection: psycopg.Connection, source: str, *, limit: int | None = None) -> dict[StockKey, datetime]:
    """Return keys that wait and since when, the oldest first if there are more than `limit`."""
    rows = connection.execute(
        "SELECT item, location, due_at FROM stock_due WHERE source = %s ORDER BY due_at, item, location LIMIT %s",
        (source, limit),
    )
    return {StockKey(str(item), str(location)): due_at for item, location, due_at in rows}


def clear_due(connection: psycopg.Connection, source: str, due: Mapping[StockKey, datetime]) -> None:
    """Take keys off the queue, in the transaction that applies their read; one that was named again since stays."""
    if due:
        connection.execute(
            _CLEAR, ([key.item for key in due], [key.location for key in due], list(due.values()), source)
        )
