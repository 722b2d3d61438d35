"""A look at a real SAP system beside what the documents say and the sandbox does; nothing but GET is sent."""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

from connectors.erp.probing import (
    attempt,
    date_header,
    describe_steps,
    explain_destination,
    observe_clock,
    observe_refusals,
    observe_signs,
    observe_spelling,
    observe_traffic,
    observe_unlisted,
)
from connectors.erp.sap.client import DOCUMENT_SERVICE, PRODUCT_SERVICE, STOCK_SERVICE
from connectors.erp.sap.odata import equals, parse_created, text_literal
from connectors.erp.sap.reading import (
    PRODUCTS,
    STOCK,
    STOCK_KEY,
    build_location_filters,
    find_newest_document,
    identify,
)
from connectors.spelling import Number, read_spelled
from hub.probe import Observation, TracedRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from connectors.erp.sap.client import SapClient
    from connectors.erp.sap.mapper import SapMapper
    from connectors.erp.sap.odata import Row
    from connectors.erp.sap.settings import SapSettings
    from connectors.http import Exchange
    from hub.contracts import Rejection

_QUANTITY = "MatlWrhsStkQtyInMatlBaseUnit"
_UNIT = "MaterialBaseUnit"
_KNOWN = frozenset({*STOCK_KEY, _QUANTITY, _UNIT, "to_MaterialStock"})
_SAMPLE_ROWS = 1000
_ABOVE_CAP = 6000
_CAP = 5000
_PRODUCTS = 200
_PLAIN_DATE = re.compile(r"/Date\(-?\d+\)/")
_ZONE_SLACK_MINUTES = 5


