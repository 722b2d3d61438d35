"""Why a number is what it is: the terms add up, now and at any moment of the past."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.errors import DomainError
from hub.stock.expiry import sweep_expired
from hub.stock.explain import MOST_TOLD, OTHERS, Explanation, Pool, Term, explain
from hub.stock.pools import set_pool
from hub.stock.reservations import Held, extend, release, transfer
from hub.stock.timeline import SLOTS, Timeline, read_timeline
from tests.integration.explained_level import A1, Counter, agreed, terms

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.integration.conftest import Hub


@pytest.fixture
def counter(hub: Hub) -> Counter:
    return Counter(hub)


# --- now


def test_every_term_is_told_with_its_document(counter: Counter) -> None:
    counter.sell("R1", 3)
    counter.bring("B1", 2)
    cart = counter.hold(5)
    counter.execute("UPDATE stock_level SET safety_stock = 4, buffer = 1 WHERE on_hand = 100")
    explained = counter.look(agreed)
    assert terms(explained, "demand", "supply", "reservation", "safety_stock", "buffer") == [
        ("supply", 2, "return", "B1"),
        ("demand", -3, "sale", "R1"),
        ("reservation", -5, "cart", str(cart)),
        ("safety_stock", -4, None, None),
        ("buffer", -1, None, None),
    ]
    assert (explained.on_hand, explained.available, explained.unit) == (100, 89, "EA")
    base = explained.terms[0]
    assert (base.kind, base.quantity, base.cause, base.source) == ("base", 100, "snapshot", "sap")
    [(batch,)] = counter.hub.query("SELECT max(id) FROM stock_batch WHERE kind = 'full'")
    assert base.number == str(batch)
    assert base.read_began_at < base.read_ended_at < base.effective_at <= base.recorded_at  # type: ignore[operator]
    sale, cart_term = explained.terms[2:4]
    assert sale.source == "pos"
    assert cart_term.source == "online"
    assert cart_term.expires_at - cart_term.effective_at > timedelta(seconds=899)  # type: ignore[operator]
    assert (explained.stale, explained.as_of is None) == (False, False)


def test_what_the_base_contains_of_a_document_is_no_term(counter: Counter) -> None:
    counter.sell("R1", 5)
    counter.hub.erp.post("R1", A1, 2)
    counter.follow()
    assert terms(counter.look(agreed), "base", "demand") == [
        ("base", 98, "delta", counter.why().terms[0].number),
        ("demand", -3, "sale", "R1"),
    ]


def test_what_has_expired_is_no_term_marked_or_not(counter: Counter) -> None:
    counter.hold(5, ttl=1)
    counter.hold(3)
    before = counter.now()
    time.sleep(2.1)
    assert terms(counter.look(agreed), "reservation")[0][1] == -3
    assert [term[1] for term in terms(counter.why(before, before), "reservation")] == [-5, -3]
    assert [term[1] for term in terms(counter.why(before + timedelta(seconds=2.05)), "reservation")] == [-3]
    with counter.hub.database.driver() as connection:
        while sweep_expired(connection):
            pass
    assert terms(counter.look(agreed), "reservation")[0][1] == -3
    assert [term[1] for term in terms(counter.why(before, before), "reservation")] == [-5, -3]


def test_a_level_that_is_counted_says_so(counter: Counter) -> None:
    counter.sell("R1", 3)
    counter.execute("UPDATE stock_level SET frozen_at = '2026-01-01T00:00Z' WHERE on_hand = 100")
    explained = counter.look(agreed)
    assert explained.available == 0
    assert terms(explained)[-1] == ("frozen", -97, "count", None)
    assert counter.why(at=counter.now()).available == 0


def test_pools_are_told(counter: Counter) -> None:
    with counter.hub.database.driver() as connection:
        set_pool(connection, "A", "W1", "online", Decimal(20), None)
        set_pool(connection, "A", "W1", "mall", None, Decimal(10))
    counter.hold(5)
    expected = (Pool("mall", None, Decimal(10), Decimal(0)), Pool("online", Decimal(20), None, Decimal(5)))
    assert counter.look(agreed).pools == expected
    assert counter.why(at=counter.now()).pools == ()


def test_a_level_that_nobody_has_read_is_empty(counter: Counter) -> None:
    for moment in (None, counter.now()):
        assert counter.why(moment, place="S1").terms == (Term("base", Decimal(0)),)


@pytest.mark.parametrize(
    ("sku", "place", "code"),
    [("B?", "W1", "sku-not-found"), ("A\x00", "W1", "sku-not-found"), ("A", "W9", "location-not-found")],
)
def test_what_nobody_knows_is_refused(counter: Counter, sku: str, place: str, code: str) -> None:
    with pytest.raises(DomainError) as error:
        counter.look(lambda view: explain(view, sku, place))
    assert (error.value.code, error.value.status) == (code, 404)


@pytest.mark.parametrize("name", ["at", "known_at"])
def test_nobody_knows_the_future(counter: Counter, name: str) -> None:
    for moment in (counter.now() + timedelta(minutes=1), datetime(1, 1, 1, tzinfo=UTC)):
        with pytest.raises(DomainError) as error:
            counter.why(**{name: moment})
        assert error.value.extra["errors"][0]["pointer"] == f"/query/{name}"


def test_only_so_many_documents_are_told_one_by_one(counter: Counter) -> None:
    for number in range(MOST_TOLD + 30):
        counter.sell(f"R{number}")
        if number == 0:
            carts = [counter.carts.wish(("A", "W1", "0.1")) for _ in range(MOST_TOLD + 7)]
            assert all(isinstance(outcome, Held) for outcome in counter.carts.reserve(*carts))
    for explained in (counter.why(), counter.why(at=counter.now())):
        for kind, rest in (("demand", -30), ("reservation", Decimal("-0.7"))):
            told = [term for term in explained.terms if term.kind == kind]
            assert len(told) == MOST_TOLD + 1
            assert (told[-1].cause, told[-1].number, told[-1].quantity) == (OTHERS, None, rest)
        assert explained.available == 100 - MOST_TOLD - 30 - Decimal("20.7")


# --- the past


def test_what_a_till_tells_late_was_sold_before_it_was_known(counter: Counter) -> None:
    before = counter.now()
    sold_at = before - timedelta(minutes=30)
    counter.backdate(hours=1)
    counter.sell("R1", 3, sold_at)
    between = before - timedelta(minutes=10)
    assert terms(counter.why(at=between), "demand") == [("demand", -3, "sale", "R1")]
    assert counter.why(at=between).terms[1].effective_at == sold_at
    assert terms(counter.why(at=between, known_at=before), "demand") == []
    assert terms(counter.why(at=sold_at - timedelta(seconds=1)), "demand") == []
    assert counter.why(known_at=between).available == 100
    assert terms(counter.why(at=counter.now(), known_at=before), "base", "demand")[0][1] == 100


def test_what_a_till_tells_of_the_future_counts_at_once(counter: Counter) -> None:
    counter.sell("R1", 3, datetime.now(UTC) + timedelta(hours=1))
    assert counter.look(agreed).available == 97
    assert counter.why(at=counter.now()).available == 97


def test_limits_and_counts_of_the_past_are_those_of_the_ledger(counter: Counter) -> None:
    moments = []
    for status, before, after, source in (
        ("safety_stock", 0, 10, "boss"),
        ("buffer", 0, 3, "lag"),
        ("safety_stock", 10, 4, "clerk"),
        ("frozen", 0, 1, "PD-1"),
        ("frozen", 1, 0, "PD-1"),
    ):
        counter.execute(
            "INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,"
            " effective_at) SELECT item_id, location_id, %s, %s, %s, 'set', %s, clock_timestamp() FROM stock_level"
            " WHERE on_hand = 100",
            *(status, before, after, source),
        )
        moments.append(counter.now())
    assert [int(counter.why(moment).available) for moment in moments] == [90, 87, 93, 0, 93]
    assert [(term.kind, int(term.quantity), term.source) for term in counter.why(moments[3]).terms[1:]] == [
        ("safety_stock", -4, "clerk"),
        ("buffer", -3, "lag"),
        ("frozen", -93, "PD-1"),
    ]
    assert [term.kind for term in counter.why(moments[4]).terms] == ["base", "safety_stock", "buffer"]


def test_the_base_of_the_past_is_the_read_that_was_in_force(counter: Counter) -> None:
    first = counter.now()
    counter.set(90)
    counter.follow()
    second = counter.now()
    counter.set(80)
    counter.follow()
    explained = counter.why(first)
    assert (explained.on_hand, explained.terms[0].cause, explained.stale) == (100, "snapshot", None)
    assert explained.as_of == explained.terms[0].read_began_at
    assert counter.why(second).terms[0].cause == "delta"
    assert (counter.why(second).on_hand, counter.why(known_at=second).on_hand, counter.why().on_hand) == (90, 90, 80)
    assert counter.why(datetime(2020, 1, 1, tzinfo=UTC)).terms == (Term("base", Decimal(0)),)


def test_a_hold_that_moved_was_where_it_was(counter: Counter) -> None:
    counter.hold(2)
    cart = counter.hold(4)
    before = counter.now()
    counter.write(transfer, cart, "W2", everywhere=False)
    assert [term.quantity for term in counter.look(agreed).terms[1:]] == [-2]
    assert [term.quantity for term in counter.why(before).terms[1:]] == [-2, -4]
    assert counter.why(before, place="W2").available == 50
    assert counter.why(counter.now(), place="W2").available == counter.why(place="W2").available == 46


def test_a_hold_that_was_put_off_for_days_is_found(counter: Counter) -> None:
    cart = counter.hold(4)
    counter.carts.change(extend, cart, 86_400)
    for table in ("hold_event", "reservation"):
        column = "recorded_at" if table == "hold_event" else "created_at"
        counter.execute(f"UPDATE {table} SET {column} = {column} - interval '3 days'")
    counter.carts.change(extend, cart, 86_400 + 10)
    assert terms(counter.why(counter.now()), "reservation") == terms(counter.look(agreed), "reservation")


def test_reservations_that_are_forgotten_are_told_together(counter: Counter) -> None:
    counter.hold(4)
    gone = counter.hold(5)
    before = counter.now()
    counter.write(release, gone)
    counter.execute("DELETE FROM reservation WHERE id = %s", gone)
    assert [(term.cause, int(term.quantity)) for term in counter.why(before).terms[1:]] == [("cart", -4), (OTHERS, -5)]
    assert [int(term.quantity) for term in counter.why(counter.now()).terms[1:]] == [-4]


# --- the picture's numbers


def test_the_timeline_ends_at_the_number_and_begins_where_the_day_did(counter: Counter) -> None:
    async def lines(view: AsyncConnection, at: datetime | None = None) -> tuple[Explanation, Timeline]:
        explained = await explain(view, "A", "W1", at=at)
        return explained, await read_timeline(view, explained)

    counter.backdate(days=2)
    counter.sell("R1", 3, datetime.now(UTC) - timedelta(hours=6))
    counter.hold(5, ttl=1)
    before = counter.now()
    counter.bring("B1", 2)
    time.sleep(2.1)
    explained, timeline = counter.look(lines)
    assert len(timeline.values) == SLOTS + 1 == len(timeline.changes) + 1
    assert timeline.values[0] == 100
    assert timeline.values[-1] == explained.available == 99
    assert timeline.values[SLOTS // 2] == 100
    assert timeline.values[SLOTS - 2] == 97
    assert [(change.kind, int(change.quantity), change.count) for change in timeline.changes[-1]] == [
        ("reservation", 0, 2),
        ("supply", 2, 1),
    ]
    assert [change.kind for slot in timeline.changes[:-1] for change in slot] == ["demand"]
    explained, timeline = counter.look(lambda view: lines(view, before))
    assert timeline.values[-1] == explained.available == 92
    assert timeline.values[0] == 100
