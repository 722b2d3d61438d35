"""A tape of what a hub was told: commands and answers of the ERP, with their ticks and the clock; and its replay.

A step of the tape is a command, or that a read begins or goes on. What the ERP answered and which ticks were drawn is
kept with the command that drew them, or with the read. The replay gives the same commands to the code that production
runs, in a database that has read nothing, with ticks and clock from the tape; the ERP is not there: its answers come
from the tape as well.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hub.stock.ticks import draw_tick
from tests.fake_erp import FakeErp
from tests.integration.two_processes import StreamingErp, TwoProcesses, stand_still

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from hub.contracts import Changes, Cursor, Posting, StockKey, StockPage

_DRAWN = ("hub.sync.staging.draw_tick", "hub.sync.looks.draw_tick", "hub.stock.demand.draw_tick")


@dataclass(frozen=True)
class Step:
    """A command and when it was given; what was drawn and answered while it, or the read that it began, was at work."""

    at: datetime
    name: str
    values: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    ticks: deque[int] = field(default_factory=deque)
    answers: deque[Any] = field(default_factory=deque)


class Present(threading.local):
    """The step that the running thread is at work on."""

    step: Step


class Recording(TwoProcesses):
    """Keeps a tape of its steps."""

    def __post_init__(self) -> None:
        self.tape: list[Step] = []
        self.present = Present()
        super().__post_init__()

    def do(self, step: str, *values: Any, **named: Any) -> Any:
        self.pass_time(0.001)
        self.present.step = Step(self.now, step, values, named)
        self.tape.append(self.present.step)
        return getattr(self, step)(*values, **named)

    def work_of_read(self, work: Callable[[], object]) -> Callable[[], object]:
        return _at_work_on(self.present, work)

    def draw(self, connection: psycopg.Connection) -> int:
        """Draw a tick and keep it."""
        tick = draw_tick(connection)
        self.present.step.ticks.append(tick)
        return tick


class RecordedErp(StreamingErp):
    """Keeps what it answers with the step that has asked."""

    hub: Recording

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        for page in super().iter_stock(keys):
            yield self._keep(page)

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        return self._keep(super().changed_keys(cursor))

    def read_documents(self, documents: Collection[str]) -> Sequence[Posting]:
        return self._keep(super().read_documents(documents))

    def _keep(self, answer: Any) -> Any:
        self.hub.present.step.answers.append(answer)
        return answer


class Replaying(TwoProcesses):
    """Takes the steps of a tape."""

    def __post_init__(self) -> None:
        self.present = Present()
        super().__post_init__()

    def replay(self, tape: Sequence[Step]) -> None:
        """Take all steps; the tape stays as it is."""
        for step in tape:
            self.pass_time((step.at - self.now).total_seconds())
            copy = Step(step.at, step.name, step.values, step.named, deque(step.ticks), deque(step.answers))
            self.present.step = copy
            getattr(self, step.name)(*step.values, **step.named)

    def work_of_read(self, work: Callable[[], object]) -> Callable[[], object]:
        return _at_work_on(self.present, work)

    def draw(self, connection: psycopg.Connection) -> int:
        """Draw the tick that the tape has."""
        tick = self.present.step.ticks.popleft()
        connection.execute("SELECT setval('tick', %s, false)", (tick,))
        return draw_tick(connection)


class ToldErp(FakeErp):
    """Answers what the tape has, and stands still where the ERP did."""

    hub: Replaying

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        del keys
        complete = False
        while not complete:
            page: StockPage = self._answer("stock")
            complete = page.complete
            yield page

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        del cursor
        changes: Changes = self._answer("changes")
        return changes

    def read_documents(self, documents: Collection[str]) -> Sequence[Posting]:
        del documents
        postings: Sequence[Posting] = self._answer("documents")
        return postings

    def _answer(self, of: str) -> Any:
        stand_still(f"asks for {of}")
        answer = self.hub.present.step.answers.popleft()
        stand_still(f"hears of {of}")
        return answer


@contextmanager
def ticks_of(hub: Recording | Replaying) -> Iterator[None]:
    """Let ticks be drawn by way of the hub."""
    with patch(_DRAWN[0], hub.draw), patch(_DRAWN[1], hub.draw), patch(_DRAWN[2], hub.draw):
        yield


def _at_work_on(present: Present, work: Callable[[], object]) -> Callable[[], object]:
    step = present.step

    def at_work() -> None:
        present.step = step
        work()

    return at_work
