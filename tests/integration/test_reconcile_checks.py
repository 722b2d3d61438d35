"""The course of a check: which levels it takes, what it leaves out, and what it does when an ERP refuses to answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hub.contracts import StockKey
from hub.errors import AuthFailed, ProtocolViolation, Rejected, RemoteError, Unavailable
from hub.items.store import sync_items
from hub.reconcile.check import Reconciler
from hub.reconcile.kinds import Kind
from hub.stock.apply import take_turn
from hub.sync.feed import note_not_let_in
from tests.fake_erp import FakeErp, article, row
from tests.integration.compared import A, B, found

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.integration.compared import Counter
    from tests.integration.conftest import Hub


REFUSALS = (
    AuthFailed("no permission for material documents", system="sap", operation="movements"),
    Rejected("no such table", system="sap", operation="movements"),
    ProtocolViolation("a time of change is no time", system="sap", operation="movements"),
    Unavailable("busy", system="sap", operation="movements"),
)


def raising(error: Exception) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise error

    return refuse


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


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("full", [False, True])
def test_a_question_that_the_erp_refuses_keeps_no_read_back(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, error: RemoteError, *, full: bool
) -> None:
    monkeypatch.setattr(counter.erp, "movements", raising(error))
    counter.erp.post("4711", A, 3)
    counter.erp.hush()
    report = counter.reconciler.check_all() if full else counter.reconciler.check_slice()
    assert found(report) == {("unexplained", "A")}
    evidence = counter.book()[0].evidence
    assert (evidence["asked"], evidence["refused"]) == (False, str(error))
    assert counter.hub.levels()["A", "W1"] == 17
    assert counter.hub.query("SELECT failures, refusals FROM feed WHERE source = 'sap'") == [(0, 0)]


def test_documents_that_the_erp_refuses_to_show_again_keep_no_read_back(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.erp.post("4711", A, -4)
    counter.hub.sync.delta()
    counter.erp.delete("D1")
    counter.erp.hush()
    monkeypatch.setattr(counter.erp, "read_documents", raising(REFUSALS[1]))
    assert counter.check() == {("unexplained", "A")}
    evidence = counter.book()[0].evidence
    assert (evidence["asked"], evidence["refused"]) == (True, str(REFUSALS[1]))
    assert counter.hub.levels()["A", "W1"] == 20


def test_what_the_judge_meets_is_no_failure_of_the_source(counter: Counter) -> None:
    def judge(*_: object) -> Any:
        raise REFUSALS[0]

    with pytest.raises(AuthFailed):
        counter.hub.sync.refresh([A], judge=judge)
    assert counter.hub.query("SELECT failures, refusals FROM feed WHERE source = 'sap'") == [(0, 0)]


def test_levels_that_the_erp_refuses_to_tell_of_do_not_keep_others_from_their_turn(counter: Counter) -> None:
    names = ["N1", "N2", "N3", "N4", "N5"]
    counter.erp.articles += [article(name) for name in names]
    sync_items(counter.hub.database, counter.erp, counter.hub.settings)
    counter.erp.rows += [row(name, "P/1", 1) for name in names]
    counter.reconciler.check_all()
    counter.rules["reconcile_slice"] = 5
    ids = "(SELECT id FROM item WHERE sku LIKE 'N%%')"
    counter.hub.query(f"UPDATE stock_check SET checked_at = 'epoch' WHERE item_id IN {ids} RETURNING 1")
    counter.erp.refuses = set(names)
    with pytest.raises(Rejected):
        counter.reconciler.check_slice()
    counter.erp.asked.clear()
    assert counter.check() == set()
    assert {key.item for keys in counter.erp.asked for key in keys or ()} >= {"A", "B", "C"}


@pytest.mark.parametrize("error", [REFUSALS[0], REFUSALS[3]], ids=["not let in", "down"])
def test_a_source_that_is_down_is_asked_of_the_same_levels_again(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, error: RemoteError
) -> None:
    counter.rules["reconcile_slice"] = 1
    counter.reconciler.check_all()
    before = counter.hub.query("SELECT * FROM stock_check ORDER BY 1, 2")
    with monkeypatch.context() as down:
        down.setattr(counter.erp, "iter_stock", raising(error))
        with pytest.raises(type(error)):
            counter.reconciler.check_slice()
    assert counter.hub.query("SELECT * FROM stock_check ORDER BY 1, 2") == before


def test_a_full_check_is_made_though_the_source_is_left_alone(counter: Counter) -> None:
    with counter.hub.database.driver() as connection:
        note_not_let_in(connection, "sap")
    with pytest.raises(AuthFailed):
        counter.reconciler.check_slice()
    assert counter.reconciler.check_all().state == "checked"


def test_articles_that_are_due_and_refused_stop_no_check(counter: Counter) -> None:
    counter.reconciler.check_all()
    counter.rules["reconcile_slice"] = 1
    counter.hub.query(
        "UPDATE stock_check SET checked_at = 'epoch' FROM item WHERE sku = 'A' AND id = item_id RETURNING 1"
    )
    counter.erp.refuses = {"B"}
    counter.erp.set("B", "P/1", 7)
    counter.erp.set("A", "P/1", 19)
    counter.erp.changed.remove(A)
    assert counter.check() == {("unexplained", "A")}
    assert counter.reconciler.check_all().state == "checked"
    assert counter.hub.levels()["B", "W1"] == 7


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


def test_a_source_that_was_never_read_has_nothing_to_compare_with(hub: Hub) -> None:
    report = Reconciler(hub.sync, hub.settings.stock).check_slice()
    assert (report.state, report.found) == ("never read", ())
    assert Kind.UNEXPLAINED not in report.still_open


def test_what_arrives_while_the_erp_is_asked_is_not_named(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.order("R-1", A, 2)
    counter.erp.post("4711", B, 3)
    counter.erp.hush()
    original = counter.erp.movements

    def post_first(keys: Any, since: Any) -> Any:
        counter.erp.post("R-1", A, 2)
        counter.hub.sync.delta()
        return original(keys, since)

    monkeypatch.setattr(counter.erp, "movements", post_first)
    assert counter.check() == {("missed_event", "B")}


def test_a_level_that_is_due_is_not_counted_as_checked_and_its_own_sums_are(counter: Counter) -> None:
    counter.reconciler.check_slice()
    counter.hub.query("UPDATE stock_check SET checked_at = 'epoch' RETURNING 1")
    counter.hub.query("UPDATE stock_level SET held = held + 1 WHERE on_hand = 20 RETURNING 1")
    counter.erp.on_ask = lambda _: counter.erp.changed.add(A)
    report = counter.reconciler.check_slice()
    assert (found(report), report.checked) == ({("our_bug", "A")}, 2)
    not_checked = "SELECT sku FROM stock_check JOIN item ON item.id = item_id WHERE checked_at = 'epoch'"
    assert counter.hub.query(not_checked) == [("A",)]
    full = counter.reconciler.check_all()
    assert full.checked == 2
    assert counter.hub.query(not_checked) == [("A",)]


def test_levels_that_are_due_take_no_turn_from_others(counter: Counter) -> None:
    counter.reconciler.check_slice()
    counter.rules["reconcile_slice"] = 1
    counter.hub.query(
        "UPDATE stock_check SET checked_at = 'epoch' FROM item WHERE sku = 'B' AND id = item_id RETURNING 1"
    )
    counter.erp.refuses = {"B"}
    counter.erp.changed.add(B)
    assert counter.reconciler.check_slice().checked == 1


def test_a_level_that_appears_is_checked_without_a_full_read(counter: Counter) -> None:
    counter.rules["reconcile_slice"] = 1
    counter.reconciler.check_all()
    counter.erp.articles.append(article("E"))
    sync_items(counter.hub.database, counter.erp, counter.hub.settings)
    counter.erp.set("E", "P/1", 4)
    counter.reconciler.check_slice()
    assert [key.item for key in counter.erp.asked[-1] or ()] == ["E"]
    assert counter.hub.query("SELECT count(*) FROM stock_check WHERE checked_at = 'epoch'") == [(0,)]


def test_rows_in_quarantine_are_written_within_the_turn(counter: Counter) -> None:
    """Whoever holds the turn may want to write the same rows: nobody who waits for the turn may have them."""
    bad = FakeErp("sap", [row("A", "P/1", 20, unit="KG"), row("B", "P/1", 8)])
    counter.hub.inventory(bad).refresh([A])
    errors: list[BaseException] = []

    def refresh() -> None:
        try:
            counter.hub.inventory(bad).refresh([A, B])
        except BaseException as error:
            errors.append(error)
            raise

    beside = threading.Thread(target=refresh)

    def judge(*_: object) -> Callable[[psycopg.Connection], None]:
        def settle(connection: psycopg.Connection) -> None:
            take_turn(connection, "sap")
            beside.start()
            until_blocked(counter.hub)

        return settle

    try:
        counter.hub.sync.snapshot(judge=judge)
    except psycopg.errors.DeadlockDetected as error:
        errors.append(error)
    beside.join()
    assert errors == []
    assert counter.hub.quarantined() == {("stock_row", "A@P/1", "unit_mismatch")}


def until_blocked(hub: Hub) -> None:
    ends_at = time.monotonic() + 10
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while hub.query(blocked) == [(0,)]:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
