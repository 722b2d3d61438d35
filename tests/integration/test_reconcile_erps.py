"""Each class of difference is caused at the ERPs' stand-ins, by a switch or by their people, and it alone is named."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from hub.clock import utc_now
from hub.contracts import StockKey
from hub.reconcile.book import load_differences
from hub.reconcile.check import Reconciler
from hub.stock.demand import record_sale
from hub.stock.reservations import Line
from tests.integration.counter import PLACES, Counter, happen

if TYPE_CHECKING:
    from hub.db.session import Database
    from hub.reconcile.book import Difference
    from tests.erp_sandboxes import ErpSandbox

LONG_AGO = timedelta(days=3)
AN_HOUR = 3600


class Books(Counter):
    """A counter whose books are compared with the ERP's."""

    def check(self) -> set[tuple[str, str, str]]:
        """Check a slice with all articles in it; return what is new: (class, the ERP's article, place)."""
        rules = self.shop.runtime.settings.stock.model_copy(update={"reconcile_slice": 100_000})
        report = Reconciler(self.shop.sync(self.system), rules).check_slice()
        assert report.state == "checked"
        return {(str(found.kind), self.number_of(found.sku), found.location) for found in report.found}

    def check_all(self) -> set[tuple[str, str, str]]:
        report = Reconciler(self.shop.sync(self.system), self.shop.runtime.settings.stock).check_all()
        assert report.state == "checked"
        return {(str(found.kind), self.number_of(found.sku), found.location) for found in report.found}

    def number_of(self, sku: str) -> str:
        [(number,)] = self.shop._rows(
            "SELECT external_id FROM external_reference JOIN item ON item.id = our_id"
            " WHERE kind = 'item' AND system = %s AND sku = %s",
            *(self.system, sku),
        )
        return str(number)

    def owe(self, key: StockKey, quantity: int, number: str, *, kind: str = "sale") -> None:
        """Book demand of some days ago; an order as a sale that is called one, since it needs no reservation here."""
        line = self._by_sku(Line(key.item, PLACES[key.location], Decimal(quantity)))
        with self.shop.database.driver() as connection, connection.transaction():
            sold_at = utc_now() - LONG_AGO
            assert record_sale(connection, number, number, [line], sold_at, channel="pos", whole=False) == []
            connection.execute("UPDATE stock_demand SET kind = %s WHERE number = %s", (kind, number))

    def told(self, key: StockKey, number: str) -> None:
        """Let the store tell a receipt, so that it is known how its numbers look."""
        with self.shop.database.driver() as connection:
            connection.execute(
                "INSERT INTO store_sale (location_id, receipt_no, sold_at, business_date, reference, lines, returns,"
                " digest, principal) SELECT id, %s, now(), current_date, %s, '[]', '[]', '', 'till' FROM location"
                " WHERE code = %s",
                (number, number, PLACES[key.location]),
            )

    def book(self) -> list[Difference]:
        with self.shop.database.driver() as connection:
            return load_differences(connection, hours=1)

    def is_true(self, key: StockKey) -> bool:
        return self.offered(key) == self.truth(key)


def named(kind: str, key: StockKey) -> set[tuple[str, str, str]]:
    return {(kind, key.item, PLACES[key.location])}


@pytest.fixture
def counter(worlds: dict[str, ErpSandbox], database: Database) -> Books:
    counter = Books.open(worlds, database)
    for _ in range(4):  # documents that were met only just are asked for again, and the look goes back to them
        counter.shop.sync(counter.system).delta()
    return counter


def test_what_no_look_named(counter: Books) -> None:
    key = counter.keys[0]
    with counter.world.late_documents(AN_HOUR):
        counter.world.move("sale", key, 3)
    counter.follow()
    assert not counter.is_true(key), "no look has named it"
    assert counter.check() == named("missed_event", key)
    assert counter.is_true(key)
    [difference] = counter.book()
    assert difference.state == "healed"
    assert [document["change"] for document in difference.evidence["documents"]] == ["-3"]
    assert counter.check() == set()
    [(cause, before, after)] = counter.shop._rows(
        "SELECT cause, quantity_before, quantity_after FROM stock_ledger WHERE cause LIKE 'reconcile%'"
    )
    assert (cause, after - before) == ("reconcile: missed event", -3)
    assert counter.shop.ledger_gaps() == []


