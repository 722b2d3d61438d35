"""`oneshelf up` loses its processes by SIGKILL, one after the other: movements flow again within two minutes.

In the end it is killed itself, alone and with all its processes. After each part the hub's numbers are the ERPs' own,
and the ledger leads to them entry by entry. Each part notes how long it took. They share one start of everything, so
they run in the order of the file.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg
import pytest

from flows.automations import HEARTBEAT
from flows.runtime import Runtime
from hub.db.session import Database
from hub.settings import PROJECT_ROOT, load_settings
from hub.sync.watch import is_followed
from oneshelf.processes import Supervisor
from oneshelf.sandboxes import connection_environment, create_sandbox
from sandbox.faults import Switchboard
from tests.erp_sandboxes import ARTICLES, ERPS, LOCATIONS, Recorded
from tests.hub_shop import Shop
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.erp_sandboxes import ErpSandbox

    Note = Callable[[str], None]

pytestmark = [pytest.mark.slow, pytest.mark.prefect]

BACK_SECONDS = 120
LIVE = "live-sync/live"
FULL = "sync-inventory/sap-full"
WATCHED = {"plant": "1010", "storage_location": "101A"}
MOVES = 20


@dataclass
class Machine:
    """A running `oneshelf up`: its processes, its Prefect, its database and the ERPs it follows."""

    folder: Path
    environment: dict[str, str]
    worlds: dict[str, ErpSandbox]
    count_kills: Callable[[str, int], None] = lambda _process, _times: None
    starts: int = 0
    up: subprocess.Popen[bytes] = field(init=False)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def output(self) -> Path:
        """What the `oneshelf up` that runs now has said."""
        return self.folder / f"output-{self.starts}"

    def start(self) -> None:
        self.starts += 1
        with self.output.open("wb") as file:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "oneshelf", "up"],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def wait_for_start(self) -> None:
        until(lambda: self.says("Prefect http"), BACK_SECONDS)
        self.wait_for_live()

    def end(self) -> None:
        self.up.send_signal(signal.SIGCONT)
        self.up.terminate()
        self.up.wait(60)
        Supervisor(self.state / "children").stop_orphans()  # of one that was killed, where its test has failed

    def kill(self, what: str, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.count_kills(what, len(pids))

    def says(self, words: str) -> bool:
        return words in self.output.read_text(encoding="utf-8")

    @property
    def prefect(self) -> str:
        line = next(line for line in self.output.read_text(encoding="utf-8").splitlines() if "Prefect http" in line)
        return line.rpartition("Prefect ")[2].strip() + "/api"

    def child(self, *words: str) -> psutil.Process:
        """Return the direct child of `oneshelf up` whose command line has all the words."""
        return self.children(*words)[0]

    def children(self, *words: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.up.pid).children():
            with suppress(psutil.NoSuchProcess):
                if all(word in child.cmdline() for word in words):
                    found.append(child)
        return found

    @property
    def worker(self) -> psutil.Process:
        return self.child("worker", "start")

    @property
    def adapter(self) -> str:
        return self.output.read_text(encoding="utf-8").partition("staff page ")[2].partition("/staff")[0]

    @property
    def postmaster(self) -> int:
        return int((self.state / "postgres" / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    @property
    def database_url(self) -> str:
        return self.child("oneshelf.serving").environ()["ONESHELF_DATABASE__URL"]

    def runs(self, *states: str) -> list[dict[str, Any]]:
        deployment = httpx.get(f"{self.prefect}/deployments/name/{LIVE}").raise_for_status().json()["id"]
        chosen = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": states}}}}
        return list(httpx.post(f"{self.prefect}/flow_runs/filter", json=chosen, timeout=30).raise_for_status().json())

    def live_processes(self) -> dict[str, int]:
        """Return run id and process id of each live run at work."""
        running = self.runs("RUNNING")
        return {run["id"]: int(run["infrastructure_pid"].rpartition(":")[2]) for run in running}

    def state_of(self, run: str) -> tuple[str, str]:
        state = httpx.get(f"{self.prefect}/flow_runs/{run}").raise_for_status().json()["state"]
        return state["type"], state["message"] or ""

    def seconds_until_followed(self, quantity: int) -> float:
        """Count an article anew in the ERP; return how long it takes until the hub shows it and a loop is at work."""
        began = time.monotonic()
        sap = self.worlds["sap"].url
        material = httpx.get(f"{sap}/__world/totals").json()["totals"][0]["item"]
        counted = {"kind": "count", "material": material, "quantity": str(quantity), **WATCHED}
        httpx.post(f"{sap}/__world/movements", json=counted).raise_for_status()
        until(lambda: self.shows(material, quantity) and self.is_followed(), BACK_SECONDS)
        return time.monotonic() - began

    def shows(self, sku: str, quantity: int) -> bool:
        sql = (
            "SELECT on_hand FROM stock_level JOIN item ON item.id = item_id JOIN location ON location.id = location_id"
            " WHERE sku = %s AND code = 'DC-SH'"
        )
        with suppress(psycopg.Error), psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, (sku,)).fetchall() == [(quantity,)]
        return False

    def is_followed(self) -> bool:
        with suppress(psycopg.Error), psycopg.connect(self.database_url, autocommit=True) as connection:
            return is_followed(connection)
        return False

    def move(self) -> None:
        for world in self.worlds.values():
            world.moves(MOVES)

    def check_books(self) -> None:
        """Wait until the hub says what the ERPs' own books say; its ledger leads there, each change once."""
        with closing(Database(self.database_url)) as database:
            shop = Shop(Runtime(load_settings(), database, LOCATIONS), self.worlds)
            until(lambda: not any(shop.wrong(source) for source in self.worlds), BACK_SECONDS)
            assert all(shop.levels(source) for source in self.worlds)
            assert shop.ledger_gaps() == []

    def completes(self, deployment: str) -> None:
        """Let Prefect run a deployment; a server that has just started may still say that its database is locked."""
        asked: list[str] = []

        def ask() -> bool:
            found = httpx.get(f"{self.prefect}/deployments/name/{deployment}").raise_for_status().json()["id"]
            answer = httpx.post(f"{self.prefect}/deployments/{found}/create_flow_run", json={}, timeout=30)
            asked.append(answer.raise_for_status().json()["id"])
            return True

        until(ask)
        until(lambda: self.state_of(asked[0])[0] == "COMPLETED")

    def stop_hourly_runs(self) -> None:
        """Leave out the hourly hand-over, which another test follows: it would look like a loss at minute 57."""
        live = httpx.get(f"{self.prefect}/deployments/name/{LIVE}").raise_for_status().json()
        for schedule in live["schedules"]:
            of_live = f"{self.prefect}/deployments/{live['id']}/schedules/{schedule['id']}"
            until(lambda path=of_live: httpx.patch(path, json={"active": False}).raise_for_status())

    def heart_beats(self, run: str, since: datetime) -> bool:
        """Tell whether a heartbeat of a run has arrived at the Prefect server."""
        wanted = {
            "occurred": {"since": since.isoformat()},
            "event": {"name": [HEARTBEAT]},
            "resource": {"id": [f"prefect.flow-run.{run}"]},
        }
        answer = httpx.post(f"{self.prefect}/events/filter", json={"filter": wanted}, timeout=30)
        return bool(answer.raise_for_status().json()["total"])

    def wait_for_live(self) -> dict[str, int]:
        """Wait until a live run is at work and the server knows its process."""
        until(lambda: self.runs("RUNNING") and all(r["infrastructure_pid"] for r in self.runs("RUNNING")))
        until(self.is_followed)
        return self.live_processes()


