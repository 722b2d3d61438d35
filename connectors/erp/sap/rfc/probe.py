"""A look at a real SAP system over RFC beside what the documents say and the stand-in does; every call is a read."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.erp.probing import (
    attempt,
    counted,
    describe_steps,
    explain_destination,
    observe_refusals,
    observe_signs,
    observe_spelling,
    observe_unlisted,
)
from connectors.erp.sap.records import ADDED
from connectors.erp.sap.rfc.access import AccessProbe
from connectors.erp.sap.rfc.articles import ArticleReader
from connectors.erp.sap.rfc.checks import ask_clock
from connectors.erp.sap.rfc.conditions import all_of, any_of, compare, since
from connectors.erp.sap.rfc.keys import Place, StockName, at_places
from connectors.erp.sap.rfc.mapper import quantity_columns
from connectors.erp.sap.rfc.movements import ENTERED, DocumentReader
from connectors.erp.sap.rfc.promise import FUNCTION, ask_availability
from connectors.erp.sap.rfc.ranges import chunk, iter_whole
from connectors.erp.sap.rfc.reading import TableReader
from connectors.erp.sap.rfc.stock import Named
from connectors.erp.sap.rfc.tables import DOCUMENTS, LEVELS, LOTS, MATERIALS, Table
from hub.clock import utc_now
from hub.errors import AuthFailed, RecordError, Rejected, RemoteError
from hub.probe import Observation, TracedRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from connectors.erp.sap.rfc.client import RfcClient
    from connectors.erp.sap.rfc.conditions import Condition
    from connectors.erp.sap.rfc.keys import MaterialNumbers
    from connectors.erp.sap.rfc.mapper import RfcMapper
    from connectors.erp.sap.rfc.settings import RfcSettings
    from connectors.erp.sap.rfc.stock import Found, Part, StockReader
    from connectors.erp.sap.rfc.tables import Row
    from hub.mapping import Mapping as MappingFile

_SAMPLE_ROWS = 500
_BATCHES = "XCHPF"
_SLOW_SECONDS = 2.0
_CLOCK_SLACK = timedelta(minutes=1)
_SPECIAL = {
    "MSKA": "sales orders",
    "MSPR": "projects",
    "MSKU": "with customers",
    "MSLB": "with suppliers",
}
"""Tables of special stocks that MARD's sums do not hold; they are looked at, and nothing else reads them."""
_NOTHING = ("quantity: every field is 0",)


@dataclass(frozen=True, slots=True)
class Sample:
    """Some whole keys with everything that belongs to them: as SAP answered, and each quantity as a record of its own.

    Attributes:
        levels: quantities of MARD.
        lots: quantities of MCHB.
    """

    found: Sequence[Found]
    levels: Sequence[Mapping[str, Any]]
    lots: Sequence[Mapping[str, Any]]

    @property
    def quantities(self) -> list[Mapping[str, Any]]:
        """Return all of them."""
        return [*self.levels, *self.lots]


