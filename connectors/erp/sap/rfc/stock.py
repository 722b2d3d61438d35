"""How stock is read: MARD with the units of MARA, MCHB in its place where a material is kept in batches.

MCHB holds own goods alone: what suppliers consigned (寄售) is taken from MARD's sums in any case.

One answer of this module holds whole keys: MARA, MARD and MCHB are each read whole for the same materials and places.
The tables are read by calls of their own, so stock may move in between. The quantities of a level come from one of them
alone, and from one call even where a row's other fields take several, hence from one moment (but for consigned goods
beside batches: those are of MARD's moment). That MARD's sums equal those of MCHB is checked, and what does not agree is
read again.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.records import reject
from connectors.erp.sap.rfc.conditions import all_of, any_of, compare, one_of
from connectors.erp.sap.rfc.keys import Place, StockName, at_places, named
from connectors.erp.sap.rfc.mapper import fields_of, is_zero, needed_fields, quantity_columns
from connectors.erp.sap.rfc.ranges import KeyRange, Smaller, chunk, cut_list, iter_whole
from connectors.erp.sap.rfc.tables import LEVELS, LOTS, MATERIAL_LOTS, MATERIALS, PLANT_LOTS, identify
from hub.contracts import StockPage
from hub.errors import RecordError, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from connectors.erp.sap.rfc.conditions import Condition
    from connectors.erp.sap.rfc.mapper import RfcMapper
    from connectors.erp.sap.rfc.reading import Answer, TableReader
    from connectors.erp.sap.rfc.settings import RfcSettings
    from connectors.erp.sap.rfc.tables import Row, Table
    from hub.contracts import Rejection, StockRow, StockStatus

_BATCHES = "XCHPF"
"""MARA's field "batches are required"; where batches are managed per plant it is blank, and MCHB alone tells."""
_EXPIRY = {table.name: table for table in (MATERIAL_LOTS, PLANT_LOTS)}
_TRIES = 3
_DENSITY = 0.8