def until(holds: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(httpx.HTTPError, LookupError, StopIteration, FileNotFoundError, psycopg.Error):
            if holds():
                return
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.2)


def has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    state = Path(tempfile.mkdtemp(prefix="oneshelf-up-", dir="/var/tmp"))
    state.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        urls = {
            name: stack.enter_context(serve(create_sandbox(name, state / name, articles=ARTICLES, moves_per_minute=0)))
            for name in ("sap", "kingdee")
        }
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ONESHELF_"))},
            "ONESHELF_STATE_DIR": str(state / "state"),
            "PYTHONUNBUFFERED": "1",
            **connection_environment(urls),
        }
        worlds = {name: ERPS[name](url, Recorded(None), Switchboard({})) for name, url in urls.items()}
        machine = Machine(state, environment, worlds)
        machine.start()
        stack.callback(machine.end)
        machine.wait_for_start()
        machine.stop_hourly_runs()
        machine.seconds_until_followed(1)
        yield machine


@pytest.fixture(autouse=True)
def checked(machine: Machine, count_kills: Callable[[str, int], None]) -> Iterator[None]:
    """Move goods before each part; after it, the books must agree."""
    machine.count_kills = count_kills
    machine.move()
    yield
    machine.check_books()


def test_a_killed_live_flow_is_back_twice_in_a_row(machine: Machine, note: Note) -> None:
    """The worker tells of its dead process, and the trigger in prefect.yaml asks for the next run."""
    for turn in (1, 2):
        killed = machine.wait_for_live()
        machine.kill("live flow", *killed.values())
        note(f"live flow killed ({turn}): movements flow again after {machine.seconds_until_followed(turn + 10):.1f} s")
        assert not killed.keys() & machine.wait_for_live().keys()
        assert {machine.state_of(run)[0] for run in killed} == {"CRASHED"}


