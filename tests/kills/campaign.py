"""A hub, two ERPs and a PostgreSQL server that are all processes of their own, and ways to kill each of them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from flows.runtime import Runtime
from hub.db.migrate import upgrade
from hub.db.session import Database
from hub.settings import PROJECT_ROOT, load_settings
from oneshelf.processes import answers, free_port
from oneshelf.sandboxes import connection_environment
from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER
from sandbox.erp.sap_rfc.system import AbapSystem
from sandbox.faults import Switchboard
from tests.erp_sandboxes import ARTICLES, ERPS, LOCATIONS, UNLIMITED, Recorded, SapRfcSandbox
from tests.hub_shop import Shop
from tests.kills.mesh import SECRET, EventMesh
from tests.kills.movements import Movements
from tests.kills.victims import Nursery, Order, Victim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from decimal import Decimal
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from hub.contracts import StockKey
    from hub.db.embedded import EmbeddedServer
    from tests.erp_sandboxes import ErpSandbox

SYSTEMS = ("sap", "kingdee")
RFC = "ecc"
"""The source that reads SAP's books over RFC, where a hub has no `sap`."""
OVER_RFC = (RFC, "kingdee")
PATIENCE_SECONDS = 60
# What the server knows of a process that stands still: does it hold a transaction open, and what became of the batch
# whose lock it holds.
_WHERE = """
WITH mine AS (SELECT pid, state, backend_xid FROM pg_stat_activity WHERE application_name = %s),
     held AS (SELECT hashtextextended('oneshelf.batch', id) AS key, stock_batch.state FROM stock_batch),
     batch AS (SELECT held.state FROM mine JOIN pg_locks USING (pid) JOIN held
                 ON locktype = 'advisory' AND objsubid = 1
                AND classid::bigint = (held.key >> 32) & 4294967295 AND objid::bigint = held.key & 4294967295)
SELECT EXISTS (SELECT FROM mine WHERE state = 'idle in transaction' OR backend_xid IS NOT NULL),
       (SELECT min(state) FROM batch)
"""
_LABELS = {"live": "near-real-time loop", "adapter": "storefront adapter"}
BEFORE, READING, DURING, AFTER = "before or between reads", "while reading", "in a transaction", "after its commit"
_BACKENDS = """
SELECT pid, state = 'idle in transaction' OR backend_xid IS NOT NULL AS writing FROM pg_stat_activity
WHERE application_name LIKE 'victim%' ORDER BY 2, 1
"""
_LOOPS = """
SELECT application_name, granted FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND objsubid = 1 AND objid::bigint = hashtext('oneshelf.live')::bigint & 4294967295
"""
_AIM_SECONDS = 1.0
_RFC_SETTINGS = {
    "SOURCES__SAP__ENABLED": "false",
    "SOURCES__ECC__SYSTEM": "sap",
    "SOURCES__ECC__CONNECTION__TRANSPORT": "rfc",
    "SOURCES__ECC__CONNECTION__ASHOST": AbapSystem.host,
    "SOURCES__ECC__CONNECTION__USER": DEMO_USER,
    "SOURCES__ECC__CONNECTION__PASSWORD": DEMO_PASSWORD,
    "SOURCES__ECC__CONNECTION__PYRFC_MODULE": "benchmarks.abap",
}


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} after {seconds} s"
        time.sleep(0.02)


