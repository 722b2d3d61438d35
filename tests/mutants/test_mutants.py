"""Each sentence of the stock rules is broken once, and the suite must notice. `make mutants` tries all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.mutants import witness
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import ROOT, patched, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.mutants.mutant import Mutant


def test_each_mutant_breaks_one_spot_in_production_code_and_has_a_name_of_its_own() -> None:
    for mutant in MUTANTS:
        assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1, mutant.name
        assert not mutant.file.startswith("tests/")
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_code_of_elsewhere_is_not_taken_for_the_copys(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="is not part of"):
        witness.pytest_configure(SimpleNamespace(rootpath=tmp_path))  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_catches_mutants_passes_without_them(project: Path, inner_server_url: str) -> None:
    killers = dict.fromkeys(killer for mutant in MUTANTS for killer in mutant.killers)
    run = run_tests(project, killers, inner_server_url)
    assert run.code == 0, run.output


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(mutant, id=mutant.name, marks=() if mutant.quick else pytest.mark.slow) for mutant in MUTANTS],
)
def test_it_is_caught(mutant: Mutant, project: Path, inner_server_url: str, note_caught: Callable[[str], None]) -> None:
    with patched(project, mutant):
        run = run_tests(project, mutant.killers, inner_server_url, "-x")
    assert run.caught_by, f"{mutant.name} ({mutant.breaks}) was not caught:\n{run.output}"
    note_caught(f"{mutant.name}: {mutant.breaks}\n    {run.caught_by}")
