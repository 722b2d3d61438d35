"""What was sold is subtracted once, whatever the ERPs' own people do with its documents while the hub reads."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.integration.counter import Counter, happen

if TYPE_CHECKING:
    from hub.db.session import Database
    from tests.erp_sandboxes import ErpSandbox

STEPS = 60


@pytest.fixture
def counter(worlds: dict[str, ErpSandbox], database: Database) -> Counter:
    return Counter.open(worlds, database)


def test_a_sale_is_subtracted_once_from_the_moment_it_is_told(counter: Counter) -> None:
    key = counter.keys[0]
    before = counter.offered(key)
    sold = counter.sell(key, 3)
    assert counter.offered(key) == before - 3
    for change in (counter.post, counter.take_back, counter.post):
        change(sold)
        counter.follow()
        assert counter.offered(key) == before - 3
    [(demand,)] = counter.shop._rows("SELECT sum(demand) FROM stock_level")
    assert demand == 0


def test_a_settlement_covers_the_sales_of_its_day(counter: Counter) -> None:
    first, second, third = counter.keys
    before = {key: counter.offered(key) for key in counter.keys}
    for number, key in enumerate((first, first, second, third)):
        counter.sell(key, 1, f"T1-{number}", day="Z-20261126")
    settled = [(first, 2), (second, 1)]  # what was sold of the third came back on the same day
    document = counter.world.settle(settled, "Z-20261126")
    counter.follow()
    assert counter.offered(first) == before[first] - 2
    assert counter.offered(second) == before[second] - 1
    assert counter.offered(third) == before[third]
    counter.world.take_back(document)
    counter.follow()
    assert counter.offered(first) == before[first] - 2
    assert counter.offered(third) == before[third] - 1


@pytest.mark.parametrize("worlds", ["kingdee"], indirect=True)  # at SAP nothing can be deleted
def test_a_deleted_document_covers_nothing(counter: Counter) -> None:
    key = counter.keys[0]
    before = counter.offered(key)
    sold = counter.sell(key, 3)
    counter.post(sold)
    counter.follow()
    counter.delete(sold)
    counter.follow()
    assert counter.offered(key) == before - 3
    counter.post(sold)
    counter.follow()
    assert counter.offered(key) == before - 3


@pytest.mark.parametrize("seed", [1, 2])
def test_never_more_is_offered_than_there_is_while_documents_come_and_go(counter: Counter, seed: int) -> None:
    """The hub follows in a thread of its own, by deltas and by snapshots, while everything happens."""
    random, ended = Random(seed), threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            sync = counter.shop.sync(counter.system)
            rounds = 0
            while not ended.is_set():
                rounds += 1
                sync.snapshot() if rounds % 5 == 0 else sync.delta()
        except BaseException as error:
            failures.append(error)
            raise

    reading = threading.Thread(target=read)
    reading.start()
    try:
        for _ in range(STEPS):
            happen(counter, random)
            for key in counter.keys:
                assert counter.offered(key) <= counter.truth(key)
    finally:
        ended.set()
        reading.join()
    assert failures == []
    for sold in counter.sold:
        if not sold.posted:
            counter.post(sold)
    counter.follow()
    assert {key: counter.offered(key) for key in counter.keys} == {key: counter.truth(key) for key in counter.keys}
    assert counter.shop.ledger_gaps() == []
