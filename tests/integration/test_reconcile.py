"""The reconciliation against a little ERP in memory: what is named, what is healed, what is none of its business."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from hub.clock import utc_now
from hub.contracts import StockKey
from hub.errors import AuthFailed, Rejected
from hub.items.store import sync_items
from hub.reconcile.book import SEEN_NO_MORE, load_differences, resolve
from hub.reconcile.check import Reconciler
from hub.reconcile.kinds import Kind
from hub.stock.demand import record_sale
from hub.stock.reservations import Line
from tests.fake_erp import article, carton, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.reconcile.book import Difference
    from hub.reconcile.check import CheckReport
    from tests.fake_erp import FakeErp
    from tests.integration.conftest import Hub

A, B = StockKey("A", "P/1"), StockKey("B", "P/1")
LONG_AGO = timedelta(days=3)


@dataclass
class Counter:
    """A hub that has read all of its ERP, and what happens at either."""

    hub: Hub
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def erp(self) -> FakeErp:
        return self.hub.erp

    @property
    def reconciler(self) -> Reconciler:
        rules = self.hub.settings.stock.model_copy(update=self.rules)
        return Reconciler(self.hub.sync, rules)

    def check(self) -> set[tuple[str, str]]:
        """Check a slice; return what was found that nobody had found before: (class, SKU)."""
        return found(self.reconciler.check_slice())

    def order(
        self, number: str, key: StockKey, quantity: int, *, ago: timedelta = LONG_AGO, kind: str = "sale"
    ) -> None:
        """Book demand; an order as a sale that is called one, since it needs no reservation here."""
        with self.hub.database.driver() as connection, connection.transaction():
            line = Line(key.item, "W1", Decimal(quantity))
            assert record_sale(connection, number, number, [line], utc_now() - ago, channel="pos", whole=False) == []
            connection.execute("UPDATE stock_demand SET kind = %s WHERE number = %s", (kind, number))

    def receipt(self, number: str, key: StockKey, quantity: int) -> None:
        """Tell a receipt as a till does: its number is one that tells how the store's numbers look."""
        self.order(number, key, quantity, ago=timedelta())
        self.hub.query(
            "INSERT INTO store_sale (location_id, receipt_no, sold_at, business_date, reference, lines, returns,"
            " digest, principal) SELECT id, %s, now(), current_date, %s, '[]', '[]', '', 'till' FROM location"
            " WHERE code = 'W1' RETURNING 1",
            *(number, number),
        )

    def book(self) -> list[Difference]:
        with self.hub.database.driver() as connection:
            return load_differences(connection, hours=1)

    def causes(self) -> list[str]:
        return [cause for (cause,) in self.hub.query("SELECT cause FROM stock_ledger ORDER BY id")]

    def let_pass(self, hours: int) -> None:
        """Let time pass since the list of documents learned of what it holds."""
        self.hub.query(
            "UPDATE stock_posting SET changed_at = changed_at - make_interval(hours => %s) RETURNING 1", hours
        )


def found(report: CheckReport) -> set[tuple[str, str]]:
    return {(str(difference.kind), difference.sku) for difference in report.found}


@pytest.fixture
def counter(hub: Hub) -> Counter:
    hub.erp.rows = [row("A", "P/1", 20), row("B", "P/1", 8), row("C", "P/2", 5)]
    hub.erp.articles[0] = article("A", barcodes=(carton("06901234567892", 12),))
    sync_items(hub.database, hub.erp, hub.settings)
    assert hub.sync.snapshot().state == "applied"
    return Counter(hub)


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


def test_a_settled_day_of_which_an_article_came_back_is_no_late_sale(counter: Counter) -> None:
    with counter.hub.database.driver() as connection, connection.transaction():
        lines = [Line("A", "W1", Decimal(1)), Line("B", "W1", Decimal(1))]
        assert record_sale(connection, "T-1", "Z-1", lines, utc_now() - LONG_AGO, channel="pos", whole=True) == []
    counter.erp.post("Z-1", A, 1)
    assert counter.check() == set()


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


@pytest.mark.parametrize("column", ["demand", "held", "supply", "on_hand"])
def test_our_own_sums(counter: Counter, column: str) -> None:
    counter.hub.query(f"UPDATE stock_level SET {column} = {column} + 1 WHERE on_hand = 20 RETURNING 1")
    assert counter.check() == {("our_bug", "A")}
    assert counter.check() == set()
    assert [difference.state for difference in counter.book()] == ["open"]


def test_our_own_fault_comes_back_though_a_person_has_resolved_it(counter: Counter) -> None:
    break_sum, mend = (
        f"UPDATE stock_level SET held = held {sign} 1 WHERE on_hand = 20 RETURNING 1" for sign in ("+", "-")
    )
    for _ in range(2):
        counter.hub.query(break_sum)
        assert counter.check() == {("our_bug", "A")}
        [difference] = [one for one in counter.book() if one.state == "open"]
        with counter.hub.database.driver() as connection:
            assert resolve(connection, difference.id, "mended", "chen")
        counter.hub.query(mend)
        assert counter.check() == set()


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


