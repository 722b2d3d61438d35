"""Demand and supply: what was sold or came back and is not yet in the base, whatever the ERP does meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import Posting, StockKey
from hub.stock import rule
from hub.stock.demand import (
    add_supply,
    cancel,
    claim_push,
    claim_supply_push,
    end_reversed,
    end_supply,
    end_unposted,
    record_sale,
)
from hub.stock.postings import note_postings
from hub.stock.reservations import Line
from hub.stock.ticks import draw_tick
from hub.sync import inventory
from hub.sync.looks import look

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import psycopg

    from tests.integration.conftest import Hub

A1 = StockKey("A", "P/1")
NOON = datetime(2026, 11, 26, 4, tzinfo=UTC)


class Shop:
    """A hub whose ERP has ten of article A at W1, and what the counter of W1 tells it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.erp = hub.erp
        self.erp.set("A", "P/1", 10)
        hub.sync.snapshot()
        hub.sync.delta()

    def sell(self, number: str, quantity: int, *, sku: str = "A", day: str = "", brought_back: int = 0) -> None:
        with self.hub.database.driver() as connection, connection.transaction():
            lines = [Line(sku, "W1", Decimal(quantity))]
            back = [Line(sku, "W1", Decimal(brought_back))] if brought_back else []
            told = record_sale(
                connection, number, day or number, lines, NOON, channel="W1", whole=bool(day), brought_back=back
            )
            assert told == []

    def follow(self) -> None:
        """Do as the near-real-time loop does, until nothing is left to do."""
        while self.hub.sync.delta() is not None:
            pass

    def once(self, hook: str, *happen: Callable[[], object]) -> None:
        """Let something happen at the next call of a hook of the ERP."""
        before = getattr(self.erp, hook)

        def run(*_: object) -> None:
            setattr(self.erp, hook, before)
            for do in happen:
                do()

        setattr(self.erp, hook, run)

    def level(self, sku: str = "A") -> tuple[int, int, int, int]:
        """Return on_hand, demand, supply and what may be promised."""
        [row] = self.hub.query(
            "SELECT on_hand, demand, supply, room FROM stock_level JOIN item ON item.id = item_id"
            " JOIN location ON location.id = location_id WHERE sku = %s AND code = 'W1'",
            sku,
        )
        return tuple(int(number) for number in row)  # type: ignore[return-value]

    def look(self) -> None:
        """Look for changes, and read nothing."""
        with self.connect() as connection:
            look(connection, self.erp)

    def waiting(self) -> int:
        """Return how many wait for a lock."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        [(count,)] = self.hub.query(waiting)
        return int(count)

    def until_waiting(self, count: int) -> None:
        ends_at = time.monotonic() + 10
        while self.waiting() != count:
            assert time.monotonic() < ends_at
            time.sleep(0.01)

    def connect(self) -> AbstractContextManager[psycopg.Connection]:
        return self.hub.database.driver()


@pytest.fixture
def shop(hub: Hub) -> Shop:
    return Shop(hub)


def test_what_is_sold_is_gone_before_the_erp_knows(shop: Shop) -> None:
    shop.sell("R1", 3)
    assert shop.level() == (10, 3, 0, 7)
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)


def test_a_posting_is_subtracted_once(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.erp.post("R1", A1, 3)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_a_posting_that_no_list_before_the_read_has_named_counts_against_us_for_one_read(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.once("on_ask", lambda: shop.erp.post("R1", A1, 3))
    shop.hub.sync.refresh({A1})
    assert shop.level() == (7, 3, 0, 4)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_a_posting_that_is_taken_back_during_the_read_is_not_covered(shop: Shop) -> None:
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.hub.sync.delta()
    assert shop.level() == (7, 0, 0, 7)
    shop.once("on_ask", lambda: shop.erp.take_back(document))
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)
    shop.erp.post_again(document)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_one_that_is_taken_back_and_posted_again_between_the_lists_is_not_covered(shop: Shop) -> None:
    """The quantity was read in between, and does not contain it; only the version tells."""
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.hub.sync.delta()
    shop.once("on_ask", lambda: shop.erp.take_back(document))
    shop.once("on_page", lambda: shop.erp.post_again(document))
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_a_document_that_vanished_without_a_word_is_missed(shop: Shop) -> None:
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.delete(document)
    shop.follow()
    assert shop.level() == (10, 3, 0, 7)


def test_a_document_that_now_takes_something_else_covers_nothing_here(shop: Shop) -> None:
    shop.erp.set("B", "P/1", 5)
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.post_elsewhere(document, StockKey("B", "P/1"))
    shop.follow()
    assert (shop.level(), shop.level("B")) == ((10, 3, 0, 7), (2, 0, 0, 2))


def test_a_posting_that_becomes_known_while_the_answer_is_on_its_way_is_not_covered(shop: Shop) -> None:
    """The tick at which a read begins is drawn before the ERP is asked."""
    shop.sell("R1", 3)
    shop.once("on_page", lambda: shop.erp.post("R1", A1, 3), shop.look)
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)


def test_what_a_look_tells_is_known_when_it_has_told_it(shop: Shop) -> None:
    """The look was on its way before the read began, and found what was posted after the read."""
    shop.sell("R1", 3)
    asked, posted = threading.Event(), threading.Event()
    shop.once("before_look", asked.set, lambda: posted.wait(10))
    looking = threading.Thread(target=shop.look)
    looking.start()
    assert asked.wait(10)
    shop.once("on_page", lambda: shop.erp.post("R1", A1, 3), posted.set, looking.join)
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_a_sale_after_it_was_decided_that_no_list_is_needed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read is not applied where something is sold now; it is done again."""
    decide = inventory.is_anything_open

    def decide_and_sell(*values: object, **named: object) -> bool:
        needed = decide(*values, **named)  # type: ignore[arg-type]
        shop.sell("R1", 3)
        return needed

    shop.erp.set("A", "P/1", 8)
    with monkeypatch.context() as patch:
        patch.setattr(inventory, "is_anything_open", decide_and_sell)
        report = shop.hub.sync.refresh({A1})
    assert report.read_again == {A1}
    assert shop.level() == (10, 3, 0, 7)
    shop.follow()
    assert shop.level() == (8, 3, 0, 5)


