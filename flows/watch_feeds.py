"""The regular check: says which sources are stale and that records wait in quarantine, as events to react on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger

from flows.events import FEED_STALE, QUARANTINE_GREW, emit
from flows.naming import local_hour
from flows.runtime import Runtime, open_runtime
from hub.sync.feed import load_position, move_position
from hub.sync.watch import load_feeds, open_quarantine_count

if TYPE_CHECKING:
    from hub.stock.reading import FeedState

_SELF = "watch-feeds"


def _run_name() -> str:
    return f"feeds {local_hour()}"


@flow(name="watch-feeds", flow_run_name=_run_name, persist_result=False)
async def watch_feeds() -> dict[str, Any]:
    """Emit `inventory.feed.stale` for each stale source and `quarantine.grew` when more records wait than before."""
    log = get_run_logger()
    with open_runtime() as runtime:
        feeds, before, now = await asyncio.to_thread(_look, runtime)
    for feed in feeds:
        if feed.stale:
            log.warning("%s is stale: last read %s, %s", feed.source, feed.read_at or "never", feed.error or "no error")
            age = None if feed.age_seconds is None else round(feed.age_seconds)
            emit(FEED_STALE, feed.source, {"age_seconds": age, "failures": feed.failures})
    if now > before:
        emit(QUARANTINE_GREW, _SELF, {"open": now, "before": before})
    return {"stale": [feed.source for feed in feeds if feed.stale], "quarantine": now}


def _look(runtime: Runtime) -> tuple[list[FeedState], int, int]:
    """Return the feeds, and how many quarantine entries were open at the last look and are now."""
    with runtime.database.driver() as connection, connection.transaction():
        position = load_position(connection, _SELF, "quarantine") or {"open": 0}
        now = open_quarantine_count(connection)
        move_position(connection, _SELF, {"open": now}, "quarantine")
        return load_feeds(connection), int(position["open"]), now
