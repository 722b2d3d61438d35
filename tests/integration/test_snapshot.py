"""The full snapshot: what is applied, what is refused, and what keeps its number."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.clock import utc_now
from hub.contracts import Rejection, StockKey, StockPage, StockStatus
from hub.errors import Unavailable
from hub.sync.inventory import InventorySync
from tests.fake_erp import article, row

if TYPE_CHECKING:
    from tests.integration.conftest import Hub


def fill(hub: Hub, *rows: tuple[str, str, object]) -> None:
    hub.erp.rows = [row(item, location, str(quantity)) for item, location, quantity in rows]
    assert hub.sync.snapshot().state == "applied"


def test_lots_are_summed_and_states_and_owners_kept_apart(hub: Hub) -> None:
    hub.erp.rows = [
        row("A", "P/1", "3", lot="L1"),
        row("A", "P/1", "4.5", lot="L2"),
        row("A", "P/1", "2", status=StockStatus.QUALITY),
        row("A", "P/1", "7", owner="VEN1"),
        row("A", "P/2", "1"),
    ]
    report = hub.sync.snapshot()
    assert report.state == "applied"
    assert hub.levels() == {("A", "W1"): Decimal("7.5"), ("A", "W2"): Decimal(1)}
    assert hub.unsellable() == {
        ("A", "W1", "quality", ""): Decimal(2),
        ("A", "W1", "sellable", "VEN1"): Decimal(7),
    }


def test_a_row_that_comes_twice_counts_once(hub: Hub) -> None:
    hub.erp.rows = [row("A", "P/1", 3), row("A", "P/1", 3)]
    hub.sync.snapshot()
    assert hub.levels() == {("A", "W1"): Decimal(3)}


def test_lots_about_to_expire_are_left_out_by_category(hub: Hub) -> None:
    today = utc_now().date()
    hub.erp.rows = [
        row("C", "P/1", 5, lot="far", expires_on=today + timedelta(days=90)),
        row("C", "P/1", 3, lot="near", expires_on=today + timedelta(days=10)),
        row("A", "P/1", 4, lot="near", expires_on=today + timedelta(days=10)),
        row("A", "P/1", 9, lot="past", expires_on=date(2020, 1, 1)),
    ]
    hub.sync.snapshot()
    assert hub.levels() == {("C", "W1"): Decimal(5), ("A", "W1"): Decimal(4)}
    assert hub.unsellable() == {
        ("C", "W1", "expiring", ""): Decimal(3),
        ("A", "W1", "expiring", ""): Decimal(9),
    }


def test_what_one_answer_leaves_out_is_asked_for_alone_before_it_is_zero(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4), ("C", "P/1", 5))
    hub.erp.rows = [row("A", "P/1", 3), row("B", "P/1", 6)]
    hub.erp.pages = [StockPage([row("A", "P/1", 3)], complete=True)]
    assert hub.sync.snapshot().changed == (("B", "W1"), ("C", "W1"))
    assert hub.erp.asked[-1] == {StockKey("B", "P/1"), StockKey("C", "P/1")}
    assert hub.levels() == {("A", "W1"): Decimal(3), ("B", "W1"): Decimal(6)}
    assert hub.query("SELECT state, reason FROM stock_batch ORDER BY id DESC LIMIT 1") == [
        ("applied", "1 rows were torn or left out at first and read again")
    ]
    assert hub.query("SELECT count(*) FROM stock_due") == [(0,)]


def test_a_key_left_out_that_is_torn_when_asked_for_keeps_its_number(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4))
    answers = {
        False: [StockPage([row("A", "P/1", 3)], complete=True)],
        True: [StockPage([row("B", "P/1", 1)]), StockPage([row("B", "P/1", 2, lot="2")], complete=True)],
    }
    hub.erp.iter_stock = lambda keys=None: iter(answers[keys is not None])  # type: ignore[method-assign]
    assert hub.sync.snapshot().read_again == {StockKey("B", "P/1")}
    assert hub.levels() == {("A", "W1"): Decimal(3), ("B", "W1"): Decimal(4)}


def test_many_keys_left_out_are_no_gap_but_a_shrinkage(hub: Hub) -> None:
    careful = hub.settings.stock.model_copy(update={"keys_at_once": 1})
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4), ("C", "P/1", 5), ("A", "P/2", 1))
    hub.erp.rows = [row("A", "P/1", 3), row("A", "P/2", 1)]
    asked = len(hub.erp.asked)
    report = InventorySync(hub.database, hub.erp, careful).snapshot()
    assert report.state == "quarantined"
    assert hub.erp.asked[asked:] == [None]


def test_what_a_complete_snapshot_does_not_name_is_zero(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4))
    hub.erp.rows = [row("B", "P/1", 4)]
    hub.sync.snapshot()
    assert hub.levels() == {("B", "W1"): Decimal(4)}
    assert hub.query("SELECT quantity_before, quantity_after FROM stock_ledger WHERE quantity_after = 0") == [
        (Decimal(3), Decimal(0))
    ]


def test_states_vanish_with_their_rows(hub: Hub) -> None:
    hub.erp.rows = [row("A", "P/1", 3, status=StockStatus.BLOCKED), row("B", "P/1", 1)]
    hub.sync.snapshot()
    assert hub.unsellable() == {("A", "W1", "blocked", ""): Decimal(3)}
    hub.erp.rows = [row("B", "P/1", 1)]
    hub.sync.snapshot()
    assert hub.unsellable() == {}


def test_an_incomplete_snapshot_is_not_applied(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4), ("C", "P/1", 5))
    hub.erp.rows = [row("A", "P/1", 1), row("B", "P/1", 1), row("C", "P/1", 1)]
    hub.erp.ends_early = True
    report = hub.sync.snapshot()
    assert report.state == "incomplete"
    assert hub.levels() == {("A", "W1"): Decimal(3), ("B", "W1"): Decimal(4), ("C", "W1"): Decimal(5)}
    assert ("snapshot", "sap@?", "incomplete") in hub.quarantined()
    hub.erp.ends_early = False
    hub.sync.snapshot()
    assert hub.quarantined() == set()


def test_an_empty_snapshot_is_quarantined_and_the_numbers_stay(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3))
    hub.erp.rows = []
    report = hub.sync.snapshot()
    assert report.state == "quarantined"
    assert hub.levels() == {("A", "W1"): Decimal(3)}
    assert hub.sync.snapshot(accept_shrink=True).state == "applied"
    assert hub.levels() == {}


def test_one_place_that_shrinks_sharply_holds_the_snapshot_back(hub: Hub) -> None:
    everything = [(item, place, 5) for item in "ABC" for place in ("P/1", "P/2")]
    fill(hub, *everything)
    hub.erp.rows = [row(item, place, quantity) for item, place, quantity in everything if place == "P/1"]
    report = hub.sync.snapshot()
    assert report.state == "quarantined"
    assert "W2: 3 of 3" in report.reason
    assert len(hub.levels()) == 6


def test_a_rejected_row_keeps_its_level_and_the_rest_is_applied(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4))
    hub.erp.rows = [row("B", "P/1", 9)]
    hub.erp.rejected = [Rejection("bad_decimal", "quantity: not a number", {"Q": "x"}, item="A", location="P/1")]
    report = hub.sync.snapshot()
    assert (report.state, report.rejected) == ("applied", 1)
    assert hub.levels() == {("A", "W1"): Decimal(3), ("B", "W1"): Decimal(9)}
    assert hub.quarantined() == {("stock_row", "A@P/1", "bad_decimal")}
    hub.erp.rejected = []
    hub.erp.rows.append(row("A", "P/1", 1))
    hub.sync.snapshot()
    assert hub.levels()["A", "W1"] == 1
    assert hub.quarantined() == set()


@pytest.mark.parametrize(("item", "location"), [(None, "P/1"), ("A", None), (None, None)])
def test_nothing_is_taken_for_gone_where_a_row_could_not_be_read(
    hub: Hub, item: str | None, location: str | None
) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/2", 4))
    hub.erp.rows = [row("B", "P/2", 5)]
    hub.erp.rejected = [Rejection("missing_field", "a field is missing", {"n": 1}, item=item, location=location)]
    hub.sync.snapshot()
    assert hub.levels() == {("A", "W1"): Decimal(3), ("B", "W2"): Decimal(5)}


def test_an_unknown_item_waits_in_quarantine_until_it_is_known(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("X", "P/1", 8))
    assert hub.levels() == {("A", "W1"): Decimal(3)}
    assert hub.quarantined() == {("stock_row", "X@P/1", "unknown_item")}
    hub.erp.articles.append(article("X"))
    from hub.items.store import sync_items

    sync_items(hub.database, hub.erp, hub.settings)
    hub.sync.snapshot()
    assert hub.levels() == {("A", "W1"): Decimal(3), ("X", "W1"): Decimal(8)}
    assert hub.quarantined() == set()


def test_a_foreign_unit_is_never_guessed(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3))
    hub.erp.rows = [row("A", "P/1", 2, unit="BOX")]
    hub.sync.snapshot()
    assert hub.levels() == {("A", "W1"): Decimal(3)}
    assert hub.quarantined() == {("stock_row", "A@P/1", "unit_mismatch")}


def test_places_the_hub_does_not_serve_are_ignored(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("A", "P/99", 8))
    assert hub.levels() == {("A", "W1"): Decimal(3)}
    assert hub.quarantined() == set()


def test_a_key_torn_between_two_pages_is_read_again_alone(hub: Hub) -> None:
    lots = [row("A", "P/1", 3, lot="1"), row("A", "P/1", 4, lot="2")]
    hub.erp.pages = [StockPage([lots[0]]), StockPage([lots[1]], complete=True)]
    hub.erp.rows = [row("A", "P/1", 6, lot="2")]  # meanwhile lot 1 is gone
    hub.sync.snapshot()
    assert hub.erp.asked == [None, {StockKey("A", "P/1")}]
    assert hub.levels() == {("A", "W1"): Decimal(6)}


def test_an_erp_that_is_down_leaves_the_numbers_and_the_failure_is_told(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3))
    hub.erp.fails = Unavailable("no answer", system="sap", operation="iter_stock")
    with pytest.raises(Unavailable):
        hub.sync.snapshot()
    assert hub.levels() == {("A", "W1"): Decimal(3)}
    assert hub.query("SELECT failures, error FROM feed WHERE source = 'sap'") == [(1, "sap iter_stock: no answer")]
    assert hub.query("SELECT state FROM stock_batch ORDER BY id DESC LIMIT 1") == [("failed",)]


def test_a_second_equal_snapshot_changes_nothing(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/2", "1.250"))
    before = hub.query("SELECT * FROM stock_level ORDER BY 1, 2"), hub.query("SELECT count(*) FROM stock_ledger")
    assert hub.sync.snapshot().changed == ()
    after = hub.query("SELECT * FROM stock_level ORDER BY 1, 2"), hub.query("SELECT count(*) FROM stock_ledger")
    assert before == after


def test_the_ledger_adds_up_to_the_levels(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", -2), ("C", "P/2", 7))
    fill(hub, ("A", "P/1", 5), ("C", "P/2", 7), ("B", "P/2", 1))
    levels = hub.query("SELECT item_id, location_id, 'sellable', '', on_hand FROM stock_level WHERE on_hand <> 0")
    assert hub.ledger_sums() == {tuple(level[:4]): level[4] for level in levels}


def test_an_outbox_row_names_what_changed(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4))
    [(topic, key, payload)] = hub.query("SELECT topic, key, payload FROM outbox")
    assert (topic, key) == ("stock.changed", "sap")
    assert payload["skus"] == ["A", "B"]
    assert payload["changed"] == 2


def doubted(hub: Hub) -> set[str]:
    rows = hub.query("SELECT sku FROM stock_level JOIN item ON id = item_id WHERE doubted_at IS NOT NULL")
    return {sku for (sku,) in rows}


def read_in_full(hub: Hub) -> set[str]:
    return {code for (code,) in hub.query("SELECT code FROM stock_floor JOIN location ON id = location_id")}


def test_a_level_that_is_not_understood_says_since_when(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4))
    hub.erp.rows = [row("A", "P/1", 2, unit="BOX"), row("B", "P/1", 4)]
    hub.sync.snapshot()
    assert doubted(hub) == {"A"}
    [(since,)] = hub.query("SELECT max(doubted_at) FROM stock_level")
    hub.sync.snapshot()
    assert hub.query("SELECT max(doubted_at) FROM stock_level") == [(since,)]
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4))
    assert doubted(hub) == set()


def test_a_row_without_an_item_casts_doubt_on_its_whole_place(hub: Hub) -> None:
    fill(hub, ("A", "P/1", 3), ("B", "P/1", 4), ("C", "P/2", 4))
    hub.erp.rejected = [Rejection("missing_field", "item", {"n": 1}, location="P/1")]
    hub.sync.snapshot()
    assert doubted(hub) == {"A", "B"}


def test_a_place_that_moves_to_another_source_was_not_read_in_full(hub: Hub) -> None:
    from hub.locations import store_locations
    from tests.integration.conftest import place

    fill(hub, ("A", "P/1", 3))
    assert read_in_full(hub) == {"W1", "W2"}
    with hub.database.driver() as connection, connection.transaction():
        store_locations(connection, [place("W1", "kingdee", "CK9"), place("W2", "sap", "P/2")])
    assert read_in_full(hub) == {"W2"}
