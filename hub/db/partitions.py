"""The partitions of `hold_event`, one for each day (UTC): made ahead, and given up with a closing balance."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
from psycopg import sql
from psycopg.errors import DuplicateTable, LockNotAvailable, UndefinedTable

from hub.clock import utc_now
from hub.db.rows import one_value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

_AHEAD_DAYS = 7
_NAME = re.compile(r"hold_event_(\d{8})")
_CHILDREN = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'hold_event'::regclass
"""
# What came while a day had no partition of its own stands in the one for all others, and keeps it from being made.
_STRAYS = "SELECT EXISTS (SELECT FROM hold_event_other WHERE recorded_at >= %s AND recorded_at < %s)"
# Every reservation waits behind a partition that is being made, and it waits behind every reader.
_PATIENCE = "SET LOCAL lock_timeout = '200ms'"
_CLOSE = sql.SQL("""
INSERT INTO hold_balance AS balance (item_id, location_id, channel, quantity, through)
SELECT item_id, location_id, channel, sum(quantity), {day} FROM {partition} GROUP BY 1, 2, 3
ON CONFLICT (item_id, location_id, channel)
DO UPDATE SET quantity = balance.quantity + excluded.quantity,
              through = GREATEST(balance.through, excluded.through)
""")
_CLOSE_STRAYS = """
WITH gone AS (DELETE FROM hold_event_other WHERE recorded_at < %(day)s RETURNING *)
INSERT INTO hold_balance AS balance (item_id, location_id, channel, quantity, through)
SELECT item_id, location_id, channel, sum(quantity), max(recorded_at)::date FROM gone GROUP BY 1, 2, 3
ON CONFLICT (item_id, location_id, channel)
DO UPDATE SET quantity = balance.quantity + excluded.quantity,
              through = GREATEST(balance.through, excluded.through)
"""


def make_partitions(connection: psycopg.Connection) -> None:
    """Make the partitions of today and of the next days that are missing, as far as nobody is in the way.

    The connection must be in autocommit mode. There are days left to try again; until then the partition for all
    others takes what comes.
    """
    today = utc_now().date()
    there = _days(connection)
    for day in (today + timedelta(days=ahead) for ahead in range(_AHEAD_DAYS + 1)):
        if day not in there:
            _briefly(connection, partial(_make, connection, day))


def close_partitions(connection: psycopg.Connection, *, days: int) -> None:
    """Give up partitions older than `days`: their sums stay as a balance, each in the transaction of its end.

    The connection must be in autocommit mode.
    """
    oldest = utc_now().date() - timedelta(days=days)
    for day in sorted(_days(connection)):
        if day < oldest:
            _briefly(connection, partial(_close, connection, day))
    connection.execute(_CLOSE_STRAYS, {"day": _midnight(oldest)})


def _briefly(connection: psycopg.Connection, change: Callable[[], None]) -> None:
    try:
        with connection.transaction():
            connection.execute(_PATIENCE)
            change()
    except (
        LockNotAvailable,
        DuplicateTable,
        UndefinedTable,
    ) as error:  # another process may do the same at this moment
        structlog.get_logger().info("partition_left_for_later", error=str(error).strip())


def _make(connection: psycopg.Connection, day: date) -> None:
    begin, end = _midnight(day), _midnight(day + timedelta(days=1))
    if not one_value(connection.execute(_STRAYS, (begin, end))):
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF hold_event FOR VALUES FROM ({}) TO ({})").format(
                _partition(day), sql.Literal(begin), sql.Literal(end)
            )
        )


def _close(connection: psycopg.Connection, day: date) -> None:
    connection.execute(_CLOSE.format(day=sql.Literal(day), partition=_partition(day)))
    connection.execute(sql.SQL("DROP TABLE {}").format(_partition(day)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _days(connection: psycopg.Connection) -> set[date]:
    names = (_NAME.fullmatch(str(name)) for (name,) in connection.execute(_CHILDREN))
    return {date.fromisoformat(name[1]) for name in names if name}


def _partition(day: date) -> sql.Identifier:
    return sql.Identifier(f"hold_event_{day:%Y%m%d}")
