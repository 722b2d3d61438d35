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


@dataclass(slots=True)
class StockRow:
    """One row of the ERP's stock: a lot of an item in a place, in a status, of an owner.

    `quantity` is in `unit`, the item's base unit (基本单位), and may be negative. `row_id` is the row's identity at the
    ERP: a row seen twice in one answer counts once. `owner` is empty for own goods, else who consigned them (寄售).

    Not frozen, unlike all others: a full read makes a million of them, and freezing makes each six times as dear.
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
class Posting:
    """What one line of an ERP's document did to the stock of a key, under a number of ours that it carries.

    Attributes:
        document: the line's identity at the ERP, for instance year, number and line of a material document, joined by
            slashes; what stands before the last of them is the document.
        version: differs each time it is posted anew (反审核 and audited again); what is posted once for all has one.
        reference: our number; empty when the ERP does not tell it here, as of a line that is only taken back.
        quantity: what it took out of the stock, in the item's base unit; negative for what it brought.
        posted: the ERP's quantity contains it now. False: it was taken back.
    """

    document: str
    version: str
    reference: str
    key: StockKey
    quantity: Decimal
    posted: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys whose stock may have changed since a cursor, and the cursor to ask with next time.

    A change names keys; it never is the quantity. Keys may repeat what an earlier call named (look-back window).
    `postings` are the lines among the changes that carry a number of ours, as they stand now, and those taken back.
    """

    keys: frozenset[StockKey]
    cursor: Cursor
    postings: tuple[Posting, ...] = ()


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


@runtime_checkable
class DocumentReader(Protocol):
    """A connector that can read documents by their identity: where they may vanish, no change tells of that."""

    def read_documents(self, documents: Collection[str]) -> Sequence[Posting]:
        """Return how the lines stand whose `Posting.document` is among `documents`; those that are gone are absent."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What one line of an ERP's document did to the sellable stock of a key, as the ERP's own books tell it.

    Attributes:
        document: the line's identity, as in `Posting`.
        reference: the number that its document carries, ours or somebody else's; empty when there is none.
        quantity: what it took out of the stock, in the item's base unit; negative for what it brought.
        entered_at: when it was entered or approved, by the ERP's clock, which documents may be ahead of or behind.
        entered_by: who did, in the ERP's words; empty where it does not tell.
        posted: the ERP's quantity contains it. False: it stands there, taken back (反审核).
        reverses: the line that this one takes back (冲销), where that is a line of its own.
    """

    document: str
    reference: str
    key: StockKey
    quantity: Decimal
    entered_at: datetime
    entered_by: str = ""
    posted: bool = True
    reverses: str = ""


@runtime_checkable
class MovementHistory(Protocol):
    """A connector that can look up which documents moved a key: the evidence for why a number is another one."""

    def movements(self, keys: Collection[StockKey], since: datetime) -> Sequence[Movement]:
        """Return the lines of documents that were entered or changed since a moment (aware) and moved one of `keys`."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What an ERP would confirm of a wanted quantity (可用量检查), in base units; nothing is reserved by asking.

    Attributes:
        confirmed: how much of `wanted` would be there on the day or before.
        schedule: day and quantity of each part that would be there, later ones too.
        available: what is free at the place now, as the ERP counts it (own plant, all its storage locations).
        checked: False when the ERP does not check this article, so that `confirmed` says nothing.
    """

    wanted: Decimal
    confirmed: Decimal
    schedule: Sequence[tuple[date, Decimal]]
    available: Decimal
    checked: bool = True


@runtime_checkable
class AvailabilityCheck(Protocol):
    """A connector that can ask its ERP, for one article at a time, whether a quantity could be promised."""

    def check_availability(self, key: StockKey, quantity: Decimal, wanted_on: date) -> Promise:
        """Ask what the ERP would confirm of a quantity in the item's base unit on a day."""


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


AlertPhase = Literal["raised", "repeated", "resolved", "test"]


@dataclass(frozen=True, slots=True)
class Alert:
    """What people are told of something that is wrong, or no longer is, in the shop's language.

    It holds names of sources, articles, places and suppliers, and numbers, and nothing of what another system said: no
    personal data leaves with it.

    Attributes:
        message_id: the same id twice is the same message.
        kind: what sort of thing is wrong, for instance `feed_stale`.
        subject: of which it is wrong: a source, or a part of the hub.
        phase: `raised` and `resolved` once each, `repeated` while it lasts, `test` for a trial.
        title: a few words. `summary`: what is so. `advice`: what to do, empty when nothing is.
        details: short facts, one a line.
        link: where to look.
        began_at: since when it is so. `raised_at`: when people were first told. `said_at`: when this was written.
        facts: the numbers behind the words, JSON-ready.
    """

    message_id: str
    kind: str
    subject: str
    phase: AlertPhase
    severity: Literal["warning", "critical"]
    title: str
    summary: str
    details: Sequence[str]
    advice: str
    link: str
    began_at: datetime
    raised_at: datetime
    said_at: datetime
    resolved_at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class AlertChannel(Protocol):
    """Where people read alerts."""

    name: str

    def describe(self) -> str:
        """Return where it sends to and how it proves itself, without any secret."""

    def send(self, alert: Alert) -> None:
        """Deliver the alert once more, or for the first time: a receiver can't tell, and twice does no harm.

        Raises:
            RemoteError: it may not have arrived. Of what kind it is says whether somebody must mend the channel.
        """