def test_worker_and_live_flow_killed_together_are_back(machine: Machine, note: Note) -> None:
    killed = machine.wait_for_live()
    machine.kill("Prefect worker", machine.worker.pid)
    machine.kill("live flow", *killed.values())
    note(f"worker and flow killed: movements flow again after {machine.seconds_until_followed(20):.1f} s")
    assert {machine.state_of(run) for run in killed} == {("CRASHED", "killed with its worker")}


def test_a_killed_database_server_is_back(machine: Machine, note: Note) -> None:
    machine.kill("PostgreSQL server", machine.postmaster)
    note(f"PostgreSQL killed: movements flow again after {machine.seconds_until_followed(30):.1f} s")
    assert machine.says("database had ended and was started again")
    until(lambda: httpx.get(f"{machine.adapter}/readyz").status_code == httpx.codes.OK)


def test_a_killed_worker_is_back(machine: Machine, note: Note) -> None:
    """Its flows end with it, or else two of a kind would be at work."""
    cut_off = machine.wait_for_live()
    machine.kill("Prefect worker", machine.worker.pid)
    note(f"worker killed: movements flow again after {machine.seconds_until_followed(32):.1f} s")
    until(lambda: {machine.state_of(run)[0] for run in cut_off} == {"CRASHED"})
    assert not cut_off.keys() & machine.wait_for_live().keys()


def test_killed_adapters_are_back(machine: Machine, note: Note) -> None:
    """One of the two serves on alone; both are started again."""
    one, other = machine.children("oneshelf.serving")
    machine.kill("storefront adapter", one.pid)
    assert {httpx.get(f"{machine.adapter}/livez").status_code for _ in range(10)} == {httpx.codes.OK}
    machine.kill("storefront adapter", other.pid)
    began = time.monotonic()
    until(lambda: httpx.get(f"{machine.adapter}/readyz").status_code == httpx.codes.OK)
    note(f"both adapters killed: one serves again after {time.monotonic() - began:.1f} s")
    until(lambda: len(machine.children("oneshelf.serving")) == 2)


def test_a_killed_prefect_server_is_back(machine: Machine, note: Note) -> None:
    """The live flow goes on meanwhile and tells the new server that it lives; the worker goes on taking runs."""
    live = machine.wait_for_live()
    machine.kill("Prefect server", machine.child("server", "start").pid)
    began = time.monotonic()
    meanwhile = machine.seconds_until_followed(35)
    until(lambda: httpx.get(f"{machine.prefect}/health").status_code == httpx.codes.OK)
    back, since = time.monotonic() - began, datetime.now(UTC)
    note(f"Prefect server killed: movements flow after {meanwhile:.1f} s, the server answers after {back:.1f} s")
    assert machine.says("prefect-server had ended and was started again")
    machine.completes(FULL)
    until(lambda: all(machine.heart_beats(run, since) for run in live))
    assert machine.wait_for_live() == live


