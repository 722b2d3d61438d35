"""What is withheld of levels: safety stock (安全库存) and buffer, by rules; and the risk that the buffer is for.

A rule is of an article, of a category or of all, at a place or everywhere; the most specific rule of a level holds as a
whole. Sales that reach the ERP without us lower the numbers with the next read: until then nobody can know. The risk of
a level is how fast its base falls without us times how old its numbers are; a buffer may follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.db.rows import one_value
from hub.errors import DomainError
from hub.sync.feed import database_time, move_position

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import psycopg

RATE_DAYS = 7
"""Rates are measured over so many days of the ledger."""
_MEASURE_SECONDS = 3600
_STREAM = ("stock", "rates")
_AT_ONCE = 1000
_SAVE = """
INSERT INTO stock_rule (item_id, category, location_id, safety_stock, buffer, buffer_lag_factor, target)
VALUES (%(item_id)s, %(category)s, %(location_id)s, %(safety_stock)s, %(buffer)s, %(lag_factor)s, %(target)s)
ON CONFLICT ON CONSTRAINT uq_stock_rule_scope DO UPDATE
SET safety_stock = excluded.safety_stock, buffer = excluded.buffer, buffer_lag_factor = excluded.buffer_lag_factor,
    target = excluded.target
"""
_REMOVE = """
DELETE FROM stock_rule
WHERE item_id IS NOT DISTINCT FROM %(item_id)s AND category IS NOT DISTINCT FROM %(category)s
  AND location_id IS NOT DISTINCT FROM %(location_id)s
"""
_RULES = """
SELECT item.sku, rule.category, place.code, rule.safety_stock, rule.buffer, rule.buffer_lag_factor, rule.target
FROM stock_rule AS rule
LEFT JOIN item ON item.id = rule.item_id
LEFT JOIN location AS place ON place.id = rule.location_id
ORDER BY item.sku, rule.category, place.code
"""
# Levels of which nothing is withheld and for which there is no rule are not looked at, and they may be all there are.
_ANY = """
SELECT EXISTS (SELECT FROM stock_rule)
    OR EXISTS (SELECT FROM stock_level WHERE safety_stock <> 0 OR buffer <> 0)
"""
_WITHHOLD = """
WITH page AS (
    SELECT item_id, location_id FROM {levels} WHERE (item_id, location_id) > (%s, %s) ORDER BY 1, 2 LIMIT %s)
SELECT stock_withhold(array_agg(item_id ORDER BY item_id, location_id),
                      array_agg(location_id ORDER BY item_id, location_id), true),
       (SELECT array[item_id, location_id] FROM page ORDER BY 1 DESC LIMIT 1)
FROM page
"""
_ALL = _WITHHOLD.format(levels="stock_level")
# A level that did not fall has no buffer that follows.
_FALLING = _WITHHOLD.format(levels="stock_rate")
_ANY_FOLLOWS = "SELECT EXISTS (SELECT FROM stock_rule WHERE buffer_lag_factor > 0)"
_MEASURED = "SELECT moved_at FROM source_position WHERE source = %s AND stream = %s"
_RISKS = """
SELECT item.sku, place.code, rate.fallen, risk.per_second, risk.lag_seconds, risk.units, level.buffer
FROM stock_risk() AS risk
JOIN stock_rate AS rate USING (item_id, location_id)
JOIN stock_level AS level USING (item_id, location_id)
JOIN item ON item.id = risk.item_id
JOIN location AS place ON place.id = risk.location_id
WHERE %(sku)s::text IS NULL OR item.sku = %(sku)s
ORDER BY risk.units DESC NULLS FIRST, risk.per_second DESC, item.sku, place.code
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which levels a rule is for: of an article or a category (neither: of all), at a place (None: everywhere)."""

    sku: str | None = None
    category: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What is withheld of the levels in its scope, in base units.

    Attributes:
        lag_factor: the buffer grows by this times what is expected to sell without us while the numbers are as old as
            they are; 0: it does not.
        target: what purchasing fills up to, at least the safety stock; None: twice the safety stock.
    """

    scope: Scope
    safety_stock: Decimal
    buffer: Decimal = Decimal(0)
    lag_factor: Decimal = Decimal(0)
    target: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Risk:
    """What may have been sold of a level that the hub can't know yet.

    Attributes:
        fallen: by how much its base fell without us in the last `RATE_DAYS` days.
        lag_seconds: how old its numbers are; None: its source was never read. `units` is the product then None too.
        buffer: what is withheld for it.
    """

    sku: str
    location: str
    fallen: Decimal
    per_second: Decimal
    lag_seconds: Decimal | None
    units: Decimal | None
    buffer: Decimal


