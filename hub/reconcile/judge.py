"""Judging one read: what differs from the levels, why, and what of it is still so when the read is applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from hub.clock import utc_now
from hub.contracts import MovementHistory
from hub.errors import RecordError, RemoteError
from hub.reconcile.book import close_unseen, note_findings
from hub.reconcile.facts import (
    choose_levels,
    find_changes,
    leave_out_due,
    load_factors,
    load_known,
    mapping_at,
)
from hub.reconcile.kinds import Kind
from hub.reconcile.numbers import find_surplus, find_waiting, load_ours
from hub.reconcile.rules import CLOCKS, Told, judge_change, judge_sums, judge_surplus, judge_waiting, unnamed
from hub.reconcile.sums import find_off
from hub.stock.apply import take_turn
from hub.sync.looks import find_gone, list_again, look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import psycopg

    from hub.contracts import Movement, StockKey
    from hub.reconcile.book import Case
    from hub.reconcile.rules import Change, Finding, Level, Surplus, Waiting
    from hub.settings import StockSettings
    from hub.sync.inventory import InventorySync
    from hub.sync.staging import StagedRead

Ids = tuple[int, int]

LATE = timedelta(hours=24)
"""How long after the time that it carries a document may become visible and still be found as the reason."""
LONGEST = timedelta(days=31)
"""The ERP is not asked for documents that are older."""
_NO_ANSWER = (RemoteError, RecordError)
_LONGEST_ERROR = 300
# A level that a full read does not name is zero; it is staged as that to carry its cause.
_NAME_CAUSES = """
WITH named AS (
    SELECT * FROM unnest(%(items)s::bigint[], %(places)s::bigint[], %(causes)s::text[])
        AS named(item_id, location_id, cause)),
staged AS (
    UPDATE staged_level AS staged SET cause = named.cause FROM named
    WHERE staged.item_id = named.item_id AND staged.location_id = named.location_id
    RETURNING staged.item_id, staged.location_id)