def test_what_no_look_named_is_found_by_the_full_check_too(counter: Books) -> None:
    first, second, _ = counter.keys
    with counter.world.late_documents(AN_HOUR):
        counter.world.move("sale", first, 3)
        counter.world.move("sale", second, 2)
    assert counter.check_all() == named("missed_event", first) | named("missed_event", second)
    assert counter.is_true(first)
    assert counter.is_true(second)


@pytest.mark.parametrize("worlds", ["kingdee"], indirect=True)  # at SAP nothing can be deleted
def test_a_bill_that_was_deleted_with_the_last_piece(counter: Books) -> None:
    """Neither the row, which is gone with it, nor the bill can tell."""
    sold = counter.world.books()
    key = next(
        StockKey(known.item, place)
        for known in counter.keys
        for place in counter.world.locations
        if StockKey(known.item, place) not in sold
    )
    counter.world.move("receipt", counter.keys[0], 1)  # where no bill of a form can be seen, none is taken for deleted
    bill = counter.world.move("receipt", key, 4)
    counter.follow()
    counter.world.delete(bill)
    counter.follow()
    assert counter.offered(key) == 4
    assert counter.check() == named("missed_event", key)
    assert counter.book()[0].evidence["documents"][0]["why"] == "deleted"
    assert counter.offered(key) == 0


def test_a_stores_sale_that_came_late(counter: Books) -> None:
    key = counter.keys[0]
    counter.told(key, "R-1")
    with counter.world.late_documents(AN_HOUR):
        counter.world.sell(key, 2, "R-2")
    assert counter.check() == named("late_pos", key)
    assert counter.is_true(key)
    assert counter.book()[0].state == "healed"


def test_a_sale_that_the_erp_never_heard_of(counter: Books) -> None:
    key = counter.keys[0]
    counter.owe(key, 2, "R-7")
    assert counter.check() == named("late_pos", key)
    assert counter.check() == set()
    counter.world.sell(key, 2, "R-7")
    assert counter.check() == set()
    assert counter.book()[0].state == "closed"


def test_two_documents_for_one_number(counter: Books) -> None:
    key = counter.keys[0]
    counter.owe(key, 2, "R-7")
    counter.world.sell(key, 2, "R-7")
    with counter.world.repeated_numbers():
        counter.world.sell(key, 2, "R-7")
    assert counter.check() == named("duplicate", key)
    [difference] = counter.book()
    assert (difference.state, difference.subject, len(difference.evidence["documents"])) == ("open", "R-7", 2)
    assert counter.check() == set()


def test_cartons_taken_for_pieces(counter: Books) -> None:
    key, unit, pieces = counter.world.packed()
    counter.owe(key, 1, "R-7")
    counter.world.sell(key, 1, "R-7", unit=unit, allow_negative=True)
    assert counter.check() == named("unit_or_mapping", key)
    assert counter.book()[0].evidence["factor"] == str(pieces)


def test_an_order_that_somebody_posted_by_hand(counter: Books) -> None:
    key = counter.keys[0]
    counter.owe(key, 3, "4500000001", kind="order")
    assert counter.check() == set()
    counter.world.move("sale", key, 3)
    assert counter.check() == named("manual_posting", key)
    [difference] = counter.book()
    assert (difference.state, difference.subject) == ("open", "4500000001")
    assert counter.check() == set()


def test_our_own_fault(counter: Books) -> None:
    key = counter.keys[0]
    counter.owe(key, 3, "4500000001", kind="order")
    counter.shop._rows("UPDATE stock_level SET demand = demand - 1 WHERE demand > 0 RETURNING 1")
    assert counter.check() == named("our_bug", key)
    assert [difference.state for difference in counter.book()] == ["open"]
    assert counter.check() == set()


def test_nothing_is_named_while_everything_moves(counter: Books) -> None:
    """The reconciliation runs by slices and in full beside the hub's own reads, whatever happens at the ERP."""
    random, ended = Random(4), threading.Event()
    failures: list[BaseException] = []
    counter.told(counter.keys[0], "R-1")

    def repeat(step: Any) -> None:
        try:
            while not ended.is_set():
                step()
        except BaseException as error:
            failures.append(error)
            raise

    sync = counter.shop.sync(counter.system)

    def move() -> None:
        counter.world.moves(1)
        ended.wait(0.1)

    steps = (sync.delta, counter.check, move)
    threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        for number in range(40):
            happen(counter, random)
            if number % 20 == 10:
                counter.check_all()
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert counter.check_all() == set()
    assert counter.book() == []
    counter.follow()
    assert all(counter.is_true(key) for key in counter.keys)
    assert counter.shop.ledger_gaps() == []
