"""Numbers of ours and the documents under them: what is missing, too much, too little, elsewhere, or not ours."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.clock import utc_now
from hub.contracts import StockKey
from hub.stock.demand import add_supply, cancel, claim_supply_push
from hub.stock.reservations import Line
from tests.integration.compared import LONG_AGO, A, B

if TYPE_CHECKING:
    from tests.integration.compared import Counter


def bring(counter: Counter, number: str, quantity: int, *, ago: timedelta = LONG_AGO) -> None:
    """Count goods that came back to W1 and that the hub will tell the ERP of."""
    with counter.hub.database.driver() as connection, connection.transaction():
        assert add_supply(connection, "return", number, [Line("A", "W1", Decimal(quantity))], utc_now() - ago) == []


def test_a_return_that_people_booked_by_hand_is_offered_twice(counter: Counter) -> None:
    bring(counter, "ret-1", 4)
    assert counter.check() == set(), "a return that nobody has booked yet"
    counter.erp.post("GR 4711", A, -3)
    assert counter.check() == set()
    counter.erp.post("by hand", A, -4)
    assert counter.check() == {("manual_posting", "A")}
    [difference] = counter.book()
    assert (difference.subject, difference.evidence["number"]) == ("RET-1", "ret-1")
    assert [document["document"] for document in difference.evidence["documents"]] == ["D2"]
    assert counter.check() == set()


def test_a_return_that_people_booked_under_its_number(counter: Counter) -> None:
    bring(counter, "RET-1", 4, ago=timedelta())
    counter.erp.post("RET-1", A, -4)
    assert counter.check() == {("manual_posting", "A")}, "at once: it is surely there twice"
    assert counter.book()[0].evidence["posted"] == "4"


def test_a_return_that_was_sent_is_counted_by_the_rule(counter: Counter) -> None:
    bring(counter, "RET-1", 4)
    counter.erp.post("GR 4711", A, -4)
    counter.hub.sync.delta()
    with counter.hub.database.driver() as connection:
        assert claim_supply_push(connection, "return", "RET-1")
    assert counter.check() == set()
    counter.erp.post("RET-1", A, -4)
    assert counter.check() == set()


def test_a_settlement_of_less_than_the_store_has_told(counter: Counter) -> None:
    counter.day("T-1", A, 5)
    counter.erp.post("Z-1", A, 3)
    assert counter.check() == set(), "it may be posted in two parts"
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "A")}, "two pieces were sold and are still in the ERP's number"
    [difference] = counter.book()
    assert difference.evidence == {"sold": "5", "posted": "3", "documents": ["D1"]}
    counter.hub.query("UPDATE stock_demand SET state = 'posted', ended_at = now() RETURNING 1")
    assert counter.check() == set()
    assert counter.states() == [("late_pos", "Z-1", "open")]
    counter.erp.post("Z-1", A, 2)
    assert counter.check() == set()
    assert counter.states() == [("late_pos", "Z-1", "closed")]


def test_what_came_back_on_a_settled_day_is_not_missing(counter: Counter) -> None:
    counter.day("T-1", A, 5, back=2)
    counter.day("T-2", B, 1)
    counter.receipt("T-3", StockKey("C", "P/1"), 1)
    counter.hub.query(
        "UPDATE store_sale SET reference = 'Z-1', business_date = current_date - 3,"
        """ returns = '[{"sku": "B", "quantity": "1"}]' RETURNING 1"""
    )
    counter.erp.post("Z-1", A, 3)
    counter.check()
    counter.let_pass(50)
    assert counter.check() == set()


def test_an_article_that_a_settlement_does_not_have(counter: Counter) -> None:
    counter.day("T-1", A, 1)
    counter.day("T-2", B, 1)
    counter.erp.post("Z-1", A, 1)
    counter.check()
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "B")}


def test_an_order_that_was_posted_at_another_place(counter: Counter) -> None:
    counter.order("ORD-1", A, 3, kind="order")
    counter.order("R-1", B, 1)
    for number, item, quantity in (("ORD-1", "A", 3), ("R-1", "B", 1)):
        counter.erp.post(number, StockKey(item, "P/2"), quantity)
    assert counter.check() == {("manual_posting", "A"), ("late_pos", "B")}, "another store's receipt"
    [difference] = [known for known in counter.book() if known.sku == "A"]
    assert (difference.subject, difference.evidence["documents"]) == ("ORD-1", ["D1 at W2"])


def test_an_order_that_was_cancelled_and_posted_all_the_same(counter: Counter) -> None:
    counter.order("ORD-1", A, 3, kind="order")
    with counter.hub.database.driver() as connection, connection.transaction():
        assert cancel(connection, "order", "ORD-1") == "released"
    document = counter.erp.post("ORD-1", A, 3)
    assert counter.check() == {("manual_posting", "A")}
    assert counter.book()[0].evidence == {"sold": "0", "posted": "3", "documents": ["D1"]}
    counter.erp.take_back(document)
    assert counter.check() == set()
    assert counter.states() == [("manual_posting", "ORD-1", "closed")]


def test_numbers_of_digits_alone_are_not_all_receipts(counter: Counter) -> None:
    """The ERP's own numbers are of digits too: an order to a supplier of which something was sent back."""
    counter.receipt("20261126000123", B, 1)
    counter.erp.post("20261126000123", B, 1)
    counter.erp.post("4500017", A, 3)
    counter.erp.post("45000171260001", A, 1)
    counter.check()
    counter.let_pass(50)
    assert counter.check() == set()
    counter.erp.post("20261126000377", A, 2)
    counter.check()
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "A")}


def test_a_number_of_digits_is_no_late_sale(counter: Counter) -> None:
    counter.receipt("20261126000123", B, 1)
    counter.erp.post("20261126000123", B, 1)
    counter.hub.sync.delta()
    counter.erp.post("4500017", A, 3)
    counter.erp.hush()
    assert counter.check() == {("missed_event", "A")}


def test_one_document_stands_for_one_order(counter: Counter) -> None:
    counter.order("4500000001", A, 3, kind="order")
    counter.order("4500000002", A, 3, kind="order")
    counter.erp.post("per Hand", A, 3)
    assert counter.check() == {("manual_posting", "A")}
    assert counter.states() == [("manual_posting", "4500000001", "open")]
    counter.erp.post("per Hand", A, 3)
    assert counter.check() == {("manual_posting", "A")}
    assert [known.evidence["documents"][0]["document"] for known in counter.book()] == ["D1", "D2"]


def test_cartons_for_pieces_in_two_deliveries_are_no_duplicate(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    for _ in range(2):
        counter.erp.post("R-1", A, 12)
    assert counter.check() == {("unit_or_mapping", "A")}


def test_two_documents_of_all_that_was_sold_are_a_duplicate_whatever_a_package_holds(counter: Counter) -> None:
    counter.order("R-1", A, 1)
    for _ in range(12):
        counter.erp.post("R-1", A, 1)
    assert counter.check() == {("duplicate", "A")}
