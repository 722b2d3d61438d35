"""What the database says of all levels at a moment, and whether its counters and its ledger agree with their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.stock.reading import RESERVED, ROOM
from tests.integration.reservation_shop import WRONG_BUCKETS, WRONG_DEMAND, WRONG_EVENTS, WRONG_HELD, WRONG_POOLS

if TYPE_CHECKING:
    from decimal import Decimal

    import psycopg

_STANDS = f"""
SELECT item.sku, location.code, level.on_hand, level.demand, level.supply, {ROOM}, {RESERVED},
       level.safety_stock + level.buffer
FROM stock_level AS level JOIN item ON item.id = level.item_id JOIN location ON location.id = level.location_id
"""
WRONG_SUPPLY = """
SELECT level.item_id, level.location_id, level.supply, sums.quantity
FROM stock_level AS level
LEFT JOIN (SELECT item_id, location_id, sum(quantity) AS quantity FROM stock_supply
           WHERE state = 'open' AND counted GROUP BY 1, 2) AS sums USING (item_id, location_id)
WHERE level.supply <> COALESCE(sums.quantity, 0)
"""
WRONG_LAST_ENTRY = """
SELECT level.item_id, level.location_id, told.status, told.stands, last.quantity_after
FROM stock_level AS level
CROSS JOIN LATERAL (VALUES
    ('sellable', level.on_hand), ('demand', level.demand), ('supply', level.supply),
    ('safety_stock', level.safety_stock), ('buffer', level.buffer),
    ('frozen', (level.frozen_at IS NOT NULL)::integer)) AS told(status, stands)
LEFT JOIN LATERAL (
    SELECT entry.quantity_after FROM stock_ledger AS entry
    WHERE entry.item_id = level.item_id AND entry.location_id = level.location_id AND entry.status = told.status
      AND entry.owner = ''
    ORDER BY entry.id DESC LIMIT 1) AS last ON true
WHERE told.stands <> COALESCE(last.quantity_after, 0)
"""
WRONG_CHAIN = """
SELECT * FROM (
    SELECT id, status, quantity_before,
           lag(quantity_after, 1, 0) OVER (PARTITION BY item_id, location_id, status, owner ORDER BY id) AS stood
    FROM stock_ledger) AS entry
WHERE entry.quantity_before <> entry.stood
"""
_WRONG = {
    "held is not the sum of its buckets": WRONG_HELD,
    "buckets are not the sums of the reservations": WRONG_BUCKETS,
    "held is not the sum of its events": WRONG_EVENTS,
    "a pool is not the sum of what its channel has taken": WRONG_POOLS,
    "demand is not the sum of its rows": WRONG_DEMAND,
    "supply is not the sum of its rows": WRONG_SUPPLY,
    "the last entries of the ledger are not the level": WRONG_LAST_ENTRY,
    "an entry of the ledger does not begin where the one before it ended": WRONG_CHAIN,
}
_ALL_WRONG = " UNION ALL ".join(
    f"SELECT '{name}', (SELECT jsonb_agg(wrong) FROM ({statement}) AS wrong)" for name, statement in _WRONG.items()
)


@dataclass(frozen=True, slots=True)
class Stand:
    """The numbers of a level. `offered` and `reserved` leave out what has expired, as every answer does."""

    on_hand: Decimal
    demand: Decimal
    supply: Decimal
    offered: Decimal
    reserved: Decimal
    withheld: Decimal


def load_stands(connection: psycopg.Connection) -> dict[tuple[str, str], Stand]:
    """Return how each level stands, by (SKU, place)."""
    return {(sku, place): Stand(*numbers) for sku, place, *numbers in connection.execute(_STANDS)}


def say_what_is_wrong(connection: psycopg.Connection) -> list[tuple[str, object]]:
    """Return which counters and entries disagree with their rows, and which rows these are."""
    rows = connection.execute(f"SELECT * FROM ({_ALL_WRONG}) AS said(name, wrong) WHERE wrong IS NOT NULL")
    return [(str(name), wrong) for name, wrong in rows]
