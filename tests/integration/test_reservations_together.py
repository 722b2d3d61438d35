"""Many reservations at once: they come out as if one by one, and never oversell."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hub.gather import Gathered
from hub.idempotency import KeyReusedError
from hub.ids import new_id
from hub.stock.reservations import (
    Held,
    Line,
    Refused,
    Wish,
    _asked,
    extend,
    release,
    reserve,
)
from tests.integration.reservation_shop import KIT, PLACES, SKUS, Shop, held, one, refused, until_blocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from hub.db.session import Database


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


@dataclass
class Twin:
    """The plain rule: one request after the other, on numbers in memory."""

    room: dict[tuple[str, str], Decimal]
    answers: dict[str, tuple[tuple[Line, ...], str]] = field(default_factory=dict)

    def serve(self, wish: Wish) -> str:
        name = wish.key.key
        if name in self.answers:
            lines, answer = self.answers[name]
            return answer if lines == wish.lines else "reused"
        needed: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for line in wish.lines:
            parts = KIT if line.sku == "KIT" else {line.sku: Decimal(1)}
            for sku, factor in parts.items():
                needed[sku, line.location] += line.quantity * factor
        known = all(line.sku in SKUS and line.location in PLACES for line in wish.lines)
        fits = known and all(quantity <= self.room.get(level, Decimal(0)) for level, quantity in needed.items())
        if fits:
            for level, quantity in needed.items():
                self.room[level] -= quantity
        answer = "held" if fits else "insufficient" if known else "unknown"
        self.answers[name] = wish.lines, answer
        return answer


@pytest.mark.parametrize("seed", range(6))
def test_a_statement_for_many_equals_one_for_each(shop: Shop, seed: int) -> None:
    dice = random.Random(seed)
    twin = Twin({})
    for sku in ("A", "B", "C"):
        for place in PLACES:
            if dice.random() < 0.9:
                quantity = Decimal(dice.randint(0, 40)) / 2
                twin.room[sku, place] = quantity
                shop.set(sku, place, on_hand=quantity)

    async def batches(engine: AsyncEngine) -> None:
        for _ in range(12):
            wishes = [random_wish(shop, dice) for _ in range(dice.randint(1, 12))]
            outcomes = await reserve(engine, wishes)
            assert [told(outcome) for outcome in outcomes] == [twin.serve(wish) for wish in wishes]

    shop.run(batches)
    for (sku, place), room in twin.room.items():
        assert shop.room(sku, place) == room
    shop.check()


def random_wish(shop: Shop, dice: random.Random) -> Wish:
    lines = [
        (dice.choice([*SKUS, "A", "A", "NO"] if dice.random() < 0.1 else SKUS), dice.choice(PLACES), str(amount))
        for amount in (Decimal(dice.randint(1, 6)) / 2 for _ in range(dice.choice([1, 1, 1, 2, 3])))
    ]
    key = f"again-{dice.randint(0, 5)}" if dice.random() < 0.15 else None
    return shop.wish(*lines, key=key)


def told(outcome: Held | Refused | Exception) -> str:
    match outcome:
        case Held():
            return "held"
        case Refused():
            return outcome.problem
        case KeyReusedError():
            return "reused"
    raise outcome


@asynccontextmanager
async def engines(database: Database, count: int) -> AsyncIterator[list[AsyncEngine]]:
    made = [database.planned_engine() for _ in range(count)]
    try:
        yield made
    finally:
        for engine in made:
            await engine.dispose()


def test_a_race_sells_what_is_there_and_nothing_else(shop: Shop) -> None:
    """Two group commits, as two processes have them; keys are sent twice, to either."""
    for sku in ("A", "B", "C"):
        shop.set(sku, "W1", on_hand=100)

    async def race() -> Counter[str]:
        outcomes: Counter[str] = Counter()
        async with engines(shop.database, 2) as pair:
            groups = [Gathered(partial(reserve, engine), most=16) for engine in pair]

            async def buy(number: int) -> None:
                dice = random.Random(number)
                skus = dice.sample(("A", "B", "C"), dice.randint(1, 3))
                wish = shop.wish(*((sku, "W1", 1) for sku in skus), key=f"race-{number}")
                answers = await asyncio.gather(*(group.ask(replace(wish, id=new_id())) for group in groups))
                assert len({told(answer) for answer in answers}) == 1
                assert sum(not answer.replayed for answer in answers) == 1
                if isinstance(answers[0], Held):
                    outcomes.update(skus)

            await asyncio.gather(*(buy(number) for number in range(600)))
        return outcomes

    sold = asyncio.run(race())
    assert all(shop.room(sku) == 100 - sold[sku] for sku in ("A", "B", "C"))
    assert max(sold.values()) == 100
    shop.check()


def test_every_way_a_reservation_may_end_at_once_ends_it_once(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=200)
    wishes = [shop.wish(("A", "W1", 1), ttl=1 if number % 3 else 900) for number in range(150)]
    ids = [held(outcome).id for outcome in shop.reserve(*wishes)]

    async def end_all() -> list[Counter[str | None]]:
        async with engines(shop.database, 3) as several:

            async def end(wanted: UUID, number: int) -> Counter[str | None]:
                await asyncio.sleep(random.Random(number).random() * 2.2)
                actions: list[Callable[[AsyncConnection], Awaitable[str | None]]] = [
                    lambda connection: release(connection, wanted),
                    lambda connection: release(connection, wanted),
                    lambda connection: extend(connection, wanted, 2),
                ]

                async def act(engine: AsyncEngine, action: Callable[[AsyncConnection], Awaitable[str | None]]) -> Any:
                    async with engine.connect() as connection:
                        return await action(connection)

                return Counter(await asyncio.gather(*(act(*pair) for pair in zip(several, actions, strict=True))))

            return list(await asyncio.gather(*(end(wanted, number) for number, wanted in enumerate(ids))))

    for outcome in asyncio.run(end_all()):
        assert not (outcome["expired"] and outcome["released"])
    states = Counter(state for (state,) in shop.rows("SELECT state FROM reservation"))
    assert set(states) == {"released", "expired"}
    assert shop.room("A") == 200
    shop.check()


def reserve_behind(
    shop: Shop, wishes: list[Wish], *others: Callable[[psycopg.Connection], object]
) -> list[Held | Refused | Exception]:
    """Reserve while another transaction does the first of `others`; the rest it does once the requests wait for it."""
    first, *rest = others

    async def work(engine: AsyncEngine) -> list[Held | Refused | Exception]:
        with shop.database.driver() as other:
            with other.transaction():
                other.execute("SET LOCAL lock_timeout = '500ms'")  # who waits in a circle is told before it is broken
                first(other)
                waiting = asyncio.create_task(reserve(engine, wishes))
                await asyncio.to_thread(until_blocked, shop)
                for act in rest:
                    act(other)
            return await waiting

    return list(shop.run(work))


def take(*wishes: Wish) -> Callable[[psycopg.Connection], object]:
    asked = json.dumps([_asked(number, wish) for number, wish in enumerate(wishes)])
    return lambda connection: connection.execute("SELECT stock_reserve(%s::json)", (asked,))


def lock(shop: Shop, sku: str) -> Callable[[psycopg.Connection], object]:
    [(item,)] = shop.rows("SELECT id FROM item WHERE sku = %s", sku)
    return lambda connection: connection.execute("SELECT FROM stock_level WHERE item_id = %s FOR UPDATE", (item,))


def test_what_decides_is_what_the_one_before_has_left(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)
    outcomes = reserve_behind(shop, [shop.wish(("A", "W1", 3))], take(shop.wish(("A", "W1", 4))))
    assert refused(one(outcomes)).lines[0]["available"] == "1"
    shop.check()


def test_keys_are_taken_in_one_order_by_all(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)
    wishes = [shop.wish(("A", "W1", 1), key=key) for key in ("b", "a")]
    again = [replace(wish, id=new_id()) for wish in wishes]
    outcomes = reserve_behind(shop, again, take(wishes[1]), take(wishes[0]))
    assert all(held(outcome).replayed for outcome in outcomes)
    assert shop.room("A") == 3


def test_levels_are_locked_in_one_order_by_all(shop: Shop) -> None:
    for sku in ("A", "B"):
        shop.set(sku, "W1", on_hand=5)
    wishes = [shop.wish(("B", "W1", 1), ("A", "W1", 1))]
    held(one(reserve_behind(shop, wishes, lock(shop, "A"), lock(shop, "B"))))


def test_what_expires_while_one_waits_is_free_when_it_is_its_turn(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=1)
    first = held(one(shop.reserve(shop.wish(("A", "W1", 1), ttl=1))))

    def wait(_: psycopg.Connection) -> None:
        time.sleep(max(first.expires_at.timestamp() - time.time(), 0) + 0.01)

    held(one(reserve_behind(shop, [shop.wish(("A", "W1", 1))], lock(shop, "A"), wait)))
    assert shop.room("A") == 0
    shop.check()
