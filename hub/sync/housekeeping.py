"""What is kept and for how long. The near-real-time loop trims it; the stock ledger and its read cycles are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.db.partitions import close_partitions, make_partitions
from hub.db.rows import one_value
from hub.sync.batch import settle_batches
from hub.sync.outbox import forget_published

if TYPE_CHECKING:
    import psycopg

_KEEP_DAYS = 30
_KEEP_KEYS_HOURS = 72
_KEEP_HOLDS_DAYS = _KEEP_DIFFERENCES_DAYS = 400
_POSTED_HOURS = 72
_STATEMENTS = (
    "DELETE FROM tick_time WHERE drawn_at < clock_timestamp() - make_interval(days => %(days)s)",
    "DELETE FROM inbox WHERE state = 'done' AND done_at < clock_timestamp() - make_interval(days => %(days)s)",
    "DELETE FROM quarantine WHERE resolved_at < clock_timestamp() - make_interval(days => %(days)s)",
    "DELETE FROM alert WHERE resolved_at < clock_timestamp() - make_interval(days => %(days)s)",
)
_FORGET_DIFFERENCES = """
DELETE FROM stock_difference
WHERE COALESCE(healed_at, resolved_at) < clock_timestamp() - make_interval(days => %(days)s)
"""
# A caller that repeats a request later than this is not answered as before: it would not be of use to anybody.
_FORGET_KEYS = "DELETE FROM idempotency_key WHERE created_at < clock_timestamp() - make_interval(hours => %(hours)s)"
_FORGET_RESERVATIONS = """
WITH gone AS (
    DELETE FROM reservation WHERE state <> 'active' AND ended_at < clock_timestamp() - make_interval(days => %(days)s)
    RETURNING id)
DELETE FROM reservation_line USING gone WHERE reservation_id = gone.id
"""


_SOURCES = """
SELECT DISTINCT place.stock_source
FROM stock_demand AS demand JOIN location AS place ON place.id = demand.location_id
WHERE demand.state = 'open' AND place.stock_source IS NOT NULL
ORDER BY 1
"""
_SETTLE = "SELECT stock_settle_posted(%s, %s, %s)"
_SETTLE_AT_ONCE = 500


def tidy(connection: psycopg.Connection, *, days: int = _KEEP_DAYS, posted_after_hours: int = _POSTED_HOURS) -> None:
    """Delete what nobody asks for any more: ticks, finished pushes, what was resolved, and published outbox rows.

    Differences are kept for longer when they are closed. Demand that the base has contained for `posted_after_hours`
    is open no more.

    The connection must be in autocommit mode: each step is a transaction of its own, and none keeps others waiting.
    """
    for statement in _STATEMENTS:
        connection.execute(statement, {"days": days})
    connection.execute(_FORGET_DIFFERENCES, {"days": _KEEP_DIFFERENCES_DAYS})
    connection.execute(_FORGET_KEYS, {"hours": _KEEP_KEYS_HOURS})
    connection.execute(_FORGET_RESERVATIONS, {"days": days})
    make_partitions(connection)
    close_partitions(connection, days=_KEEP_HOLDS_DAYS)
    settle_batches(connection)
    forget_published(connection, days=days)
    settle_posted(connection, hours=posted_after_hours)


def settle_posted(connection: psycopg.Connection, *, hours: int) -> int:
    """Call demand posted that the base contains and of which no document has changed for so long; return how much.

    A document that changes later opens it again. The connection must be in autocommit mode: levels are locked for some
    of it at a time.
    """
    posted = 0
    for (source,) in connection.execute(_SOURCES).fetchall():
        while some := int(one_value(connection.execute(_SETTLE, (source, hours, _SETTLE_AT_ONCE)))):
            posted += some
    return posted
