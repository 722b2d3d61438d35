"""What the hub asks of the outside world, and the records that cross the border.

Connectors satisfy these Protocols by shape; the hub never imports a connector. Identifiers in the records are the
ERP's own ("external") until the hub has resolved them through its external references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from decimal import Decimal

Cursor = dict[str, Any]
"""Where a stream of changes was left: JSON-ready, written and read by the connector alone."""


class StockStatus(StrEnum):
    """What an ERP says may be done with a quantity (库存状态). Only `SELLABLE` counts into on_hand."""

    SELLABLE = "sellable"
    QUALITY = "quality"
    BLOCKED = "blocked"
    RETURNS = "returns"
    TRANSIT = "transit"
    RESERVED = "reserved"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class StockKey:
    """One (item, location) in the ERP's own words; the smallest thing that is read whole."""

    item: str
    location: str


@dataclass(frozen=True, slots=True)
class StockRow:
    """One row of the ERP's stock: a lot of an item in a place, in a status, of an owner.

    `quantity` is in `unit`, the item's base unit (基本单位), and may be negative. `row_id` is the row's identity at the
    ERP: a row seen twice in one answer counts once. `owner` is empty for own goods, else who consigned them (寄售).
    """

    row_id: str
    item: str
    location: str
    status: StockStatus
    quantity: Decimal
    unit: str
    owner: str = ""
    lot: str = ""
    expires_on: date | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A raw record that failed its mapping; `item` and `location`, where known, say which levels it leaves unknown.

    A level whose rows are not all understood keeps its old number: an unknown `item` or `location` widens that to the
    whole location, item or source.
    """

    reason: str
    detail: str
    raw: Mapping[str, Any]
    item: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class StockPage:
    """One answer of the ERP, holding whole keys only: all rows of each (item, location) it names.

    `complete` is True on the last page alone, and only when the connector is sure that nothing is missing. A reader
    that never sees it must not apply what it read.
    """

    rows: Sequence[StockRow]
    rejected: Sequence[Rejection] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys whose stock may have changed since a cursor, and the cursor to ask with next time.

    A change names keys; it never is the quantity. Keys may repeat what an earlier call named (look-back window).
    """

    keys: frozenset[StockKey]
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class BarcodeRecord:
    """A code on a package and how many base units are in it (装箱数)."""

    code: str
    factor: Decimal


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An article as one ERP knows it. `item` is its identity there; for Kingdee: material plus auxiliary property."""

    item: str
    name: str
    unit: str
    gtin: str | None = None
    barcodes: tuple[BarcodeRecord, ...] = ()
    category: str = ""
    brand: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    active: bool = True


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some articles of an ERP; `complete` as in `StockPage`."""

    records: Sequence[ItemRecord]
    rejected: Sequence[Rejection] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class LocationRecord:
    """A place as the ERP knows it; `code` is what `StockRow.location` uses."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of a connector's self-check: what was looked at, whether it is well, and what to do if not."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ErpTraits:
    """What the stock rules must know of an ERP (`docs/stock.md`).

    Attributes:
        quantity_basis: `physical` counts goods until they are issued; `net_of_orders` has open orders subtracted.
        posting_point: the document state after which the ERP's quantity contains a posting.
        takes_back: postings can be undone and done again (反审核, cancelled documents).
        read_lag_seconds: how far behind the truth an answer may be (a replica or a cached view); 0 for the live books.
    """

    quantity_basis: Literal["physical", "net_of_orders"]
    posting_point: str
    takes_back: bool
    read_lag_seconds: float = 0.0


@runtime_checkable
class ErpConnector(Protocol):
    """The read side of an ERP. Every call raises `hub.errors.RemoteError` and nothing else when the ERP misbehaves."""

    source: str
    traits: ErpTraits
    mapping_version: str

    def check(self) -> Sequence[CheckResult]:
        """Ask the ERP whether credentials, permissions and the fields that the mappings use are all right."""

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        """Read the stock of all configured locations, or of `keys` alone, page by page.

        Pull-driven: a page is requested when it is asked for and not before, so that the caller can draw a tick on
        either side of it. Keys that the ERP has no row for are simply absent.
        """

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name the keys that may have changed since `cursor`; None starts from now and names nothing."""

    def get_items(self) -> Iterator[ItemPage]:
        """Read all articles."""

    def get_locations(self) -> Sequence[LocationRecord]:
        """Read all places the ERP knows, configured in the hub or not."""


@dataclass(frozen=True, slots=True)
class PushedEvent:
    """A push that a system sent us: a nudge to look there, never the truth itself.

    `event_id` is the sender's own identity of the event; the same id twice is the same event.
    """

    event_id: str
    kind: str
    payload: Mapping[str, Any]


class PushReceiver(Protocol):
    """Checks and reads what a system posts to `/hooks/{system}/{connection}`, without any network call."""

    source: str

    def receive(self, headers: Mapping[str, str], body: bytes) -> PushedEvent:
        """Verify and parse a push.

        Raises:
            AuthFailed: the sender did not prove who it is.
            RecordError: the body is not an event that this receiver knows.
        """


@runtime_checkable
class EventReader(Protocol):
    """A connector that can look up what a pushed event was about."""

    def event_keys(self, event: PushedEvent) -> frozenset[StockKey]:
        """Read the event's document again from the ERP and return the keys it moved."""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of an order to the ERP, in base units."""

    item: str
    location: str
    quantity: Decimal
    unit: str


class ErpWriter(Protocol):
    """The write side of an ERP: what posts the hub's orders and movements. No connector offers it yet."""

    def find_order(self, order_no: str) -> str | None:
        """Return the ERP's own number of the order that carries our `order_no`, or None."""

    def create_order(self, order_no: str, lines: Sequence[OrderLine]) -> str:
        """Create a sales order idempotently by `order_no` and return the ERP's number."""

    def post_movement(self, movement_no: str, kind: str, lines: Sequence[OrderLine]) -> str:
        """Post a goods movement idempotently by `movement_no` and return the ERP's document number."""
