"""The book of differences: what is found once, what is another difference, and what closes one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from hub.reconcile.book import resolve
from hub.reconcile.check import Reconciler
from hub.reconcile.facts import choose_levels
from hub.reconcile.numbers import _SHORT, _SUPPLY, _SURPLUS, _WAITING
from hub.sync.housekeeping import tidy
from tests.fake_erp import FakeErp, row
from tests.integration.compared import A, B

if TYPE_CHECKING:
    from tests.integration.compared import Counter

HOURS = {"source": "sap", "sale_hours": 36, "order_hours": 24}


def test_a_second_change_is_another_difference(counter: Counter) -> None:
    for quantity in (15, 9):
        counter.erp.set("A", "P/1", quantity)
        counter.erp.hush()
        assert counter.check() == {("unexplained", "A")}
    told = [(known.evidence["before"], known.evidence["now"], known.state) for known in counter.book()]
    assert told == [("20", "15", "open"), ("15", "9", "open")]


def test_another_document_under_the_number_does_not_close_it(counter: Counter) -> None:
    counter.receipt("R-1", B, 1)
    counter.erp.post("R-1", B, 1)
    counter.erp.post("R-17", A, 2)
    counter.check()
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "A")}
    counter.erp.post("R-17", A, 1)
    assert counter.check() == set()
    assert counter.states() == [("late_pos", "R-17", "open")], "still nobody has told of it"


def test_a_settlement_that_was_posted_again_does_not_close_it(counter: Counter) -> None:
    counter.day("T-1", A, 1)
    document = counter.erp.post("Z-1", A, 3)
    counter.check()
    counter.let_pass(50)
    assert counter.check() == {("late_pos", "A")}
    counter.erp.take_back(document)
    counter.hub.sync.delta()
    counter.erp.post_again(document)
    counter.check()
    assert counter.states() == [("late_pos", "Z-1", "open")]


def test_a_receipt_of_the_day_that_is_told_later_does_not_close_it(counter: Counter) -> None:
    counter.day("T-1", A, 1)
    assert counter.check() == {("late_pos", "A")}
    counter.day("T-2", A, 1, ago=timedelta())
    assert counter.check() == set()
    assert counter.states() == [("late_pos", "Z-1", "open")]


def test_what_becomes_of_another_class_is_closed_as_the_first(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    assert counter.check() == {("late_pos", "A")}
    for _ in range(2):
        counter.erp.post("R-1", A, 2)
    assert counter.check() == {("duplicate", "A")}
    assert counter.states() == [("late_pos", "R-1", "closed"), ("duplicate", "R-1", "open")]


def test_a_place_that_moved_to_another_source_keeps_no_difference_open(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    counter.order("R-2", B, 2)
    assert counter.check() == {("late_pos", "A"), ("late_pos", "B")}
    kingdee = FakeErp("kingdee", [row("A", "P/1", 20), row("B", "P/1", 8)])
    hub, link = counter.hub, "INSERT INTO external_reference (system, kind, external_id, our_id) SELECT 'kingdee', "
    hub.query("UPDATE location SET stock_source = 'kingdee' WHERE code = 'W1' RETURNING 1")
    hub.query(link + "'location', 'P/1', id FROM location WHERE code = 'W1' RETURNING 1")
    hub.query(link + "'item', sku, id FROM item WHERE sku IN ('A', 'B') RETURNING 1")
    assert hub.inventory(kingdee).snapshot().state == "applied"
    kingdee.post("R-1", A, 2)
    reconciler = Reconciler(hub.inventory(kingdee), hub.settings.stock)
    assert reconciler.check_all().still_open == {"late_pos": 1}
    assert counter.states() == [("late_pos", "R-1", "closed"), ("late_pos", "R-2", "open")]


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


def test_what_was_closed_long_ago_is_forgotten(counter: Counter) -> None:
    counter.erp.post("4711", B, 1)
    counter.erp.hush()
    counter.order("R-1", A, 2)
    counter.check()
    for days in (0, 500):
        counter.hub.query(
            "UPDATE stock_difference SET healed_at = now() - make_interval(days => %s) WHERE kind = 'missed_event'"
            " RETURNING 1",
            days,
        )
        counter.hub.query("UPDATE stock_difference SET found_at = now() - interval '500 days' RETURNING 1")
        with counter.hub.database.driver() as connection:
            tidy(connection)
        left = counter.hub.query("SELECT kind FROM stock_difference ORDER BY kind")
        assert left == ([("late_pos",), ("missed_event",)] if days == 0 else [("late_pos",)])


def test_what_was_posted_long_ago_is_not_summed_again(counter: Counter) -> None:
    """Three thousand receipts of long ago stand at a level; a check looks at none of them."""
    of_level = "item_id, location_id FROM stock_level, generate_series(1, 3000) AS n WHERE on_hand = 20"
    counter.hub.query(
        "INSERT INTO stock_posting (reference, document, source, quantity, posted, changed, item_id, location_id)"
        f" SELECT 'R-' || n, 'X' || n || '/1', 'sap', 1, true, 0, {of_level} RETURNING 1"
    )
    counter.hub.query(
        "INSERT INTO stock_demand (number, reference, kind, quantity, covered, state, effective_at, item_id,"
        " location_id)"
        f" SELECT 'W1/' || n, 'R-' || n, 'sale', 1, 1, 'posted', now(), {of_level} RETURNING 1"
    )
    with counter.hub.database.driver() as connection:
        connection.execute("ANALYZE stock_demand, stock_posting")
        ids = [(item, place) for item, place in connection.execute("SELECT item_id, location_id FROM stock_level")]
        choose_levels(connection, "sap", ids)
        for question in (_SURPLUS, _SHORT, _WAITING, _SUPPLY):
            rows = connection.execute("EXPLAIN (ANALYZE, TIMING OFF) " + question, HOURS).fetchall()
            plan = "\n".join(line for (line,) in rows)
            most = max(float(count) for count in re.findall(r"actual rows=([\d.]+)", plan))
            assert most < 100, plan
