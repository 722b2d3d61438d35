"""The near-real-time loop as a long-running flow, so that ops see it, its lag and its errors in the Prefect UI."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from flows.alerting import keep_looking
from flows.events import INVENTORY_CHANGED, emit
from flows.naming import local_hour
from flows.runtime import Runtime, open_runtime
from hub.alerts.sights import LOOP
from hub.sync.live import LiveLoop
from hub.sync.watch import load_feeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.stock.reading import FeedState
    from hub.sync.outbox import Published

_SHOW_SECONDS = 30.0
_EMIT_SECONDS = 10.0


def _run_name() -> str:
    return f"live since {local_hour()}"


class ChangeEvents:
    """Coalesces the outbox into at most one `inventory.changed` event per source and interval.

    Best effort: what waits here is lost with the process. Whoever reacts reads what is due from the hub.
    """

    def __init__(self, seconds: float = _EMIT_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[str, int] = {}

    async def add(self, published: Sequence[Published]) -> None:
        """Take numbered outbox rows in."""
        for row in published:
            if row.topic == "stock.changed":
                self._waiting[row.key] = self._waiting.get(row.key, 0) + int(row.payload["changed"])

    async def keep_emitting(self, stop: asyncio.Event) -> None:
        """Emit what has gathered, interval by interval, until `stop` is set and once more then."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._seconds)
            waiting, self._waiting = self._waiting, {}
            for source, changed in waiting.items():
                emit(INVENTORY_CHANGED, source, {"changed": changed})


@flow(name="live-sync", flow_run_name=_run_name, retries=100, retry_delay_seconds=5, persist_result=False)
async def live_sync() -> None:
    """Poll every ERP's changes and work the inbox until the next run of this flow takes over.

    Two runs may overlap: one works, the other waits for its turn. Each looks for alerts too: this flow and the
    scheduled check watch each other.
    """
    log = get_run_logger()
    stop = asyncio.Event()
    with open_runtime() as runtime:
        events = ChangeEvents()
        syncs = [runtime.inventory(source) for source in runtime.settings.enabled_sources()]
        settings = runtime.settings
        posted_after = settings.stock.posted_after_hours
        loop = LiveLoop(runtime.database, syncs, settings.live, events.add, posted_after_hours=posted_after)
        helpers = [
            asyncio.create_task(events.keep_emitting(stop)),
            asyncio.create_task(_keep_showing(runtime, loop, stop)),
            asyncio.create_task(keep_looking(runtime, LOOP, stop)),
        ]
        log.info("waiting for the turn, then polling %s", ", ".join(runtime.settings.enabled_sources()))
        try:
            await loop.run(stop)
        finally:
            stop.set()
            await asyncio.gather(*helpers, return_exceptions=True)
        log.info("handed over after %s", _progress(loop))


async def _keep_showing(runtime: Runtime, loop: LiveLoop, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(Exception):  # the loop goes on while the Prefect API is away, or the database for a moment
            feeds = await asyncio.to_thread(_load_feeds, runtime)
            await acreate_markdown_artifact(_report(feeds, loop), key="live-sync", description="Lag of each source")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _SHOW_SECONDS)


def _load_feeds(runtime: Runtime) -> list[FeedState]:
    with runtime.database.driver() as connection:
        return load_feeds(connection)


def _report(feeds: Sequence[FeedState], loop: LiveLoop) -> str:
    lines = ["| source | age | polls | levels changed | state |", "|---|---|---|---|---|"]
    for feed in feeds:
        age = "never read" if feed.age_seconds is None else f"{feed.age_seconds:.1f} s"
        state = loop.status.errors.get(feed.source) or ("stale" if feed.stale else "fresh")
        polls, changed = loop.status.polls.get(feed.source, 0), loop.status.changed.get(feed.source, 0)
        lines.append(f"| {feed.source} | {age} | {polls} | {changed} | {state} |")
    return "\n".join(lines)


def _progress(loop: LiveLoop) -> dict[str, Any]:
    return {"polls": dict(loop.status.polls), "changed": dict(loop.status.changed), "events": loop.status.events}
