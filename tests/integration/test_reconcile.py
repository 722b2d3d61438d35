"""The reconciliation against a little ERP in memory: what is named, what is healed, what is none of its business."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.clock import utc_now
from hub.reconcile.book import SEEN_NO_MORE, resolve
from hub.stock.demand import record_sale
from hub.stock.reservations import Line
from tests.fake_erp import row
from tests.integration.compared import LONG_AGO, A, B

if TYPE_CHECKING:
    import pytest

    from tests.integration.compared import Counter


def test_where_all_is_well_nothing_is_named(counter: Counter) -> None:
    counter.erp.post("X-1", A, 3)
    report = counter.reconciler.check_slice()
    assert (report.state, report.checked, report.found) == ("checked", 3, ())
    assert counter.hub.levels()["A", "W1"] == 17
    assert counter.erp.questions == []


def test_what_no_look_named_is_read_and_the_ledger_says_why(counter: Counter) -> None:
    counter.erp.post("4711", A, 3)
    counter.erp.hush()
    assert counter.check() == {("missed_event", "A")}
    assert counter.hub.levels()["A", "W1"] == 17
    assert counter.causes()[-1] == "reconcile: missed event"
    [difference] = counter.book()
    assert difference.state == "healed"
    [document] = difference.evidence["documents"]
    assert (document["document"], document["change"], document["entered_by"]) == ("D1", "-3", "MUSTER")
    assert counter.check() == set()


def test_a_document_that_shows_long_after_its_time_is_found(counter: Counter) -> None:
    counter.erp.entered[counter.erp.post("4711", A, 3)] = utc_now() - timedelta(hours=2)
    counter.erp.hush()
    assert counter.check() == {("missed_event", "A")}
    assert counter.book()[0].evidence["documents"][0]["why"] == "entered before, seen late"


def test_a_deleted_document_of_which_nobody_told(counter: Counter) -> None:
    document = counter.erp.post("", A, -4)
    counter.hub.sync.delta()
    assert counter.hub.levels()["A", "W1"] == 24
    counter.hub.query("UPDATE stock_posting SET reference = 'CGRK000001' RETURNING 1")
    counter.erp.delete(document)
    counter.erp.hush()
    assert counter.check() == {("missed_event", "A")}
    assert counter.book()[0].evidence["documents"][0]["why"] == "deleted"
    assert counter.hub.levels()["A", "W1"] == 20


def test_a_stores_sale_that_came_late_by_the_erp(counter: Counter) -> None:
    counter.receipt("R-1", B, 1)
    counter.erp.post("R-1", B, 1)
    counter.hub.sync.delta()
    counter.erp.entered[counter.erp.post("R-2", A, 2)] = utc_now() - timedelta(hours=5)
    counter.erp.hush()
    assert counter.check() == {("late_pos", "A")}
    assert counter.causes()[-1] == "reconcile: late pos"
    assert counter.book()[0].state == "healed"


def test_a_sale_that_the_erp_never_heard_of(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    assert counter.check() == {("late_pos", "A")}
    assert counter.check() == set(), "found once"
    [difference] = counter.book()
    assert (difference.state, difference.subject) == ("open", "R-1")
    counter.erp.post("R-1", A, 2)
    assert counter.check() == set()
    assert [(d.state, d.resolution) for d in counter.book()] == [("closed", SEEN_NO_MORE)]


def test_a_receipt_that_the_till_never_told(counter: Counter) -> None:
    counter.receipt("R-1", B, 1)
    counter.erp.post("R-1", B, 1)
    counter.erp.post("R-17", A, 2)
    counter.erp.post("RETURN TO VENDOR", A, 3)
    assert counter.check() == set(), "the till may yet tell of it"
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "A")}
    assert counter.book()[0].subject == "R-17"


def test_a_settlement_of_more_than_the_store_has_told(counter: Counter) -> None:
    with counter.hub.database.driver() as connection, connection.transaction():
        line = Line("A", "W1", Decimal(1))
        assert record_sale(connection, "T-1", "Z-1", [line], utc_now(), channel="pos", whole=True) == []
    counter.erp.post("Z-1", A, 3)
    assert counter.check() == set(), "its tills may yet tell of the others"
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "A")}
    assert counter.book()[0].evidence["sold"] == "1"
    with counter.hub.database.driver() as connection, connection.transaction():
        line = Line("A", "W1", Decimal(2))
        assert record_sale(connection, "T-2", "Z-1", [line], utc_now(), channel="pos", whole=True) == []
    counter.hub.sync.delta()
    assert counter.check() == set()
    assert counter.book()[0].state == "closed"


def test_a_day_that_was_never_settled_is_one_case(counter: Counter) -> None:
    def told(number: str, ago: timedelta) -> None:
        with counter.hub.database.driver() as connection, connection.transaction():
            line = Line("A", "W1", Decimal(1))
            assert record_sale(connection, number, "Z-1", [line], utc_now() - ago, channel="pos", whole=True) == []

    told("T-1", LONG_AGO)
    told("T-2", timedelta(hours=1))
    assert counter.check() == set(), "the day's last sale is not late yet"
    counter.hub.query("UPDATE stock_demand SET effective_at = effective_at - interval '2 days' RETURNING 1")
    assert counter.check() == {("late_pos", "A")}
    [difference] = counter.book()
    assert (difference.subject, difference.evidence["number"], difference.evidence["quantity"]) == ("Z-1", "Z-1", "2")
    with counter.hub.database.driver() as connection:
        assert resolve(connection, difference.id, "the till was broken", "chen")
    assert counter.check() == set()


def test_two_documents_for_one_number(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    counter.erp.post("R-1", A, 2)
    second = counter.erp.post("R-1", A, 2)
    assert counter.check() == {("duplicate", "A")}
    assert counter.book()[0].evidence == {"sold": "2", "posted": "4", "documents": ["D1", "D2"]}
    counter.erp.take_back(second)
    assert counter.check() == set()
    assert counter.book()[0].state == "closed"


def test_cartons_taken_for_pieces(counter: Counter) -> None:
    counter.order("R-1", A, 1)
    counter.erp.post("R-1", A, 12)
    assert counter.check() == {("unit_or_mapping", "A")}
    assert counter.book()[0].evidence["factor"] == "12"


def test_pieces_posted_as_cartons(counter: Counter) -> None:
    counter.order("R-1", A, 12)
    counter.erp.post("R-1", A, 1)
    assert counter.check() == {("unit_or_mapping", "A")}


def test_an_erp_that_counts_in_cartons_all_at_once(counter: Counter) -> None:
    counter.erp.set("A", "P/1", 240)
    counter.erp.hush()
    assert counter.check() == {("unit_or_mapping", "A")}
    assert counter.book()[0].state == "open"
    assert counter.causes()[-1] == "reconcile: unit or mapping"


def test_a_mapping_file_that_was_changed(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.erp.set("B", "P/1", 5)
    counter.erp.hush()
    monkeypatch.setattr(counter.erp, "mapping_version", "fake@2")
    counter.hub.query("UPDATE tick_time SET drawn_at = drawn_at + interval '1 minute' RETURNING 1")
    assert counter.check() == {("unit_or_mapping", "B")}
    assert counter.book()[0].evidence["mapping_before"] == "fake@1"


def test_an_order_that_somebody_posted_by_hand(counter: Counter) -> None:
    counter.order("4500000001", A, 3, kind="order")
    assert counter.check() == set(), "an order that nobody has shipped yet is no difference"
    counter.erp.post("", A, 2)
    assert counter.check() == set()
    counter.erp.post("per Hand", A, 3)
    assert counter.check() == {("manual_posting", "A")}
    [difference] = counter.book()
    assert (difference.subject, difference.evidence["documents"][0]["document"]) == ("4500000001", "D2")
    assert counter.check() == set()


def test_another_quantity_under_our_number(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    counter.erp.post("R-1", A, 3)
    assert counter.check() == {("manual_posting", "A")}


def test_what_nothing_explains(counter: Counter) -> None:
    counter.erp.post("4711", A, 1)
    counter.hub.sync.delta()
    counter.erp.set("A", "P/1", 4)
    counter.erp.hush()
    assert counter.check() == {("unexplained", "A")}
    assert counter.hub.levels()["A", "W1"] == 4
    assert counter.causes()[-1] == "reconcile: unexplained"
    assert counter.check() == set()
    assert counter.book()[0].state == "open", "a person must find out why"


def test_a_lot_that_comes_near_its_expiry_is_no_difference(counter: Counter) -> None:
    today = utc_now().date()
    counter.erp.rows = [r for r in counter.erp.rows if r.item != "C"]
    counter.erp.rows.append(row("C", "P/2", 5, expires_on=today + timedelta(days=10)))
    assert counter.check() == set()
    assert ("C", "W2") not in counter.hub.levels()