@dataclass(frozen=True, slots=True)
class Span:
    """All materials of a range, at some places."""

    materials: KeyRange
    places: Condition

    @property
    def on_materials(self) -> Condition:
        """The condition for MARA."""
        return self.materials.where()

    @property
    def on_stock(self) -> Condition:
        """The condition for MARD and MCHB."""
        return all_of([self.materials.where(), self.places])

    def cut(self, sample: Iterable[str], known: Sequence[str]) -> list[Span]:
        """Cut where an answer was too large.

        Args:
            sample: the materials in that answer, with repeats.
            known: all materials of the range, in order, where they are known already. So many of them as the answer
                held may fit next time; where it held any part instead of the first, halves do in the end.
        """
        if len(known) > 1:
            step = max(1, min(len(known) // 2, int(len(set(sample)) * _DENSITY)))
            ranges = self.materials.cut_at(known[step - 1 : -1 : step])
        else:
            ranges = self.materials.cut(sample)
        return [Span(part, self.places) for part in ranges]


@dataclass(frozen=True, slots=True)
class Named:
    """Some keys by name."""

    names: Sequence[StockName]

    @property
    def on_materials(self) -> Condition:
        """The condition for MARA."""
        return one_of("MATNR", sorted({name.material for name in self.names}))

    @property
    def on_stock(self) -> Condition:
        """The condition for MARD and MCHB."""
        return named(self.names)

    def cut(self, sample: Iterable[str], known: Sequence[str]) -> list[Named]:
        """Cut in the middle; what the answer held does not matter."""
        del sample, known
        return [Named(part) for part in cut_list(self.names)]


Part = Span | Named


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of one part, all of them."""

    materials: Mapping[str, Row]
    levels: Sequence[Row]
    lots: Sequence[Row]
    expiry: Mapping[tuple[str, ...], str]


@dataclass
class Sorted:
    """What came of the rows: records, rejections, and keys whose batches do not add up."""

    records: list[StockRow]
    rejected: list[Rejection]
    torn: dict[StockName, str]


class StockReader:
    """Reads stock pages of one SAP system.

    Args:
        places: all that are configured.
    """

    def __init__(
        self, tables: TableReader, mapper: RfcMapper, settings: RfcSettings, places: Collection[Place]
    ) -> None:
        self._tables = tables
        self._places = chunk(sorted(set(places)), settings.places_per_call)
        self._mapper = mapper
        self._settings = settings
        units = fields_of(MATERIALS, mapper.stock, mapper.batch)
        self.fields: dict[Table, Sequence[str]] = {
            MATERIALS: tuple(dict.fromkeys([*units, _BATCHES])),
            LEVELS: needed_fields(mapper.stock),
            LOTS: needed_fields(mapper.batch),
        }
        self._quantities = {LEVELS: quantity_columns(mapper.stock), LOTS: quantity_columns(mapper.batch)}
        self._expiry = _EXPIRY.get(settings.expiry_table)
        if self._expiry is not None:
            self.fields[self._expiry] = ("VFDAT",)

    def iter_all(self) -> Iterator[StockPage]:
        """Read everything at the configured places, by ranges of materials."""
        return self._iter_pages([Span(KeyRange("MATNR"), at_places(part)) for part in self._places])

    def iter_named(self, names: Collection[StockName]) -> Iterator[StockPage]:
        """Read some keys.

        Raises:
            Truncated: some have no row of MARD and no other row can be seen either, so that they may well have stock.
        """
        parts = [Named(part) for part in chunk(sorted(set(names)), self._settings.names_per_call)]
        if not parts:
            yield StockPage((), complete=True)
        yield from self._iter_pages(parts)

    def _require_sight(self) -> None:
        """Ask whether any stock row of the places can be seen; another client (集团) would hold none.

        Raises:
            Truncated: none can.
        """
        if not self._places or any(self._tables.read_some(LEVELS, at_places(part)) for part in self._places):
            return
        raise Truncated(
            "no stock row at all can be seen; is it the right client, and do the places exist?",
            system=SYSTEM,
            operation=f"{self._settings.read_function} {LEVELS.name}",
        )

    def _iter_pages(self, parts: Sequence[Part]) -> Iterator[StockPage]:
        for found, complete in iter_whole(parts, self.gather):
            result = self.sort_out(found)
            for _ in range(_TRIES - 1):
                if not result.torn:
                    break
                self._read_again(result)
            result.rejected.extend(self._doubt(name, detail) for name, detail in result.torn.items())
            yield StockPage(result.records, result.rejected, complete=complete)

    def gather(self, part: Part) -> Found | Smaller[Part]:
        """Read all rows of a part, or say into which parts it must be cut."""

        def read(table: Table) -> Answer:
            where = part.on_materials if table is MATERIALS else part.on_stock
            return self._tables.read(table, self.fields[table], where, together=self._quantities.get(table, ()))

        found: dict[Table, Sequence[Row]] = {}
        # not before a log-on has succeeded: SAP locks a user after a few wrong passwords
        at_once = isinstance(part, Named) and self._tables.logged_on
        for table, answer in self._read_each(read, (MATERIALS, LEVELS, LOTS), at_once=at_once):
            if answer.cut:
                known = sorted(row["MATNR"] for row in found.get(MATERIALS, ()))
                return Smaller(part.cut((row["MATNR"] for row in answer.rows), known))
            found[table] = answer.rows
        if isinstance(part, Named) and not found[LEVELS]:
            self._require_sight()
        materials = {row["MATNR"]: row for row in found[MATERIALS]}
        return Found(materials, found[LEVELS], found[LOTS], self._read_expiry(found[LOTS]))

    def _read_each(
        self, read: Callable[[Table], Answer], tables: Sequence[Table], *, at_once: bool
    ) -> Iterator[tuple[Table, Answer]]:
        """Yield each table's answer; one after the other as they are asked for, or all read at once.

        A few keys fit into one answer each, and somebody waits for them. Of a range the first answer may say that the
        others would be in vain.
        """
        if not at_once:
            yield from zip(tables, map(read, tables), strict=True)
            return
        with ThreadPoolExecutor(min(len(tables), self._settings.conversations)) as pool:
            yield from zip(tables, pool.map(read, tables), strict=True)

    def _read_expiry(self, lots: Iterable[Row]) -> dict[tuple[str, ...], str]:
        """Return SAP's date text of each batch that has stock, by (material, plant, batch)."""
        table = self._expiry
        if table is None:
            return {}
        columns = quantity_columns(self._mapper.batch)
        stocked = {
            (row["MATNR"], row["WERKS"], row["CHARG"]): identify(row, table.key)
            for row in lots
            if not all(is_zero(row[column]) for column in columns)
        }

        def read(wanted: Sequence[tuple[str, ...]]) -> Sequence[Row] | Smaller[Sequence[tuple[str, ...]]]:
            answer = self._tables.read(table, self.fields[table], _name_lots(wanted, table.key))
            return Smaller(cut_list(wanted)) if answer.cut else answer.rows

        parts = chunk(sorted(set(stocked.values())), self._settings.names_per_call)
        dates = {identify(row, table.key): row["VFDAT"] for rows, _ in iter_whole(parts, read) for row in rows}
        return {lot: dates[identity] for lot, identity in stocked.items() if identity in dates}

    def sort_out(self, found: Found) -> Sorted:
        """Choose MCHB where there are batches, else MARD; compare the two."""
        lots = self._parse_lots(found)
        rows, batches = _by_name(found.levels), _by_name(found.lots)
        result = Sorted([], [], {})
        plain: list[Row] = []
        for name, (level,) in rows.items():
            if name in batches or found.materials.get(name.material, {}).get(_BATCHES):
                self._compare(result, name, level, lots.get(name), found)
            else:
                plain.append(level)
        for name in batches.keys() - rows.keys():
            if name in lots:
                result.torn[name] = "batches, but no row of MARD"
        records, rejected = self._mapper.parse_levels(plain, found.materials)
        result.records += records
        result.rejected += rejected
        return result

    def _parse_lots(self, found: Found) -> dict[StockName, tuple[list[StockRow], list[Rejection]]]:
        """Map the batches, key by key; keys whose batches are all empty are left out."""
        sorted_lots: dict[StockName, tuple[list[StockRow], list[Rejection]]] = {}
        for name, rows in _by_name(found.lots).items():
            records, rejected = self._mapper.parse_lots(rows, found.materials, found.expiry)
            if self._expiry is not None:
                rejected += [self._lack(row) for row in rows if self._lacks_expiry(row, found.expiry)]
            if records or rejected:
                sorted_lots[name] = (records, rejected)
        return sorted_lots

    def _lacks_expiry(self, row: Row, expiry: Mapping[tuple[str, ...], str]) -> bool:
        if (row["MATNR"], row["WERKS"], row["CHARG"]) in expiry:
            return False
        return not all(is_zero(row[column]) for column in quantity_columns(self._mapper.batch))

    def _compare(
        self,
        result: Sorted,
        name: StockName,
        level: Row,
        lots: tuple[list[StockRow], list[Rejection]] | None,
        found: Found,
    ) -> None:
        records, rejected = lots or ([], [])
        whole, refused = self._mapper.parse_levels([level], found.materials)
        if rejected or refused:
            result.rejected += rejected or refused
            return
        consigned = [record for record in whole if record.owner]
        from_lots, from_level = _sums(records), _sums(record for record in whole if not record.owner)
        if from_lots == from_level:
            result.records += [*records, *consigned]
            return
        result.torn[name] = f"MARD has {_show(from_level)}, the batches of MCHB together {_show(from_lots)}"

    def _doubt(self, name: StockName, detail: str) -> Rejection:
        raw = {"MATNR": name.material, "WERKS": name.place.plant, "LGORT": name.place.storage}
        return reject(self._mapper.stock, raw, RecordError(detail, reason="batches_differ"))

    def _lack(self, row: Row) -> Rejection:
        table = self._settings.expiry_table
        detail = f"batch {row['CHARG']} has no row in {table}; is the setting expiry_table right?"
        return reject(self._mapper.batch, row, RecordError(detail, reason="unknown_batch"))

    def _read_again(self, result: Sorted) -> None:
        names, result.torn = sorted(result.torn), {}
        parts: list[Part] = [Named(part) for part in chunk(names, self._settings.names_per_call)]
        for found, _ in iter_whole(parts, self.gather):
            again = self.sort_out(found)
            result.records += again.records
            result.rejected += again.rejected
            result.torn |= again.torn


def _by_name(rows: Iterable[Row]) -> dict[StockName, list[Row]]:
    found: dict[StockName, list[Row]] = defaultdict(list)
    for row in rows:
        found[StockName(Place(row["WERKS"], row["LGORT"]), row["MATNR"])].append(row)
    return dict(found)


def _name_lots(wanted: Sequence[tuple[str, ...]], key: Sequence[str]) -> Condition:
    """Return the condition that a row belongs to one of the batches; the last field of the key is the batch."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for *owner, batch in wanted:
        groups[tuple(owner)].append(batch)
    return any_of(
        [
            all_of(
                [*(compare(field, "=", value) for field, value in zip(key, owner, strict=False)), one_of(key[-1], b)]
            )
            for owner, b in groups.items()
        ]
    )


def _sums(records: Iterable[StockRow]) -> dict[StockStatus, Decimal]:
    sums: dict[StockStatus, Decimal] = defaultdict(Decimal)
    for record in records:
        sums[record.status] += record.quantity
    return {status: quantity for status, quantity in sums.items() if quantity}


def _show(sums: Mapping[StockStatus, Decimal]) -> str:
    return ", ".join(f"{quantity:f} {status}" for status, quantity in sorted(sums.items())) or "nothing"
