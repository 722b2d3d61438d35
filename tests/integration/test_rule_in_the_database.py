"""The database offers what the pure rule offers, whatever happens in whatever order. `make model-check` tries more."""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

from tests.model.database import DatabaseHub, Twins
from tests.model.histories import walk

if TYPE_CHECKING:
    from tests.integration.conftest import Hub

HISTORIES = int(os.environ.get("ONESHELF_DATABASE_HISTORIES", "25"))
_FORGET = "TRUNCATE stock_demand, stock_supply, stock_posting, stock_ledger, stock_level, stock_due"
_SUMS = """
SELECT level.demand - COALESCE((SELECT sum(quantity - COALESCE(covered, 0)) FROM stock_demand
                                WHERE state IN ('open', 'cancel_pending')), 0),
       level.supply - COALESCE((SELECT sum(quantity) FROM stock_supply WHERE state = 'open' AND counted), 0),
       level.on_hand - (SELECT sum(quantity_after - quantity_before) FROM stock_ledger WHERE status = 'sellable'),
       level.demand - COALESCE((SELECT sum(quantity_after - quantity_before) FROM stock_ledger
                                WHERE status = 'demand'), 0),
       level.supply - COALESCE((SELECT sum(quantity_after - quantity_before) FROM stock_ledger
                                WHERE status = 'supply'), 0)
FROM stock_level AS level
"""


def test_histories_in_the_database(hub: Hub) -> None:
    with hub.database.driver() as connection:
        for seed in range(HISTORIES):
            connection.execute(_FORGET)
            walk(Twins(DatabaseHub(connection, hub.erp)), Random(seed), 80)
            assert connection.execute(_SUMS).fetchone() == (0, 0, 0, 0, 0), f"history {seed}"
