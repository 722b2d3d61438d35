"""Whether a level's sums are those of their rows, and what the ledger says last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.reconcile.facts import level_of
from hub.reconcile.rules import Off
from hub.stock.coverage import LIVE

if TYPE_CHECKING:
    import psycopg

_LAST = """(SELECT entry.quantity_after FROM stock_ledger AS entry
            WHERE entry.item_id = level.item_id AND entry.location_id = level.location_id
              AND entry.status = '{status}' AND entry.owner = '' ORDER BY entry.id DESC LIMIT 1)"""
_OF_LEVEL = "item_id = level.item_id AND location_id = level.location_id"
# One statement sees one moment, and every writer changes a sum and its rows in one transaction.
_OFF = f"""
SELECT * FROM (
    SELECT checked.*,
           level.held - COALESCE((SELECT sum(quantity) FROM hold_bucket WHERE {_OF_LEVEL}), 0) AS held,
           level.demand - COALESCE((SELECT sum(quantity - COALESCE(covered, 0)) FROM stock_demand
                                    WHERE {_OF_LEVEL} AND state IN {LIVE}), 0) AS demand,
           level.supply - COALESCE((SELECT sum(quantity) FROM stock_supply
                                    WHERE {_OF_LEVEL} AND state = 'open' AND counted), 0) AS supply,
           level.on_hand - COALESCE({_LAST.format(status="sellable")}, 0) AS on_hand_of_ledger,
           level.demand - COALESCE({_LAST.format(status="demand")}, 0) AS demand_of_ledger,
           level.supply - COALESCE({_LAST.format(status="supply")}, 0) AS supply_of_ledger,
           COALESCE((SELECT sum(held) FROM stock_pool WHERE {_OF_LEVEL}), 0) - COALESCE((
                SELECT sum(part.quantity) FROM (
                    SELECT channel, quantity FROM hold_bucket WHERE {_OF_LEVEL}
                    UNION ALL
                    SELECT channel, quantity - COALESCE(covered, 0) FROM stock_demand
                    WHERE {_OF_LEVEL} AND state IN {LIVE}) AS part
                JOIN stock_pool AS pool ON pool.channel = part.channel
                 AND pool.item_id = level.item_id AND pool.location_id = level.location_id), 0) AS pools
    FROM checked_level AS checked JOIN stock_level AS level USING (item_id, location_id)) AS sums
WHERE (held, demand, supply, on_hand_of_ledger, demand_of_ledger, supply_of_ledger, pools)
      IS DISTINCT FROM (0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric)
ORDER BY item_id, location_id
"""
_SUMS = ("held", "demand", "supply", "on_hand_of_ledger", "demand_of_ledger", "supply_of_ledger", "pools")


def find_off(connection: psycopg.Connection) -> list[Off]:
    """Return levels whose sums are not those of their rows."""
    return [
        Off(level_of(row[:4]), {name: by for name, by in zip(_SUMS, row[4:], strict=True) if by})
        for row in connection.execute(_OFF)
    ]