def save_rule(connection: psycopg.Connection, rule: Rule) -> None:
    """Set the rule of a scope in the caller's transaction; `apply_rules` then brings the levels to it.

    Raises:
        DomainError: it names an article or a place that the hub does not know, or its numbers make no sense.
    """
    numbers = (
        rule.safety_stock,
        rule.buffer,
        rule.lag_factor,
        rule.safety_stock if rule.target is None else rule.target,
    )
    if not all(number.is_finite() and number >= 0 for number in numbers):
        raise DomainError("a rule's numbers must not be negative", code="rule-negative", status=422)
    if rule.target is not None and rule.target < rule.safety_stock:
        raise DomainError("the target is below the safety stock", code="rule-target", status=422)
    values = {"safety_stock": rule.safety_stock, "buffer": rule.buffer, "lag_factor": rule.lag_factor}
    connection.execute(_SAVE, {**_ids(connection, rule.scope), **values, "target": rule.target})


def remove_rule(connection: psycopg.Connection, scope: Scope) -> bool:
    """Take the rule of a scope away in the caller's transaction; False if there was none.

    Raises:
        DomainError: the scope names an article or a place that the hub does not know.
    """
    return connection.execute(_REMOVE, _ids(connection, scope)).rowcount > 0


def load_rules(connection: psycopg.Connection) -> list[Rule]:
    """Return all rules, those of articles first."""
    return [Rule(Scope(*row[:3]), *row[3:]) for row in connection.execute(_RULES)]


def apply_rules(connection: psycopg.Connection) -> int:
    """Bring all levels to what their rules say, some at a time, each time in a transaction; return how many changed.

    The connection must be in autocommit mode.
    """
    return _apply(connection, _ALL) if one_value(connection.execute(_ANY)) else 0


def follow_lag(connection: psycopg.Connection) -> int:
    """Bring the buffers that follow the lag to where it is now, as `apply_rules` does; return how many changed."""
    return _apply(connection, _FALLING) if one_value(connection.execute(_ANY_FOLLOWS)) else 0


def _apply(connection: psycopg.Connection, statement: str) -> int:
    changed, last = 0, [0, 0]
    while last is not None:
        row = connection.execute(statement, (*last, _AT_ONCE)).fetchone()
        some, last = row or (0, None)
        changed += some
    return changed


def measure_rates(connection: psycopg.Connection, *, days: int = RATE_DAYS) -> int:
    """Measure how fast the base of each level falls without any number of ours; return how many levels fell."""
    with connection.transaction():
        fell = int(one_value(connection.execute("SELECT stock_measure_rates(%s)", (days,))))
        move_position(connection, _STREAM[0], {}, _STREAM[1])
    return fell


def measure_rates_if_due(connection: psycopg.Connection) -> bool:
    """Measure the rates if that was not done for an hour, and tell whether it was due.

    The connection must be in autocommit mode.
    """
    row = connection.execute(_MEASURED, _STREAM).fetchone()
    measured: datetime | None = row[0] if row else None
    due = measured is None or (database_time(connection) - measured).total_seconds() >= _MEASURE_SECONDS
    if due:
        measure_rates(connection)
    return due


def load_risks(connection: psycopg.Connection, *, sku: str | None = None, limit: int = 50) -> list[Risk]:
    """Return the levels with the largest risk, those whose age is not known first."""
    return [Risk(*row) for row in connection.execute(_RISKS, {"sku": sku, "limit": limit})]


def _ids(connection: psycopg.Connection, scope: Scope) -> Mapping[str, Any]:
    if scope.sku is not None and scope.category is not None:
        raise DomainError("a rule is of an article or of a category, not of both", code="rule-scope", status=422)
    return {
        "item_id": _id(connection, "SELECT id FROM item WHERE sku = %s", scope.sku, "SKU"),
        "category": scope.category,
        "location_id": _id(connection, "SELECT id FROM location WHERE code = %s", scope.location, "place"),
    }


def _id(connection: psycopg.Connection, statement: str, name: str | None, what: str) -> int | None:
    if name is None:
        return None
    row = connection.execute(statement, (name,)).fetchone()
    if row is None:
        raise DomainError(f"there is no {what} {name}", code="unknown-scope", status=404)
    return int(row[0])
