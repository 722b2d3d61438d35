"""Demand that the base has contained for days is open no more, until one of its documents changes."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import StockKey
from hub.stock.demand import cancel, claim_push
from hub.stock.postings import take_back
from hub.stock.ticks import draw_tick
from hub.sync.housekeeping import settle_posted, tidy
from tests.integration.reservation_shop import WRONG_DEMAND
from tests.integration.test_demand import Shop

if TYPE_CHECKING:
    import psycopg

    from tests.integration.conftest import Hub

A1 = StockKey("A", "P/1")


@pytest.fixture
def shop(hub: Hub) -> Shop:
    return Shop(hub)


def later(shop: Shop, hours: int) -> None:
    """Let it be longer ago that documents changed."""
    shop.hub.query("UPDATE stock_posting SET changed_at = changed_at - make_interval(hours => %s) RETURNING 1", hours)


def settle(shop: Shop, hours: int = 72) -> int:
    with shop.connect() as connection:
        return settle_posted(connection, hours=hours)


def states(shop: Shop) -> list[tuple[str, str, bool]]:
    rows = shop.hub.query("SELECT number, state, ended_at IS NOT NULL FROM stock_demand ORDER BY id")
    return [(number, state, ended) for number, state, ended in rows]


def sold_and_posted(shop: Shop, number: str = "R1", quantity: int = 3) -> str:
    shop.sell(number, quantity)
    document = shop.erp.post(number, A1, quantity)
    shop.follow()
    return document


def test_what_is_posted_for_long_is_open_no_more_and_the_level_stays(shop: Shop) -> None:
    sold_and_posted(shop)
    assert settle(shop) == 0
    later(shop, 71)
    assert settle(shop) == 0
    later(shop, 2)
    before = shop.hub.query("SELECT * FROM stock_level ORDER BY item_id, location_id")
    assert settle(shop) == 1
    assert states(shop) == [("R1", "posted", True)]
    assert shop.hub.query("SELECT * FROM stock_level ORDER BY item_id, location_id") == before
    assert settle(shop) == 0


def test_tidying_does_it_after_the_hours_of_the_settings(shop: Shop) -> None:
    sold_and_posted(shop)
    later(shop, 5)
    with shop.connect() as connection:
        tidy(connection)
        assert states(shop) == [("R1", "open", False)]
        tidy(connection, posted_after_hours=shop.hub.settings.stock.posted_after_hours - 68)
    assert states(shop) == [("R1", "posted", True)]


def test_it_is_open_again_when_its_document_is_taken_back(shop: Shop) -> None:
    document = sold_and_posted(shop)
    later(shop, 73)
    settle(shop)
    shop.erp.take_back(document)
    shop.follow()
    assert states(shop) == [("R1", "open", False)]
    assert shop.level() == (10, 3, 0, 7)
    shop.erp.post_again(document)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)
    assert settle(shop) == 0
    later(shop, 73)
    assert settle(shop) == 1
    assert shop.level() == (7, 0, 0, 7)


def test_what_was_taken_back_is_not_posted_before_a_read_has_judged_it(shop: Shop) -> None:
    document = sold_and_posted(shop)
    shop.erp.take_back(document)
    shop.look()
    later(shop, 73)
    assert settle(shop) == 0
    shop.follow()
    assert shop.level() == (10, 3, 0, 7)


def test_it_is_open_again_when_its_document_comes_back_with_less(shop: Shop) -> None:
    """Taken back, changed and posted again between two looks: the document stands all the time."""
    document = sold_and_posted(shop)
    later(shop, 73)
    settle(shop)
    shop.erp.take_back(document)
    shop.erp.documents[document] = replace(shop.erp.documents[document], quantity=Decimal(2))
    shop.erp.post_again(document)
    shop.follow()
    assert states(shop) == [("R1", "open", False)]
    assert shop.level() == (8, 1, 0, 7)


def test_it_counts_though_a_read_passes_the_look_that_learns_of_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """That read begins after the look has its tick, and knows of nothing open: it judges nothing."""
    document = sold_and_posted(shop)
    later(shop, 73)
    settle(shop)
    shop.erp.take_back(document)

    def draw_and_read(connection: psycopg.Connection) -> int:
        monkeypatch.undo()
        tick = draw_tick(connection)
        shop.hub.sync.refresh({A1})
        return tick

    monkeypatch.setattr("hub.sync.looks.draw_tick", draw_and_read)
    shop.look()
    assert shop.level() == (10, 3, 0, 7)
    assert shop.hub.query(WRONG_DEMAND) == []
    shop.follow()
    assert shop.level() == (10, 3, 0, 7)


def test_what_covers_it_covers_nothing_else_of_its_number(shop: Shop) -> None:
    sold_and_posted(shop)
    later(shop, 73)
    settle(shop)
    with shop.connect() as connection, connection.transaction():
        connection.execute("SELECT stock_record_sale('R1b', 'R1', false, 'W1', %s, '[]', now())", (A_LINE,))
    shop.follow()
    assert shop.level() == (7, 2, 0, 5)
    shop.erp.post("R1", A1, 2)
    shop.follow()
    assert shop.level() == (5, 0, 0, 5)
    later(shop, 73)
    assert settle(shop) == 2


A_LINE = '[{"sku": "A", "location": "W1", "quantity": "2"}]'


def test_what_is_posted_in_part_or_being_cancelled_stays_open(shop: Shop) -> None:
    shop.sell("R1", 5)
    shop.erp.post("R1", A1, 2)
    sold_and_posted(shop, "R2", 1)
    with shop.connect() as connection:
        claim_push(connection, "sale", "R2")
        cancel(connection, "sale", "R2")
    later(shop, 100)
    assert settle(shop) == 0
    assert states(shop) == [("R1", "open", False), ("R2", "cancel_pending", False)]
    assert shop.level() == (7, 3, 0, 4)


def test_a_days_settlement_is_for_good_as_well(shop: Shop) -> None:
    shop.sell("R1", 3, day="W1-20261126")
    shop.sell("R2", 1, day="W1-20261126")
    settlement = shop.erp.post("W1-20261126", A1, 4)
    shop.follow()
    later(shop, 73)
    assert settle(shop) == 2
    shop.erp.take_back(settlement)
    shop.follow()
    assert [state for _, state, _ in states(shop)] == ["open", "open"]
    assert shop.level() == (10, 4, 0, 6)


def test_it_waits_for_a_look_that_is_taking_the_document_back(shop: Shop) -> None:
    document = sold_and_posted(shop)
    later(shop, 73)
    key = "hashtext('oneshelf.look'), hashtext('sap')"
    with shop.connect() as looking:
        looking.execute(f"SELECT pg_advisory_lock({key})")
        thread = threading.Thread(target=settle, args=(shop,))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        tick = draw_tick(looking)
        with looking.transaction():
            take_back(looking, "sap", [document], tick)
        looking.execute(f"SELECT pg_advisory_unlock({key})")
    thread.join(10)
    assert states(shop) == [("R1", "open", False)]


def test_what_a_channel_took_of_its_pool_stays_as_it_is(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute("SELECT stock_set_pool('A', 'W1', 'W1', 5, NULL)")
    sold_and_posted(shop)
    later(shop, 73)
    before = shop.hub.query("SELECT * FROM stock_pool")
    assert settle(shop) == 1
    assert shop.hub.query("SELECT * FROM stock_pool") == before
