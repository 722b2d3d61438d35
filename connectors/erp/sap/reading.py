"""How collections are read whole: filters that fit into a URL, paging by key, and the proof that nothing is missing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from connectors.erp.paging import RawPage, iter_whole_groups
from connectors.erp.sap.answers import SYSTEM, Answer
from connectors.erp.sap.client import DOCUMENT_SERVICE, PRODUCT_SERVICE, STOCK_SERVICE, SapClient
from connectors.erp.sap.odata import (
    Row,
    all_of,
    any_of,
    chunk,
    created_after,
    created_since,
    equals,
    parse_created,
    text_literal,
)
from hub.errors import ConfigError, ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
    from datetime import datetime

    from hub.contracts import StockKey

STOCK_KEY = (
    "Material",
    "Plant",
    "StorageLocation",
    "Batch",
    "Supplier",
    "Customer",
    "WBSElementInternalID",
    "SDDocument",
    "SDDocumentItem",
    "InventorySpecialStockType",
    "InventoryStockType",
)
"""The 11 key fields of a stock row; a field that does not apply is blank, on some servers null."""

DOCUMENT_KEY = ("MaterialDocumentYear", "MaterialDocument")
ITEMS = "to_MaterialDocumentItem"
_OR, _AND = 4, 5


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection that is read in the order of one of its key fields.

    Attributes:
        group: the key field by which pages are cut.
        identity: the fields that tell two rows apart.
    """

    service: str
    entity_set: str
    group: str
    identity: tuple[str, ...]
    order: str
    expand: str = ""


STOCK = Collected(
    STOCK_SERVICE,
    "A_MatlStkInAcctMod",
    "Material",
    STOCK_KEY,
    "Material,Plant,StorageLocation,Batch,InventoryStockType",
)
PRODUCTS = Collected(
    PRODUCT_SERVICE, "A_Product", "Product", ("Product",), "Product", "to_Description,to_ProductUnitsOfMeasure"
)


def split_location(location: str) -> tuple[str, str]:
    """Return plant (工厂) and storage location (库存地点) of a location code such as `1010/101A`.

    Raises:
        ConfigError: the code has another form.
    """
    plant, slash, storage = location.partition("/")
    if not (plant and slash and storage) or "/" in storage or location != location.strip():
        raise ConfigError(f"SAP location {location!r} must have the form PLANT/STORAGELOCATION, for instance 1010/101A")
    return plant, storage


def build_location_filters(locations: Collection[str], limit: int) -> list[str]:
    """Return conditions of at most about `limit` characters that together name each location once."""
    clauses: list[str] = []
    places = sorted({split_location(location) for location in locations})
    for plant, group in groupby(places, key=lambda place: place[0]):
        at_plant = equals("Plant", plant)
        storages = [equals("StorageLocation", storage) for _, storage in group]
        for part in chunk(storages, limit - len(at_plant) - _AND, joint=_OR):
            clauses.append(f"({at_plant} and {any_of(part)})")  # noqa: PERF401 - a nested comprehension reads worse
    return [any_of(part) for part in chunk(clauses, limit, joint=_OR)]


def build_key_filters(keys: Collection[StockKey], limit: int) -> list[str]:
    """Return conditions of at most about `limit` characters that together name each key once.

    Many items of one location, or one item in many locations: either way few requests.
    """
    clauses: list[str] = []
    for location, group in groupby(sorted({(key.location, key.item) for key in keys}), key=lambda pair: pair[0]):
        plant, storage = split_location(location)
        at_place = f"{equals('Plant', plant)} and {equals('StorageLocation', storage)}"
        materials = [equals("Material", item) for _, item in group]
        for part in chunk(materials, limit - len(at_place) - _AND, joint=_OR):
            clauses.append(f"({at_place} and {any_of(part)})")  # noqa: PERF401 - a nested comprehension reads worse
    return [any_of(part) for part in chunk(clauses, limit, joint=_OR)]


def iter_by_key(
    client: SapClient, what: Collected, where: str, page_rows: int
) -> Iterator[tuple[Sequence[Mapping[str, Any]], bool]]:
    """Yield (rows of whole groups, complete) of a collection, asking for "everything after group G" each time.

    Following `__next` instead would go by offset, and a row that is inserted or removed meanwhile shifts all later
    pages: rows would be lost in silence.

    Raises:
        RemoteError: also `Truncated`, when it can't be proved that an answer is whole.
    """
    operation = f"{what.service}/{what.entity_set}"

    def fetch(after: Mapping[str, Any] | None) -> RawPage:
        condition = "" if after is None else f"{what.group} gt {text_literal(_group_of(after, what))}"
        query = {"$filter": all_of((where, condition)), "$orderby": what.order, "$expand": what.expand}
        query = {name: value for name, value in query.items() if value}
        answer = client.fetch_rows(
            what.service, what.entity_set, {**query, "$top": str(page_rows), "$inlinecount": "allpages"}
        )
        return RawPage(answer.rows, more=_is_cut(client, what, query, answer, page_rows))

    return iter_whole_groups(fetch, lambda row: _group_of(row, what), system=SYSTEM, operation=operation)