def test_levels_that_came_or_went_without_a_word_are_found_by_the_full_check(counter: Counter) -> None:
    counter.erp.post("4711", B, 8)
    counter.erp.post("4712", StockKey("D", "P/2"), -6)
    counter.erp.rows = [r if r.item != "D" else row("D", "P/2", 6, unit="KG") for r in counter.erp.rows]
    counter.erp.hush()
    report = counter.reconciler.check_all()
    assert found(report) == {("missed_event", "B"), ("missed_event", "D")}
    assert report.checked == 4
    assert counter.hub.levels() == {("A", "W1"): 20, ("C", "W2"): 5, ("D", "W2"): 6}
    assert counter.hub.query("SELECT count(*) FROM stock_ledger WHERE cause = 'reconcile: missed event'") == [(2,)]


def test_a_snapshot_that_is_not_believed_names_nothing(counter: Counter) -> None:
    counter.erp.rows = []
    report = counter.reconciler.check_all()
    assert (report.state, report.found) == ("quarantined", ())
    assert counter.book() == []


def test_slices_take_those_first_that_were_checked_longest_ago(counter: Counter) -> None:
    counter.rules["reconcile_slice"] = 1
    asked: list[Sequence[str]] = []
    for _ in range(4):
        counter.reconciler.check_slice()
        keys = counter.erp.asked[-1]
        assert keys is not None
        asked.append(sorted(key.item for key in keys))
    assert sorted(asked[:3]) == [["A"], ["B"], ["C"]]
    assert asked[3] == asked[0]


def test_a_lot_that_comes_near_its_expiry_is_no_difference(counter: Counter) -> None:
    today = utc_now().date()
    counter.erp.rows = [r for r in counter.erp.rows if r.item != "C"]
    counter.erp.rows.append(row("C", "P/2", 5, expires_on=today + timedelta(days=10)))
    assert counter.check() == set()
    assert ("C", "W2") not in counter.hub.levels()


def test_what_moves_during_the_check_is_under_way(counter: Counter) -> None:
    """It is in the quantity that was read, and the look that follows names it."""
    counter.erp.on_ask = lambda _: counter.erp.documents or counter.erp.post("X", A, 3)
    assert counter.check() == set()
    counter.hub.sync.delta()
    assert counter.hub.levels()["A", "W1"] == 17


def test_what_another_process_has_read_meanwhile_is_not_named(counter: Counter) -> None:
    counter.erp.post("4711", A, 3)
    counter.erp.hush()
    original = counter.erp.movements

    def read_first(keys: Any, since: Any) -> Any:
        counter.hub.sync.refresh([A])
        return original(keys, since)

    counter.erp.movements = read_first  # type: ignore[method-assign]
    assert counter.check() == set()
    assert counter.hub.levels()["A", "W1"] == 17


def test_so_many_levels_the_erp_is_asked_about_at_most(counter: Counter) -> None:
    counter.rules["reconcile_questions"] = 1
    for key in (A, B):
        counter.erp.post("4711", key, 1)
    counter.erp.hush()
    assert counter.check() == {("missed_event", "A"), ("unexplained", "B")}
    assert counter.book()[1].evidence["asked"] is False


def test_a_question_that_the_erp_refuses_keeps_no_read_back(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AuthFailed("no permission for material documents", system="sap", operation="movements")

    monkeypatch.setattr(counter.erp, "movements", refuse)
    counter.erp.post("4711", A, 3)
    counter.erp.hush()
    assert counter.check() == {("unexplained", "A")}
    assert counter.book()[0].evidence["asked"] is False
    assert counter.hub.levels()["A", "W1"] == 17
    counter.erp.post("4712", A, 1)
    counter.hub.sync.delta()
    assert counter.hub.levels()["A", "W1"] == 16


def test_an_article_that_the_erp_does_not_bear_stops_no_other(counter: Counter) -> None:
    counter.erp.refuses = {"B"}
    counter.erp.set("C", "P/2", 4)
    counter.erp.hush()
    assert counter.check() == {("unexplained", "C")}
    assert counter.hub.levels()["C", "W2"] == 4
    assert counter.hub.quarantined() == {("stock_row", "B@P/1", "refused")}
    counter.erp.set("A", "P/1", 19)
    counter.erp.set("B", "P/1", 7)
    counter.hub.sync.delta()
    assert (counter.hub.levels()["A", "W1"], counter.hub.levels()["B", "W1"]) == (19, 8)
    counter.erp.refuses = set()
    counter.check()
    assert counter.hub.levels()["B", "W1"] == 7


@pytest.mark.parametrize("items", ["A", "AB", "ABCDE"])
def test_an_erp_that_refuses_everything_is_at_fault_itself(counter: Counter, items: str) -> None:
    counter.erp.refuses = set(items)
    with pytest.raises(Rejected):
        counter.hub.sync.refresh([StockKey(item, place) for item in items for place in ("P/1", "P/2")])
    assert counter.hub.quarantined() == set()


def test_what_a_person_has_resolved_is_not_found_again(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    for _ in range(2):
        counter.erp.post("R-1", A, 2)
    counter.check()
    [difference] = counter.book()
    with counter.hub.database.driver() as connection:
        assert resolve(connection, difference.id, "goods were given as a present", "chen")
        assert not resolve(connection, difference.id, "again", "chen")
    assert counter.check() == set()
    [difference] = counter.book()
    assert (difference.state, difference.resolved_by) == ("closed", "chen")
    counter.erp.post("R-1", A, 2)
    assert counter.check() == {("duplicate", "A")}, "another case"


def test_a_source_that_was_never_read_has_nothing_to_compare_with(hub: Hub) -> None:
    report = Reconciler(hub.sync, hub.settings.stock).check_slice()
    assert (report.state, report.found) == ("never read", ())
    assert Kind.UNEXPLAINED not in report.still_open
