"""Pulling a read of an ERP into a staging table: pages between ticks, whole keys, what is unknown kept in mind."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hub.contracts import Rejection, StockKey
from hub.stock.summing import LevelQuantities, sum_rows
from hub.stock.ticks import draw_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    import psycopg

    from hub.contracts import ErpConnector, StockPage, StockRow
    from hub.stock.summing import ExpiryRule

ROW = "stock_row"
"""The kind that rejected stock rows have in quarantine."""
UNKNOWN_ITEM = "unknown_item"
_CREATE = """
CREATE TEMP TABLE staged_level (
    item_id bigint NOT NULL, location_id bigint NOT NULL, on_hand numeric NOT NULL, unsellable jsonb,
    read_began bigint NOT NULL, read_ended bigint NOT NULL)
"""
_COPY = "COPY staged_level (item_id, location_id, on_hand, unsellable, read_began, read_ended) FROM STDIN"
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

    def read_all(self) -> StagedRead:
        """Read all of the source; keys that the pages tear apart are read again, alone."""
        read = StagedRead(self._connector.source, self._places)
        self._pull(read, None)
        read.torn = self._take_out_torn()
        if read.torn and read.complete:
            # A key that stood on two pages has a sum of two moments. One more read of these keys alone is of one.
            again = StagedRead(read.source, self._places, first_began=read.first_began)
            self._pull(again, read.torn)
            read.torn = self._take_out_torn()
            read.complete = again.complete
            read.pages, read.rows = read.pages + again.pages, read.rows + again.rows
            read.last_began, read.last_ended = again.last_began, again.last_ended
            for rejection in again.rejections:
                read.note_rejection(rejection)
        for key in read.torn:
            read.unknown.keys.add(key)
        return read

    def read_keys(self, keys: Collection[StockKey]) -> StagedRead:
        """Read the named keys; those that the ERP has no row for are staged as zero."""
        read = StagedRead(self._connector.source, self._places)
        self._pull(read, keys)
        read.torn = self._take_out_torn()
        read.unknown.keys |= read.torn
        if read.complete:
            self._stage_absent(read, keys)
        return read

    def _pull(self, read: StagedRead, keys: Collection[StockKey] | None) -> None:
        pages = self._connector.iter_stock(keys)
        while True:
            began = draw_tick(self._connection)
            page = next(pages, None)
            if page is None:
                return
            ended = draw_tick(self._connection)
            read.first_began = read.first_began or began
            read.last_began, read.last_ended = began, ended
            read.pages += 1
            read.rows += len(page.rows)
            read.complete = page.complete
            self._stage(read, page, began, ended)

    def _stage(self, read: StagedRead, page: StockPage, began: int, ended: int) -> None:
        for rejection in page.rejected:
            read.note_rejection(rejection)
        by_key: dict[StockKey, list[StockRow]] = defaultdict(list)
        for row in page.rows:
            by_key[StockKey(row.item, row.location)].append(row)
        self._load_items({key.item for key in by_key})
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for line in self._lines(read, by_key):
                copy.write_row((*line, began, ended))

    def _lines(
        self, read: StagedRead, by_key: Mapping[StockKey, list[StockRow]]
    ) -> Iterator[tuple[int, int, object, str | None]]:
        now = self._now()
        for key, rows in by_key.items():
            place, item = self._places.get(key.location), self._items[key.item]
            if place is None:
                continue  # the ERP knows places that the hub does not serve
            problem = _problem(key, rows, item)
            if problem is not None or item is None:
                read.note_rejection(problem or _reject(key, rows[0], UNKNOWN_ITEM, "the hub does not know this item"))
                continue
            if key in read.unknown.keys:
                continue
            level = sum_rows(rows, self._rule, item.category, now.astimezone(place.time_zone).date())
            yield item.id, place.id, level.on_hand, _unsellable_json(level)

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

    def _stage_absent(self, read: StagedRead, keys: Collection[StockKey]) -> None:
        asked = {key for key in keys if not read.unknown.may_hide(key)}
        self._load_items({key.item for key in asked})
        staged = set(self._connection.execute("SELECT item_id, location_id FROM staged_level"))
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for key in asked:
                item, place = self._items[key.item], self._places.get(key.location)
                if item is None or place is None or (item.id, place.id) in staged:
                    continue
                copy.write_row((item.id, place.id, 0, None, read.first_began, read.last_ended))


def _problem(key: StockKey, rows: list[StockRow], item: KnownItem | None) -> Rejection | None:
    if item is None:
        return None
    for row in rows:
        if row.unit != item.unit:
            detail = f"the ERP counts in {row.unit}, the item in {item.unit}"
            return _reject(key, row, "unit_mismatch", detail)
    return None


def _reject(key: StockKey, row: StockRow, reason: str, detail: str) -> Rejection:
    raw = {"row_id": row.row_id, "quantity": str(row.quantity), "unit": row.unit, "status": str(row.status)}
    return Rejection(reason=reason, detail=detail, raw=raw, item=key.item, location=key.location)


def _unsellable_json(level: LevelQuantities) -> str | None:
    if not level.unsellable:
        return None
    return json.dumps(
        [
            {"status": status, "owner": owner, "quantity": str(quantity)}
            for (status, owner), quantity in sorted(level.unsellable.items())
        ]
    )
