"""A copy of the project and a server for the runs inside; which test caught which mutant is told at the end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hub.db.embedded import EmbeddedServer
from tests.mutants.mutant import copy_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.terminal import TerminalReporter

_CAUGHT = "caught"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("mutants"))


@pytest.fixture(scope="session")
def inner_server_url() -> Iterator[str]:
    """Give the URL of a server of its own: its template is made anew by each run, of what is patched."""
    directory = Path(tempfile.mkdtemp(prefix="oneshelf-mutants-", dir="/var/tmp"))
    directory.chmod(0o755)
    server = EmbeddedServer(directory / "postgres")
    yield server.url
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def note_caught(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    return lambda text: record_property(_CAUGHT, text)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    told = [entry for report in terminalreporter.getreports("passed") for entry in report.user_properties]
    caught = sorted(str(text) for name, text in told if name == _CAUGHT)
    if caught:
        terminalreporter.section("mutants, and what caught them")
        for text in caught:
            terminalreporter.write_line(text)