def _is_cut(client: SapClient, what: Collected, query: Mapping[str, str], answer: Answer, page_rows: int) -> bool:
    """Tell whether the server holds rows of the filter behind those it answered.

    Fewer rows than asked for prove nothing: SAP caps `$top` (at 5000 for API_PRODUCT_SRV, SAP KBA 3626726), and does
    it without a word or a `__next`. `__count` of `$inlinecount` counts the filter's rows before paging and settles it.
    A server without it is asked for the one row behind the last.
    """
    if answer.next_link is not None or len(answer.rows) >= page_rows:
        return True
    if answer.count is not None:
        return answer.count > len(answer.rows)
    if not answer.rows:
        return False
    behind = client.fetch_rows(
        what.service, what.entity_set, {**query, "$skip": str(len(answer.rows)), "$top": "1"}
    ).rows
    known = {identify(row, what.identity) for row in answer.rows}
    if any(identify(row, what.identity) in known for row in behind):
        raise Truncated(
            "no __count, and $skip answers a row again: it can't be told whether the answer is whole",
            system=SYSTEM,
            operation=f"{what.service}/{what.entity_set}",
        )
    return bool(behind)


def identify(row: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, ...]:
    """Return the identity of a row; null and blank are the same."""
    return tuple("" if row.get(name) is None else str(row[name]) for name in fields)


def _group_of(row: Mapping[str, Any], what: Collected) -> str:
    value = row.get(what.group)
    if not isinstance(value, str) or not value:
        raise ProtocolViolation(
            f"a row has no {what.group}", system=SYSTEM, operation=f"{what.service}/{what.entity_set}"
        )
    return value


def find_newest_document(client: SapClient) -> Row | None:
    """Return the header of the newest material document there is, None when there is none."""
    query = {"$orderby": "CreationDate desc,CreationTime desc", "$top": "1"}
    rows = client.fetch_rows(DOCUMENT_SERVICE, "A_MaterialDocumentHeader", query).rows
    return rows[0] if rows else None


def iter_documents(client: SapClient, since: datetime | None, page_rows: int) -> Iterator[Row]:
    """Yield the headers of the material documents created at `since` or later, oldest first, each once.

    `__next` is followed. Where the server cuts without one, it is asked for what stands behind the last document.

    Raises:
        ProtocolViolation: documents are held back and can't be reached.
    """
    operation = f"{DOCUMENT_SERVICE}/A_MaterialDocumentHeader"
    seen: set[Hashable] = set()
    where = created_since(since) if since else ""
    while True:
        received, count, fresh = 0, None, 0
        last: Row | None = None
        for answer in client.iter_answers(
            DOCUMENT_SERVICE, "A_MaterialDocumentHeader", _document_query(where, page_rows), _document_id
        ):
            count = answer.count if count is None else count
            received += len(answer.rows)
            for row in answer.rows:
                last = row
                if (key := _document_id(row)) not in seen:
                    seen.add(key)
                    fresh += 1
                    yield row
        if last is None or (count is not None and received >= count) or (count is None and not fresh):
            return
        created = parse_created(last)
        if created is None or not fresh:
            raise ProtocolViolation("material documents are held back", system=SYSTEM, operation=operation)
        where = created_after(created, dict(zip(DOCUMENT_KEY, _document_id(last), strict=True)))


def _document_query(where: str, page_rows: int) -> dict[str, str]:
    query = {"$filter": where} if where else {}
    order = "CreationDate,CreationTime,MaterialDocumentYear,MaterialDocument"
    return {**query, "$orderby": order, "$expand": ITEMS, "$top": str(page_rows), "$inlinecount": "allpages"}


def _document_id(row: Mapping[str, Any]) -> tuple[str, ...]:
    return identify(row, DOCUMENT_KEY)


def iter_places(client: SapClient) -> Iterator[tuple[str, str]]:
    """Yield every (plant, storage location) that holds a stock row, one request each.

    No released service on the OData V2 side lists storage locations, so the stock itself is asked: the first row
    behind the last place, again and again. A place without any stock row does not show.

    Raises:
        ProtocolViolation: the server does not go forward.
    """
    place: tuple[str, str] | None = None
    seen: set[tuple[str, str]] = set()
    while True:
        query = {"$orderby": "Plant,StorageLocation", "$top": "1"}
        if place is not None:
            plant, storage = map(text_literal, place)
            same_plant = f"(Plant eq {plant} and StorageLocation gt {storage})"
            query["$filter"] = any_of([f"(Plant gt {plant})", same_plant])
        rows = client.fetch_rows(STOCK_SERVICE, STOCK.entity_set, query).rows
        if not rows:
            return
        found = identify(rows[0], ("Plant", "StorageLocation"))
        place = (found[0], found[1])
        if place in seen:
            raise ProtocolViolation(
                f"paging went back to {'/'.join(place)}", system=SYSTEM, operation=f"{STOCK_SERVICE}/places"
            )
        seen.add(place)
        # stock that a plant holds in no storage location (in transit, at a customer) has a blank one
        if all(place):
            yield place
