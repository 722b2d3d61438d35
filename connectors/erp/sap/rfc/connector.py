"""The SAP connector over RFC: the client, the mapping files and the reading rules put together."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.changes import Document, Window, read_posting
from connectors.erp.sap.history import make_movement
from connectors.erp.sap.rfc.articles import ArticleReader
from connectors.erp.sap.rfc.checks import run_checks
from connectors.erp.sap.rfc.keys import Place, at_places
from connectors.erp.sap.rfc.movements import (
    USER,
    DocumentReader,
    parse_entered,
    parse_line_number,
    read_clock,
    read_zone,
)
from connectors.erp.sap.rfc.probe import RfcProbe
from connectors.erp.sap.rfc.promise import ask_availability
from connectors.erp.sap.rfc.reading import TableReader
from connectors.erp.sap.rfc.stock import StockReader
from connectors.erp.sap.rfc.tables import DOCUMENTS, LEVELS, MATERIALS, PLACES, identify
from hub.contracts import Changes, ErpTraits, StockKey
from hub.errors import ConfigError, Rejected, Truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import date, datetime, tzinfo
    from decimal import Decimal

    from connectors.erp.sap.changes import LineNumbers
    from connectors.erp.sap.rfc.client import RfcClient
    from connectors.erp.sap.rfc.keys import MaterialNumbers
    from connectors.erp.sap.rfc.mapper import RfcMapper
    from connectors.erp.sap.rfc.settings import RfcSettings
    from connectors.erp.sap.rfc.tables import Row, Table
    from hub.contracts import CheckResult, Cursor, ItemPage, LocationRecord, Movement, Promise, StockPage
    from hub.mapping import MovedKey
    from hub.probe import Observation, TracedRow

_FEW_RIGHTS = "none can be seen: is it the right client, and is there any?"


class RfcConnector:
    """The read side of one SAP system over RFC (`hub.contracts.ErpConnector` and `AvailabilityCheck`).

    Location codes and item numbers are those of the OData transport: `PLANT/STORAGELOCATION`, and the material without
    leading zeros. Quantities are physical. Consigned goods have the owner K; of whom they are, MARD does not tell.

    Args:
        name: of the connection; the `source` of everything it reads.
        locations: the codes the hub is configured for; stock and changes of other places are not asked for.

    Raises:
        ConfigError: a location code has another form.
    """

    traits = ErpTraits(
        quantity_basis="physical", posting_point="material document posted (goods issue)", takes_back=True
    )

    def __init__(
        self,
        name: str,
        settings: RfcSettings,
        client: RfcClient,
        mapper: RfcMapper,
        numbers: MaterialNumbers,
        locations: Collection[str],
    ) -> None:
        self.source = name
        self.mapping_version = mapper.version
        self._settings = settings
        self._client = client
        self._mapper = mapper
        self._numbers = numbers
        self._places = frozenset(Place.parse(location) for location in locations)
        self._locations = frozenset(locations)
        self._tables = TableReader(client, settings.read_function, settings.page_rows)
        self._stock = StockReader(self._tables, mapper, settings, self._places)
        self._articles = ArticleReader(self._tables, mapper)
        self._documents = DocumentReader(self._tables, mapper, settings.names_per_call)
        self._log = structlog.get_logger().bind(system=SYSTEM, source=name)

    def check(self) -> Sequence[CheckResult]:
        """Ask SAP whether the log-on, the client, the tables, their fields and the rows are all right."""
        at_home = at_places(sorted(self._places)[: self._settings.places_per_call]) if self._places else ()
        looks = [
            (
                "stock rows",
                lambda: bool(self._tables.read_some(LEVELS, at_home)),
                "check that the configured locations exist",
            ),
            ("material documents", lambda: bool(self._tables.read_some(DOCUMENTS)), _FEW_RIGHTS),
            ("articles", lambda: bool(self._tables.read_some(MATERIALS)), _FEW_RIGHTS),
        ]
        return run_checks(self._client, self._tables, self._wanted(), self._settings.client, looks)

    def probe(self) -> Iterator[Observation]:
        """Look at what this system does otherwise than documented (`hub.probe.LiveProbe`)."""
        return self._make_probe().observe()

    def trace(self, item: str | None) -> Sequence[TracedRow]:
        """Read all stock of one material and say what becomes of each quantity."""
        return self._make_probe().trace(item)

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        """Read stock by ranges of materials, or the named keys.

        Raises:
            ConfigError: all stock is asked for and no location is configured; an empty answer would mean zero.
            RemoteError: SAP misbehaves; what was read before must not be taken for the whole. `Truncated` also when
                the keys have no row and no other row can be seen either.
        """
        if keys is not None:
            names = {name for key in keys if (name := self._numbers.name(key)) is not None}
            yield from self._stock.iter_named(names)
            return
        if not self._places:
            raise ConfigError(f"connection {self.source} has no locations: name the PLANT/STORAGELOCATION to read")
        yield from self._stock.iter_all()

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name the keys that material documents moved since `cursor`, and their lines that carry a reference.

        The first call names nothing and begins at the newest document there is; where there is none at all, the next
        call reads from the beginning. SAP is asked for its clock each time, so that a document that carries a time
        still to come hides no others.

        Raises:
            RemoteError: SAP misbehaves. `Truncated` also when documents or their lines are out of sight;
                `ProtocolViolation` also when a line names a material that does not lead back to itself.
        """
        overlap = timedelta(seconds=self._settings.overlap_seconds)
        present = read_clock(self._client)
        if cursor is None:
            return Changes(frozenset(), Window(self._documents.find_newest(), overlap, present).dump())
        window = Window.load(cursor, overlap, present)
        headers = {_number(header): header for header in self._documents.iter_headers(window.begins_at)}
        known = {
            identify(header, DOCUMENTS.key): window.lines_of(number)
            for number, header in headers.items()
            if not window.is_whole(number)
        }
        lines = self._documents.read_lines(known)
        fresh = [identify(header, DOCUMENTS.key) for number, header in headers.items() if number not in window.seen]
        if fresh and lines.keys().isdisjoint(fresh):
            raise Truncated("documents show without their lines", system=SYSTEM, operation="changes MSEG")
        return window.advance(
            self._parse_document(
                number, header, lines.get(identify(header, DOCUMENTS.key), ()), window.lines_of(number)
            )
            for number, header in headers.items()
        )

    def movements(self, keys: Collection[StockKey], since: datetime) -> Sequence[Movement]:
        """Return the lines of documents that were entered since a moment (aware) and moved one of `keys`.

        None where SAP does not tell its clock, whose zone its times are in.
        """
        wanted = frozenset(keys)
        names = {name for key in wanted if (name := self._numbers.name(key)) is not None}
        zone = read_zone(self._client)
        if zone is None or not names:
            return ()
        lines = self._documents.read_history(names, since.astimezone(zone).replace(tzinfo=None))
        return [
            movement
            for header, line in lines
            for record in self._mapper.parse_moved(header, [line])[0]
            if (movement := _movement(record, header, zone)) is not None and movement.key in wanted
        ]

    def get_items(self) -> Iterator[ItemPage]:
        """Read all materials with their texts and the barcodes of their units."""
        return self._articles.iter_items()

    def get_locations(self) -> Sequence[LocationRecord]:
        """Return all storage locations, configured or not."""
        return self._articles.read_places()

    def check_availability(self, key: StockKey, quantity: Decimal, wanted_on: date) -> Promise:
        """Ask what SAP would confirm of a quantity in the item's base unit, on a day; nothing is reserved.

        Raises:
            ConfigError: the location code has another form.
            RecordError: the quantity is none.
            RemoteError: there is no such material, SAP refuses the check, or does not answer properly.
        """
        name = self._numbers.name(key)
        if name is None:
            raise Rejected(f"SAP can have no material {key.item}", system=SYSTEM, operation="availability")
        return ask_availability(self._client, self._tables, name, quantity, wanted_on, self._settings.check_rule)

    def _make_probe(self) -> RfcProbe:
        parts = (self._client, self._tables, self._stock, self._mapper, self._numbers, self._settings)
        return RfcProbe(*parts, self._wanted(), self._places)

    def _wanted(self) -> dict[Table, Sequence[str]]:
        """Return the fields that are read of each table, for the self-check."""
        wanted: dict[Table, Sequence[str]] = {PLACES: self._articles.place_fields}
        for fields in (self._stock.fields, self._articles.fields, self._documents.fields):
            for table, names in fields.items():
                wanted[table] = tuple(dict.fromkeys([*wanted.get(table, ()), *names]))
        return wanted

    def _parse_document(self, number: str, header: Row, lines: Sequence[Row], known: LineNumbers) -> Document:
        fresh = {place: line for line in lines if (place := parse_line_number(line)) not in known}
        moved, rejected = self._mapper.parse_moved(header, fresh.values())
        keys = {StockKey(row.item, row.location) for row in moved}
        for refused in rejected:
            # the nightly snapshot still reads what such a line moved; here only a whole key is of use
            self._log.warning("document_item_rejected", document=number, reason=refused.reason, detail=refused.detail)
            if refused.item and refused.location:
                keys.add(StockKey(refused.item, refused.location))
        here = frozenset(key for key in keys if key.location in self._locations)
        postings = tuple(told for row in moved if row.location in self._locations and (told := read_posting(row)))
        return Document(number, parse_entered(header), frozenset(fresh), here, postings)


def _movement(record: MovedKey, header: Row, zone: tzinfo) -> Movement | None:
    # a line without H or S moved nothing; the other side of a transfer has a line of its own
    if not record.posted or record.quantity is None:
        return None
    return make_movement(record, record.quantity, parse_entered(header).replace(tzinfo=zone), header[USER])


def _number(header: Row) -> str:
    return f"{header['MJAHR']}/{header['MBLNR']}"