def test_a_cancellation_that_is_told_before_what_it_cancels(shop: Shop) -> None:
    """Lines of one version are posted once for all: what was taken back stays so."""
    shop.sell("R1", 3)
    back = Posting("M/1", "", "", A1, Decimal(0), posted=False)
    there = Posting("M/1", "", "R1", A1, Decimal(3))
    with shop.connect() as connection:
        for told in (back, there):
            tick = draw_tick(connection)
            with connection.transaction():
                note_postings(connection, "sap", [told], tick)
    assert shop.hub.query("SELECT posted FROM stock_posting") == [(False,)]


def test_supply_that_reaches_the_erp_before_it_answers_is_not_counted(shop: Shop) -> None:
    """The tick at which a read ends is drawn after the ERP has answered."""
    with shop.connect() as connection:
        add_supply(connection, "return", "X1", [Line("A", "W1", Decimal(2))], NOON)
        shop.once(
            "on_ask",
            lambda: claim_supply_push(connection, "return", "X1"),
            lambda: shop.erp.set("A", "P/1", 12),
        )
        shop.hub.sync.refresh({A1})
    assert shop.level() == (12, 0, 0, 12)


def test_a_copy_that_lags_began_its_read_that_long_ago(shop: Shop) -> None:
    """What was posted and known within the lag may be missing from its answer."""
    shop.sell("R1", 3)
    shop.erp.post("R1", A1, 3)
    shop.look()
    shop.erp.traits = replace(shop.erp.traits, read_lag_seconds=60)
    with shop.connect() as connection:
        draw_tick(connection)
        connection.execute("UPDATE tick_time SET drawn_at = drawn_at - interval '50 seconds'")
        shop.hub.sync.refresh({A1})
        assert shop.level() == (10, 3, 0, 7)  # its read did not begin later than the one in force
        connection.execute("UPDATE tick_time SET drawn_at = drawn_at - interval '20 seconds'")
        shop.hub.sync.refresh({A1})
    assert shop.level() == (7, 0, 0, 7)


def test_ticks_of_all_connections_come_in_the_order_they_are_drawn(shop: Shop) -> None:
    with shop.connect() as one, shop.connect() as other:
        ticks = [draw_tick(connection) for connection in (one, other) * 5]
    assert ticks == sorted(ticks)


def test_a_partial_posting_splits_the_demand(shop: Shop) -> None:
    shop.sell("R1", 5)
    shop.erp.post("R1", A1, 2)
    shop.follow()
    assert shop.level() == (8, 3, 0, 5)
    shop.erp.post("R1", A1, 3)
    shop.follow()
    assert shop.level() == (5, 0, 0, 5)


