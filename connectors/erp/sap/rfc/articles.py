"""How articles and places are read: MARA with its texts, units and codes; T001L."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.erp.sap.rfc.mapper import needed_fields
from connectors.erp.sap.rfc.ranges import KeyRange, Smaller, iter_whole
from connectors.erp.sap.rfc.tables import CODES, MATERIALS, NAMES, PLACES, UNITS
from hub.contracts import ItemPage, LocationRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from connectors.erp.sap.rfc.mapper import RfcMapper
    from connectors.erp.sap.rfc.reading import TableReader
    from connectors.erp.sap.rfc.tables import Row
    from hub.contracts import ItemRecord, Rejection


@dataclass(frozen=True, slots=True)
class Articles:
    """Some materials with everything that belongs to them, by material number."""

    materials: Sequence[Row]
    names: Mapping[str, Sequence[Row]]
    units: Mapping[str, Sequence[Row]]
    codes: Mapping[str, Sequence[Row]]


class ArticleReader:
    """Reads articles and places of one SAP system."""

    def __init__(self, tables: TableReader, mapper: RfcMapper) -> None:
        self._tables = tables
        self._mapper = mapper
        barcode = needed_fields(mapper.barcode)
        self.fields = {
            MATERIALS: tuple(dict.fromkeys([*needed_fields(mapper.article), "MEINS"])),
            # the text comes last: in a system without Unicode its length in characters is not its length in the row
            NAMES: ("MAKTX",),
            UNITS: tuple(dict.fromkeys([*barcode, "UMREZ", "UMREN"])),
            CODES: barcode,
        }
        self.place_fields = needed_fields(mapper.location)

    def iter_items(self) -> Iterator[ItemPage]:
        """Read all articles, by ranges of materials."""
        for articles, complete in iter_whole([KeyRange("MATNR")], self._gather):
            records: list[ItemRecord] = []
            rejected: list[Rejection] = []
            for material in articles.materials:
                number = material["MATNR"]
                record, refused = self._mapper.parse_item(
                    material,
                    articles.names.get(number, ()),
                    articles.units.get(number, ()),
                    articles.codes.get(number, ()),
                )
                records.extend([record] if record else [])
                rejected.extend(refused)
            yield ItemPage(records, rejected, complete=complete)

    def read_places(self) -> list[LocationRecord]:
        """Return all storage locations."""
        found: dict[str, LocationRecord] = {}
        for rows, _ in iter_whole([KeyRange("WERKS")], self._gather_places):
            for row in rows:
                if (record := self._mapper.parse_location(row)) is not None:
                    found[record.code] = record
        return list(found.values())

    def _gather(self, part: KeyRange) -> Articles | Smaller[KeyRange]:
        answer = self._tables.read(MATERIALS, self.fields[MATERIALS], part.where())
        if answer.cut:
            return Smaller(part.cut(row["MATNR"] for row in answer.rows))
        materials = answer.rows
        known = sorted(row["MATNR"] for row in materials)
        beside: list[Mapping[str, Sequence[Row]]] = []
        for table in (NAMES, UNITS, CODES):
            answer = self._tables.read(table, self.fields[table], part.where())
            if answer.cut:
                middle = known[(len(known) - 1) // 2 :][:1]
                return Smaller(part.cut_at(middle) if len(known) > 1 else part.cut(r["MATNR"] for r in answer.rows))
            beside.append(_by_material(answer.rows))
        names, units, codes = beside
        return Articles(materials, names, units, codes)

    def _gather_places(self, part: KeyRange) -> Sequence[Row] | Smaller[KeyRange]:
        answer = self._tables.read(PLACES, self.place_fields, part.where())
        return Smaller(part.cut(row["WERKS"] for row in answer.rows)) if answer.cut else answer.rows


def _by_material(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["MATNR"]].append(row)
    return found
