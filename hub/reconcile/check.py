"""One check of a source: a read that is compared with the base before it replaces it.

1. A delta first, so that all that is known is applied.
2. The levels are read, between ticks, and the documents are listed again.
3. One more look for changes. What is named by then is under way and left out.
4. What still differs is real. The ERP is asked which documents moved these levels, and the rules name the class.
5. In one transaction, under the source's turn: what is still so is written into the book, and the read is applied. Its
   entries in the ledger carry the class as their cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import structlog

from hub.clock import utc_now
from hub.contracts import MovementHistory
from hub.errors import RemoteError, Retryable
from hub.reconcile.book import close_unseen, count_open, load_differences, note_findings
from hub.reconcile.facts import (
    choose_levels,
    find_changes,
    find_off,
    find_surplus,
    find_waiting,
    leave_out_due,
    load_factors,
    load_known,
    load_ours,
    mapping_at,
)
from hub.reconcile.kinds import Kind
from hub.reconcile.rules import CLOCKS, Told, judge_change, judge_sums, judge_surplus, judge_waiting
from hub.stock.apply import take_turn
from hub.sync.looks import find_gone, list_again, look
from hub.sync.watch import never_read

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import psycopg

    from hub.contracts import Movement, StockKey
    from hub.reconcile.book import Difference
    from hub.reconcile.rules import Change, Finding, Level, Waiting
    from hub.settings import StockSettings
    from hub.sync.inventory import InventorySync
    from hub.sync.staging import StagedRead

Mode = Literal["slice", "full"]
Ids = tuple[int, int]

LATE = timedelta(hours=24)
"""How long after the time that it carries a document may become visible and still be found as the reason."""
LONGEST = timedelta(days=31)
"""The ERP is not asked for documents that are older."""
# New levels enter with the next full check; where a slice takes all there is, at once.
_ENTER = """
INSERT INTO stock_check (item_id, location_id, source, checked_at)
SELECT level.item_id, level.location_id, %(source)s, {at}
FROM stock_level AS level
JOIN location ON location.id = level.location_id AND location.stock_source = %(source)s AND location.active
ORDER BY 1, 2
ON CONFLICT (item_id, location_id) DO
"""
_ENTER_NEW = _ENTER.format(at="'epoch'") + "NOTHING"
_CHECKED_ALL = (
    _ENTER.format(at="clock_timestamp()") + "UPDATE SET source = excluded.source, checked_at = excluded.checked_at"
)
_OLDEST = """
SELECT checked.item_id, checked.location_id FROM stock_check AS checked
JOIN location ON location.id = checked.location_id AND location.stock_source = checked.source AND location.active
WHERE checked.source = %s ORDER BY checked.checked_at LIMIT %s
"""
_CHECKED = """
UPDATE stock_check AS known SET checked_at = clock_timestamp()
FROM unnest(%s::bigint[], %s::bigint[]) AS checked(item_id, location_id)
WHERE known.item_id = checked.item_id AND known.location_id = checked.location_id
"""
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
class CheckReport:
    """What one check did.

    `state` is `checked`, `never read` (nothing to compare with), or the state of a full read that was not applied:
    `incomplete` or `quarantined`. `found` are the differences that nobody had found before, `still_open` counts all.
    """

    source: str
    mode: Mode
    state: str
    checked: int = 0
    found: tuple[Difference, ...] = ()
    still_open: Mapping[Kind, int] = field(default_factory=dict)
    reason: str = ""


class Reconciler:
    """Compares the levels of one source with their ERP."""

    def __init__(self, sync: InventorySync, rules: StockSettings) -> None:
        self._sync = sync
        self._rules = rules
        self._source = sync.source

    def check_slice(self) -> CheckReport:
        """Check the levels that were checked longest ago, `reconcile_slice` of them.

        Raises:
            RemoteError: the ERP could not be asked; nothing was compared.
        """
        with self._sync.database.driver() as connection:
            if never_read(connection, self._source):
                return CheckReport(self._source, "slice", "never read")
        self._sync.delta()
        with self._sync.database.driver() as connection:
            chosen = self._oldest(connection)
            levels = choose_levels(connection, self._source, chosen)
        judge = _Judge(self._sync, self._rules, chosen)
        if levels:
            self._sync.refresh({level.key for level in levels.values()}, cause="reconcile", judge=judge)
        with self._sync.database.driver() as connection:
            connection.execute(_CHECKED, ([item for item, _ in chosen], [place for _, place in chosen]))
        return self._report("slice", "checked", len(levels), judge.found)

    def check_all(self) -> CheckReport:
        """Check all levels by one full read.

        Raises:
            RemoteError: the ERP could not be read; nothing was compared.
        """
        with self._sync.database.driver() as connection:
            first = never_read(connection, self._source)
        if not first:
            self._sync.delta()
        judge = _Judge(self._sync, self._rules, None)
        read = self._sync.snapshot(judge=judge)
        if read.state != "applied":
            return self._report("full", read.state, 0, (), read.reason)
        with self._sync.database.driver() as connection:
            checked = connection.execute(_CHECKED_ALL, {"source": self._source}).rowcount
        return self._report("full", "checked", checked, judge.found)

    def _oldest(self, connection: psycopg.Connection) -> list[Ids]:
        most = self._rules.reconcile_slice
        oldest = connection.execute(_OLDEST, (self._source, most)).fetchall()
        if len(oldest) < most:
            connection.execute(_ENTER_NEW, {"source": self._source})
            oldest = connection.execute(_OLDEST, (self._source, most)).fetchall()
        return [(int(item), int(place)) for item, place in oldest]

    def _report(self, mode: Mode, state: str, checked: int, found: Sequence[int], reason: str = "") -> CheckReport:
        with self._sync.database.driver() as connection:
            new = load_differences(connection, source=self._source, ids=found) if found else []
            still_open = count_open(connection, self._source)
        log = structlog.get_logger().bind(source=self._source)
        for difference in new:
            tell = log.error if difference.kind is Kind.OUR_BUG else log.warning
            facts = {"kind": str(difference.kind), "sku": difference.sku, "location": difference.location}
            tell("stock_differs", id=difference.id, evidence=difference.evidence, **facts)
        return CheckReport(self._source, mode, state, checked, tuple(new), still_open, reason)


class _Judge:
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
        findings = self._name(connection, changes, waiting)
        seen = {(late.level.ids, late.reference) for late in waiting}
        seen |= {(finding.level.ids, finding.subject) for finding in findings}

        def settle(connection: psycopg.Connection) -> None:
            take_turn(connection, self._source)
            still = self._still(connection, read) if changes else set()
            certain = [finding for finding in findings if finding.change is None or _identity(finding.change) in still]
            _name_causes(connection, read, _causes(certain, changes, still))
            self.found = note_findings(connection, self._source, certain)
            close_unseen(connection, self._source, seen)

        return settle

    def _still(self, connection: psycopg.Connection, read: StagedRead) -> set[object]:
        """Return the changes that are so now: a level may have been read, or named, since they were found."""
        return {_identity(change) for change in find_changes(connection, read, everything=self._levels is None)}

    def _name(
        self, connection: psycopg.Connection, changes: Sequence[Change], waiting: Sequence[Waiting]
    ) -> list[Finding]:
        off = {sums.level.ids: sums for sums in find_off(connection)}
        surplus = find_surplus(connection, self._source, self._rules)
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

        Returns what it told; nothing of any level where it refuses to tell.
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
        try:
            for movement in self._connector.movements(list(moved), since):
                moved[movement.key].append(movement)
            told = {
                level.ids: self._told(connection, level, moved[level.key], bases.get(level.ids, 0), since)
                for level in levels
            }
            return self._look_for_gone(connection, told)
        except Retryable:
            raise
        except RemoteError as error:
            # The read itself is good, and is not given up for a question that the user may not ask.
            structlog.get_logger().warning("documents_refused", source=self._source, error=str(error))
            return {}

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
