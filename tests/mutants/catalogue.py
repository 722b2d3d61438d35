"""All mutants. Patches that change nothing that can be observed do not belong here."""

from __future__ import annotations

from tests.mutants import of_differences, of_documents, of_machine, of_reads, of_reservations

MUTANTS = (
    *of_documents.MUTANTS,
    *of_reads.MUTANTS,
    *of_reservations.MUTANTS,
    *of_differences.MUTANTS,
    *of_machine.MUTANTS,
)
