"""Reads of named keys and the order of reads: a base is a triple, and only a later read replaces it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import Rejection, StockKey, StockPage
from hub.errors import Truncated, Unavailable
from hub.items.store import sync_items
from hub.sync.feed import load_position
from tests.fake_erp import article, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Hub

A1, B1 = StockKey("A", "P/1"), StockKey("B", "P/1")


@pytest.fixture
def stocked(hub: Hub) -> Hub:
    hub.erp.rows = [row("A", "P/1", 3), row("B", "P/1", 4), row("C", "P/2", 5)]
    hub.sync.snapshot()
    return hub


def began(hub: Hub, sku: str) -> int:
    [(tick,)] = hub.query("SELECT read_began FROM stock_level JOIN item ON item.id = item_id WHERE sku = %s", sku)
    return int(tick)


def slow_answer(hub: Hub, quantity: int, meanwhile: Callable[[], object]) -> None:
    """Let the next answer hold so much of A, and let something happen while it is on its way."""
    there = hub.erp.rows

    def ask(_: int) -> None:
        hub.erp.on_ask = lambda _: None
        hub.erp.rows = [row("A", "P/1", quantity)]

    def answer(_: int) -> None:
        hub.erp.on_page = lambda _: None
        hub.erp.rows = there
        meanwhile()

    hub.erp.on_ask, hub.erp.on_page = ask, answer


def test_a_named_key_is_read_whole_and_the_others_stay(stocked: Hub) -> None:
    stocked.erp.rows = [row("A", "P/1", 1, lot="1"), row("A", "P/1", 1, lot="2")]
    report = stocked.sync.refresh({A1})
    assert report.changed == (("A", "W1"),)
    assert stocked.levels() == {("A", "W1"): Decimal(2), ("B", "W1"): Decimal(4), ("C", "W2"): Decimal(5)}


def test_a_named_key_without_rows_is_zero(stocked: Hub) -> None:
    stocked.erp.rows = []
    stocked.sync.refresh({A1})
    assert stocked.levels() == {("B", "W1"): Decimal(4), ("C", "W2"): Decimal(5)}


def test_a_named_key_that_an_answer_leaves_out_is_asked_for_once_more(stocked: Hub) -> None:
    whole = stocked.erp.iter_stock
    answers = iter([iter([StockPage([row("A", "P/1", 1)], complete=True)])])
    stocked.erp.iter_stock = lambda keys=None: next(answers, None) or whole(keys)  # type: ignore[method-assign]
    stocked.sync.refresh({A1, B1})
    assert stocked.erp.asked[-1] == {B1}
    assert stocked.levels() == {("A", "W1"): Decimal(1), ("B", "W1"): Decimal(4), ("C", "W2"): Decimal(5)}


def test_new_stock_that_an_answer_leaves_out_is_found_too(stocked: Hub) -> None:
    stocked.erp.set("A", "P/2", 7)
    whole = stocked.erp.iter_stock
    answers = iter([iter([StockPage([], complete=True)])])
    stocked.erp.iter_stock = lambda keys=None: next(answers, None) or whole(keys)  # type: ignore[method-assign]
    stocked.sync.refresh({StockKey("A", "P/2")})
    assert stocked.levels()["A", "W2"] == 7


def test_a_named_key_whose_rows_are_rejected_keeps_its_number(stocked: Hub) -> None:
    rejected = Rejection("bad_number", "quantity: ?", {}, item="A", location="P/1")
    stocked.erp.iter_stock = lambda _: iter([StockPage([], [rejected], complete=True)])  # type: ignore[method-assign]
    stocked.sync.refresh({A1, B1})
    assert stocked.levels() == {("A", "W1"): Decimal(3), ("C", "W2"): Decimal(5)}


def test_an_incomplete_read_of_keys_is_not_applied(stocked: Hub) -> None:
    stocked.erp.set("A", "P/1", 9)
    stocked.erp.ends_early = True
    with pytest.raises(Truncated):
        stocked.sync.refresh({A1})
    assert stocked.levels()["A", "W1"] == 3


def test_a_read_that_began_earlier_never_replaces_a_later_one(stocked: Hub) -> None:
    """The slow answer of an early request arrives after a later request was answered and applied."""

    def overtake() -> None:
        stocked.erp.set("A", "P/1", 7)
        stocked.sync.refresh({A1})

    slow_answer(stocked, 100, overtake)
    report = stocked.sync.refresh({A1})
    assert report.changed == ()
    assert stocked.levels()["A", "W1"] == 7


def test_the_same_holds_when_the_later_read_changed_nothing(stocked: Hub) -> None:
    slow_answer(stocked, 100, lambda: stocked.sync.refresh({A1}))
    assert stocked.sync.refresh({A1}).changed == ()
    assert stocked.levels()["A", "W1"] == 3


def test_a_snapshot_does_not_undo_a_read_that_began_within_it(stocked: Hub) -> None:
    """A is on the snapshot's first page; a change of A is read while the second page is on its way."""

    def meanwhile(page: int) -> None:
        if page == 1:
            stocked.erp.on_page = lambda _: None
            before = list(stocked.erp.rows)
            stocked.erp.set("A", "P/1", 1)
            stocked.sync.refresh({A1})
            stocked.erp.rows = before

    stocked.erp.on_page = meanwhile
    assert stocked.sync.snapshot().state == "applied"
    assert stocked.levels()["A", "W1"] == 1


