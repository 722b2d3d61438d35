"""How collections are read whole: filters that fit into a URL, paging by key, and the proof that nothing is missing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from connectors.erp.paging import RawPage, iter_whole_groups
from connectors.erp.sap.answers import SYSTEM, Answer
from connectors.erp.sap.changes import LineNumbers
from connectors.erp.sap.client import DOCUMENT_SERVICE, PRODUCT_SERVICE, STOCK_SERVICE, SapClient
from connectors.erp.sap.odata import (
    Row,
    all_of,
    any_of,
    behind,
    chunk,
    created_after,
    created_since,
    equals,
    parse_created,
    text_literal,
)
from hub.errors import ConfigError, ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
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

_STOCK_KEY_OF = itemgetter(*STOCK_KEY)
DOCUMENT_KEY = ("MaterialDocumentYear", "MaterialDocument")
ITEMS = "to_MaterialDocumentItem"
_ITEM = "MaterialDocumentItem"
_DOCUMENT_ORDER = "CreationDate,CreationTime,MaterialDocumentYear,MaterialDocument"
_DOCUMENT_FIELDS = (*DOCUMENT_KEY, "CreationDate", "CreationTime")
_OR, _AND = 4, 5


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection that is read in the order of key fields.

    Attributes:
        group: the key fields by which pages are cut; its order begins with them.
        identity: the fields that tell two rows apart.
        select: the fields that are asked for; none means all.
    """

    service: str
    entity_set: str
    group: tuple[str, ...]
    identity: tuple[str, ...]
    order: str
    expand: str = ""
    select: tuple[str, ...] = ()


