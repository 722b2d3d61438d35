"""Following the changes of stock: what the outbox tells of it, read once for all followers of a process.

Each follower has a position, the number of the last row it has worked, and asks for what lies behind it. Nothing is
put by for a slow one: it finds what it missed in the common memory of recent changes, else in the outbox itself.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from hub.items.kits import kits_of
from hub.sync.outbox import Published, read_published

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

_POLL_SECONDS = 0.25
_ERROR_WAIT_SECONDS = 1.0
_PAGE = 200
"""Rows of one statement; a row names at most 500 SKUs."""
_MOST_RECENT = 10_000
"""Changes in the common memory, about 1 MB."""
_SEQ = attrgetter("seq")


class TooManyFollowersError(Exception):
    """Raised when no further follower may begin."""


@dataclass(frozen=True, slots=True)
class Change:
    """A number of an item may have changed. `location` None: at any place; `sku` None: any number, of any item."""

    seq: int
    sku: str | None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What a follower must hear of an item: its changes up to the number `seq`, as one.

    `locations` None: at any place; `sku` None: anything may have changed.
    """

    seq: int
    sku: str | None
    locations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Interest:
    """What a follower wants to hear of; None: of all."""

    skus: frozenset[str] | None = None
    locations: frozenset[str] | None = None

    def holds(self, change: Change) -> bool:
        """Tell whether a change may concern the follower."""
        return change.sku is None or (
            (self.skus is None or change.sku in self.skus)
            and (self.locations is None or change.location is None or change.location in self.locations)
        )


def changes_in(row: Published) -> list[Change]:
    """Return what a row of the outbox says of numbers of stock: `stock.changed` of reads, `stock.held` of all else.

    `stock.low` tells purchasing of a number whose change was told before.
    """
    if row.topic == "stock.held":
        return [Change(row.seq, row.payload["sku"], row.payload["location"])]
    if row.topic != "stock.changed":
        return []
    skus = row.payload["skus"]
    return [Change(row.seq, None)] if skus is None else [Change(row.seq, sku) for sku in skus]


def merge(changes: Sequence[Change], interest: Interest) -> list[News]:
    """Return the news in changes, one for each item, in the order of their numbers.

    Whoever has heard all news up to a number may go on behind it: none stands for a change that another one, with a
    higher number, has yet to tell. What comes before a change of everything need not be told any more.
    """
    news: dict[str | None, News] = {}
    for change in changes:
        if not interest.holds(change):
            continue
        if change.sku is None:
            news.clear()
        before = news.pop(change.sku, None)
        places = None if change.location is None else frozenset({change.location})
        if places is not None and before is not None:
            places = None if before.locations is None else places | before.locations
        news[change.sku] = News(change.seq, change.sku, places)
    return list(news.values())


class StockChanges:
    """The common reader of a process. It reads only while somebody follows.

    Args:
        engine: in autocommit mode.
        most: so many may follow at a time.

    Attributes:
        ended: followers shall end, since the process does.
    """

    def __init__(self, engine: AsyncEngine, *, most: int) -> None:
        self.ended = False
        self._engine = engine
        self._most = most
        self._followers = 0
        self._reader: asyncio.Task[None] | None = None
        # All changes behind `_since` up to `_through`.
        self._recent: list[Change] = []
        self._since = self._through = 0
        self._moved = asyncio.Event()

    @contextmanager
    def follow(self, newest: int) -> Iterator[None]:
        """Let somebody follow for the length of the block.

        Args:
            newest: a published number that was the newest one a moment ago: the reader begins behind it.

        Raises:
            TooManyFollowersError: too many do already.
        """
        if self._followers >= self._most:
            raise TooManyFollowersError
        if self._reader is None:
            self._recent, self._since, self._through = [], newest, newest
            self._reader = asyncio.create_task(self._keep_reading())
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._reader.cancel()
                self._reader = None

    def end(self) -> None:
        """Tell all followers to end."""
        self.ended = True
        self._moved.set()

    async def after(self, position: int, *, seconds: float) -> tuple[list[Change], int]:
        """Return changes behind a position, and the position that they reach; without any, wait `seconds` at most.

        Raises:
            SQLAlchemyError: the database can't be asked for what is no longer in the common memory.
        """
        if position >= self._through:
            moved = self._moved
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), seconds)
        since = self._since
        if position < since:
            changes, through, more = await self._read(position)
            return changes, through if more else max(through, since)
        first = bisect_right(self._recent, position, key=_SEQ)
        return self._recent[first:], max(position, self._through)

    async def _keep_reading(self) -> None:
        while True:
            pause = _POLL_SECONDS
            try:
                changes, through, more = await self._read(self._through)
                self._take(changes, through)
                pause = 0 if more else _POLL_SECONDS
            except Exception as error:  # noqa: BLE001 - followers must never wait for a reader that is gone
                structlog.get_logger().warning("outbox_not_followed", error=repr(error))
                pause = _ERROR_WAIT_SECONDS
            await asyncio.sleep(pause)

    async def _read(self, after: int) -> tuple[list[Change], int, bool]:
        """Return the changes of the next rows behind a number, the number they reach, and whether there may be more."""
        async with self._engine.connect() as connection:
            rows = await read_published(connection, after, _PAGE)
            changes = [change for row in rows for change in changes_in(row)]
            kits = await kits_of(connection, {change.sku for change in changes if change.sku is not None})
        changes += [replace(change, sku=kit) for change in changes for kit in kits.get(change.sku or "", ())]
        # Of changes of one level the last is enough: who stands before it must hear of it, who stands behind it not.
        last = {(change.sku, change.location): change for change in changes}
        return sorted(last.values(), key=_SEQ), rows[-1].seq if rows else after, len(rows) == _PAGE

    def _take(self, changes: list[Change], through: int) -> None:
        if through == self._through:
            return
        self._recent += changes
        too_many = len(self._recent) - _MOST_RECENT
        if too_many > 0:
            self._since = self._recent[too_many - 1].seq
            del self._recent[:too_many]
        self._through = through
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
