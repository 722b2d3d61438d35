"""Keys that must be read once more, kept until they were: a refused or torn read, or an item that became known late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contracts import StockKey

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg


def add_due(connection: psycopg.Connection, source: str, keys: Collection[StockKey]) -> None:
    """Queue keys in the caller's transaction; one that waits already stays once."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO stock_due (source, item, location) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [(source, key.item, key.location) for key in sorted(keys, key=_order)],
        )


def load_due(connection: psycopg.Connection, source: str, *, limit: int = 1000) -> frozenset[StockKey]:
    """Return keys that wait, the oldest first if there are more than `limit`."""
    rows = connection.execute(
        "SELECT item, location FROM stock_due WHERE source = %s ORDER BY due_at, item, location LIMIT %s",
        (source, limit),
    )
    return frozenset(StockKey(str(item), str(location)) for item, location in rows)


def clear_due(connection: psycopg.Connection, source: str, keys: Collection[StockKey]) -> None:
    """Take keys off the queue, in the transaction that applies their read."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "DELETE FROM stock_due WHERE source = %s AND item = %s AND location = %s",
            [(source, key.item, key.location) for key in sorted(keys, key=_order)],
        )


def _order(key: StockKey) -> tuple[str, str]:
    return key.item, key.location