@pytest.mark.parametrize(
    ("sold", "brought_back", "posted", "uncovered"),
    [
        (2, 1, (2, -1), 0),
        (2, 1, (1,), 0),  # netted
        (1, 1, (1, -1), 0),
        (2, 1, (-1,), 2),  # what came back is posted alone
        (5, 1, (3, -1), 2),
        (2, 0, (2, -2), 2),  # taken back by a line of its own
        (2, 1, (2, -3), 2),
        (2, 0, (1,), 1),
    ],
)
def test_what_a_receipt_brought_back_as_well_keeps_nothing_from_being_covered(
    shop: Shop, sold: int, brought_back: int, posted: tuple[int, ...], uncovered: int
) -> None:
    shop.sell("R1", sold, brought_back=brought_back)
    assert shop.level() == (10, sold, 0, 10 - sold)
    for quantity in posted:
        shop.erp.post("R1", A1, quantity)
    shop.follow()
    base = 10 - sum(posted)
    assert shop.level() == (base, uncovered, 0, base - uncovered)
    lines = [rule.Line(Decimal(quantity), posted=True, changed=1) for quantity in posted]
    contained = rule.contained(lines, 2, sold, brought_back)
    assert rule.cover([Decimal(sold)], contained) == [sold - uncovered]


def test_a_snapshot_judges_demand_as_well(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.erp.post("R1", A1, 3)
    assert shop.hub.sync.snapshot().state == "applied"
    assert shop.level() == (7, 0, 0, 7)


def test_a_snapshot_in_which_only_the_documents_changed_judges_too(shop: Shop) -> None:
    """Three were sold and posted, three came in: the quantity is what it was."""
    shop.sell("R1", 3)
    shop.erp.post("R1", A1, 3)
    shop.erp.set("A", "P/1", 10)
    shop.hub.sync.snapshot()
    assert shop.level() == (10, 0, 0, 10)


def test_the_last_piece_at_a_level_that_a_snapshot_does_not_name(shop: Shop) -> None:
    shop.sell("R1", 10)
    shop.erp.post("R1", A1, 10)
    assert shop.hub.sync.snapshot(accept_shrink=True).state == "applied"
    assert shop.level() == (0, 0, 0, 0)


def test_a_sale_may_drive_a_level_below_zero_and_that_shows(shop: Shop) -> None:
    shop.sell("R1", 12)
    assert shop.level() == (10, 12, 0, -2)


def test_an_article_without_a_level_may_be_sold(shop: Shop) -> None:
    shop.sell("R1", 1, sku="B")
    assert shop.level("B") == (0, 1, 0, -1)
    shop.erp.post("R1", StockKey("B", "P/1"), 1)
    shop.follow()
    assert shop.level("B") == (-1, 0, 0, -1)


def test_a_sale_that_the_erp_knew_first_is_covered_with_the_next_read(shop: Shop) -> None:
    shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.sell("R1", 3)
    assert shop.level() == (7, 3, 0, 4)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_a_days_settlement_covers_all_sales_of_the_day(shop: Shop) -> None:
    """The settlement nets what was sold and brought back: B was sold and came back, and it does not name B at all."""
    shop.erp.set("B", "P/1", 5)
    shop.follow()
    shop.sell("R1", 3, day="W1-20261126")
    shop.sell("R2", 1, day="W1-20261126")
    shop.sell("R3", 1, sku="B", day="W1-20261126")
    assert (shop.level(), shop.level("B")) == ((10, 4, 0, 6), (5, 1, 0, 4))
    settlement = shop.erp.post("W1-20261126", A1, 4)
    shop.follow()
    assert (shop.level(), shop.level("B")) == ((6, 0, 0, 6), (5, 0, 0, 5))
    shop.erp.take_back(settlement)
    shop.follow()
    assert (shop.level(), shop.level("B")) == ((10, 4, 0, 6), (5, 1, 0, 4))


def test_demand_that_was_not_sent_is_given_back_at_once(shop: Shop) -> None:
    shop.sell("R1", 3)
    with shop.connect() as connection:
        assert cancel(connection, "sale", "R1") == "released"
        assert cancel(connection, "sale", "R1") == "released"
        assert not claim_push(connection, "sale", "R1")
        assert cancel(connection, "sale", "none such") is None
    assert shop.level() == (10, 0, 0, 10)


def test_demand_that_was_sent_keeps_its_stock_until_the_erp_says_no(shop: Shop) -> None:
    shop.sell("R1", 3)
    with shop.connect() as connection:
        assert claim_push(connection, "sale", "R1")
        assert cancel(connection, "sale", "R1") == "cancel_pending"
        assert shop.level() == (10, 3, 0, 7)
        assert not claim_push(connection, "sale", "R1")
        assert end_unposted(connection, "sale", "R1") == "released"
    assert shop.level() == (10, 0, 0, 10)


def test_a_reversal_gives_back_what_the_erp_had_posted(shop: Shop) -> None:
    shop.sell("R1", 3)
    with shop.connect() as connection:
        claim_push(connection, "sale", "R1")
        shop.erp.post("R1", A1, 3)
        shop.follow()
        assert cancel(connection, "sale", "R1") == "cancel_pending"
        shop.erp.set("A", "P/1", 10)
        assert end_reversed(connection, "sale", "R1") == "reversed"
        assert shop.level() == (7, 0, 0, 7)
    shop.follow()
    assert shop.level() == (10, 0, 0, 10)


def test_a_push_keeps_the_tick_of_its_first_attempt(shop: Shop) -> None:
    shop.sell("R1", 3)
    with shop.connect() as connection:
        claim_push(connection, "sale", "R1")
        [(first,)] = shop.hub.query("SELECT push_sent FROM stock_demand")
        assert claim_push(connection, "sale", "R1")
    assert shop.hub.query("SELECT push_sent FROM stock_demand") == [(first,)]


def test_supply_counts_until_a_read_may_contain_it(shop: Shop) -> None:
    with shop.connect() as connection:
        assert add_supply(connection, "return", "X1", [Line("A", "W1", Decimal(2))], NOON) == []
        assert shop.level() == (10, 0, 2, 12)
        shop.hub.sync.refresh({A1})
        assert shop.level() == (10, 0, 2, 12)
        assert claim_supply_push(connection, "return", "X1")
        assert shop.level() == (10, 0, 2, 12)
        shop.hub.sync.refresh({A1})
        assert shop.level() == (10, 0, 0, 10)
        shop.erp.set("A", "P/1", 12)
        shop.follow()
        assert shop.level() == (12, 0, 0, 12)
        assert end_supply(connection, "return", "X1", "posted")
    assert shop.level() == (12, 0, 0, 12)


def test_a_read_that_ended_before_the_push_does_not_contain_it(shop: Shop) -> None:
    """It is sent while the answer is on its way from the ERP to the levels."""
    shop.sell("R1", 1)
    shop.erp.post("R1", A1, 1)
    shop.follow()
    with shop.connect() as connection:
        add_supply(connection, "return", "X1", [Line("A", "W1", Decimal(2))], NOON)
        shop.once("on_list", lambda: claim_supply_push(connection, "return", "X1"))
        shop.hub.sync.refresh({A1})
    assert shop.level() == (9, 0, 2, 11)


def test_ledger_and_levels_agree(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.sell("R2", 2)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.take_back(document)
    shop.follow()
    with shop.connect() as connection:
        cancel(connection, "sale", "R2")
    assert shop.level() == (10, 3, 0, 7)
    entries = shop.hub.query(
        "SELECT quantity_before, quantity_after, cause, source FROM stock_ledger WHERE status = 'demand' ORDER BY id"
    )
    assert [(int(before), int(after), cause, source) for before, after, cause, source in entries] == [
        (0, 3, "sale", "R1"),
        (3, 5, "sale", "R2"),
        (5, 2, "sale in base", "R1"),
        (2, 5, "sale in base", "R1"),
        (5, 3, "sale released", "R2"),
    ]


def test_lines_that_nobody_knows_are_named_and_nothing_is_booked(shop: Shop) -> None:
    lines = [Line("A", "W1", Decimal(1)), Line("nothing", "W1", Decimal(1)), Line("A", "nowhere", Decimal(1))]
    with shop.connect() as connection, connection.transaction():
        unknown = record_sale(connection, "R1", "R1", lines, NOON, channel="W1", whole=False)
    assert sorted((line["sku"], line["location"]) for line in unknown) == [("A", "nowhere"), ("nothing", "W1")]
    assert shop.level() == (10, 0, 0, 10)
