"""The commands and the ERP's answers, with their ticks and clock, make the stock: played again, they make it again.

A history of a town is recorded at the border of the hub (`tests.integration.tape`): what was asked of it, with the
clock; what the ERP answered to its reads and looks, page by page; each tick that was drawn. Played into a database that
has read nothing, by the code that production runs, it gives the same hash of the columns named here, ordered by what
people call things: SKU, place, number.

Named are all numbers that decide or explain what may be promised, and the times that the clock gave them. Not named are
surrogate ids (of articles, places, read cycles, counts and entries, the order of which is compared), the log of read
cycles, and the outbox, which tells of the same changes once more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

import pytest

from hub.contracts import StockPage
from tests.integration.founding import found_town, open_processes
from tests.integration.tape import RecordedErp, Recording, Replaying, ToldErp, ticks_of
from tests.integration.town import Town

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.db.session import Database
    from tests.conftest import FreshDatabase
    from tests.integration.tape import Step

STEPS = 120
_OF_LEVELS = """
JOIN (SELECT id AS item_id, sku FROM item) AS item USING (item_id)
JOIN (SELECT id AS location_id, code FROM location) AS place USING (location_id)
"""
_NAMED = {
    "levels": f"""
        SELECT sku, code, on_hand, demand, supply, held, safety_stock, buffer, room, read_began, read_ended,
               next_expiry, closed_through, pooled, frozen_at, changed_at
        FROM stock_level {_OF_LEVELS} ORDER BY sku, code""",
    "ledger": f"""
        SELECT sku, code, status, owner, quantity_before, quantity_after, cause,
               CASE WHEN status <> 'frozen' THEN source END, read_began, read_ended, effective_at, recorded_at
        FROM stock_ledger AS entry {_OF_LEVELS} ORDER BY sku, code, status, owner, entry.id""",
    "demand": f"""
        SELECT kind, number, sku, code, reference, quantity, covered, returned, whole, channel, state, push_sent,
               reservation_id, effective_at, recorded_at, ended_at
        FROM stock_demand {_OF_LEVELS} ORDER BY kind, number, sku, code""",
    "supply": f"""
        SELECT kind, number, sku, code, quantity, push_sent, counted, state, effective_at, recorded_at, ended_at
        FROM stock_supply {_OF_LEVELS} ORDER BY kind, number, sku, code""",
    "postings": f"""
        SELECT source, document, sku, code, reference, quantity, version, posted, changed, changed_at
        FROM stock_posting {_OF_LEVELS} ORDER BY source, document, sku, code""",
    "reservations": f"""
        SELECT held.id, channel, state, expires_second, order_no, created_at, ended_at, sku, code, quantity
        FROM reservation AS held JOIN reservation_line ON reservation_id = held.id {_OF_LEVELS}
        ORDER BY held.id, sku, code""",
    "holds": f"""
        SELECT sku, code, hold.channel, reservation_id, hold.kind, hold.quantity, recorded_at, effective_at
        FROM hold_event AS hold {_OF_LEVELS}
        ORDER BY sku, code, recorded_at, reservation_id, hold.kind, hold.quantity, hold.channel""",
    "buckets": f"""
        SELECT sku, code, expires_second, channel, quantity
        FROM hold_bucket {_OF_LEVELS} ORDER BY sku, code, expires_second, channel""",
    "pools": f"""
        SELECT sku, code, channel, ring_fenced, percent, held
        FROM stock_pool {_OF_LEVELS} ORDER BY sku, code, channel""",
    "floors": """
        SELECT code, read_began FROM stock_floor JOIN location ON location.id = location_id ORDER BY code""",
    "due": "SELECT source, item, location, due_at FROM stock_due ORDER BY source, item, location",
}


def hash_of(database: Database) -> str:
    """Return the hash of the named columns."""
    told = sha256()
    with database.driver() as connection:
        for name, statement in _NAMED.items():
            told.update(name.encode())
            for row in connection.execute(statement):
                told.update(repr(row).encode())
    return told.hexdigest()


@pytest.fixture(scope="module", params=[1, 2])
def recorded(request: pytest.FixtureRequest, fresh_database: FreshDatabase) -> tuple[list[Step], str]:
    """Give the tape of a random history, and the hash of what it has made."""
    erp, random = RecordedErp(), Random(request.param)
    with fresh_database() as url, open_processes(url, erp, found_town(url), Recording) as hub:
        erp.hub = hub
        with ticks_of(hub):
            town = Town.open(hub, erp)
            for _ in range(STEPS):
                getattr(town, random.choice(random.choice(list(town.may_happen().values()))))(random.choice)
            town.let_reads_end()
        return hub.tape, hash_of(hub.database)


def replay(fresh_database: FreshDatabase, tape: list[Step]) -> str:
    """Play a tape into an empty database, and return the hash of what it has made."""
    erp = ToldErp()
    with fresh_database() as url, open_processes(url, erp, found_town(url), Replaying) as hub:
        erp.hub = hub
        with ticks_of(hub):
            hub.replay(tape)
        return hash_of(hub.database)


def test_the_same_again_makes_the_same(fresh_database: FreshDatabase, recorded: tuple[list[Step], str]) -> None:
    tape, made = recorded
    assert {"sell", "commit", "claim", "begin", "go_on", "look"} <= {step.name for step in tape}
    assert replay(fresh_database, tape) == made


def _last(tape: list[Step], name: str) -> int:
    return max(number for number, step in enumerate(tape) if step.name == name)


def _without_a_sale(tape: list[Step]) -> list[Step]:
    left_out = _last(tape, "sell")
    return [step for number, step in enumerate(tape) if number != left_out]


def _a_sale_first(tape: list[Step]) -> list[Step]:
    """It is told before all others, while the clock stands where it stood."""
    moved = _last(tape, "sell")
    first = next(number for number, step in enumerate(tape) if step.name == "sell")
    return [*tape[:first], replace(tape[moved], at=tape[first].at), *tape[first:moved], *tape[moved + 1 :]]


def _another_clock(tape: list[Step]) -> list[Step]:
    changed = _last(tape, "sell")
    later = replace(tape[changed], at=tape[changed].at + timedelta(microseconds=1))
    return [*tape[:changed], later, *tape[changed + 1 :]]


def _another_tick(tape: list[Step]) -> list[Step]:
    """An order was sent at another tick."""
    changed = next(number for number, step in enumerate(tape) if step.name == "claim")
    later = replace(tape[changed], ticks=deque(tick + 100_000 for tick in tape[changed].ticks))
    return [*tape[:changed], later, *tape[changed + 1 :]]


def _another_answer(tape: list[Step]) -> list[Step]:
    """The ERP had one piece more of something when it was read first."""
    changed = next(number for number, step in enumerate(tape) if step.name == "begin")
    answers = deque(tape[changed].answers)
    page = next(answer for answer in answers if isinstance(answer, StockPage))
    row, *rows = page.rows
    answers[answers.index(page)] = replace(page, rows=[replace(row, quantity=row.quantity + 1), *rows])
    return [*tape[:changed], replace(tape[changed], answers=answers), *tape[changed + 1 :]]


@pytest.mark.parametrize("recorded", [1], indirect=True)
@pytest.mark.parametrize("change", [_without_a_sale, _a_sale_first, _another_clock, _another_tick, _another_answer])
def test_anything_else_makes_something_else(
    fresh_database: FreshDatabase, recorded: tuple[list[Step], str], change: Callable[[list[Step]], list[Step]]
) -> None:
    tape, made = recorded
    assert replay(fresh_database, change(tape)) != made
