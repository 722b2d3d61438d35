"""A little ERP in memory that satisfies `ErpConnector`: for testing the hub's rules without any wire."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.clock import utc_now
from hub.contracts import (
    BarcodeRecord,
    Changes,
    ErpTraits,
    ItemPage,
    ItemRecord,
    LocationRecord,
    Movement,
    Posting,
    PushedEvent,
    Rejection,
    StockKey,
    StockPage,
    StockRow,
    StockStatus,
)
from hub.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

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
    """Holds rows; pages them; tells which keys changed, and which documents with a number of ours.

    `on_ask` runs before a page is read, `on_page` between its reading and its delivery, `before_look` and `on_look`
    likewise for changes, `on_list` when documents are asked for. Questions about articles in `refuses` are refused.
    """

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
        self.refuses: set[str] = set()
        self.on_page: Callable[[int], object] = lambda _: None
        self.asked: list[Collection[StockKey] | None] = []
        self.on_ask: Callable[[int], object] = lambda _: None
        self.on_list: Callable[[], object] = lambda: None
        self.before_look: Callable[[], object] = lambda: None
        self.on_look: Callable[[], object] = lambda: None
        self.documents: dict[str, Posting] = {}
        self.entered: dict[str, datetime] = {}
        self.questions: list[Collection[StockKey]] = []
        self._told: list[Posting] = []
        self._page_keys = page_keys
        self._version = 0
        self._made = 0

    def set(self, item: str, location: str, quantity: str | int) -> None:
        """Replace the sellable rows of a key (zero: no row at all, as in a real ERP) and mark it changed."""
        self.rows = [r for r in self.rows if (r.item, r.location) != (item, location)]
        if Decimal(str(quantity)):
            self.rows.append(row(item, location, quantity))
        self.changed.add(StockKey(item, location))
        self._version += 1

    def on_hand(self, key: StockKey) -> Decimal:
        """Return the sellable quantity of a key as it is now."""
        return sum((r.quantity for r in self.rows if (r.item, r.location) == (key.item, key.location)), Decimal(0))

    def post(self, reference: str, key: StockKey, quantity: str | int) -> str:
        """Post a document that carries a number of ours and takes a quantity out of the stock; return its number."""
        self._made += 1
        document = f"D{self._made}"
        self.documents[document] = Posting(document, "1", reference, key, Decimal(str(quantity)))
        return self._book(document, -1)

    def take_back(self, document: str) -> None:
        """Take a posting back (反审核)."""
        self.documents[document] = replace(self.documents[document], posted=False)
        self._book(document, 1)

    def post_again(self, document: str) -> None:
        """Post a document once more that was taken back."""
        known = self.documents[document]
        self.documents[document] = replace(known, posted=True, version=str(int(known.version) + 1))
        self._book(document, -1)

    def post_elsewhere(self, document: str, key: StockKey) -> None:
        """Take a posting back and post the same document again, of another article or at another place."""
        self.take_back(document)
        self.documents[document] = replace(self.documents[document], key=key)
        self.post_again(document)

    def delete(self, document: str) -> None:
        """Take a posting back and delete its document, between two looks: no change tells of the document any more."""
        posting = self.documents.pop(document)
        self._told = [told for told in self._told if told.document != document]
        if posting.posted:
            self.set(*_name(posting.key), self.on_hand(posting.key) + posting.quantity)

    def hush(self) -> None:
        """Let no look tell of what has happened since the last one."""
        self.changed.clear()
        self._told.clear()

    def _book(self, document: str, sign: int) -> str:
        self.entered[document] = utc_now()
        posting = self.documents[document]
        self.set(*_name(posting.key), self.on_hand(posting.key) + sign * posting.quantity)
        self._told.append(posting)
        return document

    def read_documents(self, documents: Collection[str]) -> Sequence[Posting]:
        """Return how documents stand; those that were deleted are absent."""
        self.on_list()
        return [self.documents[name] for name in documents if name in self.documents]

    def movements(self, keys: Collection[StockKey], since: datetime) -> Sequence[Movement]:
        """Return the documents that moved a key, as they stand now."""
        self.questions.append(keys)
        return [
            Movement(p.document, p.reference, p.key, p.quantity, self.entered[p.document], "MUSTER", posted=p.posted)
            for p in self.documents.values()
            if p.key in keys and self.entered[p.document] >= since
        ]

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
        if refused := {key.item for key in keys or ()} & self.refuses:
            raise Rejected(f"can't tell of {sorted(refused)}", system=self.source, operation="iter_stock")
        named = {(r.item, r.location) for r in self.rows}
        wanted = sorted(key for key in named if keys is None or StockKey(*key) in keys)
        chunks = [wanted[i : i + self._page_keys] for i in range(0, len(wanted), self._page_keys)] or [[]]
        for number, chunk in enumerate(chunks):
            last = number == len(chunks) - 1
            self.on_ask(number)
            rows = [r for r in self.rows if (r.item, r.location) in chunk]
            self.on_page(number)
            if last and self.ends_early:
                return
            yield StockPage(rows, tuple(self.rejected) if last and keys is None else (), complete=last)

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name what was set since the last call."""
        if self.fails:
            raise self.fails
        self.before_look()
        keys, self.changed = frozenset(self.changed if cursor is not None else ()), set()
        told, self._told = {posting.document: posting for posting in self._told}, []
        version = self._version
        self.on_look()
        return Changes(keys, {"version": version}, tuple(told.values()) if cursor is not None else ())

    def get_items(self) -> Iterator[ItemPage]:
        """Give all articles on one page."""
        yield ItemPage(self.articles, complete=not self.ends_early)

    def get_locations(self) -> Sequence[LocationRecord]:
        """Name the places that have rows."""
        return [LocationRecord(code, code) for code in sorted({r.location for r in self.rows})]

    def event_keys(self, event: PushedEvent) -> frozenset[StockKey]:
        """Return the keys prepared for the event."""
        return self.events[event.event_id]


def _name(key: StockKey) -> tuple[str, str]:
    return key.item, key.location


def carton(code: str, pieces: int) -> BarcodeRecord:
    """Return a carton's barcode."""
    return BarcodeRecord(code, Decimal(pieces))
