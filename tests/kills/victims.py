"""Processes that are there to be killed: forked from one that has everything imported, so each starts in no time.

What runs in them is the real thing: the command line's `live` and `sync inventory`, the functions that the flows call,
a process of the storefront adapter, a stand-in's server.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import psycopg
import typer

import connectors.erp.kingdee.mapper
import connectors.erp.sap.mapper
import connectors.erp.sap.rfc.mapper
from hub.mapping import load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from hub.contracts import StockKey

HOST = "127.0.0.1"
# Every child would read the mapping files anew, which takes longer than most of what it lives for.
for _mapper in (connectors.erp.kingdee.mapper, connectors.erp.sap.mapper, connectors.erp.sap.rfc.mapper):
    _mapper.load_mapping = cache(load_mapping)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Order:
    """What a process is to do: `full`, `snapshot`, `delta`, `refresh`, `live`, `adapter`; how the server knows it.

    `pause_at` names the round trip to the database before which it stops and waits to be killed. An adapter stops after
    it, so that it may have committed what it has not answered yet.
    """

    what: str
    source: str
    name: str
    environment: Mapping[str, str]
    keys: frozenset[StockKey] = field(default_factory=frozenset)
    pause_at: int | None = None


@dataclass(frozen=True)
class Victim:
    """A process that works on an order; `told` receives how many round trips it has done when it pauses or ends."""

    order: Order
    process: BaseProcess
    told: Connection


class Nursery:
    """Forks processes and learns how they ended.

    One thread at a time: starting a process lets the package read how all others have ended, and what one thread reads
    there another one misses.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "tests.kills.warm"])
        self._lock = threading.Lock()

    def start(self, order: Order, log: Path) -> Victim:
        told, tells = self._context.Pipe(duplex=False)
        process = self._start(_work, order, tells, log)
        tells.close()
        return Victim(order, process, told)

    def start_sandbox(self, system: str, database: Path, port: int, articles: int, log: Path) -> BaseProcess:
        return self._start(_serve, system, database, port, articles, log)

    def _start(self, target: Callable[..., None], *arguments: object) -> BaseProcess:
        with self._lock:
            process = self._context.Process(target=target, args=arguments, daemon=True)
            process.start()
            return process

    def stop_still(self, process: BaseProcess) -> None:
        """Let a process stand still; one that has ended stays as it is."""
        with self._lock, suppress(ProcessLookupError):
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGSTOP)

    def kill(self, process: BaseProcess) -> bool:
        """Kill a process; False if it had ended by itself."""
        with self._lock:
            process.kill()
            process.join()
            return process.exitcode == -signal.SIGKILL

    def wait_for_end(self, process: BaseProcess, seconds: float) -> bool:
        """Wait for a process; tell whether it has ended."""
        return bool(wait([process.sentinel], seconds))

    def exit_code(self, process: BaseProcess) -> int | None:
        """Return how a process ended that has."""
        with self._lock:
            return process.exitcode


def _work(order: Order, tells: Connection, log: Path) -> None:
    _write_to(log)
    os.environ.update(order.environment, PGAPPNAME=order.name)
    done = _count_round_trips(order.pause_at, tells)
    with closing(tells):
        try:
            _ACTIONS.get(order.what, _sync)(order)
        except typer.Exit as end:
            if end.exit_code:
                raise
        tells.send(done())


def _count_round_trips(pause_at: int | None, tells: Connection) -> Callable[[], int]:
    """Count what this process asks of PostgreSQL: statements, BEGIN, COMMIT, and the parts of a COPY."""
    numbers, seen, ask, ask_beside = count(1), [0], psycopg.Connection.wait, psycopg.AsyncConnection.wait

    def tell(number: int) -> None:
        if number == pause_at:
            tells.send(number)
            time.sleep(3600)
        seen[0] = number

    def counted(self: psycopg.Connection, *arguments: Any, **options: Any) -> Any:
        tell(next(numbers))
        return ask(self, *arguments, **options)

    async def counted_beside(self: psycopg.AsyncConnection, *arguments: Any, **options: Any) -> Any:
        answer = await ask_beside(self, *arguments, **options)
        tell(next(numbers))
        return answer

    psycopg.Connection.wait = counted  # type: ignore[assignment, method-assign]
    psycopg.AsyncConnection.wait = counted_beside  # type: ignore[assignment, method-assign]
    return lambda: seen[0]


def _live(_: Order) -> None:
    from oneshelf.cli import live

    live()


def _adapter(order: Order) -> None:
    from oneshelf import serving

    sys.argv = ["oneshelf.serving", "oneshelf.asgi:create_app", HOST, order.environment["ONESHELF_ADAPTER__PORT"]]
    serving.main()


def _full(order: Order) -> None:
    from oneshelf.cli import sync_inventory

    sync_inventory(order.source, full=True, accept_shrink=False)


def _sync(order: Order) -> None:
    from flows.runtime import open_runtime

    with open_runtime() as runtime:
        sync = runtime.inventory(order.source)
        if order.what == "snapshot":
            sync.snapshot()
        elif order.what == "refresh":
            sync.refresh(order.keys)
        else:
            sync.delta()


_ACTIONS: dict[str, Callable[[Order], None]] = {"live": _live, "adapter": _adapter, "full": _full}


def _serve(system: str, database: Path, port: int, articles: int, log: Path) -> None:
    from oneshelf.sandboxes import run_sandbox

    _write_to(log)
    run_sandbox(system, database, port=port, articles=articles, moves_per_minute=0)


def _write_to(log: Path) -> None:
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
