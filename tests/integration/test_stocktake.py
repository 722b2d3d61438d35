"""A place is frozen while it is counted, and thawed with the difference explained."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from hub.contracts import StockKey
from hub.errors import DomainError
from hub.idempotency import RequestKey
from hub.stock.demand import add_supply, claim_supply_push, end_supply
from hub.stock.reservations import Held, Line, Refused, Wish, commit, reserve
from hub.stock.stocktake import CountedLine, freeze, load_stocktake, load_stocktakes, thaw, write_csv
from hub.stock.withheld import Rule, Scope, save_rule
from tests.fake_erp import row
from tests.integration.test_demand import Shop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Hub

NOON = datetime(2026, 11, 26, 4, tzinfo=UTC)
A1, B1 = StockKey("A", "P/1"), StockKey("B", "P/1")
READ_TURN = "SELECT pg_advisory_xact_lock(hashtext('oneshelf.stock_base'), hashtext('sap'))"
MAKE_LEVEL = """
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, 5, 1, 2 FROM item, location WHERE sku = 'B' AND code = 'W1'
"""
SELL = "SELECT stock_record_sale('R1', 'R1', false, 'W1', %s, '[]', now())"
KEEP_RECEIPT = """
INSERT INTO store_sale (location_id, receipt_no, sold_at, business_date, reference, member, lines, returns, digest,
                        principal)
SELECT id, 'R1', now(), now()::date, 'R1', '', '[]', '[]', '', 'till' FROM location WHERE code = 'W1'
"""


@pytest.fixture
def shop(hub: Hub) -> Shop:
    """Give a hub with ten of A at W1 and at W2."""
    hub.erp.rows = [row("A", "P/2", 10)]
    return Shop(hub)


def count(shop: Shop, action: Callable[..., int] = freeze, place: str = "W1") -> int:
    with shop.connect() as connection:
        return action(connection, place)


def counted(shop: Shop, number: int) -> dict[str, CountedLine]:
    with shop.connect() as connection:
        stocktake, lines = load_stocktake(connection, number)
    assert stocktake.thawed_at is not None
    return {line.sku: line for line in lines}


def frozen(shop: Shop) -> dict[tuple[str, str], bool]:
    rows = shop.hub.query(
        "SELECT sku, code, frozen_at IS NOT NULL FROM stock_level JOIN item ON item.id = item_id"
        " JOIN location ON location.id = location_id"
    )
    return {(sku, code): is_frozen for sku, code, is_frozen in rows}


@dataclass
class Cart:
    """Reserves and pays one by one."""

    shop: Shop
    number: int = 0

    def hold(self, quantity: int, sku: str = "A", place: str = "W1") -> Held | Refused:
        self.number += 1
        key = RequestKey("shop", f"key-{self.number}", "POST /v1/reservations", "0" * 16)
        wish = Wish(key, "online", (Line(sku, place, Decimal(quantity)),), 900)
        [outcome] = self._run(lambda engine: reserve(engine, [wish]))
        assert not isinstance(outcome, Exception)
        return outcome  # type: ignore[no-any-return]

    def pay(self, held: Held) -> str:
        async def work(engine: Any) -> str:
            async with engine.connect() as connection:
                outcome = await commit(connection, held.id, "O1", "O1", again=False)
                assert outcome is not None
                return outcome.state

        return str(self._run(work))

    def _run(self, work: Callable[..., Any]) -> Any:
        async def inside() -> Any:
            engine = self.shop.hub.database.planned_engine()
            try:
                return await work(engine)
            finally:
                await engine.dispose()

        return asyncio.run(inside())


# --- frozen


def test_nothing_of_a_frozen_place_is_promised_and_what_was_held_stays(shop: Shop) -> None:
    cart = Cart(shop)
    before = cart.hold(2)
    assert isinstance(before, Held)
    count(shop)
    assert shop.level() == (10, 0, 0, 0)
    refused = cart.hold(1)
    assert isinstance(refused, Refused)
    assert refused.problem == "frozen"
    assert isinstance(cart.hold(1, place="W2"), Held)
    assert cart.pay(before) == "committed"
    assert shop.level() == (10, 2, 0, 0)
    count(shop, thaw)
    assert shop.level() == (10, 2, 0, 8)
    assert isinstance(cart.hold(8), Held)


def test_reads_and_sales_go_on_while_it_is_counted(shop: Shop) -> None:
    count(shop)
    shop.erp.set("A", "P/1", 8)
    shop.follow()
    shop.sell("R1", 1)
    assert shop.level() == (8, 1, 0, 0)
    count(shop, thaw)
    assert shop.level() == (8, 1, 0, 7)


def test_followers_are_told_of_both(shop: Shop) -> None:
    told = "SELECT payload->>'sku', payload->>'location' FROM outbox WHERE topic = 'stock.held'"
    count(shop)
    assert shop.hub.query(told) == [("A", "W1")]
    count(shop, thaw)
    assert shop.hub.query(told) == [("A", "W1")] * 2


def test_levels_that_appear_meanwhile_are_frozen_too(shop: Shop) -> None:
    count(shop)
    shop.erp.set("B", "P/1", 5)
    shop.erp.set("B", "P/2", 5)
    shop.follow()
    shop.sell("R1", 1, sku="C")
    with shop.connect() as connection:
        add_supply(connection, "return", "X1", [Line("D", "W1", Decimal(2))], NOON)
        save_rule(connection, Rule(Scope(), Decimal(1)))
    assert frozen(shop) == {
        ("A", "W1"): True,
        ("B", "W1"): True,
        ("C", "W1"): True,
        ("D", "W1"): True,
        ("A", "W2"): False,
        ("B", "W2"): False,
    }
    count(shop, thaw)
    assert not any(frozen(shop).values())


def test_a_level_that_a_read_makes_when_the_place_is_frozen(shop: Shop) -> None:
    """Reads lock the levels that are there before they make others."""
    with shop.connect() as other:
        with other.transaction():
            other.execute(READ_TURN)
            other.execute("SELECT FROM stock_level FOR UPDATE")
            thread = threading.Thread(target=count, args=(shop,))
            thread.start()
            until_waiting(shop)
            other.execute(MAKE_LEVEL)
        thread.join(10)
    assert frozen(shop)["B", "W1"]


def test_a_level_that_a_sale_makes_when_the_place_is_frozen(shop: Shop) -> None:
    with shop.connect() as other:
        with other.transaction():
            other.execute(SELL, ('[{"sku": "B", "location": "W1", "quantity": "1"}]',))
            thread = threading.Thread(target=count, args=(shop,))
            thread.start()
            until_waiting(shop)
        thread.join(10)
    assert frozen(shop)["B", "W1"]


def test_a_place_is_frozen_between_the_receipt_and_the_level_that_it_makes(shop: Shop) -> None:
    """The till's request keeps the receipt first: that must hold nothing which the count needs."""
    with shop.connect() as other:
        with other.transaction():
            other.execute(KEEP_RECEIPT)
            thread = threading.Thread(target=count, args=(shop,))
            thread.start()
            thread.join(2)
            other.execute(SELL, ('[{"sku": "B", "location": "W1", "quantity": "1"}]',))
        thread.join(10)
    assert frozen(shop)["B", "W1"]


