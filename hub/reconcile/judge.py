"""Judging one read: what differs from the levels, why, and what of it is still so when the read is applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from hub.clock import utc_now
from hub.contracts import MovementHistory
from hub.errors import RecordError, RemoteError
from hub.reconcile.book import close, find_unseen, note_findings
from hub.reconcile.facts import (
    choose_levels,
    find_changes,
    keep_only,
    leave_out_due,
    load_factors,
    load_known,
    mappings_at,
)
from hub.reconcile.kinds import Kind
from hub.reconcile.numbers import find_surplus, find_waiting, load_ours, load_taken
from hub.reconcile.rules import CLOCKS, Change, Told, judge_change, judge_sums, judge_surplus, judge_waiting, unnamed
from hub.reconcile.sums import BASE_OFF, find_off
from hub.stock.apply import take_turn
from hub.sync.looks import find_gone, list_again, look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from decimal import Decimal

    import psycopg

    from hub.contracts import Movement, StockKey
    from hub.reconcile.book import Case
    from hub.reconcile.rules import Finding, Known, Level, Off, Surplus, Waiting
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


@dataclass(frozen=True, slots=True)
class _Facts:
    """What differs at one moment."""

    changes: Sequence[Change]
    waiting: Sequence[Waiting]
    surplus: Sequence[Surplus]

    def cases(self) -> list[Waiting | Surplus]:
        return [*self.waiting, *self.surplus]

    def by_identity(self) -> dict[object, object]:
        facts: list[Change | Waiting | Surplus] = [*self.changes, *self.cases()]
        return {_identity(fact): _content(fact) for fact in facts}


class Judge:
    """Compares one staged read with the levels; `levels` are those that are checked, None: all of the source."""

    def __init__(self, sync: InventorySync, rules: StockSettings, levels: Collection[Ids] | None) -> None:
        self._connector = sync.connector
        self._source = sync.source
        self._rules = rules
        self._levels = levels
        self.found: list[int] = []
        self.left_out: set[Ids] = set()
        """Levels that were due when all else was compared."""

    def __call__(self, connection: psycopg.Connection, read: StagedRead) -> Callable[[psycopg.Connection], None]:
        """Find and name what differs; return what writes it down."""
        look(connection, self._connector)
        if not read.listed:
            # something may be sold from now on: the read is judged by its documents in any case
            list_again(connection, self._connector, everywhere=self._levels is None)
            read.listed = True
        choose_levels(connection, self._source, self._levels)
        off = find_off(connection)
        self.left_out = leave_out_due(connection, self._source)
        facts = self._look(connection, read)
        findings = self._name(connection, facts, off)
        seen = _cases(findings, facts)

        def settle(connection: psycopg.Connection) -> None:
            take_turn(connection, self._source)
            unseen = find_unseen(connection, seen)
            if findings or facts.changes:
                self._write_down(connection, read, facts, findings)
            close(connection, unseen)

        return settle

    def _look(self, connection: psycopg.Connection, read: StagedRead) -> _Facts:
        return _Facts(
            find_changes(connection, read, everything=self._levels is None),
            find_waiting(connection, self._source, self._rules),
            find_surplus(connection, self._source, self._rules),
        )

    def _write_down(
        self, connection: psycopg.Connection, read: StagedRead, before: _Facts, findings: Sequence[Finding]
    ) -> None:
        """Write what is so under the turn as well: meanwhile a level may have been read, or a document told."""
        keep_only(connection, {finding.level.ids for finding in findings} | {one.level.ids for one in before.changes})
        still = self._look(connection, read).by_identity()
        certain = [f for f in findings if f.about is None or still.get(_identity(f.about)) == _content(f.about)]
        _name_causes(connection, read, _causes(certain, before.changes, still))
        self.found = note_findings(connection, self._source, certain)

    def _name(self, connection: psycopg.Connection, facts: _Facts, sums: Sequence[Off]) -> list[Finding]:
        # what our own fault has changed says nothing of the ERP
        off = {one.level.ids for one in sums if BASE_OFF in one.by}
        told = self._ask(connection, [one for one in facts.changes if one.level.ids not in off], facts.waiting)
        levels = [change.level for change in facts.changes] + [case.level for case in facts.cases()]
        factors = load_factors(connection, levels)
        now = self._connector.mapping_version
        then = mappings_at(connection, self._source, {change.base_at for change in facts.changes})
        taken = load_taken(connection, [case.level for case in facts.waiting])

        def of(level: Level) -> Collection[Decimal]:
            return factors.get(level.item_id, ())

        unknown = Told(asked=False)
        named: list[Finding | None] = [judge_sums(one) for one in sums]
        named += [
            judge_change(
                change, told.get(change.level.ids, unknown), of(change.level), (then[change.base_at] or now, now)
            )
            for change in facts.changes
            if change.level.ids not in off
        ]
        named += [
            judge_waiting(late, told.get(late.level.ids, unknown), of(late.level), taken) for late in facts.waiting
        ]
        named += [judge_surplus(more, of(more.level)) for more in facts.surplus]
        return [finding for finding in named if finding is not None]

    def _ask(
        self, connection: psycopg.Connection, changes: Sequence[Change], waiting: Sequence[Waiting]
    ) -> dict[Ids, Told]:
        """Ask the ERP which documents moved the levels in question, as many of them as one check may ask about.

        Returns what it told; where it did not, why.
        """
        by_hand = [one for one in waiting if one.late and one.kind != "sale"]
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
        known = load_known(connection, self._source, {level: bases.get(level.ids, 0) for level in levels}, since)
        told = self._told(connection, {level: moved[level.key] for level in levels}, known)
        try:
            return self._look_for_gone(connection, told)
        except _NO_ANSWER as error:
            refused = self._note_refused(error)
            return {ids: replace(level, refused=refused) for ids, level in told.items()}

    def _note_refused(self, error: Exception) -> str:
        structlog.get_logger().warning("documents_refused", source=self._source, error=str(error))
        return str(error)[:_LONGEST_ERROR]

    def _told(
        self,
        connection: psycopg.Connection,
        moved: Mapping[Level, Sequence[Movement]],
        known: Mapping[Ids, Mapping[str, Known]],
    ) -> dict[Ids, Told]:
        references = {
            level: {movement.reference.upper() for movement in movements}
            | {line.reference for line in known[level.ids].values()}
            for level, movements in moved.items()
        }
        ours = load_ours(connection, references)
        return {
            level.ids: Told(movements, known[level.ids], ours=ours[level.ids][0], sales=ours[level.ids][1])
            for level, movements in moved.items()
        }

    def _look_for_gone(self, connection: psycopg.Connection, told: Mapping[Ids, Told]) -> dict[Ids, Told]:
        """Ask for documents that the base contains and the ERP did not name: they may have been deleted."""
        missing = {ids: _missing(level) for ids, level in told.items()}
        gone = find_gone(connection, self._connector, set().union(*missing.values()))
        return {ids: replace(level, gone=missing[ids] & gone) for ids, level in told.items()}


def _missing(told: Told) -> set[str]:
    named = {movement.document for movement in told.movements}
    return {line.document for line in told.known.values() if line.posted and line.in_base} - named


def _cases(findings: Iterable[Finding], facts: _Facts) -> set[Case]:
    """Return all that is so, or may be: also what nothing names now, though it is still there."""
    seen = {(finding.level.ids, finding.kind, finding.subject) for finding in findings}
    named = {(ids, subject) for ids, _, subject in seen}
    cases = [case for case in facts.cases() if (case.level.ids, case.reference) not in named]
    return seen | {(case.level.ids, unnamed(case), case.reference) for case in cases}


def _identity(fact: Change | Waiting | Surplus) -> object:
    return type(fact).__name__, fact.level.ids, "" if isinstance(fact, Change) else fact.reference


def _content(fact: Change | Waiting | Surplus) -> object:
    """What makes it the same as before; the time of a base that nobody remembers is counted from now on."""
    return (fact.before, fact.now, fact.base) if isinstance(fact, Change) else fact


def _causes(certain: Iterable[Finding], changes: Iterable[Change], still: Mapping[object, object]) -> dict[Ids, str]:
    """Return the cause of each change that is so now; where the base was not that of a read, that is our fault."""
    now = [change for change in changes if still.get(_identity(change)) == _content(change)]
    causes = {change.level.ids: Kind.OUR_BUG.cause for change in now}
    return causes | {finding.level.ids: finding.kind.cause for finding in certain if isinstance(finding.about, Change)}


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
