"""The adapter as `oneshelf up` serves it, pgbench on the same server, and what each of them costs in CPU time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

from hub.settings import PROJECT_ROOT
from oneshelf.processes import Child, Supervisor, free_port
from oneshelf.serving import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROCESSES = 2
_START_SECONDS = 60.0


@contextmanager
def supervised(app: str, url: str, folder: Path) -> Iterator[tuple[Supervisor, int]]:
    """Serve an app as `oneshelf up` does, without sources; yield who watches over its processes, and their port."""
    config, figures = folder / "config", folder / app
    for made in (config, figures):
        made.mkdir(exist_ok=True)
    shutil.copy(PROJECT_ROOT / "config" / "roles.yaml", config)
    environment = {
        "ONESHELF_DATABASE__URL": url,
        "ONESHELF_CONFIG_DIR": str(config),
        "PROMETHEUS_MULTIPROC_DIR": str(figures),
    }
    supervisor = Supervisor(folder / f"{app}.pids")
    port = free_port(0)
    try:
        for number in range(_PROCESSES):
            log_file = folder / f"{app}-{number}.log"
            supervisor.add(Child(app, arguments(f"{app}:create_app", "127.0.0.1", port), log_file, environment))
        for child in supervisor.children:
            child.wait_until(partial(_waits, child), seconds=_START_SECONDS)
        yield supervisor, port
    finally:
        supervisor.stop()


@contextmanager
def served(app: str, url: str, folder: Path) -> Iterator[tuple[list[psutil.Process], int]]:
    """Serve an app as `oneshelf up` does, without sources; yield its processes and their port."""
    with supervised(app, url, folder) as (supervisor, port):
        yield [psutil.Process(child.process.pid) for child in supervisor.children if child.process], port


def _waits(child: Child) -> bool:
    return "Application startup complete" in child.log_file.read_text(encoding="utf-8")


def postmaster_of(url: str) -> psutil.Process:
    """Return the database server's first process."""
    with psycopg.connect(url) as connection:
        parent = psutil.Process(connection.info.backend_pid).parent()
    if parent is None:
        raise RuntimeError("the database's server is no process of this machine")
    return parent


def cpu_seconds(*processes: psutil.Process) -> float:
    """Return the CPU time of processes and their children, those that have ended and were waited for included."""
    seconds = 0.0
    for process in processes:
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ends just now
                times = child.cpu_times()
                seconds += times.user + times.system
        own = process.cpu_times()
        seconds += own.user + own.system + own.children_user + own.children_system
    return seconds


def run_pgbench(url: str, script: str, *, clients: int, seconds: float) -> tuple[float, float]:
    """Return pgbench's transactions per second, and PostgreSQL's CPU time for each in ms.

    Raises:
        RuntimeError: it went wrong, or a transaction failed.
    """
    postmaster = postmaster_of(url)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        before = cpu_seconds(postmaster)
        done = subprocess.run(  # noqa: S603 - the server's own tool
            [
                *(Path(postmaster.exe()).with_name("pgbench"), "-n", "-M", "prepared", "-c", str(clients)),
                *("-T", str(round(seconds)), "-f", file.name, url),
            ],
            env={**os.environ, "PGOPTIONS": "-c plan_cache_mode=force_generic_plan"},
            capture_output=True,
            text=True,
            check=False,
        )
    cpu = cpu_seconds(postmaster) - before
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    failed = re.search(r"failed transactions: (\d+)", done.stdout)
    if done.returncode or rate is None or count is None or (failed and failed[1] != "0"):
        raise RuntimeError(f"pgbench went wrong: {done.stdout}{done.stderr}")
    return float(rate[1]), cpu / int(count[1]) * 1000
