"""What becomes of a reservation: an order makes demand of it, in time or late; it moves to another place."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError

from hub.stock.reservations import Outcome, commit, extend, release, transfer
from tests.integration.reservation_shop import Shop, held, one, until_blocked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from hub.db.session import Database


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    shop = Shop(database)
    for sku in ("A", "B"):
        shop.set(sku, "W1", on_hand=10)
        shop.set(sku, "W2", on_hand=3)
    yield shop
    shop.check()


def do(shop: Shop, work: Callable[..., Awaitable[Any]], *values: object, **named: object) -> Any:
    async def inside(engine: AsyncEngine) -> Any:
        async with engine.begin() as connection:
            return await work(connection, *values, **named)

    return shop.run(inside)


def order(shop: Shop, wanted: UUID, order_no: str = "O1", *, again: bool = True) -> Outcome:
    outcome: Outcome = do(shop, commit, wanted, order_no, order_no, again=again)
    return outcome


def move(shop: Shop, wanted: UUID, place: str) -> Outcome:
    outcome: Outcome = do(shop, transfer, wanted, place, everywhere=False)
    return outcome


def expire(shop: Shop, wanted: UUID) -> None:
    """Let its second be over, as if it had been made so long ago."""
    with shop.database.driver() as connection:
        connection.execute("UPDATE hold_bucket SET expires_second = 1000")
        connection.execute("UPDATE reservation SET expires_second = 1000 WHERE id = %s", (wanted,))
        connection.execute("UPDATE stock_level SET next_expiry = 1000 WHERE held > 0")


def numbers(shop: Shop, sku: str = "A", place: str = "W1") -> tuple[int, int, int]:
    """Return what is held, what is demand, and what may be promised."""
    [row] = shop.rows(
        "SELECT held, demand, room FROM stock_level JOIN item ON item.id = item_id"
        " JOIN location ON location.id = location_id WHERE sku = %s AND code = %s",
        *(sku, place),
    )
    return tuple(int(number) for number in row)  # type: ignore[return-value]


def test_an_order_takes_what_was_held(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3), ("KIT", "W1", 2))))).id
    assert order(shop, wanted) == Outcome("committed", "O1")
    assert (numbers(shop, "A"), numbers(shop, "B")) == ((0, 7, 3), (0, 1, 9))
    assert shop.read(wanted).order_no == "O1"


def test_the_same_order_again_changes_nothing_and_another_is_told(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    for order_no in ("O1", "O1", "O2"):
        assert order(shop, wanted, order_no) == Outcome("committed", "O1")
    assert numbers(shop) == (0, 3, 7)


def test_what_is_committed_has_ended(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    order(shop, wanted)
    assert shop.change(release, wanted) == "committed"
    assert shop.change(extend, wanted, 60) == "committed"
    assert move(shop, wanted, "W2").state == "committed"
    expire(shop, wanted)
    assert shop.read(wanted).state == "committed"
    assert numbers(shop) == (0, 3, 7)


def test_a_late_payment_takes_the_same_once_more_if_it_is_there(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    expire(shop, wanted)
    assert order(shop, wanted, again=False) == Outcome("expired")
    assert order(shop, wanted) == Outcome("committed", "O1")
    assert numbers(shop) == (0, 3, 7)


def test_a_late_payment_for_what_is_gone_is_refused(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3), ("B", "W1", 1))))).id
    expire(shop, wanted)
    held(one(shop.reserve(shop.wish(("A", "W1", 8)))))
    lacking = {"sku": "A", "location": "W1", "requested": "3", "available": "2"}
    assert order(shop, wanted) == Outcome("expired", None, "insufficient", (lacking,))
    assert (numbers(shop, "A"), numbers(shop, "B")) == ((8, 0, 2), (0, 0, 10))


def test_a_late_payment_takes_from_its_channels_pool_alone(shop: Shop) -> None:
    shop.set_pool("A", "online", fence=4)
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    expire(shop, wanted)
    held(one(shop.reserve(shop.wish(("A", "W1", 2)))))
    assert order(shop, wanted).problem == "insufficient"
    held(one(shop.reserve(shop.wish(("A", "W1", 6), channel="pos"))))


def test_a_pool_counts_an_order_until_the_base_does(shop: Shop) -> None:
    shop.set_pool("A", "online", fence=4)
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    order(shop, wanted)
    assert shop.rows("SELECT ring_fenced, held FROM stock_pool") == [(Decimal(4), Decimal(3))]
    shop.set_pool("A", "online", fence=5)
    assert shop.rows("SELECT ring_fenced, held FROM stock_pool") == [(Decimal(5), Decimal(3))]


def test_a_number_is_used_once_on_a_level(shop: Shop) -> None:
    first, second = (held(one(shop.reserve(shop.wish(("A", "W1", 1))))).id for _ in range(2))
    order(shop, first)
    with pytest.raises(IntegrityError) as error:
        order(shop, second)
    assert isinstance(error.value.orig, UniqueViolation)
    assert numbers(shop) == (1, 1, 8)
    assert shop.read(second).state == "active"


def test_a_hold_moves_with_all_its_lines(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 2), ("B", "W1", 1))))).id
    before = shop.read(wanted)
    assert move(shop, wanted, "W2") == Outcome("active")
    after = shop.read(wanted)
    assert {line.location for line in after.lines} == {"W2"}
    assert after.expires_at == before.expires_at
    assert (numbers(shop, "A"), numbers(shop, "A", "W2")) == ((0, 0, 10), (2, 0, 1))
    assert order(shop, wanted) == Outcome("committed", "O1")
    assert numbers(shop, "A", "W2") == (0, 2, 1)


def test_lines_of_two_places_come_together(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 1), ("A", "W2", 2))))).id
    assert move(shop, wanted, "W2") == Outcome("active")
    assert (numbers(shop, "A"), numbers(shop, "A", "W2")) == ((0, 0, 10), (3, 0, 0))


def test_a_hold_stays_whole_where_it_is_when_there_is_no_room(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 4), ("B", "W1", 1))))).id
    lacking = {"sku": "A", "location": "W2", "requested": "4", "available": "3"}
    assert move(shop, wanted, "W2") == Outcome("active", None, "insufficient", (lacking,))
    assert move(shop, wanted, "nowhere").problem == "unknown"
    assert (numbers(shop, "A"), numbers(shop, "A", "W2")) == ((4, 0, 6), (0, 0, 3))
    assert {line.location for line in shop.read(wanted).lines} == {"W1"}


def test_a_hold_moves_into_what_has_just_expired(shop: Shop) -> None:
    blocking = held(one(shop.reserve(shop.wish(("A", "W2", 3))))).id
    expire(shop, blocking)
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    assert move(shop, wanted, "W2") == Outcome("active")
    assert numbers(shop, "A", "W2") == (3, 0, 0)


def test_what_was_released_is_ordered_no_more(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    shop.change(release, wanted)
    assert order(shop, wanted) == Outcome("released")
    assert numbers(shop) == (0, 0, 10)


def behind(shop: Shop, statement: str, act: Callable[[], Outcome], *, until: float = 0) -> Outcome:
    """Act while another transaction, which has executed the statement, ends at `until` (Unix time)."""
    with ThreadPoolExecutor(1) as pool, shop.database.driver() as other:
        with other.transaction():
            other.execute(statement)
            acting = pool.submit(act)
            until_blocked(shop)
            time.sleep(max(until - time.time(), 0))
        return acting.result()


def test_a_payment_that_waits_past_the_end_comes_too_late(shop: Shop) -> None:
    done = held(one(shop.reserve(shop.wish(("A", "W1", 3), ttl=1))))
    lock = "SELECT FROM stock_level FOR UPDATE"
    late = behind(shop, lock, lambda: order(shop, done.id, again=False), until=done.expires_at.timestamp() + 0.01)
    assert late == Outcome("expired")
    assert numbers(shop) == (0, 0, 10)


def test_a_hold_moves_only_into_what_is_left_there_by_others(shop: Shop) -> None:
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    shrink = "UPDATE stock_level SET on_hand = 2 FROM location WHERE location.id = location_id AND code = 'W2'"
    assert behind(shop, shrink, lambda: move(shop, wanted, "W2")).problem == "insufficient"
    assert (numbers(shop, "A"), numbers(shop, "A", "W2")) == ((3, 0, 7), (0, 0, 2))


def test_a_hold_moves_into_its_channels_pool_alone(shop: Shop) -> None:
    shop.set_pool("A", "online", fence=1)
    wanted = held(one(shop.reserve(shop.wish(("A", "W2", 2))))).id
    assert move(shop, wanted, "W1").problem == "insufficient"
    assert (numbers(shop, "A"), numbers(shop, "A", "W2")) == ((0, 0, 10), (2, 0, 1))


CLOSE = """
SELECT stock_close_expired(array_agg(item_id), array_agg(location_id), %s, now())
FROM stock_level JOIN location ON location.id = location_id WHERE code = 'W2' AND held > 0
"""


ENDS = {
    "release": "SELECT stock_release(%s)",
    "commit": "SELECT state FROM stock_commit(%s, 'O1', 'O1', false)",
}


@pytest.mark.parametrize("action", ENDS)
def test_what_closed_where_it_came_to_has_ended(shop: Shop, action: str) -> None:
    """The one that waits for a move must look where the hold is now: its second may be closed there."""
    wanted = held(one(shop.reserve(shop.wish(("A", "W1", 3))))).id
    [(second,)] = shop.rows("SELECT expires_second FROM reservation")
    with ThreadPoolExecutor(1) as pool, shop.database.driver() as other:
        with other.transaction():
            other.execute("SELECT stock_transfer(%s, 'W2', false)", (wanted,))
            ending = pool.submit(shop.rows, ENDS[action], wanted)
            until_blocked(shop)
            other.execute(CLOSE, (second,))
        assert ending.result() == [("expired",)]
    assert (numbers(shop), numbers(shop, "A", "W2")) == ((0, 0, 10), (0, 0, 3))


def test_moves_and_ends_of_the_same_holds_at_once(shop: Shop) -> None:
    wishes = [shop.wish(("A", "W1", 1), ("B", "W1", 1)) for _ in range(6)]
    ids = [held(outcome).id for outcome in shop.reserve(*wishes)]
    moves = [("SELECT stock_transfer(%s, %s, false)", wanted, place) for wanted in ids for place in ("W1", "W2")] * 6
    lasts = [("SELECT stock_extend(%s, %s)", wanted, ttl) for wanted in ids for ttl in (900, 1800)] * 4
    ends = [("SELECT stock_release(%s)", wanted) for wanted in ids[:3]]
    orders = [("SELECT stock_commit(%s, %s, '', false)", wanted, str(wanted)) for wanted in ids[2:5]]
    middle = random.Random(1).sample(work := [*moves, *lasts], len(work))
    work = [*middle[: len(middle) // 2], *ends, *orders, *middle[len(middle) // 2 :]]

    def act(share: int) -> None:
        with shop.database.driver() as connection:
            for statement, *values in work[share::4]:
                connection.execute(statement, values)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    states = [state for (state,) in shop.rows("SELECT state FROM reservation")]
    assert states.count("active") == 1
    assert sum(numbers(shop, "A", place)[0] for place in ("W1", "W2")) == 1
