"""The hub's own sums: whether they are those of their rows, and what is said of the ERP beside that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from hub.contracts import StockStatus
from hub.stock.expiry import sweep_expired
from tests.fake_erp import row
from tests.integration.compared import A

if TYPE_CHECKING:
    from tests.integration.compared import Counter

_OF_A = "WHERE on_hand = 20"
_HELD = "UPDATE stock_level SET held = held + %s WHERE on_hand = 20 RETURNING 1"


def hold(counter: Counter, quantity: int, ends_in: int) -> None:
    """Reserve some of A, for some seconds."""
    second = int(time.time()) + ends_in
    hub = counter.hub
    of_level = "item_id, location_id"
    hub.query(
        "WITH made AS (INSERT INTO reservation (id, principal, channel, state, asked, created_at, first_expiry,"
        " expires_second) VALUES (gen_random_uuid(), 'shop', 'online', 'active', '[]', now(), %s, %s) RETURNING id)"
        f" INSERT INTO reservation_line SELECT made.id, {of_level}, %s FROM made, stock_level {_OF_A} RETURNING 1",
        *(second, second, quantity),
    )
    hub.query(
        f"INSERT INTO hold_bucket ({of_level}, channel, expires_second, quantity)"
        f" SELECT {of_level}, 'online', %s, %s FROM stock_level {_OF_A}"
        f" ON CONFLICT ({of_level}, channel, expires_second)"
        " DO UPDATE SET quantity = hold_bucket.quantity + excluded.quantity RETURNING 1",
        *(second, quantity),
    )
    hub.query("UPDATE stock_level SET next_expiry = LEAST(next_expiry, %s) WHERE on_hand = 20 RETURNING 1", second)
    hub.query(_HELD, quantity)


@pytest.mark.parametrize("column", ["demand", "held", "supply", "on_hand", "safety_stock", "buffer"])
def test_our_own_sums(counter: Counter, column: str) -> None:
    counter.hub.query(f"UPDATE stock_level SET {column} = {column} + 1 {_OF_A} RETURNING 1")
    assert counter.check() == {("our_bug", "A")}
    assert counter.check() == set()
    assert [difference.state for difference in counter.book()] == ["open"]


def test_what_lies_apart_is_what_the_ledger_says(counter: Counter) -> None:
    counter.erp.rows.append(row("A", "P/1", 7, status=StockStatus.BLOCKED))
    counter.erp.rows.append(row("A", "P/1", 2, status=StockStatus.SELLABLE, owner="V1"))
    counter.erp.changed.add(A)
    assert counter.check() == set()
    counter.hub.query("UPDATE stock_unsellable SET quantity = 6 WHERE status = 'blocked' RETURNING 1")
    assert counter.check() == {("our_bug", "A")}
    assert counter.book()[0].evidence == {"off_by": {"apart_of_ledger": "1"}}


def test_a_clock_that_was_set_back_is_no_fault_of_sums(counter: Counter) -> None:
    counter.erp.set("A", "P/1", 17)
    counter.hub.sync.delta()
    counter.hub.query(
        "UPDATE stock_ledger SET recorded_at = now() - interval '1 day' WHERE quantity_after = 17 RETURNING 1"
    )
    assert counter.check() == set()


def test_buckets_are_the_sums_of_reservations(counter: Counter) -> None:
    hold(counter, 2, 600)
    hold(counter, 1, 600)
    assert counter.check() == set()
    counter.hub.query(
        "UPDATE reservation SET state = 'released' WHERE id = (SELECT id FROM reservation LIMIT 1) RETURNING 1"
    )
    assert counter.check() == {("our_bug", "A")}, "pieces are held by nobody"
    assert set(counter.book()[0].evidence["off_by"]) == {"buckets"}


def test_reservations_that_have_ended_and_are_not_closed_are_in_buckets(counter: Counter) -> None:
    hold(counter, 2, -5)
    assert counter.check() == set()
    with counter.hub.database.driver() as connection:
        connection.execute("SELECT stock_sweep(10)")
        assert counter.hub.query("SELECT state FROM reservation") == [("active",)]
        assert counter.check() == set()
        sweep_expired(connection)
    assert counter.check() == set()


def test_what_the_erp_did_is_named_though_another_sum_is_off(counter: Counter) -> None:
    counter.hub.query(_HELD, 1)
    counter.check()
    counter.erp.post("4711", A, 3)
    counter.erp.hush()
    assert counter.check() == {("missed_event", "A")}, "what is held has nothing to do with the base"
    assert counter.hub.levels()["A", "W1"] == 17


def test_a_base_that_no_read_has_brought_is_not_explained_by_documents(counter: Counter) -> None:
    counter.hub.query(f"UPDATE stock_level SET on_hand = 18 {_OF_A} RETURNING 1")
    assert counter.check() == {("our_bug", "A")}
    assert counter.hub.levels()["A", "W1"] == 20, "the base follows the ERP"
    assert counter.causes()[-1] == "reconcile: our bug"
