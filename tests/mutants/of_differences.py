"""Mutants of the reconciliation, where a broken sentence would sell what is not there, or hide that it was."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

NUMBERS, JUDGE, BOOK = "hub/reconcile/numbers.py", "hub/reconcile/judge.py", "hub/reconcile/book.py"
TELL = "hub/db/functions/stock_tell_posted.sql"
MEND, CHECKS = "tests/integration/test_reconcile_mend.py::", "tests/integration/test_reconcile_checks.py::"
OF_NUMBERS, OF_BOOK = "tests/integration/test_reconcile_numbers.py::", "tests/integration/test_reconcile_book.py::"

MUTANTS = (
    Mutant(
        name="what a person tells is in the read on its way",
        breaks="a document that a person tells of covers only what is read from then on",
        file=TELL,
        old="wanted_reference, missing, true, tick, who)",
        new="wanted_reference, missing, true, 0, who)",
        killers=(MEND + "test_a_read_that_is_on_its_way_does_not_cover_it",),
    ),
    Mutant(
        name="one document is told for two numbers",
        breaks="one document stands for one number at a level",
        file=TELL,
        old="    WHERE known.reference = excluded.reference AND NOT known.posted;\n",
        new="    WHERE true;\n",
        killers=(MEND + "test_one_document_is_told_for_one_number",),
    ),
    Mutant(
        name="what a person tells of an article is of the whole day",
        breaks="what a person tells of a day's settlement is of one article",
        file="hub/stock/coverage.py",
        old="                      AND (posting.told_by = '' OR posting.item_id = contained.item_id)\n",
        new="",
        killers=(MEND + "test_a_day_that_was_settled_under_another_number",),
    ),
    Mutant(
        name="a told document stands though the ERP took it back",
        breaks="a document that a person has told of stands as long as the ERP does not take it back",
        file="hub/stock/postings.py",
        old="    rows += connection.execute(_TOLD_TAKEN_BACK, values)\n",
        new="",
        killers=(MEND + "test_a_document_that_is_taken_back_later_stands_for_nothing",),
    ),
    Mutant(
        name="sent supply is taken for posted by hand",
        breaks="supply that was sent counts by the rule; what was not and is there all the same is offered twice",
        file=NUMBERS,
        old=" AND supply.push_sent IS NULL\n",
        new="\n",
        killers=(OF_NUMBERS + "test_a_return_that_was_sent_is_counted_by_the_rule",),
    ),
    Mutant(
        name="what is late no more is closed",
        breaks="a case lasts until it can't be seen any more",
        file=JUDGE,
        old="    cases = [case for case in facts.cases() if (case.level.ids, case.reference) not in named]\n",
        new="    cases: list[Waiting | Surplus] = []\n",
        killers=(
            OF_BOOK + "test_a_settlement_that_was_posted_again_does_not_close_it",
            OF_BOOK + "test_a_receipt_of_the_day_that_is_told_later_does_not_close_it",
        ),
    ),
    Mutant(
        name="nothing is looked at once more",
        breaks="under the turn, what has ended meanwhile is no difference",
        file=JUDGE,
        old="certain = [f for f in findings if f.about is None or still.get(_identity(f.about)) == _content(f.about)]",
        new="certain = list(findings)",
        killers=(
            CHECKS + "test_what_arrives_while_the_erp_is_asked_is_not_named",
            CHECKS + "test_what_another_process_has_read_meanwhile_is_not_named",
        ),
    ),
    Mutant(
        name="the turn comes late",
        breaks="who has the turn waits for no row that is written under it",
        file="hub/sync/inventory.py",
        old="            take_turn(connection, self.source)  # first of all",
        new="            # first of all",
        killers=(CHECKS + "test_rows_in_quarantine_are_written_within_the_turn",),
    ),
    Mutant(
        name="a class stays open beside another",
        breaks="a case closes by its class",
        file=BOOK,
        old='        "kinds": [str(kind) for _, kind, _ in seen],\n        "subjects"',
        new='        "kinds": [str(Kind.LATE_POS) for _ in seen],\n        "subjects"',
        killers=(OF_BOOK + "test_what_becomes_of_another_class_is_closed_as_the_first",),
    ),
)