class Sandboxes:
    """The two stand-ins, each on its own port and file for its whole life, however often it is killed."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery = nursery
        self._folder = folder
        self._ports = {system: free_port(0) for system in SYSTEMS}
        self._processes: dict[str, BaseProcess] = {}
        self.urls = {system: f"http://127.0.0.1:{port}" for system, port in self._ports.items()}
        for system in SYSTEMS:
            self._start(system)
        for system in SYSTEMS:
            self._wait(system)
        self.worlds: dict[str, ErpSandbox] = {
            system: ERPS[system](self.urls[system], Recorded(None), Switchboard({})) for system in SYSTEMS
        }

    def kill(self, system: str, seconds_down: float) -> None:
        assert self.nursery.kill(self._processes[system]), f"{system} had ended by itself"
        time.sleep(seconds_down)
        self._start(system)
        self._wait(system)

    def stop(self) -> None:
        for process in self._processes.values():
            self.nursery.kill(process)

    @property
    def sap_books(self) -> Path:
        return self._folder / "sap.sqlite"

    @contextmanager
    def over_rfc(self) -> Iterator[ErpSandbox]:
        """Give SAP's other door to the same books, which each process of the hub has within itself."""
        app = SimpleNamespace(state=SimpleNamespace(abap=AbapSystem(self.sap_books)))
        world = SapRfcSandbox(self.urls["sap"], Recorded(app), Switchboard({}))
        try:
            yield world
        finally:
            world.close()

    def _start(self, system: str) -> None:
        database, log = self._folder / f"{system}.sqlite", self._folder / f"{system}.log"
        self._processes[system] = self.nursery.start_sandbox(system, database, self._ports[system], ARTICLES, log)

    def _wait(self, system: str) -> None:
        until(lambda: answers(f"{self.urls[system]}/__world/info"), f"no stand-in of {system}")


