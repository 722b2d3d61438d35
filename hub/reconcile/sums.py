"""Whether a level's sums are those of their rows, and what the ledger says last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.reconcile.facts import level_of
from hub.reconcile.rules import Off
from hub.stock.coverage import LIVE

if TYPE_CHECKING:
    from decimal import Decimal

    import psycopg

    from hub.reconcile.rules import Level

BASE_OFF = "on_hand_of_ledger"
"""The base itself is not what reads have brought."""
_OF_LEVEL = "item_id = level.item_id AND location_id = level.location_id"
_LAST = """(SELECT entry.quantity_after FROM stock_ledger AS entry
            WHERE entry.item_id = level.item_id AND entry.location_id = level.location_id
              AND entry.status = {status} AND entry.owner = {owner} ORDER BY {order} LIMIT 1)"""
_OWN = "''"
_BY_NUMBER, _BY_TIME = "entry.id DESC", "LEAST(entry.effective_at, entry.recorded_at) DESC, entry.id DESC"


def _of_ledger(column: str) -> str:
    """Return by how much a column differs from the last entry of its name."""
    last = _LAST.format(status=f"'{column}'", owner=_OWN, order=_BY_NUMBER)
    return f"level.{column} - COALESCE({last}, 0)"


def _of_reads(quantity: str, status: str, owner: str) -> str:
    """Return the same of a quantity that reads have brought, of which an index finds the last one by its time.

    Where a clock was set back that is not the last one. Only then all its entries are looked through.
    """
    by_time, by_number = (_LAST.format(status=status, owner=owner, order=order) for order in (_BY_TIME, _BY_NUMBER))
    return f"CASE WHEN {quantity} = {by_time} THEN 0 ELSE {quantity} - COALESCE({by_number}, 0) END"


_SUMS = {
    "held": f"level.held - COALESCE((SELECT sum(quantity) FROM hold_bucket WHERE {_OF_LEVEL}), 0)",
    "demand": f"""level.demand - COALESCE((
        SELECT sum(quantity - COALESCE(covered, 0)) FROM stock_demand WHERE {_OF_LEVEL} AND state IN {LIVE}), 0)""",
    "supply": f"""level.supply - COALESCE((
        SELECT sum(quantity) FROM stock_supply WHERE {_OF_LEVEL} AND state = 'open' AND counted), 0)""",
    "pools": f"""COALESCE((SELECT sum(held) FROM stock_pool WHERE {_OF_LEVEL}), 0) - COALESCE((
        SELECT sum(part.quantity) FROM (
            SELECT channel, quantity FROM hold_bucket WHERE {_OF_LEVEL}
            UNION ALL
            SELECT channel, quantity - COALESCE(covered, 0) FROM stock_demand
            WHERE {_OF_LEVEL} AND state IN {LIVE}) AS part
        JOIN stock_pool AS pool ON pool.channel = part.channel
         AND pool.item_id = level.item_id AND pool.location_id = level.location_id), 0)""",
    BASE_OFF: _of_reads("level.on_hand", "'sellable'", _OWN),
    "apart_of_ledger": f"""COALESCE((
        SELECT sum(abs({_of_reads("apart.quantity", "apart.status", "apart.owner")}))
        FROM stock_unsellable AS apart WHERE {_OF_LEVEL}), 0)""",
    **{f"{column}_of_ledger": _of_ledger(column) for column in ("demand", "supply", "safety_stock", "buffer")},
}
# One statement sees one moment, and every writer changes a sum and its rows in one transaction.
_OFF = f"""
SELECT * FROM (
    SELECT checked.*, {", ".join(f"{sum_} AS {name}" for name, sum_ in _SUMS.items())}
    FROM checked_level AS checked JOIN stock_level AS level USING (item_id, location_id)) AS sums
WHERE {" OR ".join(f"{name} <> 0" for name in _SUMS)}
"""
# A bucket is the sum of the reservations that end in its second. Those that a level has closed are gone from it,
# whether or not they are marked; those whose second is over and which it has not closed are still there.
_BUCKETS = """
SELECT checked.*, sum(abs(COALESCE(held.quantity, 0) - COALESCE(bucket.quantity, 0)))
FROM (SELECT item_id, location_id, reservation.expires_second, reservation.channel, sum(line.quantity) AS quantity
      FROM reservation JOIN reservation_line AS line ON line.reservation_id = reservation.id
      JOIN checked_level USING (item_id, location_id) JOIN stock_level AS level USING (item_id, location_id)
      WHERE reservation.state = 'active' AND reservation.expires_second > level.closed_through
      GROUP BY 1, 2, 3, 4) AS held
FULL JOIN (SELECT bucket.* FROM hold_bucket AS bucket JOIN checked_level USING (item_id, location_id)) AS bucket
  USING (item_id, location_id, expires_second, channel)
JOIN checked_level AS checked USING (item_id, location_id)
WHERE COALESCE(held.quantity, 0) <> COALESCE(bucket.quantity, 0)
GROUP BY checked.item_id, checked.location_id, checked.item, checked.place
"""


def find_off(connection: psycopg.Connection) -> list[Off]:
    """Return the levels in `checked_level` whose sums are not those of their rows."""
    found: dict[Level, dict[str, Decimal]] = {}
    for row in connection.execute(_OFF):
        found[level_of(row[:4])] = {name: by for name, by in zip(_SUMS, row[4:], strict=True) if by}
    for *named, by in connection.execute(_BUCKETS):
        found.setdefault(level_of(named), {})["buckets"] = by
    return [Off(level, by) for level, by in sorted(found.items(), key=lambda one: one[0].ids)]
