"""The near-real-time loop: polls each ERP's changes every second or so and works the inbox as pushes come in.

One loop works at a time, by an advisory lock in PostgreSQL; others wait for it. A source that is down is tried again
and again while the others go on.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from hub.contracts import EventReader
from hub.db.session import plain_url
from hub.errors import AuthFailed, OneshelfError, Retryable
from hub.purchasing.crossings import watch_levels
from hub.stock.expiry import sweep_expired
from hub.sync.feed import ask_at_once
from hub.sync.housekeeping import tidy
from hub.sync.inbox import CHANNEL, Claimed, claim_events, mark_done, put_back, release_claims
from hub.sync.outbox import Published, publish_waiting
from hub.sync.watch import LIVE_LOCK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    from hub.contracts import StockKey
    from hub.db.session import Database
    from hub.settings import LiveSettings
    from hub.sync.inventory import InventorySync, SyncReport

_TIDY_SECONDS = 3600.0


@dataclass
class LiveStatus:
    """What the loop has done so far, for people who look at it."""

    started: float = field(default_factory=time.monotonic)
    polls: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    events: int = 0
    errors: dict[str, str] = field(default_factory=dict)


class LiveLoop:
    """Keeps the levels of all sources close behind their ERPs."""

    def __init__(
        self,
        database: Database,
        syncs: Collection[InventorySync],
        settings: LiveSettings,
        publish: Callable[[Sequence[Published]], Awaitable[None]],
        *,
        posted_after_hours: int,
    ) -> None:
        self.status = LiveStatus()
        self._database = database
        self._syncs = {sync.source: sync for sync in syncs}
        self._settings = settings
        self._publish = publish
        self._posted_after_hours = posted_after_hours
        self._log = structlog.get_logger()

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the lock, then work until `stop` is set, or until another loop waits after the hand-over time."""
        async with self._exclusive(stop) as lock:
            if stop.is_set():
                return
            await asyncio.to_thread(self._take_over)
            self._log.info("live_started", sources=sorted(self._syncs))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._poll(sync, stop)) for sync in self._syncs.values()]
                tasks.append(group.create_task(self._work_inbox(stop)))
                tasks.append(group.create_task(self._relay(stop)))
                tasks.append(group.create_task(self._repeat(sweep_expired, 1.0, stop)))
                tasks.append(group.create_task(self._repeat(watch_levels, self._settings.levels_seconds, stop)))
                tasks.append(group.create_task(self._repeat(self._tidy, _TIDY_SECONDS, stop)))
                await self._guard(lock, stop)
                stop.set()
            self._log.info("live_ended")

    @asynccontextmanager
    async def _exclusive(self, stop: asyncio.Event) -> AsyncIterator[psycopg.AsyncConnection]:
        """Hold the lock on a connection of its own; the lock goes with the connection, however the process ends."""
        async with await psycopg.AsyncConnection.connect(plain_url(self._database.url), autocommit=True) as connection:
            await connection.execute("SET lock_timeout = '1s'")
            while not stop.is_set():
                with suppress(psycopg.errors.LockNotAvailable):
                    await connection.execute(f"SELECT pg_advisory_lock({LIVE_LOCK})")
                    break
            yield connection

    async def _guard(self, lock: psycopg.AsyncConnection, stop: asyncio.Event) -> None:
        """Return when it is time to end: stopped, or handed over. Raises when the lock's connection breaks."""
        while not stop.is_set():
            await _sleep(1.0, stop)
            waiting = await lock.execute(
                "SELECT EXISTS (SELECT FROM pg_locks AS mine JOIN pg_locks AS theirs"
                " USING (locktype, database, classid, objid, objsubid)"
                " WHERE mine.pid = pg_backend_pid() AND mine.locktype = 'advisory' AND NOT theirs.granted)"
            )
            row = await waiting.fetchone()
            old = time.monotonic() - self.status.started >= self._settings.handover_seconds
            if old and row is not None and row[0]:
                return

    async def _poll(self, sync: InventorySync, stop: asyncio.Event) -> None:
        while not stop.is_set():
            started = time.monotonic()
            pause = sync.poll_seconds or self._settings.poll_seconds
            try:
                report = await asyncio.to_thread(sync.delta)
                self._note(sync.source, report)
                self.status.errors.pop(sync.source, None)
            except Exception as error:  # noqa: BLE001 - whatever one source does, the others go on
                self.status.errors[sync.source] = str(error) or type(error).__name__
                self._log.warning("poll_failed", source=sync.source, error=repr(error))
                pause = self._settings.error_wait_seconds
            self.status.polls[sync.source] = self.status.polls.get(sync.source, 0) + 1
            await _sleep(max(pause - (time.monotonic() - started), 0.05), stop)

    def _note(self, source: str, report: SyncReport | None) -> None:
        if report is not None:
            self.status.changed[source] = self.status.changed.get(source, 0) + report.changed_count

    async def _work_inbox(self, stop: asyncio.Event) -> None:
        async with await psycopg.AsyncConnection.connect(plain_url(self._database.url), autocommit=True) as listener:
            await listener.execute(f"LISTEN {CHANNEL}")
            while not stop.is_set():
                worked = await asyncio.to_thread(self._work_some_events)
                if not worked:
                    async for _ in listener.notifies(timeout=self._settings.inbox_poll_seconds, stop_after=1):
                        pass

    def _take_over(self) -> None:
        with self._database.driver() as connection:
            release_claims(connection, list(self._syncs))
            ask_at_once(connection, list(self._syncs))

    def _work_some_events(self) -> int:
        # While a source can't be read its pushes wait: asking for them would use up their attempts for nothing.
        answering = [source for source in self._syncs if source not in self.status.errors]
        with self._database.driver() as connection:
            claimed = claim_events(connection, answering)
        for source in dict.fromkeys(event.source for event in claimed):
            mine = [event for event in claimed if event.source == source]
            self._work_events_of(source, [event for event in mine if self._may_work(event)])
        self.status.events += len(claimed)
        return len(claimed)

    def _may_work(self, event: Claimed) -> bool:
        """Give up an event that was claimed too often without an end: whoever works it seems to die of it."""
        if event.attempts <= self._settings.inbox_attempts:
            return True
        self._put_back(event, OneshelfError("its attempts never came to an end"))
        return False

    def _work_events_of(self, source: str, events: Sequence[Claimed]) -> None:
        """Look up what each event moved and refresh these keys at once; each event fails or succeeds for itself."""
        sync = self._syncs[source]
        keys: set[StockKey] = set()
        good: list[Claimed] = []
        for event in events:
            try:
                keys |= _event_keys(sync, event)
                good.append(event)
            except (psycopg.Error, SQLAlchemyError):
                raise  # ours: its lease ends, and it is worked again
            except Exception as error:  # noqa: BLE001 - one event's trouble is that event's
                self._put_back(event, error)
        try:
            if good:
                report = sync.refresh(keys, cause="push", also=lambda connection: mark_done(connection, good))
                self._note(source, report)
        except (psycopg.Error, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(good) == 1 or isinstance(error, Retryable | AuthFailed):
                for event in good:
                    self._put_back(event, error)
                return
            for event in good:  # one of them spoils it for all: each for itself
                self._work_events_of(source, [event])

    def _put_back(self, event: Claimed, error: Exception) -> None:
        attempts = self._settings.inbox_attempts if isinstance(error, Retryable | AuthFailed) else 1
        with self._database.driver() as connection, connection.transaction():
            put_back(connection, event, str(error), most_attempts=attempts)

    async def _relay(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            published = await asyncio.to_thread(self._publish_waiting)
            if published:
                await self._publish(published)
            else:
                await _sleep(1.0, stop)

    async def _repeat(
        self, work: Callable[[psycopg.Connection], int | None], seconds: float, stop: asyncio.Event
    ) -> None:
        """Do some work, at once again while it finds any, else after a pause.

        Nothing depends on it, so its trouble is no reason to follow the ERPs no longer.
        """
        while not stop.is_set():
            pause = seconds
            try:
                if await asyncio.to_thread(self._lend, work):
                    continue
            except (psycopg.Error, SQLAlchemyError) as error:  # SQLAlchemy's: no connection to be had
                self._log.warning("work_failed", work=work.__name__, error=repr(error))
                pause = self._settings.error_wait_seconds
            await _sleep(pause, stop)

    def _lend(self, work: Callable[[psycopg.Connection], int | None]) -> int | None:
        with self._database.driver() as connection:
            return work(connection)

    def _tidy(self, connection: psycopg.Connection) -> None:
        tidy(connection, posted_after_hours=self._posted_after_hours)

    def _publish_waiting(self) -> Sequence[Published]:
        with self._database.driver() as connection, connection.transaction():
            return publish_waiting(connection)


def _event_keys(sync: InventorySync, event: Claimed) -> frozenset[StockKey]:
    if not isinstance(sync.connector, EventReader):
        raise OneshelfError(f"the connector of {sync.source} takes no events")
    return sync.connector.event_keys(event.event)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
