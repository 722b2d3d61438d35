"""This store's stock as a list, searched, filtered, paged, and as an Excel file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote, urlencode

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from hub.clock import utc_now
from hub.items.search import clean_text, code_parameters
from hub.stock.reading import ROOM
from storefront_adapter.services import services_of
from storefront_adapter.staff.formats import Formats
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from openpyxl.worksheet._write_only import WriteOnlyWorksheet
    from sqlalchemy.ext.asyncio import AsyncConnection

    from storefront_adapter.staff.visit import Visit

Show = Literal["all", "stocked", "empty", "negative", "unsellable"]
SHOWN: dict[str, str] = {
    "all": N_("All"),
    "stocked": N_("In stock"),
    "empty": N_("Out of stock"),
    "negative": N_("Negative"),
    "unsellable": N_("With unsellable"),
}
PAGE_SIZE = 50
MOST_EXPORTED = 100_000
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_HEADINGS = (
    N_("SKU"),
    N_("GTIN"),
    N_("Name"),
    N_("Unit"),
    N_("Available"),
    N_("On hand"),
    N_("Unsellable"),
    N_("Consigned"),
    N_("Changed at"),
    N_("As of"),
)
_FROM = """
FROM stock_level AS level
JOIN location ON location.id = level.location_id AND location.code = %(store)s
JOIN item ON item.id = level.item_id
WHERE (%(text)s = '' OR item.sku = ANY(%(codes)s::text[]) OR item.gtin = ANY(%(gtins)s::text[])
       OR item.id IN (SELECT item_id FROM barcode WHERE code = ANY(%(gtins)s::text[]))
       OR (item.name LIKE ALL(%(exact)s::text[])
           AND (%(folded)s::text[] = '{}' OR lower(item.name) LIKE ALL(%(folded)s::text[]))))
  AND CASE %(show)s WHEN 'stocked' THEN level.on_hand > 0 WHEN 'empty' THEN level.on_hand = 0
                    WHEN 'negative' THEN level.on_hand < 0
                    WHEN 'unsellable' THEN EXISTS (
                        SELECT FROM stock_unsellable AS part
                        WHERE part.item_id = level.item_id AND part.location_id = level.location_id)
                    ELSE true END
"""
# Goods apart are summed for the rows of the page alone.
_ROWS = f"""
SELECT page.sku, page.gtin, page.name, page.unit, page.on_hand, page.available,
       COALESCE(apart.own, 0), COALESCE(apart.consigned, 0), page.changed_at, feed.read_at
FROM (SELECT item.sku, item.gtin, item.name, item.unit, level.item_id, level.location_id, level.on_hand,
             {ROOM} AS available, level.changed_at, location.stock_source
      {_FROM}
      ORDER BY item.sku LIMIT %(limit)s OFFSET %(offset)s) AS page
LEFT JOIN feed ON feed.source = page.stock_source
LEFT JOIN LATERAL (
    SELECT sum(quantity) FILTER (WHERE owner = '') AS own, sum(quantity) FILTER (WHERE owner <> '') AS consigned
    FROM stock_unsellable AS part
    WHERE part.item_id = page.item_id AND part.location_id = page.location_id) AS apart ON true
ORDER BY page.sku
"""
_COUNT = f"SELECT count(*) {_FROM}"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    sku: str
    gtin: str | None
    name: str
    unit: str
    on_hand: Decimal
    available: Decimal
    unavailable: Decimal
    consigned: Decimal
    changed_at: datetime
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a clerk wants to see of a store."""

    store: str
    text: str
    show: Show
    page: int

    def address(self, path: str, **changed: object) -> str:
        """Return the address of the same list with some fields changed."""
        fields = {"q": self.text, "show": self.show, "page": self.page, **changed}
        kept = {name: value for name, value in fields.items() if value not in ("", "all", 1)}
        return path + (f"?{urlencode(kept)}" if kept else "")


