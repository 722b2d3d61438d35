"""The regular check: says what is wrong to Prefect and to people, and brings a dead live loop back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client

from flows.alerting import look_and_tell
from flows.events import FEED_STALE, QUARANTINE_GREW, emit
from flows.naming import local_hour
from flows.runtime import Runtime, open_runtime
from hub.alerts.sights import SCHEDULED_WATCHER
from hub.sync.feed import load_position, move_position
from hub.sync.watch import is_followed, load_feeds, open_quarantine_count

if TYPE_CHECKING:
    from hub.stock.reading import FeedState

_SELF = SCHEDULED_WATCHER
_LIVE = "live-sync/live"


def _run_name() -> str:
    return f"feeds {local_hour()}"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the hub found; `waiting` counts open quarantine entries, `waited` those of the last look."""

    feeds: list[FeedState]
    followed: bool
    waiting: int
    waited: int


@flow(name="watch-feeds", flow_run_name=_run_name, persist_result=False)
async def watch_feeds() -> dict[str, Any]:
    """Emit `inventory.feed.stale` for each stale source and `quarantine.grew` when more records wait than before.

    Asks for a run of the live flow when no loop is at work: its process may have been killed. Alerts go out last and
    whatever happens: they tell people when Prefect itself is in trouble.
    """
    with open_runtime() as runtime:
        look = await asyncio.to_thread(_look, runtime)
        try:
            await _react(look)
        finally:
            told = await asyncio.to_thread(look_and_tell, runtime, SCHEDULED_WATCHER)
    stale = [feed.source for feed in look.feeds if feed.stale]
    alerts = [f"{alert.phase} {alert.kind} {alert.subject}" for alert in told]
    return {"stale": stale, "quarantine": look.waiting, "followed": look.followed, "alerts": alerts}


async def _react(look: Look) -> None:
    log = get_run_logger()
    for feed in look.feeds:
        if feed.stale:
            log.warning("%s is stale: last read %s, %s", feed.source, feed.read_at or "never", feed.error or "no error")
            age = None if feed.age_seconds is None else round(feed.age_seconds)
            emit(FEED_STALE, feed.source, {"age_seconds": age, "failures": feed.failures})
    if look.waiting > look.waited:
        emit(QUARANTINE_GREW, _SELF, {"open": look.waiting, "before": look.waited})
    if not look.followed:
        log.warning("no live loop is at work: asking for one")
        async with get_client() as client:
            live = await client.read_deployment_by_name(_LIVE)
            await client.create_flow_run_from_deployment(live.id)


def _look(runtime: Runtime) -> Look:
    with runtime.database.driver() as connection, connection.transaction():
        position = load_position(connection, _SELF, "quarantine") or {"open": 0}
        waiting = open_quarantine_count(connection)
        move_position(connection, _SELF, {"open": waiting}, "quarantine")
        return Look(load_feeds(connection), is_followed(connection), waiting, int(position["open"]))
