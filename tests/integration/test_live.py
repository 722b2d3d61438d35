"""The near-real-time loop over a real PostgreSQL: polls, pushes, one worker at a time, and sources that fail."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.contracts import Changes, PushedEvent, StockKey
from hub.errors import AuthFailed, RecordError, Unavailable
from hub.settings import LiveSettings
from hub.stock.withheld import Rule, Scope, save_rule
from hub.sync.inbox import STORE, event_parameters, replay_quarantined
from hub.sync.live import LiveLoop
from tests.fake_erp import FakeErp, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from hub.sync.outbox import Published
    from tests.integration.conftest import Hub

FAST = LiveSettings(
    poll_seconds=0.1, inbox_poll_seconds=0.2, error_wait_seconds=0.2, inbox_attempts=2, levels_seconds=0.2
)


@pytest.fixture
def stocked(hub: Hub) -> Hub:
    hub.erp.rows = [row("A", "P/1", 3), row("B", "P/1", 4)]
    hub.sync.snapshot()
    return hub


@asynccontextmanager
async def running(hub: Hub, *erps: FakeErp, settings: LiveSettings = FAST) -> AsyncIterator[LiveLoop]:
    published: list[Published] = []

    async def publish(rows: Sequence[Published]) -> None:
        published.extend(rows)

    syncs = [hub.inventory(erp) for erp in erps or (hub.erp,)]
    loop = LiveLoop(hub.database, syncs, settings, publish, posted_after_hours=72)
    loop.published = published  # type: ignore[attr-defined]
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    loop.task = task  # type: ignore[attr-defined]
    try:
        yield loop
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def until(holds: Callable[[], object], seconds: float = 8) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await asyncio.to_thread(holds):
        assert asyncio.get_running_loop().time() < deadline, "did not happen in time"
        await asyncio.sleep(0.05)


def push(hub: Hub, event_id: str) -> None:
    event = PushedEvent(event_id, "material_document", {"id": event_id})
    with hub.database.driver() as connection:
        connection.execute(STORE, event_parameters("sap", event))
        connection.execute("NOTIFY oneshelf_inbox")


async def test_a_change_at_the_erp_shows_by_itself(stocked: Hub) -> None:
    async with running(stocked) as loop:
        await until(lambda: loop.status.polls.get("sap", 0) > 0)
        stocked.erp.set("A", "P/1", 1)
        await until(lambda: stocked.levels()["A", "W1"] == 1)
        await until(lambda: loop.published)  # type: ignore[attr-defined]
    topics = {(row.topic, row.key) for row in loop.published}  # type: ignore[attr-defined]
    assert topics == {("stock.changed", "sap")}
    sequence = [row.seq for row in loop.published]  # type: ignore[attr-defined]
    assert sequence == sorted(set(sequence))


async def test_what_is_withheld_and_what_is_low_is_looked_after(stocked: Hub) -> None:
    with stocked.database.driver() as connection:
        save_rule(connection, Rule(Scope(sku="A"), Decimal(2)))
        assert stocked.query("SELECT room FROM stock_level WHERE safety_stock = 2") == []
    async with running(stocked) as loop:
        await until(lambda: stocked.query("SELECT room FROM stock_level WHERE safety_stock = 2") == [(1,)])
        stocked.erp.set("A", "P/1", 1)
        await until(lambda: any(row.topic == "stock.low" for row in loop.published))  # type: ignore[attr-defined]
        stocked.erp.set("A", "P/1", 2)
        await until(lambda: stocked.query("SELECT count(ended_at) FROM stock_crossing") == [(1,)])


async def test_what_nobody_asks_for_any_more_is_forgotten(stocked: Hub) -> None:
    with stocked.database.driver() as connection:
        connection.execute(
            "INSERT INTO idempotency_key (principal, key, route, digest, created_at)"
            " SELECT 'shop', age, 'r', '', clock_timestamp() - age::interval"
            " FROM unnest(ARRAY['71 hours', '73 hours']) AS age"
        )
    async with running(stocked):
        await until(lambda: stocked.query("SELECT key FROM idempotency_key") == [("71 hours",)])


async def test_trouble_with_it_is_no_reason_to_follow_the_erps_no_longer(stocked: Hub) -> None:
    def rename(old: str, new: str) -> None:
        with stocked.database.driver() as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("stock_rate", "gone")
    async with running(stocked) as loop:
        polls = loop.status.polls.get("sap", 0)
        await until(lambda: loop.status.polls.get("sap", 0) > polls + 5)
        rename("gone", "stock_rate")
        await until(lambda: stocked.query("SELECT count(*) FROM source_position WHERE stream = 'rates'") == [(1,)])


async def test_a_push_is_looked_up_at_once_and_worked_once(stocked: Hub) -> None:
    slow = FAST.model_copy(update={"poll_seconds": 60})
    async with running(stocked, settings=slow) as loop:
        await until(lambda: loop.status.polls.get("sap", 0) > 0)
        stocked.erp.set("B", "P/1", 0)
        stocked.erp.events["doc-1"] = frozenset({StockKey("B", "P/1")})
        push(stocked, "doc-1")
        push(stocked, "doc-1")
        await until(lambda: stocked.levels() == {("A", "W1"): Decimal(3)})
    assert stocked.query("SELECT state, attempts FROM inbox") == [("done", 1)]
    assert stocked.query("SELECT cause FROM stock_ledger ORDER BY id DESC LIMIT 1") == [("push",)]


async def test_a_push_that_can_not_be_read_yet_is_tried_again_then_quarantined(stocked: Hub) -> None:
    def unavailable(event: PushedEvent) -> frozenset[StockKey]:
        raise Unavailable(f"{event.event_id} is not visible yet", system="sap", operation="document")

    stocked.erp.event_keys = unavailable  # type: ignore[method-assign]
    async with running(stocked):
        push(stocked, "doc-1")
        await until(lambda: stocked.query("SELECT state FROM inbox") == [("quarantined",)])
    assert stocked.query("SELECT attempts FROM inbox") == [(2,)]
    assert ("inbox", "doc-1@?", "push_failed") in stocked.quarantined()
    del stocked.erp.event_keys  # type: ignore[method-assign]
    stocked.erp.events["doc-1"] = frozenset()
    with stocked.database.driver() as connection, connection.transaction():
        assert replay_quarantined(connection, "sap") == 1
    async with running(stocked):
        await until(lambda: stocked.query("SELECT state FROM inbox") == [("done",)])
    assert stocked.quarantined() == set()


async def test_pushes_wait_unharmed_until_their_source_can_be_read_again(stocked: Hub) -> None:
    stocked.erp.fails = Unavailable("no answer", system="sap", operation="changed_keys")
    stocked.erp.events["doc-1"] = frozenset({StockKey("A", "P/1")})
    async with running(stocked) as loop:
        await until(lambda: "sap" in loop.status.errors)
        push(stocked, "doc-1")
        polls = loop.status.polls["sap"]
        await until(lambda: loop.status.polls["sap"] > polls + 3)
        assert stocked.query("SELECT state, attempts FROM inbox") == [("pending", 0)]
        stocked.erp.fails = None
        await until(lambda: stocked.query("SELECT state, attempts FROM inbox") == [("done", 1)])


async def test_who_does_not_let_us_in_is_left_alone_for_a_while(stocked: Hub) -> None:
    asked = 0

    def refuse(_: object) -> Changes:
        nonlocal asked
        asked += 1
        raise AuthFailed("wrong password", system="sap", operation="log-on")

    stocked.erp.changed_keys = refuse  # type: ignore[method-assign]
    stocked.erp.events["doc-1"] = frozenset({StockKey("A", "P/1")})
    async with running(stocked) as loop:
        await until(lambda: loop.status.polls.get("sap", 0) > 5)
        push(stocked, "doc-1")
        await until(lambda: loop.status.polls["sap"] > 10)
        assert "not asked again before" in loop.status.errors["sap"]
        assert stocked.query("SELECT state, attempts FROM inbox") == [("pending", 0)]
    assert asked == 1
    # the feed tells what was wrong, that somebody looks, and when it is asked again: later each time
    state = "SELECT error LIKE '%wrong password%', refusals FROM feed WHERE source = 'sap'"
    assert stocked.query(state) == [(True, 1)]
    for seconds, refusals in ((300, 2), (1500, 3), (3600, 4), (3600, 5)):
        stocked.query("UPDATE feed SET asked_after = now() RETURNING 1")
        with pytest.raises(AuthFailed, match="wrong password"):
            stocked.sync.delta()
        [(rest,)] = stocked.query("SELECT extract(epoch FROM asked_after - now()) FROM feed WHERE source = 'sap'")
        assert seconds - 5 < rest <= seconds
        assert stocked.query(state) == [(True, refusals)]
        with pytest.raises(AuthFailed, match="not asked again"):
            stocked.sync.delta()
    # a new start asks at once, and all is well when it is let in
    del stocked.erp.changed_keys  # type: ignore[method-assign]
    async with running(stocked) as loop:
        await until(lambda: stocked.query("SELECT state FROM inbox") == [("done",)])
        await until(lambda: loop.status.errors == {})
    assert stocked.query("SELECT refusals, asked_after FROM feed WHERE source = 'sap'") == [(0, None)]


async def test_trouble_with_what_has_expired_does_not_end_the_loop(
    stocked: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = 0

    def fail(_: object) -> int:
        nonlocal swept
        swept += 1
        raise psycopg.errors.CheckViolation("held_not_negative")

    monkeypatch.setattr("hub.sync.live.sweep_expired", fail)
    async with running(stocked):
        await until(lambda: swept > 1)
        stocked.erp.set("A", "P/1", 1)
        await until(lambda: stocked.levels()["A", "W1"] == 1)


async def test_one_bad_push_does_not_hold_up_the_others(stocked: Hub) -> None:
    def read(event: PushedEvent) -> frozenset[StockKey]:
        if event.event_id == "bad":
            raise RecordError("no such document", reason="unknown_document")
        return frozenset({StockKey("A", "P/1")})

    stocked.erp.event_keys = read  # type: ignore[method-assign]
    stocked.erp.set("A", "P/1", 9)
    push(stocked, "bad")
    push(stocked, "good")
    async with running(stocked, settings=FAST.model_copy(update={"poll_seconds": 60})):
        await until(lambda: stocked.levels()["A", "W1"] == 9)
        await until(
            lambda: dict(stocked.query("SELECT event_id, state FROM inbox")) == {"bad": "quarantined", "good": "done"}
        )


async def test_two_loops_started_by_mistake_work_one_after_the_other(stocked: Hub) -> None:
    async with running(stocked) as first:
        await until(lambda: first.status.polls.get("sap", 0) > 0)
        async with running(stocked) as second:
            await asyncio.sleep(1.5)
            assert second.status.polls == {}
            assert first.status.polls["sap"] > 1


async def test_the_loop_hands_over_when_another_waits(stocked: Hub) -> None:
    soon = FAST.model_copy(update={"handover_seconds": 0.1})
    async with running(stocked, settings=soon) as first:
        await until(lambda: first.status.polls.get("sap", 0) > 0)
        await asyncio.sleep(1.2)
        assert not first.task.done()  # type: ignore[attr-defined]  # nobody waits: it goes on
        async with running(stocked) as second:
            await until(lambda: second.status.polls.get("sap", 0) > 0)
            assert first.task.done()  # type: ignore[attr-defined]


async def test_a_source_that_is_down_does_not_hold_up_the_others(stocked: Hub) -> None:
    other = FakeErp("kingdee")
    other.fails = Unavailable("no answer", system="kingdee", operation="changed_keys")
    async with running(stocked, stocked.erp, other) as loop:
        await until(lambda: loop.status.polls.get("kingdee", 0) > 0)
        assert "no answer" in loop.status.errors["kingdee"]
        stocked.erp.set("A", "P/1", 8)
        await until(lambda: stocked.levels()["A", "W1"] == 8)
        other.fails = None
        await until(lambda: "kingdee" not in loop.status.errors)
    assert stocked.query("SELECT error FROM feed WHERE source = 'kingdee'") == [(None,)]


async def test_a_read_refused_by_the_floor_is_repeated(stocked: Hub) -> None:
    """A snapshot overtakes a delta whose request was earlier; the loop reads the key once more by itself."""

    def overtaken(_: int) -> None:
        stocked.erp.on_page = lambda _: None
        stocked.sync.snapshot()
        stocked.erp.rows = [row("A", "P/1", 6), row("B", "P/1", 4)]

    async with running(stocked) as loop:
        await until(lambda: loop.status.polls.get("sap", 0) > 0)
        stocked.erp.on_page = overtaken
        stocked.erp.changed.add(StockKey("A", "P/1"))
        await until(lambda: stocked.levels()["A", "W1"] == 6)
