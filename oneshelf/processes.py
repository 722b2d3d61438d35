"""Child processes on one machine: started with a log file each, watched, and stopped with all that they started."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_STOP_SECONDS = 8.0
# A proxy of the company is for the world outside, not for this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StartError(RuntimeError):
    """Raised when a process did not come up; names its log file."""


def free_port(preferred: int) -> int:
    """Return `preferred` if nobody listens there on loopback, else a free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartError("no free port on 127.0.0.1")


def answers(url: str, *, timeout: float = 2.0) -> bool:
    """Tell whether an HTTP GET of a local URL is answered with success."""
    try:
        with _DIRECT.open(url, timeout=timeout) as response:
            return bool(response.status < 300)  # noqa: PLR2004 - HTTP success
    except (OSError, ValueError, http.client.HTTPException):
        return False


@dataclass
class Child:
    """One process of ours. `arguments` follow the Python interpreter of this environment."""

    name: str
    arguments: Sequence[str]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *self.arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self.process is not None and self.process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `ready` says so.

        Raises:
            StartError: the process ended or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise StartError(f"{self.name} ended while starting; see {self.log_file}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready after {seconds:.0f} s; see {self.log_file}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it and all its descendants to end, and end those that do not."""
        if self.process is None:
            return
        _end(list(_family(self.process)))
        self.process.wait()
        self.process = None


def _end(family: list[psutil.Process]) -> None:
    for process in family:
        _signal(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(family, timeout=_STOP_SECONDS)
    for process in stubborn:
        _signal(process, signal.SIGKILL)


def _family(leader: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    """Yield the process and its descendants; once it has died, those that it left in its session."""
    try:
        if leader.poll() is None:
            parent = psutil.Process(leader.pid)
            yield parent
            yield from parent.children(recursive=True)
        elif not psutil.pid_exists(leader.pid):  # else the number is somebody else's by now
            yield from (process for process in psutil.process_iter() if _session(process) == leader.pid)
    except psutil.NoSuchProcess:
        return


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


class Supervisor:
    """Starts children, restarts those that die, and stops all of them, last started first.

    Keeps their process ids in `pid_file`, so that the next start finds what a killed supervisor left running.
    """

    def __init__(self, pid_file: Path) -> None:
        self.children: list[Child] = []
        self._pid_file = pid_file

    def add(self, child: Child) -> Child:
        """Start a child and keep it."""
        child.start()
        self.children.append(child)
        self._write_pids()
        return child

    def restart_dead(self) -> list[str]:
        """Start again what has ended; returns the names."""
        dead = [child for child in self.children if not child.alive]
        for child in dead:
            child.stop()  # ends what it had started: two of a kind would get in each other's way
            child.restarts += 1
            child.start()
        if dead:
            self._write_pids()
        return [child.name for child in dead]

    def stop(self) -> None:
        """Stop all children."""
        while self.children:
            self.children.pop().stop()
        self._pid_file.unlink(missing_ok=True)

    def stop_orphans(self) -> None:
        """Stop the children of an earlier supervisor that was killed; call it only when no other one can be running."""
        if not self._pid_file.exists():
            return
        lines = self._pid_file.read_text(encoding="utf-8").splitlines()
        family = [process for line in lines for process in _descendants_of_line(line)]
        _end(family)
        self._pid_file.unlink()

    def _write_pids(self) -> None:
        alive = [child.process.pid for child in self.children if child.process is not None and child.alive]
        lines = [f"{pid} {psutil.Process(pid).create_time()}\n" for pid in alive if psutil.pid_exists(pid)]
        self._pid_file.write_text("".join(lines), encoding="utf-8")


def _descendants_of_line(line: str) -> list[psutil.Process]:
    """Return the process that a line of the pid file means, and its descendants; a reused number means none."""
    pid, created = line.split()
    try:
        process = psutil.Process(int(pid))
        return [process, *process.children(recursive=True)] if str(process.create_time()) == created else []
    except psutil.NoSuchProcess:
        return []
