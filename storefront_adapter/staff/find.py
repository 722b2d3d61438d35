"""Find: one field for SKU, barcode or name; one hit becomes a card that keeps itself fresh."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.items.search import clean_text, find_items
from hub.stock.reading import read_feeds, read_stock
from storefront_adapter.services import services_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection
    from starlette.responses import Response

    from hub.items.search import Hit
    from hub.stock.reading import ItemStock, Level, Place
    from storefront_adapter.staff.visit import Visit


@dataclass(frozen=True, slots=True)
class Card:
    """An item as a clerk sees it: this store first, then the other stores, then warehouses."""

    stock: ItemStock
    here: Level | None
    stores: tuple[Level, ...]
    warehouses: tuple[Level, ...]

    @property
    def total(self) -> Decimal:
        """What all places have together, as it is."""
        return sum((level.available for level in self.stock.levels), Decimal(0))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list of hits."""

    hit: Hit
    available: Decimal | None
    stale: bool


def build_card(stock: ItemStock, store: Place | None) -> Card:
    """Arrange an item's levels around the clerk's store."""
    code = store.code if store else None
    others = [level for level in stock.levels if level.location != code]
    return Card(
        stock=stock,
        here=next((level for level in stock.levels if level.location == code), None),
        stores=tuple(level for level in others if level.kind == "store"),
        warehouses=tuple(level for level in others if level.kind != "store"),
    )


def unsellable_parts(level: Level) -> list[tuple[str, Decimal]]:
    """Return what may not be sold at a place, by status, consigned goods last."""
    parts = sorted(level.unsellable.items())
    return [*parts, ("consigned", level.consigned)] if level.consigned else parts


async def find_page(visit: Visit) -> Response:
    """Answer the search field: a card, a list, or what to do when nothing fits."""
    services = services_of(visit.request)
    query = visit.request.query_params
    asked = clean_text(query.get("q", ""))
    sku = query.get("sku")
    card: Card | None = None
    rows: list[Row] = []
    pack: Hit | None = None
    async with services.reads.connect() as connection:
        feeds = await read_feeds(connection)
        if sku is None and asked:
            hits = await find_items(connection, asked)
            if len(hits) == 1:
                sku, pack = hits[0].sku, hits[0] if hits[0].factor != 1 else None
            else:
                rows = await _rows(connection, hits, visit.store)
        if sku is not None:
            card = await _card(connection, sku, visit.store)
    return services.pages.render(
        visit,
        "find.html",
        tab="find",
        asked=asked or (card.stock.sku if card else clean_text(sku or "")),
        searched=bool(asked or sku),
        card=card,
        rows=rows,
        pack=pack,
        feeds=feeds,
        parts=unsellable_parts,
    )


async def card_fragment(visit: Visit) -> Response:
    """Return the open card anew. Its ages move with every poll, so there is always something to send."""
    services = services_of(visit.request)
    async with services.reads.connect() as connection:
        card = await _card(connection, visit.request.query_params.get("sku", ""), visit.store)
    return services.pages.render(visit, "_card.html", card=card, parts=unsellable_parts)


async def _card(connection: AsyncConnection, sku: str, store: Place | None) -> Card | None:
    stock = (await read_stock(connection, [sku])).get(sku)
    return build_card(stock, store) if stock else None


async def _rows(connection: AsyncConnection, hits: Sequence[Hit], store: Place | None) -> list[Row]:
    stocks = await read_stock(connection, [hit.sku for hit in hits], [store.code] if store else None)
    rows = []
    for hit in hits:
        stock = stocks.get(hit.sku)
        total = None if stock is None else sum((level.available for level in stock.levels), Decimal(0))
        rows.append(Row(hit, total, stock is None or stock.stale))
    return rows
