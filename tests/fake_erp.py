"""A little ERP in memory that satisfies `ErpConnector`: for testing the hub's rules without any wire."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from hub.contracts import (
    BarcodeRecord,
    Changes,
    ErpTraits,
    ItemPage,
    ItemRecord,
    LocationRecord,
    PushedEvent,
    Rejection,
    StockKey,
    StockPage,
    StockRow,
    StockStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from hub.contracts import CheckResult, Cursor


def row(
    item: str,
    location: str,
    quantity: str | int,
    *,
    status: StockStatus = StockStatus.SELLABLE,
    unit: str = "EA",
    lot: str = "",
    **more: object,
) -> StockRow:
    """Return a stock row whose identity follows from its parts."""
    owner = str(more.get("owner", ""))
    return StockRow(
        row_id=f"{item}/{location}/{status}/{owner}/{lot}",
        item=item,
        location=location,
        status=status,
        quantity=Decimal(str(quantity)),
        unit=unit,
        lot=lot,
        **more,  # type: ignore[arg-type]
    )


def article(item: str, gtin: str | None = None, *, name: str = "", unit: str = "EA", **more: object) -> ItemRecord:
    """Return an article."""
    return ItemRecord(item=item, name=name or f"article {item}", unit=unit, gtin=gtin, **more)  # type: ignore[arg-type]


class FakeErp:
    """Holds rows; pages them; tells which keys changed. `on_page` runs between a page's read and its delivery."""

    traits = ErpTraits(quantity_basis="physical", posting_point="posted", takes_back=True)
    mapping_version = "fake@1"

    def __init__(self, source: str = "sap", rows: Sequence[StockRow] = (), *, page_keys: int = 2) -> None:
        self.source = source
        self.rows = list(rows)
        self.articles: list[ItemRecord] = []
        self.rejected: list[Rejection] = []
        self.pages: list[StockPage] | None = None
        self.changed: set[StockKey] = set()
        self.events: dict[str, frozenset[StockKey]] = {}
        self.ends_early = False
        self.fails: Exception | None = None
        self.on_page: Callable[[int], None] = lambda _: None
        self.asked: list[Collection[StockKey] | None] = []
        self._page_keys = page_keys
        self._version = 0

    def set(self, item: str, location: str, quantity: str | int) -> None:
        """Replace the sellable rows of a key (zero: no row at all, as in a real ERP) and mark it changed."""
        self.rows = [r for r in self.rows if (r.item, r.location) != (item, location)]
        if Decimal(str(quantity)):
            self.rows.append(row(item, location, quantity))
        self.changed.add(StockKey(item, location))
        self._version += 1

    def check(self) -> Sequence[CheckResult]:
        """Return nothing: it is always well."""
        return ()

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        """Page by whole keys, or answer the prepared pages to a full read."""
        self.asked.append(keys)
        if self.fails:
            raise self.fails
        if keys is None and self.pages is not None:
            yield from self.pages
            return
        named = {(r.item, r.location) for r in self.rows}
        wanted = sorted(key for key in named if keys is None or StockKey(*key) in keys)
        chunks = [wanted[i : i + self._page_keys] for i in range(0, len(wanted), self._page_keys)] or [[]]
        for number, chunk in enumerate(chunks):
            last = number == len(chunks) - 1
            rows = [r for r in self.rows if (r.item, r.location) in chunk]
            self.on_page(number)
            if last and self.ends_early:
                return
            yield StockPage(rows, tuple(self.rejected) if last and keys is None else (), complete=last)

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name what was set since the last call."""
        if self.fails:
            raise self.fails
        keys, self.changed = frozenset(self.changed if cursor is not None else ()), set()
        return Changes(keys, {"version": self._version})

    def get_items(self) -> Iterator[ItemPage]:
        """Give all articles on one page."""
        yield ItemPage(self.articles, complete=not self.ends_early)

    def get_locations(self) -> Sequence[LocationRecord]:
        """Name the places that have rows."""
        return [LocationRecord(code, code) for code in sorted({r.location for r in self.rows})]

    def event_keys(self, event: PushedEvent) -> frozenset[StockKey]:
        """Return the keys prepared for the event."""
        return self.events[event.event_id]


def carton(code: str, pieces: int) -> BarcodeRecord:
    """Return a carton's barcode."""
    return BarcodeRecord(code, Decimal(pieces))