class Campaign:
    """One hub on one database, from its first read to its last; counts what was killed, and where it stood then."""

    def __init__(
        self,
        server: EmbeddedServer,
        url: str,
        sandboxes: Sandboxes,
        worlds: Mapping[str, ErpSandbox],
        mesh: EventMesh,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.kills: Counter[tuple[str, str]] = Counter()
        self.worlds = worlds
        """The ERP of each source."""
        self.mesh = mesh
        # A SAP that is read over RFC pushes nothing.
        self.movements = Movements(sandboxes.worlds, mesh if "sap" in worlds else None)
        self.url = url
        self._sandboxes = sandboxes
        self._server = server
        self._nursery = sandboxes.nursery
        self._log = log
        self._number = 0
        self._environment = environment

    # --- running things
    def run(self, what: str, source: str, keys: frozenset[StockKey] = frozenset()) -> int:
        """Run a process to its end; returns how many round trips to the database it took."""
        victim = self.start(what, source, keys)
        assert self._nursery.wait_for_end(victim.process, PATIENCE_SECONDS)
        assert self._nursery.exit_code(victim.process) == 0, self._log.read_text(encoding="utf-8")[-3000:]
        return int(victim.told.recv())

    def loops(self) -> dict[str, bool]:
        """Return the names of the live processes at the lock, and whether they have it."""
        return dict(self.query(_LOOPS))

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database; as often as it takes while its server is not there."""
        while True:
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(self.url, autocommit=True, application_name="campaign") as connection,
            ):
                return connection.execute(sql, parameters or None).fetchall()
            time.sleep(0.02)

    def wrong(self) -> list[tuple[str, str, Decimal, Decimal]]:
        """Return where the hub and the ERPs' own books disagree."""
        with closing(Database(self.url)) as database:
            shop = Shop(Runtime(load_settings(), database, LOCATIONS), dict(self.worlds))
            assert all(shop.levels(source) for source in self.worlds)
            return [line for source in self.worlds for line in shop.wrong(source)]

    # --- killing them
    def kill_at(self, what: str, source: str, number: int, keys: frozenset[StockKey] = frozenset()) -> bool:
        """Kill a process just before its `number`th round trip to the database; False if it did not get so far."""
        victim = self.start(what, source, keys, pause_at=number)
        victim.told.poll(PATIENCE_SECONDS)
        return self.strike(victim)

    def kill_after(self, what: str, source: str, seconds: float, keys: frozenset[StockKey] = frozenset()) -> bool:
        """Kill a process some time after its start; False if it was done by then."""
        victim = self.start(what, source, keys)
        self._nursery.wait_for_end(victim.process, seconds)
        return self.strike(victim)

    def kill_sandbox(self, source: str, seconds_down: float) -> None:
        system = self.worlds[source].system
        with self.movements.hold:
            self._sandboxes.kill(system, seconds_down)
        self.kills[f"ERP stand-in of {system}", "at a random moment"] += 1

    def kill_backend(self, chance: random.Random) -> bool:
        """Kill one of the server's own processes that works for the hub; the server ends them all and recovers."""
        backends = self._aim()
        if not backends:
            return False
        pid, writing = chance.choice([backend for backend in backends if backend[1]] or backends)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills["PostgreSQL backend", DURING if writing else BEFORE] += 1
            return True
        return False

    def kill_postmaster(self) -> None:
        writing = any(writing for _, writing in self._aim())
        os.kill(self._server.pid, signal.SIGKILL)
        until(self._server.revive, "no PostgreSQL")
        self.kills["PostgreSQL server", DURING if writing else BEFORE] += 1

    def _aim(self) -> list[tuple[int, bool]]:
        """Return the server's processes that work for the hub, if possible at a moment when one of them writes."""
        deadline = time.monotonic() + _AIM_SECONDS
        while True:
            backends = [(int(pid), bool(writing)) for pid, writing in self.query(_BACKENDS)]
            if any(writing for _, writing in backends) or time.monotonic() > deadline:
                return backends

    @contextmanager
    def live(self, shortest: float | None = None, longest: float = 2.0, seed: int = 3) -> Iterator[None]:
        """Keep `oneshelf live` at work as a service manager does; with `shortest`, kill it every so many seconds.

        Every other time it is killed at some round trip to the database instead.
        """
        with self._kept("live", (5, 80), random.Random(seed), shortest, longest):
            yield

    @contextmanager
    def adapter(
        self, shortest: float | None = None, longest: float = 2.0, seed: int = 4, processes: int = 2
    ) -> Iterator[None]:
        """Keep processes of the storefront adapter at one port; with `shortest`, kill each every so many seconds."""
        with ExitStack() as stack:
            for number in range(processes):
                stack.enter_context(self._kept("adapter", (8, 24), random.Random(seed + number), shortest, longest))
            yield

    @contextmanager
    def _kept(
        self, what: str, trips: tuple[int, int], chance: random.Random, shortest: float | None, longest: float
    ) -> Iterator[None]:
        stop, failures = threading.Event(), []

        def keep() -> None:
            try:
                while not stop.is_set():
                    aimed = shortest is not None and chance.random() < 0.5
                    victim = self.start(what, "", pause_at=chance.randint(*trips) if aimed else None)
                    self._watch(victim, stop, None if shortest is None or aimed else chance.uniform(shortest, longest))
                    if stop.is_set() and not aimed:
                        self._end(victim)
                    else:
                        self.strike(victim)
            except Exception as error:  # noqa: BLE001 - shown by the test that waits for this thread
                failures.append(error)

        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()
        assert not failures, failures

    def wait_until_level(self) -> None:
        """Wait until all pushes are acknowledged and the live process has brought everything in that has happened."""
        until(lambda: self.mesh.pushed == self.mesh.acknowledged, "not all pushes are acknowledged")
        [(since,)] = self.query("SELECT clock_timestamp()")
        waiting = (
            "SELECT (SELECT count(*) FROM feed WHERE read_at IS NULL OR read_at <= %s)"
            " + (SELECT count(*) FROM inbox WHERE state = 'pending') + (SELECT count(*) FROM stock_due)"
            " + (SELECT count(*) FROM outbox WHERE published_seq IS NULL)"
        )
        until(lambda: self.query(waiting, since) == [(0,)], "the live process has not caught up")

    def start(
        self, what: str, source: str, keys: frozenset[StockKey] = frozenset(), pause_at: int | None = None
    ) -> Victim:
        self._number += 1
        name = f"victim {self._number} {what}"
        return self._nursery.start(Order(what, source, name, self._environment, keys, pause_at), self._log)

    def strike(self, victim: Victim) -> bool:
        """Stop the process, see what the server knows of it, and kill it; False if it had ended by itself."""
        self._nursery.stop_still(victim.process)
        where = self._where(victim)
        killed = self._nursery.kill(victim.process)
        if killed:
            self.kills[self._label(victim.order), where] += 1
        return killed

    def _label(self, order: Order) -> str:
        label = _LABELS.get(order.what) or f"{order.what} read of {order.source}"
        rfc = RFC in self.worlds and order.source in {"", RFC}
        return f"{label}, SAP over RFC" if rfc else label

    def _where(self, victim: Victim) -> str:
        [(during, batch)] = self.query(_WHERE, victim.order.name)
        if during:
            return DURING
        if victim.order.what == "adapter":
            return AFTER if self._owes_an_answer(victim.process) else BEFORE
        return {"running": READING, "applied": AFTER}.get(batch, BEFORE)

    def _owes_an_answer(self, adapter: BaseProcess) -> bool:
        """Tell whether a process that stands still has stored a push that it has not acknowledged yet."""
        senders: set[int] = set()
        with suppress(psutil.NoSuchProcess):
            senders = {c.raddr.port for c in psutil.Process(adapter.pid).net_connections("tcp4") if c.raddr}
        began = dict(push for port, push in self.mesh.unanswered().items() if port in senders)
        stored = self.query("SELECT event_id, received_at FROM inbox WHERE event_id = ANY(%s)", list(began))
        return any(received_at >= began[event] for event, received_at in stored)

    def _watch(self, victim: Victim, stop: threading.Event, seconds: float | None) -> None:
        """Return when the process has ended, stands still, should end, or has lived so long."""
        deadline = time.monotonic() + (seconds or float("inf"))
        while not (stop.is_set() or time.monotonic() > deadline or victim.told.poll()):
            if self._nursery.wait_for_end(victim.process, 0.02):
                return

    def _end(self, victim: Victim) -> None:
        victim.process.terminate()
        assert self._nursery.wait_for_end(victim.process, PATIENCE_SECONDS), "it does not end when it is asked to"


@contextmanager
def open_hub(
    server: EmbeddedServer,
    sandboxes: Sandboxes,
    folder: Path,
    name: str,
    sources: Sequence[str] = SYSTEMS,
    **settings: object,
) -> Iterator[Campaign]:
    """Give a hub on a fresh database, in front of ERPs that begin anew; everything is read once."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    url = server.url.replace("/oneshelf?", f"/{name}?")
    with closing(Database(url)) as database:
        upgrade(database)
    for world in sandboxes.worlds.values():
        world.post("reset")
    port = free_port(0)
    own = {"DATABASE__URL": url, "ADAPTER__PORT": port, "CONFIG_DIR": _config(folder / name, sources)}
    environment = _environment(sandboxes, sources, {**own, **settings})
    with sandboxes.over_rfc() as rfc, closing(EventMesh(port)) as mesh:
        worlds = {source: {**sandboxes.worlds, RFC: rfc}[source] for source in sources}
        campaign = Campaign(server, url, sandboxes, worlds, mesh, folder / f"{name}.log", environment)
        for source in sources:
            campaign.run("full", source)
        yield campaign


def _config(folder: Path, sources: Sequence[str]) -> Path:
    """Return the project's settings, where SAP's places are read from the source that reads SAP here."""
    shutil.copytree(PROJECT_ROOT / "config", folder)
    if RFC in sources:
        places = folder / "locations.yaml"
        text = places.read_text(encoding="utf-8")
        text = text.replace("stock_from: sap", f"stock_from: {RFC}").replace("{sap:", f"{{{RFC}:")
        places.write_text(text, encoding="utf-8")
    return folder


def _environment(sandboxes: Sandboxes, sources: Sequence[str], more: Mapping[str, object]) -> Mapping[str, str]:
    settings: dict[str, object] = {
        "LOG__LEVEL": "WARNING",
        "LIVE__POLL_SECONDS": 0.1,
        "LIVE__INBOX_POLL_SECONDS": 0.2,
        "LIVE__ERROR_WAIT_SECONDS": 0.2,
        "LIVE__INBOX_ATTEMPTS": 1000,  # a push that costs eight lives is given up; here each life is a second
        "SOURCES__KINGDEE__POLL_SECONDS": 0.1,
        "SOURCES__SAP__CONNECTION__HOOK_SECRET": SECRET,
    }
    if RFC in sources:
        settings |= _RFC_SETTINGS | {"ITEMS__SKU_FROM": json.dumps(sources)}
    for source in sources:
        system = {RFC: "sap-rfc"}.get(source, source)
        for name, value in {**ERPS[system].small_pages, **UNLIMITED}.items():
            settings[f"SOURCES__{source.upper()}__CONNECTION__{name.upper()}"] = value
    settings |= more
    return {
        **connection_environment(sandboxes.urls),
        **{f"ONESHELF_{name}": str(value) for name, value in settings.items()},
        "BENCH_SAP_BOOKS": str(sandboxes.sap_books),
    }