class RfcProbe:
    """Looks at one system.

    Args:
        wanted: the fields that are read of each table.
        places: the configured ones.
    """

    def __init__(
        self,
        client: RfcClient,
        tables: TableReader,
        stock: StockReader,
        mapper: RfcMapper,
        numbers: MaterialNumbers,
        settings: RfcSettings,
        wanted: Mapping[Table, Sequence[str]],
        places: Collection[Place],
    ) -> None:
        self._client = client
        self._tables = tables
        self._stock = stock
        self._mapper = mapper
        self._numbers = numbers
        self._settings = settings
        self._wanted = wanted
        self._places = frozenset(places)
        self._few = TableReader(client, settings.read_function, _SAMPLE_ROWS)
        self._access = AccessProbe(client, tables, settings)

    def observe(self) -> Iterator[Observation]:
        """Yield what is seen, in the order of how much stands on it."""
        access = self._access
        looks = {
            "log-on time": access.observe_log_on,
            "tables": lambda: access.observe_tables(self._wanted),
            "stock rows": self._stock_rows,
            "largest answer": access.observe_limits,
            "row width": access.observe_width,
            "material documents": self._documents,
            "articles": self._articles,
            "special stock (goods of others)": self._special_stock,
            "functions": access.observe_functions,
            f"function {FUNCTION}": self._availability,
            "conversations": access.observe_conversations,
            "time": access.observe_time,
        }
        for name, look in looks.items():
            yield from attempt(name, look)

    def trace(self, item: str | None) -> list[TracedRow]:
        """Read all stock of a material, at all its places, and say what becomes of each quantity."""
        material = self._find_stocked() if item is None else self._numbers.to_sap(item)
        if not material:
            return []
        where = compare("MATNR", "=", material)
        keys = [*self._tables.read(LEVELS, (), where).rows, *self._tables.read(LOTS, (), where).rows]
        names = sorted({_name(row) for row in keys})
        ours = [name for name in names if name.place in self._places]
        # as the hub reads them: what does not add up is read again before it is doubted
        refused = [entry for page in self._stock.iter_named(ours) for entry in page.rejected] if ours else []
        doubts = {entry.location: f"refused: {entry.detail}" for entry in refused}
        return [row for found in self._gather(names) for row in self._trace_found(found, doubts)]

    def _trace_found(self, found: Found, doubts: Mapping[str | None, str]) -> Iterator[TracedRow]:
        in_lots = {_name(row) for row in found.lots}
        managed = {name for row in found.levels if (name := _name(row)) in in_lots or self._has_batches(row, found)}
        lots = self._unpivot(self._mapper.batch, found.lots, found)
        for row in found.levels:
            raws = self._unpivot(self._mapper.stock, [row], found)
            if not raws and not any(_name(raw) == _name(row) for raw in lots):
                yield TracedRow(dict(_told(row)), _location(row), None, "holds nothing", _NOTHING)
            for raw in raws:
                yield self._trace_quantity(self._mapper.stock, raw, doubts, in_batches=_name(row) in managed)
        for raw in lots:
            yield self._trace_quantity(self._mapper.batch, raw, doubts, in_batches=False)

    def _trace_quantity(
        self, mapping: MappingFile, raw: Mapping[str, Any], doubts: Mapping[str | None, str], *, in_batches: bool
    ) -> TracedRow:
        told, location, steps = dict(_told(raw)), _location(raw), describe_steps(mapping, raw)
        records, rejected = self._mapper.parse_unpivoted(mapping, [raw])
        doubt = doubts.get(location) or doubts.get(None)
        if _name(raw).place not in self._places:
            return TracedRow(told, location, None, "not at a place of config/locations.yaml", steps)
        if rejected or doubt:
            return TracedRow(told, location, None, doubt or f"refused: {rejected[0].detail}", steps)
        if not records:
            return TracedRow(told, location, None, "left out by keep_when of the mapping file", steps)
        if in_batches and not records[0].owner:
            return TracedRow(told, location, None, "counted batch by batch, in MCHB", steps)
        return TracedRow(told, location, records[0], explain_destination(records[0]), steps)

    def _find_stocked(self) -> str:
        """Return a material that has stock at a configured place, else blank."""
        some = any_of([(column, ">", "0") for column in quantity_columns(self._mapper.stock)])
        for part in chunk(sorted(self._places), self._settings.places_per_call):
            for row in self._tables.read_some(LEVELS, all_of([at_places(part), some])):
                return row["MATNR"]
        return ""

    def _gather(self, names: Sequence[StockName]) -> list[Found]:
        parts: list[Part] = [Named(part) for part in chunk(names, self._settings.names_per_call)]
        return [found for found, _ in iter_whole(parts, self._stock.gather)]

    def _unpivot(self, mapping: MappingFile, rows: Sequence[Row], found: Found) -> list[Mapping[str, Any]]:
        joined = ({**row, MATERIALS.name: found.materials.get(row["MATNR"], {})} for row in rows)
        return [raw for row in joined for raw in self._mapper.unpivot(mapping, row, found.expiry)]

    @staticmethod
    def _has_batches(row: Row, found: Found) -> bool:
        return bool(found.materials.get(row["MATNR"], {}).get(_BATCHES))

    def _at_home(self) -> Condition:
        places = sorted(self._places)[: self._settings.places_per_call]
        return at_places(places) if places else ()

    def _stock_rows(self) -> Iterator[Observation]:
        keys = self._few.read(LEVELS, (), self._at_home())
        seen = f"more than {_SAMPLE_ROWS}" if keys.cut else str(len(keys.rows))
        advice = (
            "" if keys.rows else "are the locations of config/locations.yaml this system's, and is the client right?"
        )
        yield Observation("stock rows", seen, "some", bool(keys.rows), numbers_at_risk=True, advice=advice)
        if not keys.rows:
            return
        found = self._gather(sorted({_name(row) for row in keys.rows}))
        sample = Sample(
            found,
            [raw for part in found for raw in self._unpivot(self._mapper.stock, part.levels, part)],
            [raw for part in found for raw in self._unpivot(self._mapper.batch, part.lots, part)],
        )
        told = [raw[ADDED]["quantity"] for raw in sample.quantities]
        yield observe_spelling(told, ("text", "text with zeros behind"), "quantities")
        yield observe_signs(told)
        columns = Counter(raw[ADDED]["column"] for raw in sample.quantities)
        yield Observation("stock types", counted(columns) or "no stock", "each field of a row its own")
        for mapping, raws in ((self._mapper.stock, sample.levels), (self._mapper.batch, sample.lots)):
            yield from observe_unlisted(mapping, raws) if raws else ()
        yield _observe_batches(found)
        yield self._observe_numbers({row["MATNR"] for row in keys.rows})
        yield self._observe_refused(sample)

    def _observe_numbers(self, materials: Collection[str]) -> Observation:
        settings = self._settings
        lengths = Counter(f"{len(text)} digits" if _is_number(text) else "texts" for text in materials)
        wanted = f"{settings.material_length} digits" if settings.material_zeros else "digits as typed"
        agrees = not settings.material_zeros or lengths.keys() <= {wanted, "texts"}
        advice = "" if agrees else "set material_length to that number of digits, or material_zeros = false (see OMSL)"
        assumed = f"{wanted}, or texts"
        return Observation("material numbers", counted(lengths), assumed, agrees, numbers_at_risk=True, advice=advice)

    def _observe_refused(self, sample: Sample) -> Observation:
        results = [self._stock.sort_out(found) for found in sample.found]
        rejected = [entry for result in results for entry in result.rejected]
        torn = [name for result in results for name in result.torn]
        # they may have moved between the reads of two tables: only what differs for long is refused
        rejected += [entry for page in self._stock.iter_named(torn) for entry in page.rejected] if torn else []
        return observe_refusals("stock rows refused", len(sample.quantities), rejected)

    def _documents(self) -> Iterator[Observation]:
        documents = DocumentReader(self._tables, self._mapper, self._settings.names_per_call)
        started = time.monotonic()
        # nothing is expected there in any zone, so that SAP has to look through all there is
        ahead = self._tables.read_some(DOCUMENTS, since(*ENTERED, utc_now() + timedelta(days=2)))
        seconds = time.monotonic() - started
        quick = seconds < _SLOW_SECONDS
        yield Observation(
            "search by entry time",
            f"{seconds * 1000:.0f} ms",
            f"less than {_SLOW_SECONDS:g} s",
            quick,
            advice="" if quick else f"ask for an index of {DOCUMENTS.name} on (MANDT, CPUDT), or raise poll_seconds",
        )
        if not quick and not ahead:
            return  # the search for the newest one would repeat it thirty times
        newest = documents.find_newest()
        if newest is None:
            advice = "may the user see material documents? changes are learnt from them"
            yield Observation("newest document", "none", "one", agrees=False, numbers_at_risk=True, advice=advice)
            return
        clock = self._ask_clock()
        agrees = clock is None or newest - clock <= _CLOCK_SLACK
        advice = "" if agrees else "set the clocks of all application servers by NTP; look at the document in MB51"
        seen = f"{newest}" + (f"; SAP's clock shows {clock}" if clock else "")
        yield Observation("newest document", seen, "not ahead of SAP's own clock", agrees, advice=advice)

    def _ask_clock(self) -> datetime | None:
        try:
            return ask_clock(self._client)
        except (AuthFailed, Rejected):
            return None  # which is told of the function itself

    def _articles(self) -> Iterator[Observation]:
        articles = ArticleReader(self._few, self._mapper)
        rows = self._few.read(MATERIALS, articles.fields[MATERIALS]).rows
        yield from observe_unlisted(self._mapper.article, rows)
        page = next(articles.iter_items())
        yield observe_refusals("articles and barcodes refused", len(page.records), page.rejected)

    def _special_stock(self) -> Iterator[Observation]:
        told = []
        for name, whose in _SPECIAL.items():
            try:
                seen = "some" if self._tables.read_some(Table(name, ("MATNR",))) else "none"
            except AuthFailed:
                seen = "may not be looked at"
            except Rejected:
                seen = "no such table"
            told.append(f"{name} ({whose}): {seen}")
        assumed = "not read: goods that are nobody's to sell; consigned goods stand in MARD"
        yield Observation("special stock (goods of others)", "; ".join(told), assumed)

    def _availability(self) -> Iterator[Observation]:
        name, assumed = f"function {FUNCTION}", "may be called, for the check before a promise"
        keys = self._tables.read_some(LEVELS, self._at_home())
        if not keys:
            return
        try:
            promise = ask_availability(
                self._client, self._tables, _name(keys[0]), Decimal(1), utc_now().date(), self._settings.check_rule
            )
            seen = "may be called" if promise.checked else "may be called; this article is not checked by SAP"
        except AuthFailed as error:
            advice = "give the user S_RFC for it; without it nothing can be promised by SAP's own check"
            yield Observation(name, str(error), assumed, agrees=False, advice=advice)
            return
        except (RecordError, RemoteError) as error:
            seen = f"may be called; says: {error}"
        yield Observation(name, seen, assumed)


def _observe_batches(found: Sequence[Found]) -> Observation:
    materials = {number: row for part in found for number, row in part.materials.items()}
    marked = {number for number, row in materials.items() if row.get(_BATCHES)}
    plant = {row["MATNR"] for part in found for row in part.lots} - marked
    seen = f"{len(marked)} of {len(materials)} materials" + (f", {len(plant)} more by MCHB alone" if plant else "")
    return Observation("batches", seen, f"{MATERIALS.name}-{_BATCHES} tells which", not plant)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _name(row: Mapping[str, Any]) -> StockName:
    return StockName(Place(row["WERKS"], row["LGORT"]), row["MATNR"])


def _location(row: Mapping[str, Any]) -> str:
    return f"{row['WERKS']}/{row['LGORT']}"


def _told(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what SAP says of a quantity, or of a row that holds none."""
    for field in LOTS.key:
        if field in row:
            yield field, row[field]
    if (added := row.get(ADDED)) is not None:
        yield added["column"], added["quantity"].strip()
        yield "MEINS", row[MATERIALS.name].get("MEINS", "")
        yield "VFDAT", added["expires_on"] or ""
