"""Which documents moved a material at a place: asked for when a quantity can't be explained, never for the quantity.

Items of documents carry no time, so the items of the keys are read first, of this year and as much of the last as may
matter, and then the headers of those documents that were created in time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from connectors.erp.sap.changes import NO_LINES
from connectors.erp.sap.client import DOCUMENT_SERVICE
from connectors.erp.sap.odata import Row, all_of, created_since, parse_created
from connectors.erp.sap.reading import (
    DOCUMENT_ITEMS,
    DOCUMENT_KEY,
    Collected,
    build_document_filters,
    build_key_filters,
    document_id,
    iter_by_key,
)
from hub.contracts import Movement, StockKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from connectors.erp.sap.client import SapClient
    from connectors.erp.sap.mapper import SapMapper
    from connectors.erp.sap.settings import SapSettings
    from hub.mapping import MovedKey

_STOCK_TYPE, _SPECIAL = "InventoryStockType", "InventorySpecialStockType"
_UNRESTRICTED = frozenset({"", "01"})
_USER = "CreatedByUser"
_BACKDATED = timedelta(days=31)
"""A document belongs to the year of its posting date, which may lie before its creation."""


def read_movements(
    client: SapClient, mapper: SapMapper, settings: SapSettings, keys: Collection[StockKey], since: datetime
) -> list[Movement]:
    """Return the items of documents that were created since a moment and moved the unrestricted own stock of a key.

    What was cancelled (冲销) is among them, and so is what cancelled it: each has moved the stock.
    """
    local = since.astimezone(settings.time_zone).replace(tzinfo=None)
    items: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for item in _iter_items(client, mapper, settings, keys, local):
        items[document_id(item)].append(item)
    wanted = set(keys)
    return [
        movement
        for header in _iter_headers(client, mapper, settings, items, local)
        for item in items[document_id(header)]
        for record in mapper.parse_moved(header, [item])[0]
        if (movement := _movement(record, header, settings.time_zone)) is not None and movement.key in wanted
    ]


def make_movement(record: MovedKey, quantity: Decimal, entered_at: datetime, entered_by: str) -> Movement:
    """Return what a line of a document did."""
    key, document = StockKey(record.item, record.location), record.line_id or record.document_id
    return Movement(document, record.reference, key, quantity, entered_at, entered_by, reverses=record.reverses)


def _movement(record: MovedKey, header: Row, zone: ZoneInfo) -> Movement | None:
    created = parse_created(header)
    if record.quantity is None or created is None:  # the other side of a transfer, which has an item of its own
        return None
    return make_movement(record, record.quantity, created.replace(tzinfo=zone), str(header.get(_USER) or ""))


def _iter_items(
    client: SapClient, mapper: SapMapper, settings: SapSettings, keys: Collection[StockKey], since: datetime
) -> Iterator[Row]:
    fields = dict.fromkeys([*DOCUMENT_ITEMS.identity, *mapper.moved_fields, _STOCK_TYPE, _SPECIAL])
    items = replace(DOCUMENT_ITEMS, select=tuple(fields))
    years = f"MaterialDocumentYear ge '{(since - _BACKDATED).year:04d}'"
    for named in build_key_filters(keys, settings.filter_length - len(years)):
        for rows, _ in iter_by_key(client, items, all_of((named, years)), settings.page_rows):
            yield from (row for row in rows if row.get(_STOCK_TYPE) in _UNRESTRICTED and not row.get(_SPECIAL))


def _iter_headers(
    client: SapClient, mapper: SapMapper, settings: SapSettings, documents: Iterable[tuple[str, ...]], since: datetime
) -> Iterator[Row]:
    fields = dict.fromkeys([*DOCUMENT_KEY, "CreationDate", "CreationTime", _USER, *mapper.header_fields])
    order = ",".join(DOCUMENT_KEY)
    headers = Collected(
        DOCUMENT_SERVICE, "A_MaterialDocumentHeader", DOCUMENT_KEY, DOCUMENT_KEY, order, select=tuple(fields)
    )
    in_time = created_since(since)
    known = dict.fromkeys(documents, NO_LINES)
    for named in build_document_filters(known, settings.filter_length - len(in_time)):
        for rows, _ in iter_by_key(client, headers, all_of((named, in_time)), settings.page_rows):
            yield from rows
