"""The embedded server comes up however its last one ended."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg

from hub.db.embedded import EmbeddedServer


def test_a_server_that_was_just_killed_is_not_taken_for_a_running_one() -> None:
    # not in a private directory: as root the server runs as another user, who must get there
    folder = Path(tempfile.mkdtemp(prefix="oneshelf-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    first = EmbeddedServer(folder / "postgres")
    try:
        os.kill(first.pid, signal.SIGKILL)
        second = EmbeddedServer(folder / "postgres")
        try:
            with closing(psycopg.connect(second.url)) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        finally:
            second.stop()
    finally:
        first.stop()
        shutil.rmtree(folder, ignore_errors=True)
