"""All of Oneshelf on one machine: database, Prefect server and worker, deployments, adapter. Step by step."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from flows.runtime import Runtime, embedded_server
from hub.clock import utc_now
from hub.db.migrate import upgrade
from hub.db.session import Database
from hub.locations import load_locations
from hub.settings import PROJECT_ROOT, Settings
from hub.telemetry import configure_logging
from oneshelf.processes import Child, StartError, Supervisor, answers, free_port
from oneshelf.serving import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from hub.db.embedded import EmbeddedServer

POOL = "oneshelf"
_WORKER = "prefect-worker"
_PREFECT_PORT = 4200
_START_SECONDS = 90.0
_FIGURES = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus-client adds up the figures of several processes


class Stack:
    """The processes of one machine, and where they are reached.

    Each `start_*` method is one step; the caller shows them. Everything started here is stopped by `stop`.
    """

    def __init__(self, settings: Settings, database_server: EmbeddedServer | None = None) -> None:
        self.settings = settings
        self._database_server = database_server
        self._worker_died_at: datetime | None = None
        self.supervisor = Supervisor(settings.state_dir / "children")
        # A company proxy is not for our own addresses.
        self.environment: dict[str, str] = {"NO_PROXY": _with_loopback(os.environ.get("NO_PROXY", ""))}
        self.prefect_url = ""
        self.owns_prefect = False
        self.adapter_url = ""
        self.logs: Path = settings.state_dir / "logs"

    def child(self, name: str, *arguments: str, **more: str) -> Child:
        """Start a process of this environment, and `more` of its own, under supervision."""
        environment = {**self.environment, **more}
        return self.supervisor.add(Child(name, arguments, self.logs / f"{name}.log", environment))

    def start_prefect_server(self) -> Child | None:
        """Start Prefect's server, unless PREFECT_API_URL names one. Call `wait_prefect_server` before using it."""
        if given := os.environ.get("PREFECT_API_URL"):
            self.prefect_url = given.removesuffix("/").removesuffix("/api")
            self.environment["PREFECT_API_URL"] = given
            return None
        self.owns_prefect = True
        port = free_port(_PREFECT_PORT)
        self.prefect_url = f"http://127.0.0.1:{port}"
        self.environment |= {
            "PREFECT_HOME": str(self.settings.state_dir / "prefect"),
            "PREFECT_API_URL": f"{self.prefect_url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_UI_API_URL": f"{self.prefect_url}/api",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
        }
        return self.child(
            "prefect-server", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)
        )

    def wait_prefect_server(self, server: Child | None) -> None:
        """Wait until Prefect's server answers."""
        if server is not None:
            server.wait_until(lambda: answers(f"{self.prefect_url}/api/health"), seconds=_START_SECONDS)

    def deploy(self) -> None:
        """Create every deployment of prefect.yaml, and the automations.

        Raises:
            StartError: Prefect refused; its words are in the log.
        """
        log_file = self.logs / "prefect-deploy.log"
        with log_file.open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
                cwd=PROJECT_ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        if done.returncode:
            raise StartError(f"prefect deploy failed; see {log_file}")
        from flows.automations import install_automations  # noqa: PLC0415 - Prefect reads its address then

        install_automations()

    def start_worker(self) -> None:
        """Create the work pool and start the worker that runs the flows."""
        from oneshelf.runs import clear_leftovers, ensure_pool  # noqa: PLC0415 - Prefect reads its address then

        if self.owns_prefect:
            clear_leftovers()
        ensure_pool(POOL)
        self.child(_WORKER, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process")

    def start_adapter(self) -> list[Child]:
        """Start the processes of the storefront adapter on the configured port, or a free one."""
        host, port = self.settings.adapter.host, free_port(self.settings.adapter.port)
        self.adapter_url = f"http://{host}:{port}"
        self.environment["ONESHELF_ADAPTER__PUBLIC_URL"] = self.adapter_url
        # for these alone: Prefect counts in the same library
        shared = {_FIGURES: str(_emptied(self.settings.state_dir / "figures"))}
        command = arguments("oneshelf.asgi:create_app", host, port)
        numbers = range(1, self.settings.adapter.processes + 1)
        return [self.child(f"storefront-adapter-{number}", *command, **shared) for number in numbers]

    def wait_adapter(self, processes: list[Child]) -> None:
        """Wait until the adapter lives: one of its processes is enough."""
        processes[0].wait_until(lambda: answers(f"{self.adapter_url}/livez"), seconds=_START_SECONDS)

    def restart_dead(self) -> list[str]:
        """Start again what has ended, the embedded database included; returns the names."""
        now = utc_now()
        restarted = self.supervisor.restart_dead()
        if self._database_server and self._database_server.revive():
            restarted.append("database")
        if _WORKER in restarted and self.owns_prefect:
            self._worker_died_at = now
        if self._worker_died_at and self._told_of_dead_worker(self._worker_died_at):
            self._worker_died_at = None
        return restarted

    def _told_of_dead_worker(self, died_at: datetime) -> bool:
        """Tell Prefect that the runs of the dead worker have ended, so that the live flow is brought back at once."""
        from oneshelf.runs import crash_cut_off  # noqa: PLC0415 - as above

        if not answers(f"{self.prefect_url}/api/health"):
            return False
        try:
            crash_cut_off(died_at, "killed with its worker")
        except Exception as error:  # noqa: BLE001 - the server may be dying too: the next look tells it once more
            structlog.get_logger().warning("prefect_not_told", error=repr(error))
            return False
        return True

    def stop(self) -> None:
        """Stop all processes."""
        self.supervisor.stop()


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _with_loopback(no_proxy: str) -> str:
    return ",".join(filter(None, (no_proxy, "127.0.0.1", "localhost")))


@contextmanager
def open_stack(settings: Settings) -> Iterator[tuple[Stack, Runtime]]:
    """Open the database (starting the embedded one if no URL is set), migrate it, and yield the stack around it.

    The children get the database by URL: this process alone starts and stops the embedded server.
    """
    configure_logging(level="WARNING", as_json=settings.log.as_json)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _alone(settings.state_dir), _stack(settings) as opened:
        yield opened


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Hold the state directory for this process; the lock goes with the process, however it ends."""
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another Oneshelf is running in {state_dir}") from None
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore a second Ctrl-C for the length of a block: it would leave processes behind."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _stack(settings: Settings) -> Iterator[tuple[Stack, Runtime]]:
    locations = load_locations(settings.config_dir / "locations.yaml", list(settings.sources))
    with embedded_server(settings) as server:
        url = server.url if server else str(settings.database.url)
        database = Database(url, pool_size=2)
        stack = Stack(settings, server)
        stack.environment["ONESHELF_DATABASE__URL"] = url
        try:
            stack.supervisor.stop_orphans()
            upgrade(database)
            runtime = Runtime(settings, database, tuple(locations))
            runtime.declare()
            yield stack, runtime
        finally:
            with _undisturbed():
                stack.stop()
                database.close()
