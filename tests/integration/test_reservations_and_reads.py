"""Reads of the ERP and reservations on the same levels, at once: no dead ends, and both come out right."""

from __future__ import annotations

import asyncio
import random
import threading
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.contracts import StockKey
from hub.idempotency import RequestKey
from hub.stock.reservations import Held, Line, Refused, Wish, reserve
from tests.fake_erp import row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Hub

SKUS, PLACES = ("A", "B", "C"), {"W1": "P/1", "W2": "P/2"}
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def read_until(hub: Hub, ended: threading.Event, failures: list[Exception]) -> None:
    dice = random.Random(1)
    sync = hub.sync
    try:
        while not ended.is_set():
            for sku in SKUS:
                hub.erp.set(sku, dice.choice(list(PLACES.values())), 1000 + dice.randint(0, 9))
            # a row that can't be understood puts its level in doubt, the next one takes it out again
            others = [known for known in hub.erp.rows if (known.item, known.location) != ("B", "P/2")]
            hub.erp.rows = [*others, row("B", "P/2", 1000, unit=dice.choice(["EA", "BOX"]))]
            if dice.random() < 0.5:
                sync.snapshot()
            else:
                sync.refresh({StockKey(sku, place) for sku in SKUS for place in PLACES.values()})
    except Exception as error:  # noqa: BLE001 - shown by the test
        failures.append(error)


def carts(dice: random.Random, number: int) -> Iterator[Wish]:
    for part in range(4):
        skus, places = dice.sample(SKUS, 2), dice.sample([*PLACES], 2)
        lines = tuple(Line(sku, place, Decimal(1)) for sku in skus for place in places)
        yield Wish(RequestKey("shop", f"{number}-{part}", "", "00"), "online", lines, 900)


async def buy(hub: Hub) -> int:
    taken = 0
    dice = random.Random(2)
    engine = hub.database.planned_engine()
    try:
        for number in range(250):
            outcomes = await reserve(engine, list(carts(dice, number)))
            assert all(isinstance(outcome, Held | Refused) for outcome in outcomes), outcomes
            taken += sum(4 for outcome in outcomes if isinstance(outcome, Held))
    finally:
        await engine.dispose()
    return taken


def test_reads_and_carts_never_wait_for_each_other_in_a_circle(hub: Hub) -> None:
    for sku in SKUS:
        for place in PLACES.values():
            hub.erp.set(sku, place, 1000)
    hub.sync.snapshot()
    ended = threading.Event()
    failures: list[Exception] = []
    reader = threading.Thread(target=read_until, args=(hub, ended, failures))
    reader.start()
    try:
        taken = asyncio.run(buy(hub))
    finally:
        ended.set()
        reader.join()
    assert failures == []
    assert hub.query("SELECT sum(held) FROM stock_level") == [(taken,)]
    hub.erp.set("B", "P/2", 1000)
    hub.sync.snapshot()
    assert hub.query("SELECT sum(room) FROM stock_level")[0][0] == sum(hub.levels().values()) - taken
    assert hub.query(DEADLOCKS) == [(0,)]
