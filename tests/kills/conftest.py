"""A server and two ERPs that may be killed; figures that tests note are shown at the end of the run."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.db.embedded import EmbeddedServer
from tests.kills.campaign import Sandboxes
from tests.kills.victims import Nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.terminal import TerminalReporter

_FIGURE = "figure"
_KILLS = "kills"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """Give a PostgreSQL server that no other test has anything in."""
    directory = Path(tempfile.mkdtemp(prefix="oneshelf-kills-", dir="/var/tmp"))
    directory.chmod(0o755)
    server = EmbeddedServer(directory / "postgres")
    with psycopg.connect(server.url, autocommit=True) as connection:
        # What a crashed server leaves of its dead backends' tables it takes away when it cleans next.
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandboxes]:
    sandboxes = Sandboxes(Nursery(), tmp_path_factory.mktemp("kills"))
    yield sandboxes
    sandboxes.stop()


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Give what notes a figure."""
    return lambda text: record_property(_FIGURE, text)


@pytest.fixture
def count_kills(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """Give what counts the kills of a process; the run shows the sums."""
    return lambda process, times: record_property(_KILLS, (process, times))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = [entry for report in reports for entry in report.user_properties]
    figures = [str(text) for name, text in told if name == _FIGURE]
    kills = Counter[str]()
    for process, times in (counted for name, counted in told if name == _KILLS):
        kills[process] += times
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(text)
    if kills:
        terminalreporter.write_line(f"{kills.total()} SIGKILLs by process:")
        for process, times in kills.most_common():
            terminalreporter.write_line(f"  {process}: {times}")