def test_a_read_older_than_the_last_snapshot_is_asked_for_again(stocked: Hub) -> None:
    """An unchanged level leaves no trace in a snapshot: an older read of it is refused by the floor, and repeated."""

    slow_answer(stocked, 100, stocked.sync.snapshot)
    report = stocked.sync.refresh({A1})
    assert report.changed == ()
    assert report.read_again == {A1}
    assert stocked.levels()["A", "W1"] == 3


def test_ticks_enclose_each_read_and_never_fall(stocked: Hub) -> None:
    first = began(stocked, "A")
    stocked.sync.refresh({A1})
    second = began(stocked, "A")
    assert second > first
    [(low, high)] = stocked.query(
        "SELECT read_began, read_ended FROM stock_level JOIN item ON item.id = item_id WHERE sku = 'A'"
    )
    assert low < high
    drawn = stocked.query("SELECT tick FROM tick_time ORDER BY drawn_at")
    assert drawn == sorted(drawn)


def test_a_delta_moves_the_position_with_its_data(stocked: Hub) -> None:
    stocked.erp.set("A", "P/1", 8)
    report = stocked.sync.delta()
    assert report is not None
    assert report.changed == (("A", "W1"),)
    with stocked.database.driver() as connection:
        assert load_position(connection, "sap") == {"version": 1}
    assert stocked.sync.delta() is None


def test_what_a_delta_could_not_read_is_due_for_the_next(stocked: Hub) -> None:
    stocked.erp.set("A", "P/1", 8)
    failing = Unavailable("gone", system="sap", operation="iter_stock")

    def break_down(_: int) -> None:
        raise failing

    stocked.erp.on_page = break_down
    with pytest.raises(Unavailable):
        stocked.sync.delta()
    assert stocked.query("SELECT item, location FROM stock_due") == [("A", "P/1")]
    assert stocked.query("SELECT failures FROM feed WHERE source = 'sap'") == [(1,)]
    assert stocked.levels()["A", "W1"] == 3
    stocked.erp.on_page = lambda _: None
    stocked.sync.delta()
    assert stocked.levels()["A", "W1"] == 8
    assert stocked.query("SELECT count(*) FROM stock_due") == [(0,)]


def test_an_idle_look_for_changes_keeps_the_feed_fresh(stocked: Hub) -> None:
    [(before,)] = stocked.query("SELECT read_at FROM feed WHERE source = 'sap'")
    assert stocked.sync.delta() is None
    [(after,)] = stocked.query("SELECT read_at FROM feed WHERE source = 'sap'")
    assert after > before


def test_negative_stock_is_taken_as_it_is(stocked: Hub) -> None:
    stocked.erp.set("A", "P/1", -2)
    stocked.sync.delta()
    assert stocked.levels()["A", "W1"] == -2


def test_a_key_that_must_be_read_again_outlives_the_process(stocked: Hub) -> None:
    """It waits in the database, so whoever looks for changes next reads it, also after a failure in between."""

    def overtaken(_: int) -> None:
        stocked.erp.on_page = lambda _: None
        stocked.sync.snapshot()
        stocked.erp.rows = [row("A", "P/1", 6), row("B", "P/1", 4), row("C", "P/2", 5)]

    stocked.erp.on_page = overtaken
    stocked.sync.refresh({A1})
    stocked.erp.fails = Unavailable("gone", system="sap", operation="iter_stock")
    with pytest.raises(Unavailable):
        stocked.sync.delta()
    stocked.erp.fails = None
    assert stocked.inventory(stocked.erp).delta().changed == (("A", "W1"),)  # type: ignore[union-attr]
    assert stocked.sync.delta() is None


def test_an_item_that_becomes_known_brings_its_waiting_stock(stocked: Hub) -> None:
    stocked.erp.set("X", "P/1", 8)
    stocked.sync.delta()
    assert ("stock_row", "X@P/1", "unknown_item") in stocked.quarantined()
    stocked.erp.articles.append(article("X"))
    sync_items(stocked.database, stocked.erp, stocked.settings)
    stocked.sync.delta()
    assert stocked.levels()["X", "W1"] == 8
    assert stocked.quarantined() == set()
