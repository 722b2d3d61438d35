"""Reservations in a real database: what is held, for how long, for whom, and what is refused."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from hub.clock import utc_now
from hub.db.partitions import close_partitions, make_partitions
from hub.idempotency import KeyReusedError
from hub.stock.expiry import sweep_expired
from hub.stock.reservations import (
    Held,
    Line,
    Refused,
    Reserving,
    extend,
    release,
    reserve,
)
from tests.integration.reservation_shop import Shop, held, one, refused, until_blocked

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from hub.db.session import Database


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def test_all_lines_or_none(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)
    shop.set("B", "W1", on_hand=1)
    outcome = refused(one(shop.reserve(shop.wish(("A", "W1", 2), ("B", "W1", 2), ("C", "W1", 1)))))
    assert outcome.problem == "insufficient"
    assert outcome.lines == (
        {"sku": "B", "location": "W1", "requested": "2", "available": "1"},
        {"sku": "C", "location": "W1", "requested": "1", "available": "0"},
    )
    assert (shop.room("A"), shop.room("B")) == (5, 1)
    held(one(shop.reserve(shop.wish(("A", "W1", 2), ("B", "W1", 1)))))
    assert (shop.room("A"), shop.room("B")) == (3, 0)
    shop.check()


def test_lines_of_one_sku_are_summed_and_weighed_goods_are_fractions(shop: Shop) -> None:
    shop.set("A", "W1", on_hand="1.5")
    assert refused(one(shop.reserve(shop.wish(("A", "W1", "0.8"), ("A", "W1", "0.8"))))).lines[0]["requested"] == "1.6"
    held(one(shop.reserve(shop.wish(("A", "W1", "0.75"), ("A", "W1", "0.75")))))
    assert shop.room("A") == 0


def test_kits_are_taken_apart_and_share_components_with_other_lines(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)
    shop.set("B", "W1", on_hand=1)
    assert refused(one(shop.reserve(shop.wish(("KIT", "W1", 2), ("A", "W1", 2))))).lines == (
        {"sku": "A", "location": "W1", "requested": "6", "available": "5"},
    )
    done = held(one(shop.reserve(shop.wish(("KIT", "W1", 2), ("A", "W1", 1)))))
    assert (shop.room("A"), shop.room("B")) == (0, 0)
    assert shop.read(done.id).lines == (Line("KIT", "W1", Decimal(2)), Line("A", "W1", Decimal(1)))


def test_requests_of_one_statement_are_served_in_their_order(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=10)
    outcomes = shop.reserve(*(shop.wish(("A", "W1", quantity)) for quantity in (4, 7, 6, 1)))
    assert [type(outcome) for outcome in outcomes] == [Held, Refused, Held, Refused]
    assert refused(outcomes[1]).lines[0]["available"] == "6"
    shop.check()


def test_what_is_unknown_is_named_and_takes_nobody_with_it(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=1)
    outcomes = shop.reserve(shop.wish(("A", "W1", 1), ("NO", "W1", 1), ("A", "NO", 1)), shop.wish(("A", "W1", 1)))
    assert refused(outcomes[0]).problem == "unknown"
    assert [(line["sku"], line["location"]) for line in refused(outcomes[0]).lines] == [("A", "NO"), ("NO", "W1")]
    held(outcomes[1])


def test_what_breaks_the_statement_fails_alone(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=9)
    good = [shop.wish(("A", "W1", 1)) for _ in range(6)]
    outcomes = shop.reserve(*good[:2], shop.wish(("A\x00", "W1", 1)), *good[2:5], shop.wish(), good[5])
    assert [isinstance(outcome, Held) for outcome in outcomes] == [True, True, False, True, True, True, False, True]
    assert all(isinstance(outcomes[number], DBAPIError) for number in (2, 6))
    assert shop.room("A") == 3
    shop.check()


def test_what_becomes_known_meanwhile_is_still_refused_as_unknown(shop: Shop) -> None:
    """The request waits for a level while the article that it names is made."""
    shop.set("A", "W1", on_hand=5)
    wish = shop.wish(("NEW", "W1", 1), ("A", "W1", 1))

    async def race(engine: AsyncEngine) -> list[Held | Refused | Exception]:
        with shop.database.driver() as blocker:
            with blocker.transaction():
                blocker.execute("SELECT FROM stock_level FOR UPDATE")
                waiting = asyncio.create_task(reserve(engine, [wish]))
                await asyncio.to_thread(until_blocked, shop)
                blocker.execute("INSERT INTO item (sku, name, unit) VALUES ('NEW', 'new', 'EA')")
            return await waiting

    assert refused(one(shop.run(race))).problem == "unknown"
    again = refused(one(shop.reserve(wish)))
    assert (again.replayed, [line["sku"] for line in again.lines]) == (True, ["NEW"])


def test_a_locked_level_keeps_only_those_waiting_that_ask_for_it(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=100)
    shop.set("B", "W1", on_hand=100)

    async def work() -> tuple[list[Held | Refused], int]:
        reserving = Reserving(shop.database)
        try:
            with shop.database.driver() as blocker:
                with blocker.transaction():
                    blocker.execute(
                        "SELECT FROM stock_level AS level JOIN item ON item.id = item_id WHERE sku = 'A'"
                        " FOR UPDATE OF level"
                    )
                    blocked = [asyncio.create_task(reserving.ask(shop.wish(("A", "W1", 1)))) for _ in range(3)]
                    await asyncio.to_thread(until_blocked, shop)
                    others = await asyncio.gather(*(reserving.ask(shop.wish(("B", "W1", 1))) for _ in range(30)))
                    done = sum(task.done() for task in blocked)
                return [*others, *await asyncio.gather(*blocked)], done
        finally:
            await reserving.close()

    outcomes, done = asyncio.run(work())
    assert done == 0
    assert all(isinstance(outcome, Held) for outcome in outcomes)
    assert (shop.room("A"), shop.room("B")) == (97, 70)
    shop.check()


def test_a_lost_connection_is_made_up_for(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)

    async def work(engine: AsyncEngine) -> list[Held | Refused | Exception]:
        await reserve(engine, [shop.wish(("A", "W1", 1))])
        shop.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%%stock_reserve%%'"
        )
        return await reserve(engine, [shop.wish(("A", "W1", 1))])

    assert not held(one(shop.run(work))).replayed
    assert shop.room("A") == 3


def test_places_that_do_not_sell_online_are_for_stores(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)
    shop.rows("UPDATE location SET sellable_online = false RETURNING 1")
    assert refused(one(shop.reserve(shop.wish(("A", "W1", 1))))).problem == "unknown"
    held(one(shop.reserve(replace(shop.wish(("A", "W1", 1)), everywhere=True))))


def test_a_kit_needs_all_of_its_parts(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=50)
    shop.set("B", "W1", on_hand=50)
    shop.rows("UPDATE item SET active = false WHERE sku = 'B' RETURNING 1")
    assert [line["sku"] for line in refused(one(shop.reserve(shop.wish(("KIT", "W1", 1))))).lines] == ["KIT"]


def test_a_key_counts_once_even_within_one_statement(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=10)
    wish = shop.wish(("A", "W1", 3), key="k")
    first, second = shop.reserve(wish, shop.wish(("A", "W1", 3), key="k"))
    assert held(second) == Held(held(first).id, "online", held(first).expires_at, replayed=True)
    assert held(one(shop.reserve(shop.wish(("A", "W1", 3), key="k")))).replayed
    assert isinstance(one(shop.reserve(shop.wish(("A", "W1", 4), key="k"))), KeyReusedError)
    assert shop.room("A") == 7
    lacking = shop.wish(("A", "W1", 8), key="no")
    refused(one(shop.reserve(lacking)))
    shop.change(release, held(first).id)
    again = refused(one(shop.reserve(shop.wish(("A", "W1", 8), key="no"))))
    assert (again.replayed, again.lines[0]["available"]) == (True, "7")


def test_what_expires_is_free_at_once_and_for_good(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=1)
    first = held(one(shop.reserve(shop.wish(("A", "W1", 1), ttl=1))))
    refused(one(shop.reserve(shop.wish(("A", "W1", 1)))))
    time.sleep(max(first.expires_at.timestamp() - time.time(), 0) + 0.01)
    assert shop.read(first.id).state == "expired"
    second = held(one(shop.reserve(shop.wish(("A", "W1", 1)))))
    assert shop.change(extend, first.id, 900) == "expired"
    assert shop.change(release, first.id) == "expired"
    assert shop.read(second.id).state == "active"
    assert shop.room("A") == 0
    shop.check()


def test_what_was_closed_stays_closed_when_the_clock_is_set_back(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=2)
    shop.set("B", "W1", on_hand=4)
    done = held(one(shop.reserve(shop.wish(("A", "W1", 1), ttl=60))))
    neighbour = held(one(shop.reserve(shop.wish(("B", "W1", 1), ttl=60))))
    shop.rows(
        "UPDATE stock_level SET closed_through = %s FROM item WHERE item.id = item_id AND sku = 'A' RETURNING 1",
        int(done.expires_at.timestamp()),
    )
    assert shop.read(done.id).state == "expired"
    assert shop.change(extend, done.id, 900) == "expired"
    # a new one is counted from the moment that was reached, so that nobody ends it too early; the others are not
    later, other, both = (
        held(outcome)
        for outcome in shop.reserve(
            shop.wish(("A", "W1", 1), ttl=60),
            shop.wish(("B", "W1", 1), ttl=60),
            shop.wish(("B", "W1", 1), ttl=60),
        )
    )
    assert (later.expires_at - done.expires_at).total_seconds() == 61
    assert 0 <= (other.expires_at - neighbour.expires_at).total_seconds() <= 2
    assert both.expires_at == other.expires_at
    assert shop.read(neighbour.id).state == "active"
    assert shop.rows("SELECT closed_through FROM stock_level JOIN item ON item.id = item_id WHERE sku = 'B'") == [(0,)]


def test_a_pool_counts_what_its_channel_holds_already(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=10)
    before = held(one(shop.reserve(shop.wish(("A", "W1", 3), channel="live"))))
    assert shop.set_pool("A", "live", fence=4)
    assert refused(one(shop.reserve(shop.wish(("A", "W1", 2), channel="live")))).lines[0]["available"] == "1"
    shop.change(release, before.id)
    shop.check()
    held(one(shop.reserve(shop.wish(("A", "W1", 4), channel="live"))))
    assert shop.set_pool("A", "live")
    held(one(shop.reserve(shop.wish(("A", "W1", 6), channel="live"))))
    shop.check()


def test_states_lead_to_an_end_and_no_further(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=9)
    first = held(one(shop.reserve(shop.wish(("A", "W1", 2))))).id
    for action, *rest in ((release,), (release,), (extend, 900)):
        assert shop.change(action, first, *rest) == "released"
    assert shop.room("A") == 9
    assert shop.change(release, shop.wish(("A", "W1", 1)).id) is None
    shop.check()


def test_extending_never_makes_it_shorter(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=2)
    done = held(one(shop.reserve(shop.wish(("A", "W1", 1), ttl=100))))
    assert shop.change(extend, done.id, 10) == "active"
    assert shop.read(done.id).expires_at == done.expires_at
    assert shop.change(extend, done.id, 500) == "active"
    assert 399 <= (shop.read(done.id).expires_at - done.expires_at).total_seconds() <= 402
    shop.check()


def test_a_place_that_is_counted_promises_nothing(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=2, frozen_at="2026-01-01T00:00Z")
    assert refused(one(shop.reserve(shop.wish(("A", "W1", 1))))).problem == "frozen"


def test_a_channel_takes_from_its_pool_and_the_others_share_the_rest(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=20, safety_stock=2, buffer=1)
    assert shop.set_pool("A", "live", fence=4)
    assert shop.set_pool("A", "wholesale", percent=25)
    assert not shop.set_pool("B", "live", fence=4)
    # 17 may be promised: 4 to live, floor(18 * 25 %) = 4 to wholesale, 9 to all others
    taken = [("live", 5), ("live", 4), ("live", 1), ("wholesale", 5), ("wholesale", 4), ("online", 10), ("store", 9)]
    outcomes = shop.reserve(*(shop.wish(("A", "W1", quantity), channel=channel) for channel, quantity in taken))
    assert [isinstance(outcome, Held) for outcome in outcomes] == [False, True, False, False, True, False, True]
    assert [refused(outcomes[number]).lines[0]["available"] for number in (0, 2, 3, 5)] == ["4", "0", "4", "9"]
    assert shop.room("A") == 0
    shop.check()
    # a base that shrinks takes nobody's reservation back, and no pool promises more than there is
    shop.change(release, held(outcomes[1]).id)
    shop.rows("UPDATE stock_level SET on_hand = 17 RETURNING 1")
    assert refused(one(shop.reserve(shop.wish(("A", "W1", 2), channel="live")))).lines[0]["available"] == "1"


def test_what_is_set_apart_for_a_channel_is_not_for_the_others(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=10)
    shop.set_pool("A", "live", fence=4)
    assert refused(one(shop.reserve(shop.wish(("A", "W1", 7))))).lines[0]["available"] == "6"
    held(one(shop.reserve(shop.wish(("A", "W1", 6)))))
    held(one(shop.reserve(shop.wish(("A", "W1", 4), channel="live"))))


def test_sweeping_marks_what_has_expired_and_frees_it_once(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=5)
    shop.set("B", "W1", on_hand=5)
    wishes = [shop.wish(("A", "W1", 1), ("B", "W1", 1), ttl=1) for _ in range(3)]
    done = [held(outcome) for outcome in shop.reserve(*wishes, shop.wish(("A", "W1", 2), ttl=600))]
    with shop.database.driver() as connection:
        assert sweep_expired(connection) == 0
        time.sleep(max(done[0].expires_at.timestamp() - time.time(), 0) + 0.01)
        assert sweep_expired(connection) == 2 + 3
        assert sweep_expired(connection) == 0
    assert (shop.room("A"), shop.room("B")) == (3, 5)
    assert shop.rows("SELECT state, count(*) FROM reservation GROUP BY 1 ORDER BY 1") == [("active", 1), ("expired", 3)]
    assert shop.rows("SELECT quantity FROM hold_event WHERE kind = 'expired'") == [(-3,), (-3,)]
    shop.check()


def test_days_of_events_are_given_up_with_a_balance(shop: Shop) -> None:
    shop.set("A", "W1", on_hand=9)
    shop.reserve(shop.wish(("A", "W1", 2)), shop.wish(("A", "W1", 3)))
    today = utc_now().date()
    name = f"hold_event_{today:%Y%m%d}"
    with shop.database.driver() as connection:
        make_partitions(connection)
        assert shop.rows(f"SELECT count(*) FROM {name}") == [(2,)]
        close_partitions(connection, days=1)
        assert shop.rows("SELECT * FROM hold_balance") == []
        close_partitions(connection, days=-1)
        assert [quantity for _, _, _, quantity, _ in shop.rows("SELECT * FROM hold_balance")] == [5]
        assert shop.rows("SELECT count(*) FROM hold_event") == [(0,)]
        # without a partition of its own an event is kept all the same, and the day's is not made over its head
        shop.reserve(shop.wish(("A", "W1", 1)))
        make_partitions(connection)
    assert shop.rows("SELECT quantity FROM hold_event_other") == [(1,)]
