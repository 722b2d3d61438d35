"""Some of the other mutants once more, in a town where anything may happen: the state machine notices by itself."""

from __future__ import annotations

from dataclasses import replace

from tests.mutants import of_documents, of_reads, of_reservations

_KILLERS = ("tests/integration/test_machine.py::test_nothing_is_oversold_whatever_happens_and_all_is_exact_in_the_end",)
_NAMES = frozenset(
    {
        "read begins after the answer",
        "demand by the end of the read",
        "what was taken back covers",
        "a part covers all",
        "no list before the quantities",
        "no list after the quantities",
        "vanished documents are not missed",
        "a document of the same number is the same",
        "cancelling gives back what was sent",
        "cancelled demand stays in its pool",
        "places that are counted sell",
        "nothing is closed",
        "released twice",
        "an order takes and keeps holding",
        "a late payment sells what is gone",
    }
)

MUTANTS = tuple(
    replace(mutant, name=f"{mutant.name}, in a town", killers=_KILLERS, quick=False)
    for mutant in (*of_documents.MUTANTS, *of_reads.MUTANTS, *of_reservations.MUTANTS)
    if mutant.name in _NAMES
)