def test_where_nobody_watches_over_the_worker_the_missing_heartbeats_tell(machine: Machine, note: Note) -> None:
    """As on a machine of a fleet that dies: another worker is there, and nobody says that the runs have ended.

    The Prefect server was killed in the part before. It therefore keeps the end of a run that began before it to itself
    (it waits for the event that this one follows), and the trigger on crashed runs does nothing.
    """
    killed = machine.wait_for_live()
    with ExitStack() as ending:
        machine.up.send_signal(signal.SIGSTOP)
        ending.callback(machine.up.send_signal, signal.SIGCONT)
        worker = machine.worker
        environment, arguments = worker.environ(), worker.cmdline()
        began = time.monotonic()
        machine.kill("Prefect worker", worker.pid)
        machine.kill("live flow", *killed.values())
        log = ending.enter_context((machine.state / "other-worker.log").open("wb"))
        other = subprocess.Popen(arguments, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=PROJECT_ROOT)
        ending.callback(end_family, other)
        until(lambda: {machine.state_of(run)[0] for run in killed} == {"CRASHED"}, BACK_SECONDS)
        noticed = time.monotonic() - began
        machine.seconds_until_followed(40)
        back = time.monotonic() - began
        note(f"fleet, worker and flow killed: noticed after {noticed:.1f} s, movements flow again after {back:.1f} s")
        assert back <= BACK_SECONDS
        assert {machine.state_of(run)[1] for run in killed} == {"no heartbeat: killed with its worker"}


def end_family(worker: subprocess.Popen[bytes]) -> None:
    """End a worker with its flows; asked kindly, it would take the runs that follow theirs before it ends."""
    family = psutil.Process(worker.pid)
    for process in (family, *family.children(recursive=True)):
        process.kill()
    worker.wait()


def test_a_killed_up_is_taken_over_by_the_next(machine: Machine, note: Note) -> None:
    """What it had started works on without it; the next one ends all that and goes on."""
    cut_off = machine.wait_for_live()
    orphans = [*machine.children("-m"), *map(psutil.Process, cut_off.values())]
    machine.kill("oneshelf up", machine.up.pid)
    machine.up.wait()
    machine.move()
    assert not any(has_ended(process) for process in orphans)
    start_again(machine, note, "up killed", 50)
    assert all(has_ended(process) for process in orphans)
    assert {machine.state_of(run) for run in cut_off} == {("CRASHED", "the machine was stopped")}


def test_a_killed_machine_is_taken_over_by_the_next(machine: Machine, note: Note) -> None:
    """As when the power fails: `up`, all that it had started, and the database server."""
    cut_off = machine.wait_for_live()
    named = {"worker": "Prefect worker", "server": "Prefect server", "oneshelf.serving": "storefront adapter"}
    children = {what: [process.pid for process in machine.children(word)] for word, what in named.items()}
    family = {"PostgreSQL server": [machine.postmaster], **children, "live flow": list(cut_off.values())}
    machine.kill("oneshelf up", machine.up.pid)
    for what, pids in family.items():
        machine.kill(what, *pids)
    machine.up.wait()
    machine.move()
    # A machine that starts anew has none of them left, not even as what its first process has yet to reap.
    until(lambda: not any(psutil.pid_exists(pid) for pids in family.values() for pid in pids))
    start_again(machine, note, "up killed with all its processes", 60)
    assert {machine.state_of(run) for run in cut_off} == {("CRASHED", "the machine was stopped")}


def start_again(machine: Machine, note: Note, what: str, quantity: int) -> None:
    began = time.monotonic()
    machine.start()
    machine.wait_for_start()
    machine.seconds_until_followed(quantity)
    note(f"{what}: movements flow again {time.monotonic() - began:.1f} s after the next start")
