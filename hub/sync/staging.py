"""Pulling a read of an ERP into a staging table: pages between ticks, whole keys, what is unknown kept in mind."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hub.contracts import Rejection, StockKey
from hub.errors import Rejected
from hub.stock.summing import LevelQuantities, sum_rows
from hub.stock.ticks import draw_tick, tick_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    import psycopg

    from hub.contracts import ErpConnector, StockPage, StockRow
    from hub.stock.summing import ExpiryRule

ROW = "stock_row"
"""The kind that rejected stock rows have in quarantine."""
UNKNOWN_ITEM, REFUSED = "unknown_item", "refused"
_MOST_REFUSED = 3
"""So many articles of a read may be refused; where it is more, or all of them, it is not they that are at fault."""
_CREATE = """
CREATE TEMP TABLE staged_level (
    item_id bigint NOT NULL, location_id bigint NOT NULL, on_hand numeric NOT NULL, unsellable jsonb,
    read_began bigint NOT NULL, read_ended bigint NOT NULL, cause text)
"""
_COPY = "COPY staged_level (item_id, location_id, on_hand, unsellable, read_began, read_ended) FROM STDIN"
_NULL = "\\N"
"""How COPY's text format writes NULL."""
_ITEMS = """
SELECT reference.external_id, item.id, item.unit, item.category
FROM external_reference AS reference JOIN item ON item.id = reference.our_id
WHERE reference.system = %s AND reference.kind = 'item' AND reference.external_id = ANY(%s)
"""
_LOCATIONS = """
SELECT reference.external_id, location.id, location.time_zone
FROM external_reference AS reference JOIN location ON location.id = reference.our_id
WHERE reference.system = %(source)s AND reference.kind = 'location'
  AND location.stock_source = %(source)s AND location.active
"""
_TORN = """
SELECT item.external_id, location.external_id
FROM (SELECT item_id, location_id FROM staged_level GROUP BY 1, 2 HAVING count(*) > 1) AS torn
JOIN external_reference AS item ON item.our_id = torn.item_id AND item.kind = 'item' AND item.system = %(source)s
JOIN external_reference AS location
  ON location.our_id = torn.location_id AND location.kind = 'location' AND location.system = %(source)s
"""
_DROP_TORN = """
DELETE FROM staged_level AS staged
USING (SELECT item_id, location_id FROM staged_level GROUP BY 1, 2 HAVING count(*) > 1) AS torn
WHERE staged.item_id = torn.item_id AND staged.location_id = torn.location_id
"""
# Levels with stock that a read did not name.
_MISSING = """
WITH missing AS MATERIALIZED (
    SELECT level.item_id, level.location_id FROM stock_level AS level
    WHERE level.location_id = ANY(%(places)s) AND level.on_hand <> 0
      AND NOT EXISTS (SELECT FROM staged_level AS staged
                      WHERE staged.item_id = level.item_id AND staged.location_id = level.location_id))
SELECT item.external_id, location.external_id
FROM missing
JOIN external_reference AS item ON item.our_id = missing.item_id AND item.kind = 'item' AND item.system = %(source)s
JOIN external_reference AS location
  ON location.our_id = missing.location_id AND location.kind = 'location' AND location.system = %(source)s
LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A configured location of the source: the hub's id and the zone its days are counted in."""

    id: int
    time_zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class KnownItem:
    """An article the hub knows by the source's own number."""

    id: int
    unit: str
    category: str


@dataclass
class Unknown:
    """What a read could not understand: levels that keep their numbers.

    A rejected row whose key is readable keeps that level as it was. One without an item may belong to any level of its
    location (without a location: of its item; with neither: to any). Levels that the read does name are still taken,
    since leaving a row out can only make them smaller; but nothing there is taken for gone because it was not named.
    """

    keys: set[StockKey] = field(default_factory=set)
    items: set[str] = field(default_factory=set)
    locations: set[str] = field(default_factory=set)
    everything: bool = False

    def __bool__(self) -> bool:
        """Tell whether anything is unknown."""
        return bool(self.keys or self.items or self.locations or self.everything)

    def add(self, rejection: Rejection) -> None:
        """Take note of what a rejected row leaves unknown."""
        match rejection.item, rejection.location:
            case (str(item), str(location)):
                self.keys.add(StockKey(item, location))
            case (str(item), None):
                self.items.add(item)
            case (None, str(location)):
                self.locations.add(location)
            case _:
                self.everything = True

    def may_hide(self, key: StockKey) -> bool:
        """Tell whether a rejected row may belong to `key`, so that its absence from the read means nothing."""
        return self.everything or key in self.keys or key.item in self.items or key.location in self.locations


