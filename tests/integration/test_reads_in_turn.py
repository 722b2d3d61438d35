"""Reads and looks that overlap: what is older never has the last word, and each number has the ticks it was read at."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import StockKey
from hub.sync.inventory import InventorySync
from tests.fake_erp import row
from tests.integration.test_demand import A1, Shop

if TYPE_CHECKING:
    from tests.integration.conftest import Hub

B1 = StockKey("B", "P/1")


@pytest.fixture
def shop(hub: Hub) -> Shop:
    return Shop(hub)


def test_looks_follow_one_another(shop: Shop) -> None:
    """What the first one has to tell is old by the time it is written: meanwhile all was posted anew and taken back."""
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    second = threading.Thread(target=shop.look)

    def meanwhile() -> None:
        shop.erp.take_back(document)
        shop.erp.post_again(document)
        shop.erp.take_back(document)
        second.start()
        while second.is_alive() and not shop.waiting():
            time.sleep(0.01)

    shop.once("on_look", meanwhile)
    shop.look()
    second.join()
    assert shop.hub.query("SELECT version, posted FROM stock_posting") == [("2", False)]
    shop.follow()
    assert shop.level() == (10, 3, 0, 7)


def test_what_a_list_of_documents_tells_is_known_when_it_has_told_it(shop: Shop) -> None:
    """The list behind one read was on its way when another read began, and found what was posted after that."""
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.take_back(document)
    asked, posted = threading.Event(), threading.Event()
    shop.once("on_list", asked.set, lambda: posted.wait(10))
    first = threading.Thread(target=shop.hub.sync.refresh, args=({A1},))
    first.start()
    assert asked.wait(10)
    shop.once("on_page", lambda: shop.erp.post_again(document), posted.set, first.join)
    shop.hub.sync.refresh({A1})
    assert shop.level() == (10, 3, 0, 7)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)


def test_reads_of_one_source_are_applied_one_after_the_other(shop: Shop) -> None:
    """The later one waits for the level when the earlier one comes, and has not replaced the base yet."""
    asked, go = threading.Event(), threading.Event()
    shop.once("on_page", asked.set, lambda: go.wait(10))
    with ThreadPoolExecutor(2) as pool:
        earlier = pool.submit(shop.hub.sync.refresh, {A1})
        assert asked.wait(10)
        shop.erp.set("A", "P/1", 7)
        with shop.connect() as blocker, blocker.transaction():
            blocker.execute("SELECT FROM stock_level FOR UPDATE")
            later = pool.submit(shop.hub.sync.refresh, {A1})
            shop.until_waiting(1)
            go.set()
            shop.until_waiting(2)
    assert (len(later.result().changed), len(earlier.result().changed)) == (1, 0)
    assert shop.level() == (7, 0, 0, 7)


def test_each_page_has_ticks_of_its_own(shop: Shop) -> None:
    """C is read while the first page is on its way; the second page, which was asked for later, knows it better."""
    keys = [("A", "P/1"), ("B", "P/1"), ("C", "P/1")]
    shop.erp.rows = [row(*key, 5) for key in keys]
    shop.hub.sync.snapshot()

    def meanwhile() -> None:
        shop.erp.set("C", "P/1", 4)
        shop.hub.sync.refresh({StockKey("C", "P/1")})
        shop.erp.rows = [row(*key, 3) for key in keys]

    shop.once("on_page", meanwhile)
    shop.hub.sync.snapshot()
    assert shop.hub.levels()["C", "W1"] == 3


def test_what_a_snapshot_does_not_name_is_as_old_as_its_first_page(shop: Shop) -> None:
    """B was out of stock when the first page was asked for, and came in before the last one was."""
    sync = InventorySync(shop.hub.database, shop.erp, shop.hub.settings.stock.model_copy(update={"keys_at_once": 1}))
    there = [row("A", "P/1", 5), row("A", "P/2", 5), row("B", "P/2", 5)]
    shop.erp.rows = [*there, row("B", "P/1", 5), row("C", "P/1", 5)]
    sync.snapshot()
    shop.erp.rows = there

    def meanwhile() -> None:
        shop.erp.set("B", "P/1", 8)
        sync.refresh({B1})
        shop.erp.rows = there

    shop.once("on_page", meanwhile)
    assert sync.snapshot(accept_shrink=True).state == "applied"
    assert shop.hub.levels().get(("B", "W1")) == Decimal(8)
    assert ("C", "W1") not in shop.hub.levels()


def test_reads_lock_levels_in_the_order_in_which_carts_do(shop: Shop) -> None:
    shop.erp.rows = [row("A", "P/1", 5), row("B", "P/1", 5)]
    shop.hub.sync.snapshot()
    shop.erp.rows = [row("A", "P/1", 4), row("B", "P/1", 4)]
    lock = "SELECT FROM stock_level JOIN item ON item.id = item_id WHERE sku = %s FOR UPDATE OF stock_level"
    with ThreadPoolExecutor(1) as pool, shop.connect() as cart, cart.transaction():
        cart.execute("SET LOCAL lock_timeout = '500ms'")
        cart.execute(lock, ("A",))
        reading = pool.submit(shop.hub.sync.refresh, {A1, B1})
        shop.until_waiting(1)
        cart.execute(lock, ("B",))
    assert len(reading.result().changed) == 2
    assert set(shop.hub.levels().values()) == {4}


def test_a_snapshot_lists_the_documents_of_what_it_does_not_name_as_well(shop: Shop) -> None:
    """The document of the last piece of B was deleted while the quantities were read, and the piece was lost."""
    shop.erp.set("B", "P/1", 1)
    shop.follow()
    shop.sell("R1", 1, sku="B")
    document = shop.erp.post("R1", B1, 1)
    shop.follow()
    assert shop.level("B") == (0, 0, 0, 0)
    shop.once("on_ask", lambda: shop.erp.delete(document), lambda: shop.erp.set("B", "P/1", 0))
    shop.hub.sync.snapshot()
    assert shop.level("B") == (0, 1, 0, -1)
