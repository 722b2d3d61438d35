"""One check of a source: a read that is compared with the base before it replaces it.

1. A delta first, so that all that is known is applied.
2. The levels are read, between ticks, and the documents are listed again.
3. One more look for changes. What is named by then is under way and left out.
4. What still differs is real. The ERP is asked which documents moved these levels, and the rules name the class.
5. In one transaction, under the source's turn: what is still so is written into the book, and the read is applied. Its
   entries in the ledger carry the class as their cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import structlog

from hub.errors import AuthFailed, RemoteError, Retryable
from hub.reconcile.book import count_open, load_differences
from hub.reconcile.facts import choose_levels
from hub.reconcile.judge import Judge
from hub.reconcile.kinds import Kind
from hub.sync.watch import never_read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import psycopg

    from hub.reconcile.book import Difference
    from hub.reconcile.judge import Ids
    from hub.settings import StockSettings
    from hub.sync.inventory import InventorySync

Mode = Literal["slice", "full"]
_ENTER = """
INSERT INTO stock_check (item_id, location_id, source, checked_at)
SELECT level.item_id, level.location_id, %(source)s, {at}
FROM stock_level AS level
JOIN location ON location.id = level.location_id AND location.stock_source = %(source)s AND location.active
WHERE {condition}
ORDER BY 1, 2
ON CONFLICT (item_id, location_id) DO UPDATE SET source = excluded.source, checked_at = excluded.checked_at
"""
# Levels that have appeared since, or whose place has moved here from another source, are the first ones.
_ENTER_NEW = _ENTER.format(
    at="'epoch'",
    condition="""NOT EXISTS (
    SELECT FROM stock_check AS known
    WHERE known.item_id = level.item_id AND known.location_id = level.location_id AND known.source = %(source)s)""",
)
_CHECKED_ALL = _ENTER.format(
    at="clock_timestamp()",
    condition="""(level.item_id, level.location_id) NOT IN (
    SELECT * FROM unnest(%(items)s::bigint[], %(places)s::bigint[]))""",
)
# What is due now is read by the next look for changes in any case, and would be left out.
_OLDEST = """
SELECT checked.item_id, checked.location_id FROM stock_check AS checked
JOIN location ON location.id = checked.location_id AND location.stock_source = checked.source AND location.active
WHERE checked.source = %s
  AND NOT EXISTS (
        SELECT FROM stock_due AS due
        JOIN external_reference AS item
          ON item.system = due.source AND item.kind = 'item' AND item.external_id = due.item
        JOIN external_reference AS place
          ON place.system = due.source AND place.kind = 'location' AND place.external_id = due.location
        WHERE due.source = checked.source AND item.our_id = checked.item_id AND place.our_id = checked.location_id)
ORDER BY checked.checked_at LIMIT %s
"""
_CHECKED = """
UPDATE stock_check AS known SET checked_at = clock_timestamp()
FROM unnest(%(items)s::bigint[], %(places)s::bigint[]) AS checked(item_id, location_id)
WHERE known.item_id = checked.item_id AND known.location_id = checked.location_id
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
            RemoteError: the ERP could not be asked; nothing was compared. If it refuses to tell of these levels, the
                next slice takes others.
        """
        with self._sync.database.driver() as connection:
            if never_read(connection, self._source):
                return CheckReport(self._source, "slice", "never read")
        if isinstance(error := self._apply_what_is_known(), (Retryable, AuthFailed)):
            raise error
        with self._sync.database.driver() as connection:
            chosen = self._oldest(connection)
            levels = choose_levels(connection, self._source, chosen)
        judge = Judge(self._sync, self._rules, chosen)
        try:
            if levels:
                self._sync.refresh({level.key for level in levels.values()}, cause="reconcile", judge=judge)
        except (Retryable, AuthFailed):
            raise  # not for the sake of these levels: they are the next ones again
        except Exception:
            self._stamp(chosen)  # whatever it is that they bring about, it must not keep all others from their turn
            raise
        self._stamp([ids for ids in chosen if ids not in judge.left_out])
        return self._report("slice", "checked", len(levels) - len(judge.left_out), judge.found)

    def check_all(self) -> CheckReport:
        """Check all levels by one full read.

        Raises:
            RemoteError: the ERP could not be read; nothing was compared.
        """
        with self._sync.database.driver() as connection:
            first = never_read(connection, self._source)
        if not first:
            self._apply_what_is_known()  # a full read brings what could not be read, and asks though we were left alone
        judge = Judge(self._sync, self._rules, None)
        read = self._sync.snapshot(judge=judge)
        if read.state != "applied":
            return self._report("full", read.state, 0, (), read.reason)
        with self._sync.database.driver() as connection:
            checked = connection.execute(_CHECKED_ALL, {"source": self._source, **_columns(judge.left_out)}).rowcount
        return self._report("full", "checked", checked, judge.found)

    def _apply_what_is_known(self) -> RemoteError | None:
        """Apply a delta; return why that was not possible. What could not be read stays due, and is not compared."""
        try:
            self._sync.delta()
        except RemoteError as error:
            structlog.get_logger().warning("no_delta_before_check", source=self._source, error=str(error))
            return error
        return None

    def _stamp(self, levels: Collection[Ids]) -> None:
        with self._sync.database.driver() as connection:
            connection.execute(_CHECKED, _columns(levels))

    def _oldest(self, connection: psycopg.Connection) -> list[Ids]:
        connection.execute(_ENTER_NEW, {"source": self._source})
        oldest = connection.execute(_OLDEST, (self._source, self._rules.reconcile_slice))
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


def _columns(levels: Collection[Ids]) -> dict[str, list[int]]:
    return {"items": [item for item, _ in levels], "places": [place for _, place in levels]}