class SapProbe:
    """Looks at one system.

    Args:
        stock_fields: what a read of stock asks for.
        locations: the configured codes.
    """

    def __init__(
        self,
        client: SapClient,
        mapper: SapMapper,
        settings: SapSettings,
        stock_fields: Sequence[str],
        locations: Collection[str],
    ) -> None:
        self._client = client
        self._mapper = mapper
        self._settings = settings
        self._fields = tuple(stock_fields)
        self._locations = frozenset(locations)
        where = build_location_filters(self._locations, settings.filter_length)
        self._where = {"$filter": where[0]} if where else {}
        self._exchanges: list[Exchange] = []

    def observe(self) -> Iterator[Observation]:
        """Yield what is seen, in the order of how much stands on it."""
        with self._client.http.watching() as self._exchanges:
            looks = {
                "stock rows": self._stock_rows,
                "largest answer": self._largest_answer,
                "paging": self._paging,
                "material documents": self._documents,
                "products": self._products,
                "service description": self._description,
            }
            for name, look in looks.items():
                yield from attempt(name, look)
            yield from self._access()
            if self._exchanges:
                yield observe_clock(self._exchanges[-1])
                yield from observe_traffic(self._exchanges, self._settings.requests_per_minute)

    def trace(self, item: str | None) -> list[TracedRow]:
        """Read all stock rows of a material and say what becomes of each."""
        if item is None:
            first = self._client.fetch_rows(STOCK_SERVICE, STOCK.entity_set, {**self._where, "$top": "1"}).rows
            if not first:
                return []
            item = str(first[0]["Material"])
        top = str(self._settings.page_rows)
        query = {"$filter": equals("Material", item), "$orderby": STOCK.order, "$top": top}
        answers = self._client.iter_answers(
            STOCK_SERVICE, STOCK.entity_set, query, lambda row: identify(row, STOCK_KEY)
        )
        return [self._trace_row(row) for answer in answers for row in answer.rows]

    def _trace_row(self, raw: Row) -> TracedRow:
        told = {name: value for name, value in raw.items() if name in _KNOWN and not isinstance(value, dict)}
        location = "/".join(identify(raw, ("Plant", "StorageLocation")))
        records, rejected = self._mapper.parse_stock([raw])
        steps = describe_steps(self._mapper.stock, raw)
        if rejected:
            return TracedRow(told, location, None, f"refused: {rejected[0].detail}", steps)
        if not records:
            return TracedRow(told, location, None, "left out by keep_when of stock.yaml", steps)
        if location not in self._locations:
            return TracedRow(told, location, None, "not at a place of config/locations.yaml", steps)
        return TracedRow(told, location, records[0], explain_destination(records[0]), steps)

    def _ask(self, service: str, entity_set: str, query: dict[str, str]) -> tuple[Sequence[Row], dict[str, Any]]:
        """Return the rows as the connector reads them, and the answer's `d` with every number as it was spelled."""
        rows = self._client.fetch_rows(service, entity_set, query).rows
        spelled = read_spelled(self._exchanges[-1].response.content.decode("utf-8-sig"))["d"]
        return rows, spelled if isinstance(spelled, dict) else {"results": spelled}

    def _access(self) -> Iterator[Observation]:
        way = "OAuth2 client" if self._settings.token_url else "technical user (basic)"
        yield Observation("log-in", way, "either")
        served, wanted = self._client.served_client(), self._settings.client
        seen = "not told" if served is None else served
        agrees = served in {None, wanted}
        advice = "" if agrees else "mend the setting client; a load balancer may set its own sap-client"
        yield Observation("client served", seen, f"{wanted}, as set", agrees, numbers_at_risk=True, advice=advice)

    def _stock_rows(self) -> Iterator[Observation]:
        query = {"$select": ",".join(self._fields), "$orderby": STOCK.order, "$top": str(_SAMPLE_ROWS)}
        rows, spelled = self._ask(STOCK_SERVICE, STOCK.entity_set, {**self._where, **query, "$inlinecount": "allpages"})
        told: list[dict[str, Any]] = spelled["results"]
        advice = "" if rows else "are the locations of config/locations.yaml this system's, and may the user see them?"
        yield Observation("stock rows", str(len(rows)), "some", bool(rows), numbers_at_risk=True, advice=advice)
        if not rows:
            return
        yield _observe_count(spelled.get("__count"))
        more = sorted({name for row in told for name in row} - {*self._fields, "__metadata"})
        seen = f"{', '.join(more)} came too" if more else "obeyed"
        yield Observation("$select", seen, "obeyed", not more)
        yield _observe_order(rows)
        yield _observe_blanks(told)
        yield observe_spelling((row.get(_QUANTITY) for row in told), ("text",), "quantities")
        yield observe_signs(row.get(_QUANTITY, "") for row in told)
        special = Counter(str(row["InventorySpecialStockType"]) for row in rows if row["InventorySpecialStockType"])
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(special.items())) or "none"
        yield Observation("special stock (goods of others)", kinds, "kept apart as consigned, never sold")
        yield from observe_unlisted(self._mapper.stock, rows)
        _, rejected = self._mapper.parse_stock(rows)
        yield observe_refusals("stock rows refused", len(rows), rejected)

    def _largest_answer(self) -> Iterator[Observation]:
        query = {"$select": ",".join(STOCK_KEY), "$top": str(_ABOVE_CAP), "$inlinecount": "allpages"}
        rows, spelled = self._ask(STOCK_SERVICE, STOCK.entity_set, query)
        count, link = spelled.get("__count"), spelled.get("__next")
        cut = link is not None or (count is not None and len(rows) < min(int(count), _ABOVE_CAP))
        if not cut:
            seen = f"{len(rows)} of {_ABOVE_CAP} asked for, which is all there is"
            yield Observation("largest answer", seen, f"{_CAP} rows at most")
            return
        agrees = len(rows) >= min(self._settings.page_rows, _CAP)
        advice = "" if agrees else f"set page_rows = {len(rows)}, so that each request asks for what it gets"
        yield Observation("largest answer", f"{len(rows)} rows", f"{_CAP} rows", agrees, advice=advice)
        seen = "__next follows" if link is not None else "no __next"
        yield Observation("a cut answer", seen, "__next follows, or __count tells")

    def _paging(self) -> Iterator[Observation]:
        query = {**self._where, "$orderby": STOCK.order}
        rows, _ = self._ask(STOCK_SERVICE, STOCK.entity_set, {**query, "$top": "3"})
        skipped, _ = self._ask(STOCK_SERVICE, STOCK.entity_set, {**query, "$skip": "1", "$top": "2"})
        works = [identify(row, STOCK_KEY) for row in rows[1:]] == [identify(row, STOCK_KEY) for row in skipped]
        seen = "skips" if works else "answers other rows"
        yield Observation("$skip", seen, "skips; used only where __count is missing", works)
        if rows:
            first = str(rows[0]["Material"])
            behind = f"Material gt {text_literal(first)}"
            where = " and ".join([*self._where.values(), behind])
            following, _ = self._ask(
                STOCK_SERVICE, STOCK.entity_set, {"$filter": where, "$orderby": STOCK.order, "$top": "1"}
            )
            holds = all(str(row["Material"]) != first for row in following)
            seen = "goes on behind it" if holds else "answers the same material again"
            yield Observation("Material gt the last one", seen, "goes on behind it", holds, numbers_at_risk=True)

    def _documents(self) -> Iterator[Observation]:
        newest = find_newest_document(self._client)
        if newest is None:
            advice = "give the user display rights for material documents: changes are learnt from them"
            yield Observation("newest document", "none", "one", agrees=False, numbers_at_risk=True, advice=advice)
            return
        created = parse_created(newest)
        seen = f"{newest.get('CreationDate')} {newest.get('CreationTime')}"
        plain = _PLAIN_DATE.fullmatch(str(newest.get("CreationDate"))) is not None
        assumed = "/Date(milliseconds)/ and PT..H..M..S"
        readable = created is not None
        yield Observation("creation time", seen, assumed, plain and readable, numbers_at_risk=not readable)
        answered = date_header(self._exchanges[-1])
        if created is None or answered is None:
            return
        minutes = (created - answered.replace(tzinfo=None)).total_seconds() / 60
        ahead = minutes > _ZONE_SLACK_MINUTES
        seen = f"{created.isoformat()} on its own clock, {'ahead of' if ahead else 'behind'} its header Date (UTC)"
        guess = f"; its zone is UTC+{-(-minutes // 60):.0f} or more" if ahead else ""
        yield Observation("time zone of documents", seen + guess, "any: it is compared with itself alone")

    def _products(self) -> Iterator[Observation]:
        query = {"$orderby": PRODUCTS.order, "$expand": PRODUCTS.expand, "$top": str(_PRODUCTS)}
        rows, _ = self._ask(PRODUCT_SERVICE, "A_Product", query)
        rejected: list[Rejection] = []
        for row in rows:
            names = self._client.fetch_expanded(
                PRODUCT_SERVICE, row, "to_Description", lambda entry: identify(entry, ("Language",))
            )
            units = self._client.fetch_expanded(
                PRODUCT_SERVICE, row, "to_ProductUnitsOfMeasure", lambda entry: identify(entry, ("AlternativeUnit",))
            )
            rejected += self._mapper.parse_item(row, names, units)[1]
        yield from observe_unlisted(self._mapper.article, rows)
        yield observe_refusals("products and barcodes refused", len(rows), rejected)

    def _description(self) -> Iterator[Observation]:
        for service in (STOCK_SERVICE, DOCUMENT_SERVICE, PRODUCT_SERVICE):
            sets = self._client.fetch_metadata(service)
            if service == STOCK_SERVICE:
                more = sorted(sets.get(STOCK.entity_set, frozenset()) - _KNOWN)
                seen = f"also {', '.join(more)}" if more else "the known ones"
                yield Observation(f"properties of {STOCK.entity_set}", seen, "the known ones", not more)
            own = sorted(name for names in sets.values() for name in names if name.startswith(("YY1_", "ZZ")))
            yield Observation(f"own fields in {service}", ", ".join(own) or "none", "none", not own)


def _observe_count(count: Any) -> Observation:  # noqa: ANN401 - any JSON value
    kind = "missing" if count is None else "a number" if isinstance(count, Number) else "a text"
    return Observation("__count of $inlinecount", kind, "a text", kind == "a text")


def _observe_order(rows: Sequence[Row]) -> Observation:
    runs = [material for material, _ in groupby(str(row["Material"]) for row in rows)]
    holds = len(set(runs)) == len(runs)
    seen = "holds" if holds else "a material comes back after another one"
    advice = "" if holds else "stock can't be read by pages from this server: raise page_rows above the number of rows"
    return Observation("$orderby", seen, "holds", holds, numbers_at_risk=True, advice=advice)


def _observe_blanks(told: Sequence[dict[str, Any]]) -> Observation:
    def kind(value: object) -> str:
        if value is None:
            return "null"
        text = str(value)
        return "''" if not text.strip() else "zeros" if not text.strip("0") else ""

    kinds = Counter(found for row in told for name in STOCK_KEY if (found := kind(row.get(name))))
    seen = ", ".join(f"{name} ({count})" for name, count in sorted(kinds.items())) or "none blank"
    return Observation("blank key parts", seen, "''", kinds.keys() <= {"''"})
