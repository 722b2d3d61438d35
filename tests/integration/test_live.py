"""The near-real-time loop over a real PostgreSQL: polls, pushes, one worker at a time, and sources that fail."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import PushedEvent, StockKey
from hub.errors import RecordError, Unavailable
from hub.settings import LiveSettings
from hub.sync.inbox import STORE, event_parameters, replay_quarantined
from hub.sync.live import LiveLoop
from tests.fake_erp import FakeErp, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from hub.sync.outbox import Published
    from tests.integration.conftest import Hub

FAST = LiveSettings(poll_seconds=0.1, inbox_poll_seconds=0.2, error_wait_seconds=0.2, inbox_attempts=2)


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

    loop = LiveLoop(hub.database, [hub.inventory(erp) for erp in erps or (hub.erp,)], settings, publish)
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
