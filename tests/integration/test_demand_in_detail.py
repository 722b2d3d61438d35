"""Demand in detail: documents that are corrected or vanish, settlements, cancelling, pools of channels, and kits."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import StockKey
from hub.stock.demand import cancel, claim_push, record_sale
from hub.stock.pools import set_pool
from hub.stock.reservations import Line
from tests.integration.test_demand import A1, NOON, Shop

if TYPE_CHECKING:
    from tests.integration.conftest import Hub


@pytest.fixture
def shop(hub: Hub) -> Shop:
    return Shop(hub)


def test_a_settlement_that_becomes_known_while_the_answer_is_on_its_way_covers_nothing(shop: Shop) -> None:
    shop.sell("R1", 3, day="W1-20261126")
    shop.once("on_page", lambda: shop.erp.post("W1-20261126", A1, 3), shop.look)
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)


def test_a_settlement_that_is_deleted_without_a_word_is_missed_at_all_its_levels(shop: Shop) -> None:
    shop.erp.set("B", "P/1", 5)
    shop.follow()
    shop.sell("R1", 3, day="W1-20261126")
    shop.sell("R2", 1, sku="B", day="W1-20261126")
    settlement = shop.erp.post("W1-20261126", A1, 3)
    shop.follow()
    assert (shop.level(), shop.level("B")) == ((7, 0, 0, 7), (5, 0, 0, 5))
    shop.erp.delete(settlement)
    shop.follow()
    assert (shop.level(), shop.level("B")) == ((10, 3, 0, 7), (5, 1, 0, 4))


def test_two_sales_under_one_number_share_what_was_posted(shop: Shop) -> None:
    for number in ("T1/R1", "T2/R1"):
        with shop.connect() as connection, connection.transaction():
            record_sale(connection, number, "R1", [Line("A", "W1", Decimal(2))], NOON, channel="W1", whole=False)
    shop.erp.post("R1", A1, 3)
    shop.follow()
    assert shop.level() == (7, 1, 0, 6)


def test_a_snapshot_judges_what_it_does_not_name_where_nothing_was(shop: Shop) -> None:
    """One of B was sold that nobody had counted; it was found and posted: there is no row of B before and after."""
    shop.sell("R1", 1, sku="B")
    shop.erp.post("R1", StockKey("B", "P/1"), 1)
    shop.erp.set("B", "P/1", 0)
    shop.hub.sync.snapshot()
    assert shop.level("B") == (0, 0, 0, 0)


def test_a_cancelled_sale_that_the_erp_posts_all_the_same_is_subtracted_once(shop: Shop) -> None:
    shop.sell("R1", 3)
    with shop.connect() as connection:
        claim_push(connection, "sale", "R1")
        assert cancel(connection, "sale", "R1") == "cancel_pending"
    shop.erp.post("R1", A1, 3)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_what_was_in_the_base_for_good_is_open_again_when_its_document_is_taken_back(shop: Shop) -> None:
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.hub.query("UPDATE stock_demand SET state = 'posted', ended_at = clock_timestamp() RETURNING 1")
    shop.erp.take_back(document)
    shop.follow()
    assert shop.level() == (10, 3, 0, 7)


def test_what_the_base_contains_or_was_cancelled_leaves_its_channels_pool(shop: Shop) -> None:
    with shop.connect() as connection:
        set_pool(connection, "A", "W1", "W1", Decimal(6), None)
        shop.sell("R1", 3)
        shop.sell("R2", 2)
        shop.erp.post("R1", A1, 3)
        shop.follow()
        assert shop.hub.query("SELECT ring_fenced, held FROM stock_pool") == [(3, 2)]
        cancel(connection, "sale", "R2")
    assert shop.hub.query("SELECT ring_fenced, held FROM stock_pool") == [(3, 0)]


def test_a_kit_is_sold_as_its_parts_together_with_other_lines(shop: Shop) -> None:
    shop.hub.query(
        "INSERT INTO kit_component SELECT kit.id, part.id, 2 FROM item AS kit, item AS part"
        " WHERE kit.sku = 'C' AND part.sku = 'A' RETURNING 1"
    )
    lines = [Line("C", "W1", Decimal(2)), Line("A", "W1", Decimal("0.5"))]
    with shop.connect() as connection, connection.transaction():
        assert record_sale(connection, "R1", "R1", lines, NOON, channel="W1", whole=False) == []
    assert shop.hub.query("SELECT sku, quantity FROM stock_demand JOIN item ON item.id = item_id") == [
        ("A", Decimal("4.5"))
    ]


def test_a_read_that_changes_nothing_writes_no_entry(shop: Shop) -> None:
    shop.sell("R1", 3)
    before = shop.hub.query("SELECT count(*) FROM stock_ledger")
    shop.hub.sync.refresh({A1})
    assert shop.hub.query("SELECT count(*) FROM stock_ledger") == before


def test_cancelling_waits_for_whoever_is_about_to_send(shop: Shop) -> None:
    shop.sell("R1", 3)
    states: list[str | None] = []

    def cancel_meanwhile() -> None:
        with shop.connect() as connection:
            states.append(cancel(connection, "sale", "R1"))

    with shop.connect() as sender:
        with sender.transaction():
            assert claim_push(sender, "sale", "R1")
            cancelling = threading.Thread(target=cancel_meanwhile)
            cancelling.start()
            shop.until_waiting(1)
        cancelling.join()
    assert states == ["cancel_pending"]
    assert shop.level() == (10, 3, 0, 7)


@pytest.mark.parametrize(("ours", "theirs"), [("till-7/r1", "TILL-7/R1"), ("R1", "r1")])
def test_numbers_are_the_same_in_small_letters_and_capitals(shop: Shop, ours: str, theirs: str) -> None:
    shop.sell(ours, 3)
    shop.erp.post(theirs, A1, 3)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_a_document_that_is_posted_again_under_another_number_covers_nothing_under_the_old_one(shop: Shop) -> None:
    """Somebody corrects the number, between two looks; and then the other one, back to what it was."""
    for number in ("R1", "R2"):
        shop.sell(number, 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    for number in ("R2", "R1"):
        shop.erp.take_back(document)
        shop.erp.documents[document] = replace(shop.erp.documents[document], reference=number)
        shop.erp.post_again(document)
        shop.follow()
        assert shop.level() == (7, 3, 0, 4)
        covered = "SELECT number FROM stock_demand WHERE covered = quantity"
        assert shop.hub.query(covered) == [(number,)]
