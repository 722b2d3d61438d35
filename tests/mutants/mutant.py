"""Running tests on a copy of the project in which one sentence of a rule is broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 600
_FAILED = re.compile(r"^FAILED (\S+) - (.*)$", re.MULTILINE)
# What a test claims, or what the database refuses by a rule of its own. A patch that breaks a statement proves nothing.
_CAUGHT = re.compile(
    r"assert |AssertionError|Failed: |\S*(BrokenHistoryError|CheckViolation|IntegrityError|LockNotAvailable)\b"
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken sentence.

    Attributes:
        breaks: the sentence of the rule that it breaks, in plain words.
        file: what is patched, from the project's root on; `old` stands there once and is replaced by `new`.
        killers: the tests, as pytest names them, of which at least one must fail.
        quick: `make test` tries it as well.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    killers: tuple[str, ...]
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """How tests went: pytest's exit code and what it printed."""

    code: int
    output: str

    @property
    def caught_by(self) -> str | None:
        """The test that failed by what it claims, if one did."""
        failures = _FAILED.findall(self.output)
        if self.code != pytest.ExitCode.TESTS_FAILED or not failures:
            return None
        [(test, reason)] = failures
        return str(test) if _CAUGHT.match(reason) else None


def copy_project(folder: Path) -> Path:
    """Copy the project without what was built, installed or kept by it; return the copy."""
    ignore = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
    return Path(shutil.copytree(ROOT, folder / "project", ignore=ignore))


@contextmanager
def patched(project: Path, mutant: Mutant) -> Iterator[None]:
    """Patch a copy of the project for the length of a `with` block."""
    path = project / mutant.file
    whole = path.read_text(encoding="utf-8")
    assert whole.count(mutant.old) == 1, f"{mutant.name}: what it replaces must stand once in {mutant.file}"
    path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")


def run_tests(project: Path, tests: Iterable[str], server_url: str, *options: str) -> Run:
    """Run tests of a copy on its own code, with databases of their own on a server that nothing else uses."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.mutants.witness"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ONESHELF_"))}
    ours = {"PYTHONPATH": str(project), "ONESHELF_TEST_DATABASE_URL": server_url, "COLUMNS": "1000"}
    done = subprocess.run(
        [*command, *options, *tests],
        cwd=project,
        env={**kept, **ours},
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
    )
    return Run(done.returncode, done.stdout + done.stderr)