INSERT INTO staged_level (item_id, location_id, on_hand, read_began, read_ended, cause)
SELECT item_id, location_id, 0, %(began)s, %(ended)s, cause FROM named
WHERE (item_id, location_id) NOT IN (SELECT item_id, location_id FROM staged)
"""


class Judge:
    """Compares one staged read with the levels; `levels` are those that are checked, None: all of the source."""

    def __init__(self, sync: InventorySync, rules: StockSettings, levels: Collection[Ids] | None) -> None:
        self._connector = sync.connector
        self._source = sync.source
        self._rules = rules
        self._levels = levels
        self.found: list[int] = []

    def __call__(self, connection: psycopg.Connection, read: StagedRead) -> Callable[[psycopg.Connection], None]:
        """Find and name what differs; return what writes it down."""
        look(connection, self._connector)
        if not read.listed:
            # something may be sold from now on: the read is judged by its documents in any case
            list_again(connection, self._connector, everywhere=self._levels is None)
            read.listed = True
        choose_levels(connection, self._source, self._levels)
        leave_out_due(connection, self._source)
        changes = find_changes(connection, read, everything=self._levels is None)
        waiting = find_waiting(connection, self._source, self._rules)
        surplus = find_surplus(connection, self._source, self._rules)
        findings = self._name(connection, changes, waiting, surplus)
        seen = _cases(findings, waiting, surplus)

        def settle(connection: psycopg.Connection) -> None:
            take_turn(connection, self._source)
            still = self._still(connection, read) if changes else set()
            certain = [finding for finding in findings if finding.change is None or _identity(finding.change) in still]
            _name_causes(connection, read, _causes(certain, changes, still))
            self.found = note_findings(connection, self._source, certain)
            close_unseen(connection, seen)

        return settle

    def _still(self, connection: psycopg.Connection, read: StagedRead) -> set[object]:
        """Return the changes that are so now: a level may have been read, or named, since they were found."""
        return {_identity(change) for change in find_changes(connection, read, everything=self._levels is None)}

    def _name(
        self,
        connection: psycopg.Connection,
        changes: Sequence[Change],
        waiting: Sequence[Waiting],
        surplus: Sequence[Surplus],
    ) -> list[Finding]:
        off = {sums.level.ids: sums for sums in find_off(connection)}
        told = self._ask(connection, [change for change in changes if change.level.ids not in off], waiting)
        levels = [change.level for change in changes] + [late.level for late in waiting]
        factors = load_factors(connection, levels + [more.level for more in surplus])
        now = self._connector.mapping_version

        def of(level: Level) -> Collection[Decimal]:
            return factors.get(level.item_id, ())

        def mappings(change: Change) -> tuple[str, str]:
            return mapping_at(connection, self._source, change.base_at) or now, now

        unknown = Told(asked=False)
        named: list[Finding | None] = [judge_sums(sums) for sums in off.values()]
        named += [
            judge_change(change, told.get(change.level.ids, unknown), of(change.level), mappings(change))
            for change in changes
            if change.level.ids not in off  # what our own fault has changed says nothing of the ERP
        ]
        named += [judge_waiting(late, told.get(late.level.ids, unknown), of(late.level)) for late in waiting]
        named += [judge_surplus(more, of(more.level)) for more in surplus]
        return [finding for finding in named if finding is not None]

    def _ask(
        self, connection: psycopg.Connection, changes: Sequence[Change], waiting: Sequence[Waiting]
    ) -> dict[Ids, Told]:
        """Ask the ERP which documents moved the levels in question, as many of them as one check may ask about.

        Returns what it told; where it did not, why.
        """
        by_hand = [late for late in waiting if late.kind != "sale"]
        both = [change.level for change in changes] + [late.level for late in by_hand]
        levels = list(dict.fromkeys(both))[: self._rules.reconcile_questions]
        if not levels or not isinstance(self._connector, MovementHistory):
            return {}
        earliest = min([*(change.base_at - LATE for change in changes), *(late.since - CLOCKS for late in by_hand)])
        since = max(earliest, utc_now() - LONGEST)
        moved: dict[StockKey, list[Movement]] = {level.key: [] for level in levels}
        bases = {change.level.ids: change.base for change in changes}
        # The read itself is good, and is not given up for a question: neither for one that the user may not ask, nor
        # for one bad bill, nor for an ERP that is too busy. The connector has repeated what was worth repeating, and a
        # read that waits for the answer may wait for ever; what nothing explains then says that nobody was asked.
        try:
            for movement in self._connector.movements(list(moved), since):
                moved[movement.key].append(movement)
        except _NO_ANSWER as error:
            refused = self._note_refused(error)
            return {level.ids: Told(asked=False, refused=refused) for level in levels}
        told = {
            level.ids: self._told(connection, level, moved[level.key], bases.get(level.ids, 0), since)
            for level in levels
        }
        try:
            return self._look_for_gone(connection, told)
        except _NO_ANSWER as error:
            refused = self._note_refused(error)
            return {ids: replace(level, refused=refused) for ids, level in told.items()}

    def _note_refused(self, error: Exception) -> str:
        structlog.get_logger().warning("documents_refused", source=self._source, error=str(error))
        return str(error)[:_LONGEST_ERROR]

    def _told(
        self, connection: psycopg.Connection, level: Level, moved: Sequence[Movement], base: int, since: datetime
    ) -> Told:
        known = load_known(connection, self._source, level, base, since)
        references = {movement.reference.upper() for movement in moved} | {line.reference for line in known.values()}
        ours, sales = load_ours(connection, level, references)
        return Told(moved, known, sales=sales, ours=ours)

    def _look_for_gone(self, connection: psycopg.Connection, told: Mapping[Ids, Told]) -> dict[Ids, Told]:
        """Ask for documents that the base contains and the ERP did not name: they may have been deleted."""
        missing = {ids: _missing(level) for ids, level in told.items()}
        gone = find_gone(connection, self._connector, set().union(*missing.values()))
        return {ids: replace(level, gone=missing[ids] & gone) for ids, level in told.items()}


def _missing(told: Told) -> set[str]:
    named = {movement.document for movement in told.movements}
    return {line.document for line in told.known.values() if line.posted and line.in_base} - named


def _cases(findings: Iterable[Finding], *unnamed_too: Iterable[Waiting | Surplus]) -> set[Case]:
    """Return all that is so, or may be: also what nothing names now, though it is still there."""
    seen = {(finding.level.ids, finding.kind, finding.subject) for finding in findings}
    named = {(ids, subject) for ids, _, subject in seen}
    cases = [case for some in unnamed_too for case in some if (case.level.ids, case.reference) not in named]
    return seen | {(case.level.ids, unnamed(case), case.reference) for case in cases}


def _identity(change: Change) -> object:
    """What makes it the same change; the time of a base that nobody remembers is counted from now on."""
    return change.level.ids, change.before, change.now, change.base


def _causes(certain: Iterable[Finding], changes: Iterable[Change], still: Collection[object]) -> dict[Ids, str]:
    """Return the cause of each change that is so now; at a level whose sums disagree, that is our fault."""
    causes = {change.level.ids: Kind.OUR_BUG.cause for change in changes if _identity(change) in still}
    return causes | {finding.level.ids: finding.kind.cause for finding in certain if finding.change is not None}


def _name_causes(connection: psycopg.Connection, read: StagedRead, causes: Mapping[Ids, str]) -> None:
    if causes:
        values = {
            "items": [item for item, _ in causes],
            "places": [place for _, place in causes],
            "causes": list(causes.values()),
            "began": read.first_began,
            "ended": read.last_ended,
        }
        connection.execute(_NAME_CAUSES, values)