@pytest.mark.parametrize("action", [freeze, thaw])
def test_a_level_that_is_made_while_the_place_is_being_frozen_or_thawed(shop: Shop, action: Callable[..., int]) -> None:
    if action is thaw:
        count(shop)
    with shop.connect() as other:
        with other.transaction():
            action(other, "W1")
            thread = threading.Thread(target=shop.sell, args=("R1", 1), kwargs={"sku": "B"})
            thread.start()
            until_waiting(shop)
        thread.join(10)
    assert frozen(shop)["B", "W1"] == (action is freeze)


def until_waiting(shop: Shop) -> None:
    ends_at = time.monotonic() + 10
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while shop.hub.query(waiting) == [(0,)]:
        assert time.monotonic() < ends_at
        time.sleep(0.01)


# --- thawed


def test_what_a_count_finds_is_told_apart_from_what_was_sold(shop: Shop) -> None:
    """Three were sold and posted while two were found missing: the base fell by five."""
    shop.sell("R1", 3)
    number = count(shop)
    shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.set("A", "P/1", 5)
    shop.follow()
    shop.sell("R2", 1)
    assert count(shop, thaw) == number
    line = counted(shop, number)["A"]
    assert (line.base_before, line.base_after) == (10, 5)
    assert (line.explained, line.difference) == (-3, -2)
    assert (line.demand, line.supply) == (1, 0)
    assert shop.level() == (5, 1, 0, 4)


def test_what_came_back_and_reached_the_erp_explains_a_rise(shop: Shop) -> None:
    with shop.connect() as connection:
        add_supply(connection, "return", "X1", [Line("A", "W1", Decimal(2))], NOON)
        number = count(shop)
        claim_supply_push(connection, "return", "X1")
    shop.erp.set("A", "P/1", 13)
    shop.follow()
    count(shop, thaw)
    line = counted(shop, number)["A"]
    assert (line.explained, line.difference, line.supply) == (2, 1, 0)


