"""The SAP connector: the client, the mapping files and the reading rules put together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.changes import NO_LINES, Document, LineNumbers, Window, read_posting
from connectors.erp.sap.checks import run_checks
from connectors.erp.sap.client import DOCUMENT_SERVICE, PRODUCT_SERVICE
from connectors.erp.sap.history import read_movements
from connectors.erp.sap.odata import Row, build_key_path, parse_created
from connectors.erp.sap.probe import SapProbe
from connectors.erp.sap.reading import (
    DOCUMENT_ITEMS,
    DOCUMENT_KEY,
    ITEMS,
    PRODUCTS,
    STOCK,
    STOCK_KEY,
    build_document_filters,
    build_key_filters,
    build_location_filters,
    document_id,
    find_newest_document,
    identify,
    item_number,
    iter_by_key,
    iter_documents,
    iter_places,
    require_sight,
    split_location,
)
from connectors.erp.sap.recorded import make_rules
from hub.clock import utc_now
from hub.contracts import Changes, ErpTraits, ItemPage, LocationRecord, StockKey, StockPage
from hub.errors import ConfigError, ProtocolViolation, RecordError, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from connectors.erp.sap.client import SapClient
    from connectors.erp.sap.mapper import SapMapper
    from connectors.erp.sap.settings import SapSettings
    from connectors.http import HttpClient
    from connectors.recording.rules import RecordingRules
    from hub.contracts import CheckResult, Cursor, ItemRecord, Movement, PushedEvent, Rejection
    from hub.probe import Observation, TracedRow

_NOT_FOUND = 404


class SapConnector:
    """The read side of one SAP S/4HANA system over OData V2 (`hub.contracts.ErpConnector` and `EventReader`).

    A location code is `PLANT/STORAGELOCATION`. Quantities are physical: they fall when goods issue (发货过账) is
    posted, which can be cancelled and posted again. The stock service tells no expiry date of batches, so
    `expires_on` is None.

    Args:
        name: of the connection; the `source` of everything it reads.
        locations: the codes the hub is configured for; stock and changes of other places are not asked for.
        now: the hub's clock, aware; the service does not tell SAP's.

    Raises:
        ConfigError: a location code has another form.
    """

    traits = ErpTraits(
        quantity_basis="physical", posting_point="material document posted (goods issue)", takes_back=True
    )

    def __init__(
        self,
        name: str,
        settings: SapSettings,
        client: SapClient,
        mapper: SapMapper,
        locations: Collection[str],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        for location in locations:
            split_location(location)
        self.source = name
        self.mapping_version = mapper.version
        self._settings = settings
        self._client = client
        self._mapper = mapper
        self._locations = frozenset(locations)
        self._now = now
        fields = dict.fromkeys([*STOCK_KEY, *mapper.stock_fields])
        self._stock = replace(STOCK, select=tuple(fields))
        moved = dict.fromkeys([*DOCUMENT_ITEMS.identity, *mapper.moved_fields])
        self._items = replace(DOCUMENT_ITEMS, select=tuple(moved))
        self._log = structlog.get_logger().bind(system=SYSTEM, source=name)

    def check(self) -> Sequence[CheckResult]:
        """Ask SAP whether the log-in, the client, the services, their fields and the rows are all right."""
        where = build_location_filters(self._locations, self._settings.filter_length)
        return run_checks(self._client, self._mapper, self._settings.client, where[0] if where else "")

    @property
    def http(self) -> HttpClient:
        """Return what the requests go through."""
        return self._client.http

    @property
    def recording_rules(self) -> RecordingRules:
        """Return how exchanges with this system are recorded."""
        return make_rules(self._mapper, self._settings)

    def probe(self) -> Iterator[Observation]:
        """Look at what this system does otherwise than documented (`hub.probe.LiveProbe`)."""
        return self._make_probe().observe()

    def trace(self, item: str | None) -> Sequence[TracedRow]:
        """Read all stock rows of one material and say what becomes of each."""
        return self._make_probe().trace(item)

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        """Read stock by whole materials, in as many requests as the length of a URL needs.

        Raises:
            ConfigError: all stock is asked for and no location is configured; an empty answer would mean zero.
            RemoteError: SAP misbehaves; what was read before must not be taken for the whole. `Truncated` also when
                the keys have no row and no other row can be seen either.
        """
        limit = self._settings.filter_length
        if keys is None and not self._locations:
            raise ConfigError(f"connection {self.source} has no locations: name the PLANT/STORAGELOCATION to read")
        filters = build_location_filters(self._locations, limit) if keys is None else build_key_filters(keys, limit)
        if not filters:
            yield StockPage((), complete=True)
        blind = keys is not None and bool(self._locations)
        for number, where in enumerate(filters, start=1):
            for rows, complete in iter_by_key(self._client, self._stock, where, self._settings.page_rows):
                blind = blind and not rows
                if blind and complete and number == len(filters):
                    # keys must not be taken for sold out when all stock is out of sight
                    require_sight(self._client, build_location_filters(self._locations, limit))
                records, rejected = self._mapper.parse_stock(rows)
                yield StockPage(records, rejected, complete=complete and number == len(filters))

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name the keys that material documents moved since `cursor`, and their lines that carry a reference.

        The first call names nothing and begins at the newest document there is; where there is none at all, the next
        call reads from the beginning. The hub's clock only says which documents are still to come; if it is behind,
        more is read.
        """
        overlap = timedelta(seconds=self._settings.overlap_seconds)
        present = self._now().astimezone(self._settings.time_zone).replace(tzinfo=None)
        if cursor is None:
            newest = find_newest_document(self._client)
            at = parse_created(newest) if newest else None
            if newest and at is None:
                raise ProtocolViolation(
                    "the newest material document has no creation time", system=SYSTEM, operation=DOCUMENT_SERVICE
                )
            return Changes(frozenset(), Window(at, overlap, present).dump())
        window = Window.load(cursor, overlap, present)
        fields, rows = self._mapper.header_fields, self._settings.document_page_rows
        headers = list(iter_documents(self._client, window.begins_at, fields, rows))
        items = self._read_items(
            {
                document_id(header): window.lines_of(_number(header))
                for header in headers
                if not window.is_whole(_number(header))
            }
        )
        return window.advance(
            self._parse_document(header, items.get(document_id(header), ()), window.lines_of(_number(header)))
            for header in headers
        )

    def event_keys(self, event: PushedEvent) -> frozenset[StockKey]:
        """Read the material document that an event names, and return the keys it moved.

        Raises:
            Unavailable: the document is not visible yet; the event comes before the commit on some systems.
            RecordError: the event names no document.
        """
        key = {name: event.payload.get(name) for name in DOCUMENT_KEY}
        named = {name: value for name, value in key.items() if isinstance(value, str) and value}
        if len(named) != len(DOCUMENT_KEY):
            raise RecordError("the event names no material document", reason="missing_field")
        path = build_key_path("A_MaterialDocumentHeader", named)
        try:
            header = self._client.fetch_entity(DOCUMENT_SERVICE, path, {"$expand": ITEMS})
        except Rejected as error:
            if error.http_status != _NOT_FOUND:
                raise
            raise Unavailable(
                f"material document {'/'.join(named.values())} is not visible yet",
                system=SYSTEM,
                operation=error.operation,
                http_status=error.http_status,
                remote_code=error.remote_code,
            ) from error
        items = self._client.fetch_expanded(
            DOCUMENT_SERVICE, header, ITEMS, key_of=lambda row: identify(row, DOCUMENT_ITEMS.identity)
        )
        return self._parse_document(header, items, NO_LINES).keys

    def movements(self, keys: Collection[StockKey], since: datetime) -> Sequence[Movement]:
        """Return the items of documents that were created since a moment (aware) and moved one of `keys`."""
        return read_movements(self._client, self._mapper, self._settings, keys, since)

    def get_items(self) -> Iterator[ItemPage]:
        """Read all products with their names and the barcodes of their units."""
        for rows, complete in iter_by_key(self._client, PRODUCTS, "", self._settings.product_page_rows):
            records: list[ItemRecord] = []
            rejected: list[Rejection] = []
            for row in rows:
                product = dict(row)
                names = self._expand(product, "to_Description", ("Product", "Language"))
                units = self._expand(product, "to_ProductUnitsOfMeasure", ("Product", "AlternativeUnit"))
                record, refused = self._mapper.parse_item(product, names, units)
                records.extend([record] if record else [])
                rejected.extend(refused)
            yield ItemPage(records, rejected, complete=complete)

    def get_locations(self) -> Sequence[LocationRecord]:
        """Return the storage locations that hold stock, configured or not; their code is their name.

        SAP's released OData V2 services list no storage locations, so one without any stock row is not found.
        """
        codes = ("/".join(place) for place in iter_places(self._client))
        return [LocationRecord(code, code) for code in codes]

    def _make_probe(self) -> SapProbe:
        return SapProbe(self._client, self._mapper, self._settings, self._stock.select, self._locations)

    def _expand(self, product: Row, navigation: str, identity: tuple[str, ...]) -> list[Row]:
        return self._client.fetch_expanded(
            PRODUCT_SERVICE, product, navigation, key_of=lambda row: identify(row, identity)
        )

    def _read_items(self, known: Mapping[tuple[str, ...], LineNumbers]) -> Mapping[tuple[str, ...], Sequence[Row]]:
        """Return the items of documents that are not known yet, and some that are, by (year, number)."""
        found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        for where in build_document_filters(known, self._settings.filter_length):
            for rows, _ in iter_by_key(self._client, self._items, where, self._settings.page_rows):
                for row in rows:
                    found[document_id(row)].append(row)
        return found

    def _parse_document(self, header: Row, items: Sequence[Row], known: LineNumbers) -> Document:
        number = _number(header)
        fresh = {line: item for item in items if (line := item_number(item)) not in known}
        moved, rejected = self._mapper.parse_moved(header, fresh.values())
        keys = {StockKey(row.item, row.location) for row in moved}
        for refused in rejected:
            # the nightly snapshot still reads what such a line moved; here only a whole key is of use
            self._log.warning("document_item_rejected", document=number, reason=refused.reason, detail=refused.detail)
            if refused.item and refused.location:
                keys.add(StockKey(refused.item, refused.location))
        here = frozenset(key for key in keys if key.location in self._locations)
        postings = tuple(told for row in moved if row.location in self._locations and (told := read_posting(row)))
        return Document(number, parse_created(header), frozenset(fresh), here, postings)


def _number(header: Row) -> str:
    return "/".join(document_id(header))