STOCK = Collected(
    STOCK_SERVICE,
    "A_MatlStkInAcctMod",
    ("Material",),
    STOCK_KEY,
    "Material,Plant,StorageLocation,Batch,InventoryStockType",
)
_ITEM_KEY = (*DOCUMENT_KEY, _ITEM)
DOCUMENT_ITEMS = Collected(DOCUMENT_SERVICE, "A_MaterialDocumentItem", _ITEM_KEY, _ITEM_KEY, ",".join(_ITEM_KEY))
PRODUCTS = Collected(
    PRODUCT_SERVICE, "A_Product", ("Product",), ("Product",), "Product", "to_Description,to_ProductUnitsOfMeasure"
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


def build_document_filters(known: Mapping[tuple[str, ...], LineNumbers], limit: int) -> list[str]:
    """Return conditions of at most about `limit` characters that name the items of documents that are not known.

    Args:
        known: the items that are, by (year, number).
    """
    clauses: list[str] = []
    documents = sorted((year, lines.ranges, number) for (year, number), lines in known.items())
    for (year, ranges), group in groupby(documents, key=lambda document: document[:2]):
        in_year = all_of((equals("MaterialDocumentYear", year), _outside(LineNumbers(ranges))))
        numbers = [equals("MaterialDocument", number) for *_, number in group]
        for part in chunk(numbers, limit - len(in_year) - _AND, joint=_OR):
            clauses.append(f"({in_year} and {any_of(part)})")  # noqa: PERF401 - a nested comprehension reads worse
    return [any_of(part) for part in chunk(clauses, limit, joint=_OR)]


def _outside(lines: LineNumbers) -> str:
    """Return the condition that an item is none of some; nothing where there are none."""
    if not lines.ranges:
        return ""
    gaps = [
        all_of((f"{_ITEM} gt '{after:04d}'", "" if before is None else f"{_ITEM} lt '{before:04d}'"))
        for after, before in lines.gaps
    ]
    return any_of(gaps)


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


def iter_by_key(client: SapClient, what: Collected, where: str, page_rows: int) -> Iterator[tuple[Sequence[Row], bool]]:
    """Yield (rows of whole groups, complete) of a collection, asking for "everything after group G" each time.

    Following `__next` instead would go by offset, and a row that is inserted or removed meanwhile shifts all later
    pages: rows would be lost in silence.

    Raises:
        RemoteError: also `Truncated`, when it can't be proved that an answer is whole.
    """
    operation = f"{what.service}/{what.entity_set}"

    def fetch(after: Mapping[str, Any] | None) -> RawPage:
        condition = where if after is None else all_of((where, behind(_named(what, _group_of(after, what)))))
        query = {"$filter": condition, "$orderby": what.order, "$expand": what.expand}
        query["$select"] = ",".join(what.select)
        query = {name: value for name, value in query.items() if value}
        answer = client.fetch_rows(
            what.service, what.entity_set, {**query, "$top": str(page_rows), "$inlinecount": "allpages"}
        )
        return RawPage(answer.rows, more=_is_cut(client, what, condition, query, answer, page_rows))

    return iter_whole_groups(fetch, lambda row: _group_of(row, what), system=SYSTEM, operation=operation)


def _is_cut(
    client: SapClient, what: Collected, where: str, query: Mapping[str, str], answer: Answer, page_rows: int
) -> bool:
    """Tell whether the server holds rows of the filter behind those it answered.

    Fewer rows than asked for prove nothing: SAP caps `$top` (at 5000 for API_PRODUCT_SRV, SAP KBA 3626726), and does
    it without a word or a `__next`. `__count` of `$inlinecount` counts the filter's rows before paging: when it is as
    large as the answer, that was all. A server without it is asked for the one row behind the last.

    Raises:
        Truncated: rows are missing in the middle, not behind; or it can't be told.
    """
    received = len(answer.rows)
    if answer.next_link is not None or received >= page_rows:
        return True
    if answer.count is not None:
        if 0 < received < answer.count:
            _refuse_gap(client, what, where, answer.rows, answer.count)
        return answer.count > received
    if not received:
        return False
    following = client.fetch_rows(what.service, what.entity_set, {**query, "$skip": str(received), "$top": "1"}).rows
    known = {identify(row, what.identity) for row in answer.rows}
    if any(identify(row, what.identity) in known for row in following):
        raise Truncated(
            "no __count, and $skip answers a row again: it can't be told whether the answer is whole",
            system=SYSTEM,
            operation=f"{what.service}/{what.entity_set}",
        )
    return bool(following)


def _refuse_gap(client: SapClient, what: Collected, where: str, rows: Sequence[Row], count: int) -> None:
    """Refuse an answer that leaves rows out before its last group.

    Where rights are checked after counting, `__count` tells of rows that nobody gets to see. Reading on behind the
    last row would never meet them, and their stock would seem to be gone. What is counted must be what came before
    the last group, and what is counted from it on.
    """
    last = _group_of(rows[-1], what)
    before = sum(_group_of(row, what) != last for row in rows)
    query = {"$filter": all_of((where, behind(_named(what, last), including=True))), "$top": "1"}
    rest = client.fetch_rows(what.service, what.entity_set, {**query, "$inlinecount": "allpages"}).count
    if rest is None or before + rest != count:
        raise Truncated(
            f"{count} rows were counted, of which {before} came and {rest} follow",
            system=SYSTEM,
            operation=f"{what.service}/{what.entity_set}",
        )


def identify(row: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, ...]:
    """Return the identity of a row; null and blank are the same."""
    return tuple("" if row.get(name) is None else str(row[name]) for name in fields)


def stock_row_id(row: Mapping[str, Any]) -> str:
    """Return the identity of a stock row as one text."""
    try:
        return "|".join(_STOCK_KEY_OF(row))
    except (KeyError, TypeError):  # a part is left out, or null
        return "|".join(identify(row, STOCK_KEY))


def _group_of(row: Mapping[str, Any], what: Collected) -> tuple[str, ...]:
    group = tuple(map(row.get, what.group))
    for name, value in zip(what.group, group, strict=True):
        if not isinstance(value, str) or not value:
            raise ProtocolViolation(
                f"a row has no {name}", system=SYSTEM, operation=f"{what.service}/{what.entity_set}"
            )
    return cast("tuple[str, ...]", group)


def _named(what: Collected, group: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(what.group, group, strict=True))


def require_sight(client: SapClient, filters: Iterable[str]) -> None:
    """Ask whether any stock row of the filters can be seen.

    Raises:
        Truncated: none can. Views with access control leave out what a user has no right to, without a word.
    """
    for where in filters:
        if client.fetch_rows(STOCK_SERVICE, STOCK.entity_set, {"$filter": where, "$top": "1"}).rows:
            return
    raise Truncated(
        "no stock row at all can be seen; give the user display rights for stock and its plants",
        system=SYSTEM,
        operation=f"{STOCK_SERVICE}/{STOCK.entity_set}",
    )


def find_newest_document(client: SapClient) -> Row | None:
    """Return the header of the newest material document there is, None when there is none."""
    query = {"$orderby": "CreationDate desc,CreationTime desc", "$top": "1"}
    rows = client.fetch_rows(DOCUMENT_SERVICE, "A_MaterialDocumentHeader", query).rows
    return rows[0] if rows else None


def iter_documents(client: SapClient, since: datetime | None, fields: Collection[str], page_rows: int) -> Iterator[Row]:
    """Yield the headers of the material documents created at `since` or later, oldest first, each once.

    They hold what the window needs, and `fields`. Their items are left out: most of them are known already, and one
    goods receipt may have thousands.

    `__next` is followed. Where the server cuts without one, it is asked for what stands behind the last document.

    Raises:
        ProtocolViolation: documents are held back and can't be reached.
        Truncated: there is none, not even the one that `since` came from, and no other can be seen.
    """
    operation = f"{DOCUMENT_SERVICE}/A_MaterialDocumentHeader"
    seen: set[Hashable] = set()
    where = created_since(since) if since else ""
    while True:
        received, count, fresh = 0, None, 0
        last: Row | None = None
        for answer in client.iter_answers(
            DOCUMENT_SERVICE, "A_MaterialDocumentHeader", _document_query(where, fields, page_rows), document_id
        ):
            count = answer.count if count is None else count
            received += len(answer.rows)
            for row in answer.rows:
                last = row
                if (key := document_id(row)) not in seen:
                    seen.add(key)
                    fresh += 1
                    yield row
        if last is None and since is not None and not seen and find_newest_document(client) is None:
            raise Truncated(
                "no material document can be seen any more; does the user still have display rights?",
                system=SYSTEM,
                operation=operation,
            )
        if last is None or (count is not None and received >= count) or (count is None and not fresh):
            return
        created = parse_created(last)
        if created is None or not fresh:
            raise ProtocolViolation("material documents are held back", system=SYSTEM, operation=operation)
        where = created_after(created, dict(zip(DOCUMENT_KEY, document_id(last), strict=True)))


def _document_query(where: str, fields: Collection[str], page_rows: int) -> dict[str, str]:
    query = {"$filter": where} if where else {}
    query |= {"$orderby": _DOCUMENT_ORDER, "$select": ",".join(dict.fromkeys((*_DOCUMENT_FIELDS, *fields)))}
    return {**query, "$top": str(page_rows), "$inlinecount": "allpages"}


def document_id(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return year and number of a material document, of its header or of an item."""
    return identify(row, DOCUMENT_KEY)


def item_number(row: Mapping[str, Any]) -> int:
    """Return the number of a document's item.

    Raises:
        ProtocolViolation: it is no number.
    """
    text = row.get(_ITEM)
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        raise ProtocolViolation(f"{text!r} is no number of an item", system=SYSTEM, operation=DOCUMENT_SERVICE)
    return int(text)


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