async def stock_page(visit: Visit) -> Response:
    """Show one page of this store's stock."""
    if visit.store is None:
        return _choose_first(visit)
    services = services_of(visit.request)
    wanted = _wanted(visit)
    async with services.reads.connect() as connection:
        total = int((await connection.exec_driver_sql(_COUNT, _parameters(wanted))).scalar_one())
        pages = max(1, -(-total // PAGE_SIZE))
        wanted = _wanted(visit, last=pages)
        rows = await _load(connection, wanted, PAGE_SIZE, (wanted.page - 1) * PAGE_SIZE)
    return services.pages.render(
        visit, "stock.html", tab="stock", wanted=wanted, rows=rows, total=total, pages=pages, shown=SHOWN
    )


async def export_list(visit: Visit) -> Response:
    """Return the list as an Excel file, all pages of it."""
    if visit.store is None:
        return _choose_first(visit)
    services = services_of(visit.request)
    wanted = _wanted(visit)
    async with services.reads.connect() as connection:
        rows = await _load(connection, wanted, MOST_EXPORTED, 0)
    language = services.pages.language(visit.request)
    formats = Formats(language, services.settings.adapter.time_zone)
    content = await run_in_threadpool(build_workbook, rows, formats, visit.store.name)
    name = f"{visit.store.code}-{utc_now():%Y%m%d-%H%M}.xlsx"
    headers = {
        "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "private, no-store",
    }
    return Response(content, headers=headers, media_type=_XLSX)


def build_workbook(rows: Sequence[Listed], formats: Formats, store: str) -> bytes:
    """Return an Excel file of the rows; codes are text, so that leading zeros stay."""
    book = Workbook(write_only=True)
    sheet: WriteOnlyWorksheet = book.create_sheet(_sheet_name(store))
    sheet.freeze_panes = "A2"
    for column, width in zip("ABCDEFGHIJ", (18, 18, 44, 8, 11, 11, 11, 11, 20, 20), strict=True):
        sheet.column_dimensions[column].width = width  # type: ignore[attr-defined]  # the stubs lack it
    headings = [_text_cell(sheet, formats.language.text(heading)) for heading in _HEADINGS]
    for heading in headings:
        heading.font = Font(bold=True)
    sheet.append(headings)
    for row in rows:
        codes = [_text_cell(sheet, text) for text in (row.sku, row.gtin or "")]
        numbers = [row.on_hand, row.available, row.unavailable, row.consigned]
        times = [formats.time(time) for time in (row.changed_at, row.as_of)]
        sheet.append([*codes, harmless(row.name), harmless(row.unit), *numbers, *times])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, nor refuses as not printable."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return f"'{clean}" if text.startswith(_FORMULA_STARTS) else clean


def _text_cell(sheet: WriteOnlyWorksheet, text: str) -> Any:  # noqa: ANN401 - the stubs have no one type of cell
    cell = WriteOnlyCell(sheet, value=harmless(text))
    cell.data_type = "s"
    cell.number_format = "@"
    return cell


def _sheet_name(store: str) -> str:
    return "".join(character for character in store if character not in "[]:*?/\\")[:31] or "stock"


def _choose_first(visit: Visit) -> Response:
    return RedirectResponse(f"/staff/store?{urlencode({'next': visit.here})}", 303)


def _wanted(visit: Visit, last: int = 1_000_000) -> Wanted:
    query = visit.request.query_params
    show = query.get("show", "all")
    page = query.get("page", "1")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < len(str(last)) + 1 else last
    return Wanted(
        store=visit.store.code if visit.store else "",
        text=clean_text(query.get("q", "")),
        show=show if show in get_args(Show) else "all",  # type: ignore[arg-type]  # just compared with all there are
        page=min(max(number, 1), last),
    )


def _parameters(wanted: Wanted) -> dict[str, object]:
    return {"store": wanted.store, "text": wanted.text, "show": wanted.show, **code_parameters(wanted.text)}


async def _load(connection: AsyncConnection, wanted: Wanted, limit: int, offset: int) -> list[Listed]:
    rows = await connection.exec_driver_sql(_ROWS, {**_parameters(wanted), "limit": limit, "offset": offset})
    return [Listed(*row) for row in rows]