@dataclass
class StagedRead:
    """What one read brought: whole levels in the staging table, and beside it all that is not in there."""

    source: str
    places: Mapping[str, Place]
    complete: bool = False
    pages: int = 0
    rows: int = 0
    first_began: int = 0
    last_began: int = 0
    last_ended: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    unknown: Unknown = field(default_factory=Unknown)
    torn: set[StockKey] = field(default_factory=set)
    listed: bool = False
    """The ERP's documents were looked at after the read had ended as well."""
    again: int = 0
    """Rows of keys that were read once more: torn ones, and ones that the first answer left out."""

    def note_rejection(self, rejection: Rejection) -> None:
        """Keep a rejected record for quarantine and its level from being touched."""
        self.rejections.append(rejection)
        self.unknown.add(rejection)


class Stager:
    """Pulls pages of one source into the staging table of one connection (in autocommit mode).

    No transaction is open while the ERP is waited for.
    """

    def __init__(
        self, connection: psycopg.Connection, connector: ErpConnector, rule: ExpiryRule, now: Callable[[], datetime]
    ) -> None:
        self._connection = connection
        self._connector = connector
        self._rule = rule
        self._now = now
        self._items: dict[str, KnownItem | None] = {}
        self._places = {
            str(code): Place(int(place_id), ZoneInfo(str(zone)))
            for code, place_id, zone in connection.execute(_LOCATIONS, {"source": connector.source})
        }
        connection.execute("DROP TABLE IF EXISTS staged_level")
        connection.execute(_CREATE)

    def read_all(self, *, most_again: int) -> StagedRead:
        """Read all of the source; keys that the pages tear apart or leave out are read again, alone.

        Args:
            most_again: if more keys with stock are left out than this, they are not read again: that is no gap, and
                whether it can be believed is judged by how much the stock would shrink.
        """
        read = StagedRead(self._connector.source, self._places)
        self._pull(read, None)
        self._connection.execute("ANALYZE staged_level")  # temporary tables get no statistics by themselves
        read.torn = self._take_out_torn()
        if read.complete:
            missing = self._missing(read, most=most_again + 1) if read.rows else set()
            # A key that stood on two pages has a sum of two moments. One more read of these keys alone is of one.
            read.torn = self._read_again(read, read.torn | (missing if len(missing) <= most_again else set()))
        read.unknown.keys |= read.torn
        return read

    def read_keys(self, keys: Collection[StockKey]) -> StagedRead:
        """Read the named keys; those that the ERP has no row for are staged as zero, if it says so twice.

        Raises:
            Rejected: the ERP refuses to tell of all these articles, or of more than a few; few are noted as rejected.
        """
        read = StagedRead(self._connector.source, self._places)
        most_refused = min(_MOST_REFUSED, len({key.item for key in keys}) - 1)
        read.complete = self._pull_parts(read, keys, most_refused)
        read.torn = self._take_out_torn()
        read.unknown.keys |= read.torn
        if read.complete:
            read.torn |= self._read_again(read, set(self._absent(read, keys)))
            read.unknown.keys |= read.torn
        if read.complete:
            ticks = f"{read.first_began}\t{read.last_ended}"
            absent = self._absent(read, keys).values()
            self._copy(f"{item}\t{place}\t0\t{_NULL}\t{ticks}\n" for item, place in absent)
        return read

    def _missing(self, read: StagedRead, *, most: int) -> set[StockKey]:
        """Return keys that have stock in the levels and no row in the read."""
        places = [place.id for place in self._places.values()]
        found = self._connection.execute(_MISSING, {"source": read.source, "places": places, "most": most})
        missing = (StockKey(str(item), str(place)) for item, place in found)
        return {key for key in missing if not read.unknown.may_hide(key)}

    def _absent(self, read: StagedRead, keys: Collection[StockKey]) -> dict[StockKey, tuple[int, int]]:
        """Return those of the keys that the hub knows and the read has no row for, with their ids."""
        asked = {key for key in keys if not read.unknown.may_hide(key)}
        self._load_items({key.item for key in asked})
        staged = set(self._connection.execute("SELECT item_id, location_id FROM staged_level"))
        return {
            key: (item.id, place.id)
            for key in asked
            if (item := self._items[key.item]) is not None
            and (place := self._places.get(key.location)) is not None
            and (item.id, place.id) not in staged
        }

    def _read_again(self, read: StagedRead, keys: set[StockKey]) -> set[StockKey]:
        """Read keys once more, alone, into the same read; return those that are torn this time.

        A key that was left out is sold out, or the answer was not whole. ERPs do not tell, but what an answer leaves
        out by accident is there when it is asked for alone.
        """
        if not keys:
            return set()
        again = StagedRead(read.source, self._places, first_began=read.first_began)
        self._pull(again, keys, only=keys)
        torn = self._take_out_torn()
        read.complete = again.complete
        read.pages, read.rows = read.pages + again.pages, read.rows + again.rows
        read.again += again.rows
        read.last_began, read.last_ended = again.last_began, again.last_ended
        for rejection in again.rejections:
            read.note_rejection(rejection)
        return torn

    def _pull_parts(self, read: StagedRead, keys: Collection[StockKey], most_refused: int) -> bool:
        """Pull keys, half and half where the ERP refuses, so that one article that it does not bear stops no other.

        Returns whether the answers were whole.
        """
        try:
            self._pull(read, keys)
        except Rejected as error:
            items = sorted({key.item for key in keys})
            self._load_items(items)
            ids = [known.id for item in items if (known := self._items[item]) is not None]
            self._connection.execute("DELETE FROM staged_level WHERE item_id = ANY(%s)", (ids,))
            if len(items) > 1:
                first = frozenset(items[: len(items) // 2])
                parts = [key for key in keys if key.item in first], [key for key in keys if key.item not in first]
                return {self._pull_parts(read, part, most_refused) for part in parts} == {True}
            if len({refused.item for refused in read.rejections if refused.reason == REFUSED}) >= most_refused:
                raise
            for key in keys:
                read.note_rejection(Rejection(REFUSED, str(error), {}, item=key.item, location=key.location))
            return True
        return read.complete

    def _pull(self, read: StagedRead, keys: Collection[StockKey] | None, *, only: set[StockKey] | None = None) -> None:
        """Pull pages of all stock or of `keys`, whose answer may hold more; of that, `only` these are staged."""
        pages = self._connector.iter_stock(keys)
        read.complete = False
        while True:
            began = self._draw_began()
            page = next(pages, None)
            if page is None:
                return
            ended = draw_tick(self._connection)
            read.first_began = read.first_began or began
            read.last_began, read.last_ended = began, ended
            read.pages += 1
            read.rows += len(page.rows)
            read.complete = page.complete
            self._stage(read, page, began, ended, only)

    def _draw_began(self) -> int:
        """Draw the tick at which a read begins. Of a copy that lags behind, it began that long before the request."""
        tick, lag = draw_tick(self._connection), self._connector.traits.read_lag_seconds
        return tick_of(self._connection, lag) if lag else tick

    def _stage(self, read: StagedRead, page: StockPage, began: int, ended: int, only: set[StockKey] | None) -> None:
        for rejection in page.rejected:
            read.note_rejection(rejection)
        by_key: dict[tuple[str, str], list[StockRow]] = defaultdict(list)
        for row in page.rows:
            by_key[row.item, row.location].append(row)
        if only is not None:
            by_key = {key: rows for key, rows in by_key.items() if StockKey(*key) in only}
        self._load_items({item for item, _ in by_key})
        self._copy(self._lines(read, by_key, f"{began}\t{ended}"))

    def _copy(self, lines: Iterable[str]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write("".join(lines))

    def _lines(self, read: StagedRead, by_key: Mapping[tuple[str, str], list[StockRow]], ticks: str) -> Iterator[str]:
        """Yield the levels of a page as lines of COPY's text format."""
        now = self._now()
        today = {code: now.astimezone(place.time_zone).date() for code, place in self._places.items()}
        for (item_code, location), rows in by_key.items():
            place, item = self._places.get(location), self._items[item_code]
            if place is None:
                continue  # the ERP knows places that the hub does not serve
            if problem := _problem(rows, item):
                read.note_rejection(problem)
                continue
            if item is None or (read.unknown.keys and StockKey(item_code, location) in read.unknown.keys):
                continue
            level = sum_rows(rows, self._rule, item.category, today[location])
            yield f"{item.id}\t{place.id}\t{level.on_hand!s}\t{_unsellable(level)}\t{ticks}\n"

    def _load_items(self, external_ids: Iterable[str]) -> None:
        wanted = [external_id for external_id in external_ids if external_id not in self._items]
        if not wanted:
            return
        self._items.update(dict.fromkeys(wanted))
        for external_id, item_id, unit, category in self._connection.execute(_ITEMS, (self._connector.source, wanted)):
            self._items[str(external_id)] = KnownItem(int(item_id), str(unit), str(category))

    def _take_out_torn(self) -> set[StockKey]:
        parameters = {"source": self._connector.source}
        torn = {StockKey(str(item), str(place)) for item, place in self._connection.execute(_TORN, parameters)}
        if torn:
            self._connection.execute(_DROP_TORN)
        return torn


def _problem(rows: list[StockRow], item: KnownItem | None) -> Rejection | None:
    if item is None:
        return _reject(rows[0], UNKNOWN_ITEM, "the hub does not know this item")
    for row in rows:
        if row.unit != item.unit:
            return _reject(row, "unit_mismatch", f"the ERP counts in {row.unit}, the item in {item.unit}")
    return None


def _reject(row: StockRow, reason: str, detail: str) -> Rejection:
    raw = {"row_id": row.row_id, "quantity": str(row.quantity), "unit": row.unit, "status": str(row.status)}
    return Rejection(reason=reason, detail=detail, raw=raw, item=row.item, location=row.location)


def _unsellable(level: LevelQuantities) -> str:
    """Return the quantities apart as JSON in COPY's text format; JSON escapes all control characters itself."""
    if not level.unsellable:
        return _NULL
    parts = [
        {"status": status, "owner": owner, "quantity": str(quantity)}
        for (status, owner), quantity in sorted(level.unsellable.items())
    ]
    return json.dumps(parts).replace("\\", "\\\\")