def test_what_happened_before_is_not_in_it(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.set("B", "P/1", 5)
    shop.follow()
    number = count(shop)
    shop.erp.set("B", "P/1", 6)
    shop.follow()
    count(shop, thaw)
    lines = counted(shop, number)
    assert set(lines) == {"B"}
    assert (lines["B"].base_before, lines["B"].difference) == (5, 1)
    shop.erp.set("B", "P/1", 9)
    shop.follow()
    assert counted(shop, number) == lines


def test_a_posting_that_is_taken_back_and_posted_again_leaves_no_difference(shop: Shop) -> None:
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    number = count(shop)
    shop.erp.take_back(document)
    shop.follow()
    shop.erp.post_again(document)
    shop.follow()
    count(shop, thaw)
    assert counted(shop, number) == {}


def test_goods_that_appear_during_the_count_were_none_before(shop: Shop) -> None:
    number = count(shop)
    shop.erp.set("B", "P/1", 4)
    shop.follow()
    count(shop, thaw)
    line = counted(shop, number)["B"]
    assert (line.base_before, line.base_after, line.difference) == (0, 4, 4)
    with shop.connect() as connection:
        [stocktake] = load_stocktakes(connection)
    assert (stocktake.number, stocktake.location, stocktake.levels) == (number, "W1", 2)


def test_the_lines_as_csv(shop: Shop) -> None:
    shop.sell("R1", 3)
    number = count(shop)
    shop.erp.set("A", "P/1", "9.5")
    shop.follow()
    count(shop, thaw)
    out = io.StringIO()
    write_csv(out, list(counted(shop, number).values()))
    assert out.getvalue().splitlines() == [
        "sku,name,unit,base_before,base_after,explained,difference,demand_not_in_base,supply_not_in_base",
        "A,article A,EA,10,9.5,0,-0.5,3,0",
    ]


# --- refused


def test_a_place_is_counted_once_at_a_time(shop: Shop) -> None:
    number = count(shop)
    with pytest.raises(DomainError, match="W1 is being counted already"):
        count(shop)
    with shop.connect() as connection:
        assert load_stocktake(connection, number)[1] == []
    assert count(shop, place="W2") != number
    count(shop, thaw)
    with pytest.raises(DomainError, match="W1 is not being counted"):
        count(shop, thaw)
    assert count(shop) > number


@pytest.mark.parametrize("action", [freeze, thaw])
def test_a_place_that_nobody_knows(shop: Shop, action: Callable[..., int]) -> None:
    with pytest.raises(DomainError, match="there is no place nowhere") as caught:
        count(shop, action, "nowhere")
    assert caught.value.status == 404
    with shop.connect() as connection, pytest.raises(DomainError, match="there is no stocktake 7"):
        load_stocktake(connection, 7)


def test_the_ledger_tells_when_a_level_was_frozen_and_thawed(shop: Shop) -> None:
    number = count(shop)
    shop.sell("R1", 1, sku="B")  # a level that appears meanwhile
    count(shop, thaw)
    entries = shop.hub.query(
        "SELECT item.sku, entry.quantity_before, entry.quantity_after, entry.source FROM stock_ledger AS entry"
        " JOIN item ON item.id = entry.item_id WHERE entry.status = 'frozen' ORDER BY item.sku, entry.id"
    )
    told = [(sku, int(before), int(after), source) for sku, before, after, source in entries]
    assert told == [(sku, *step, str(number)) for sku in ("A", "B") for step in ((0, 1), (1, 0))]


def test_supply_that_ends_is_told_to_followers(shop: Shop) -> None:
    with shop.connect() as connection:
        add_supply(connection, "return", "X1", [Line("A", "W1", Decimal(2))], NOON)
        connection.execute("TRUNCATE outbox")
        end_supply(connection, "return", "X1", "withdrawn")
    assert shop.hub.query("SELECT topic, key FROM outbox") == [("stock.held", "A")]


def test_a_sale_of_a_new_level_waits_its_turn_and_for_nobody_in_a_circle(shop: Shop) -> None:
    """A read has a level locked and is about to make the one that the sale makes."""
    with shop.connect() as reader:
        reader.execute("BEGIN")
        reader.execute(READ_TURN)
        reader.execute("SELECT FROM stock_level FOR NO KEY UPDATE")
        selling = threading.Thread(target=lambda: shop.sell("R1", 1, sku="B"))
        selling.start()
        until_waiting(shop)
        reader.execute(MAKE_LEVEL)
        reader.execute("COMMIT")
        selling.join(10)
        assert not selling.is_alive()
    assert shop.level("B") == (5, 1, 0, 4)
