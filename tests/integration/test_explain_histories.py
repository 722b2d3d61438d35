"""A number is explained while everything happens at once, and every moment of a random history as it was."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest

from hub.stock.demand import cancel, claim_supply_push, end_supply
from hub.stock.explain import Explanation, Term, explain, snapshot
from hub.stock.reservations import commit, release
from tests.integration.explained_level import A1, Counter, agreed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tests.integration.conftest import Hub

STEPS = 60
DOCUMENTS = ("demand", "supply", "reservation")


@dataclass
class Bustle:
    """Threads that sell, read and reserve until they are stopped."""

    counter: Counter
    ended: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)

    def sell(self, number: int) -> None:
        self.counter.sell(f"R{number}")
        if number % 3:
            self.counter.hub.erp.post(f"R{number}", A1, 1)
        if number % 5 == 0:
            with self.counter.hub.database.driver() as connection:
                cancel(connection, "sale", f"R{number}")

    def read(self, number: int) -> None:
        self.counter.set(1000 - number)
        self.counter.follow()

    def fill_cart(self, number: int) -> None:
        cart = self.counter.hold(1, ttl=1 + number % 3, key=f"cart-{number}")
        if number % 4 == 0:
            self.counter.write(commit, cart, f"O{number}", f"O{number}", again=True)
        elif number % 4 == 1:
            self.counter.write(release, cart)

    def start(self) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._repeat, args=(work,)) for work in (self.sell, self.read, self.fill_cart)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _repeat(self, work: Callable[[int], None]) -> None:
        number = 0
        try:
            while not self.ended.is_set():
                number += 1
                work(number)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.failures.append(error)


def test_it_adds_up_while_everything_happens_at_once(hub: Hub) -> None:
    counter = Counter(hub)
    bustle = Bustle(counter)
    explained: list[Explanation] = []

    async def ask(engine: AsyncEngine) -> None:
        ends_at = time.monotonic() + 4
        while time.monotonic() < ends_at and not bustle.failures:
            async with snapshot(engine) as view:
                explained.append(await agreed(view))

    threads = bustle.start()
    try:
        counter.carts.run(ask)
    finally:
        bustle.ended.set()
        for thread in threads:
            thread.join()
    assert bustle.failures == []
    assert {term.kind for one in explained for term in one.terms} >= {"base", "demand", "reservation"}
    assert len({one.available for one in explained}) > 10


@dataclass
class History:
    """A level to which random things happen, one after the other."""

    counter: Counter
    dice: Random
    sales: list[str] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    carts: list[UUID] = field(default_factory=list)

    def sell(self) -> None:
        self.sales.append(f"R{len(self.sales)}")
        self.counter.sell(self.sales[-1], self.dice.randint(1, 4))

    def post(self) -> None:
        if self.sales:
            self.counter.hub.erp.post(self.dice.choice(self.sales), A1, self.dice.randint(1, 3))

    def take_back(self) -> None:
        documents = self.counter.hub.erp.documents
        if posted := [name for name, document in documents.items() if document.posted]:
            self.counter.hub.erp.take_back(self.dice.choice(posted))

    def withdraw(self) -> None:
        if self.sales:
            with self.counter.hub.database.driver() as connection:
                cancel(connection, "sale", self.dice.choice(self.sales))

    def bring(self) -> None:
        self.returns.append(f"B{len(self.returns)}")
        self.counter.bring(self.returns[-1], self.dice.randint(1, 4))

    def send(self) -> None:
        if self.returns:
            with self.counter.hub.database.driver() as connection:
                claim_supply_push(connection, "return", self.dice.choice(self.returns))

    def end(self) -> None:
        if self.returns:
            with self.counter.hub.database.driver() as connection, connection.transaction():
                end_supply(connection, "return", self.dice.choice(self.returns), "posted")

    def hold(self) -> None:
        self.carts.append(self.counter.hold(self.dice.randint(1, 4), ttl=self.dice.choice([1, 900])))

    def leave(self) -> None:
        if self.carts:
            self.counter.write(release, self.dice.choice(self.carts))

    def order(self) -> None:
        if self.carts:
            cart = self.dice.choice(self.carts)
            self.counter.write(commit, cart, f"O-{cart}", f"O-{cart}", again=self.dice.random() < 0.5)

    def step(self) -> None:
        follow = self.counter.follow
        self.dice.choice(
            [
                *(self.sell, self.post, self.take_back, self.withdraw, self.bring, self.send, self.end),
                *(self.hold, self.hold, self.leave, self.order, follow, follow),
            ]
        )()


def documents(terms: list[Term]) -> list[tuple[object, ...]]:
    return sorted((term.kind, term.quantity, term.cause, term.number) for term in terms if term.kind in DOCUMENTS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_moment_is_explained_as_it_was(hub: Hub, seed: int) -> None:
    history = History(Counter(hub), Random(seed))
    seen: list[tuple[datetime, Explanation]] = []
    for _ in range(STEPS):
        history.step()
        explained = history.counter.look(agreed)
        seen.append((history.counter.now(), explained))
    time.sleep(1.1)
    history.counter.follow()

    async def look_back(view: AsyncConnection) -> None:
        for moment, then in seen:
            # a cart may have ended in the moment between
            still = [term for term in then.terms if term.expires_at is None or term.expires_at > moment]
            for times in ({"at": moment}, {"known_at": moment}, {"at": moment, "known_at": moment}):
                again = await explain(view, "A", "W1", **times)
                assert again.available == sum(term.quantity for term in still)
                assert documents([*again.terms]) == documents(still)
                assert again.on_hand == then.on_hand

    history.counter.look(look_back)
