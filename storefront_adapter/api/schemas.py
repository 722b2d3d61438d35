"""The shapes of the API, for its description and for what callers send."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hub.clock import utc_now
from hub.stock.reading import is_storable
from hub.stock.reservations import LONGEST_TTL

Quantity = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["12", "3.25"])]
"""A decimal number as text in the item's base unit, without exponent and trailing zeros."""
AsOf = Annotated[datetime | None, Field(description="When the source was last read; null: never")]
Stale = Annotated[bool, Field(description="The number is older than its source allows")]
_EARLIEST_SALE = datetime(2000, 1, 1, tzinfo=UTC)
_CLOCK_AHEAD = timedelta(days=1)
_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")


def _plain_number(value: object) -> object:
    """Let pass numbers, and texts in the form of `Quantity`; what Python would make a number of besides is refused."""
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise ValueError("must be a decimal number above zero, as in 12 or 3.25")
    return value


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("holds a character that no text may hold")
    return text


def _believable(time: datetime) -> datetime:
    if not _EARLIEST_SALE <= time <= utc_now() + _CLOCK_AHEAD:
        raise ValueError("must not be before 2000, nor more than a day ahead")
    return time


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("must have a character that can be seen")
    return text


def _written(value: object) -> object:
    """Refuse a number where a time must stand: what it counts, and since when, is anybody's guess."""
    if not isinstance(value, str):
        message = "must be a time as text, as in 2026-11-26T12:00:00+08:00"
        raise ValueError(message)  # noqa: TRY004 - pydantic makes nothing of a TypeError
    return value


_STORABLE = AfterValidator(_storable)
_VISIBLE = AfterValidator(_visible)
LOOKUP_LIMIT = 200
LINES_LIMIT = 100


class LocationStock(BaseModel):
    """The stock of an item at one place."""

    location: str
    name: str
    kind: str
    on_hand: Quantity
    available: Quantity
    unavailable: Quantity
    consigned: Quantity
    sellable_online: bool
    as_of: AsOf
    stale: Stale


class Stock(BaseModel):
    """The stock of an item: `available` over the places that sell online, the other sums over all places."""

    sku: str
    gtin: str | None
    name: str
    unit: str
    on_hand: Quantity
    available: Quantity
    unavailable: Quantity
    consigned: Quantity
    as_of: AsOf
    stale: Stale
    locations: list[LocationStock]


class ChangedPlace(BaseModel):
    """What may be promised of an item at a place."""

    location: str
    available: Quantity


class StockChanged(BaseModel):
    """The `data` of an event `stock.changed`: the numbers that GET /v1/stock/{sku} gives when it is sent.

    `locations` has the places where something has changed, and all of them where only the item is known; those that the
    stream's filter leaves out are left out. The other members are of the whole item, whatever the filter.
    """

    sku: str
    available: Quantity
    as_of: AsOf
    stale: Stale
    locations: list[ChangedPlace]


class LookupRequest(BaseModel):
    """Many SKUs at once, at some places or at all."""

    model_config = ConfigDict(extra="forbid")

    skus: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1, max_length=LOOKUP_LIMIT)
    locations: list[Annotated[str, Field(min_length=1, max_length=40)]] | None = Field(
        default=None, min_length=1, max_length=1000
    )


class LookupAnswer(BaseModel):
    """What was found, in the order asked for, and the SKUs that nobody knows."""

    items: list[Stock]
    not_found: list[str]


class ChangedStock(LocationStock):
    """A level in a list of changes."""

    sku: str
    changed_at: datetime


class StockPage(BaseModel):
    """A page of levels in the order of their change.

    What changes is what the ERPs told, what was sold or came in, what is withheld, and counts; a reservation, which
    comes and goes, moves no level to the end.
    Follow `next_cursor` until it is null. To hear of later changes, walk again with `updated_since` set to
    `next_updated_since`; some levels come twice, none is left out.
    """

    items: list[ChangedStock]
    next_cursor: str | None
    next_updated_since: datetime | None


class ExplainQuery(BaseModel):
    """Which level, and which moment of it."""

    location: Annotated[str, Field(min_length=1, max_length=40)]
    at: AwareDatetime | None = None
    known_at: AwareDatetime | None = None


class ExplainedTerm(BaseModel):
    """One term of the sum, with its sign."""

    kind: Literal["base", "demand", "supply", "reservation", "safety_stock", "buffer", "frozen"]
    quantity: Quantity
    cause: Annotated[
        str | None,
        Field(
            description="Kind of read (snapshot, push, delta, …) or of document (order, sale, transfer, return), cart,"
            " count; `others` sums what is not listed one by one",
            examples=["order"],
        ),
    ]
    source: Annotated[str | None, Field(description="The ERP that was read, or the sales channel")]
    number: Annotated[str | None, Field(description="Of the order, receipt, transfer, reservation or read cycle")]
    effective_at: Annotated[datetime | None, Field(description="When it began to count; compared with `at`")]
    recorded_at: Annotated[datetime | None, Field(description="When the hub learned of it; compared with `known_at`")]
    read_began_at: Annotated[datetime | None, Field(description="When the ERP was asked; kept for 30 days")]
    read_ended_at: Annotated[datetime | None, Field(description="When the ERP had answered; kept for 30 days")]
    expires_at: Annotated[datetime | None, Field(description="When a reservation ends")]


class ExplainedPool(BaseModel):
    """What is set apart for a channel: a quantity, or a share of the base less safety stock; and what is taken."""

    channel: str
    ring_fenced: Quantity | None
    percent: Quantity | None
    taken: Quantity


class StockExplanation(BaseModel):
    """The arithmetic of one level: the terms add up to `available`, which may be negative here.

    `at` is a moment of the business, `known_at` how far the hub's knowledge reached. A level that is being counted has
    a term `frozen` that takes away all that is left.
    """

    sku: str
    location: str
    unit: str
    at: datetime
    known_at: datetime
    available: Quantity
    on_hand: Quantity
    terms: list[ExplainedTerm]
    pools: Annotated[list[ExplainedPool], Field(description="As they stand now; empty for the past")]
    as_of: AsOf
    stale: Annotated[bool | None, Field(description="As in the stock answer; null for the past: it is not kept")]


class LocationAnswer(BaseModel):
    """A place that holds stock."""

    code: str
    name: str
    kind: str
    region: str
    ownership: str
    sellable_online: bool
    pickup: bool
    opening_hours: str
    cutoff_time: str
    time_zone: str
    as_of: AsOf
    stale: Stale


class LocationList(BaseModel):
    """All active places."""

    items: list[LocationAnswer]


class WantedLine(BaseModel):
    """So much of an item at a place, in the item's base unit."""

    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(min_length=1, max_length=200), _STORABLE]
    location: Annotated[str, Field(min_length=1, max_length=40), _STORABLE]
    quantity: Annotated[Decimal, Field(gt=0, le=10**9, decimal_places=6), BeforeValidator(_plain_number)]


class ReservationRequest(BaseModel):
    """What a cart wants to be kept for it."""

    model_config = ConfigDict(extra="forbid")

    cart_id: Annotated[str, Field(max_length=100), _STORABLE] = ""
    lines: list[WantedLine] = Field(min_length=1, max_length=LINES_LIMIT)
    ttl_seconds: Annotated[int, Field(ge=1, le=LONGEST_TTL, strict=True)] | None = Field(
        default=None, description="How long; null: as long as the channel's rule says"
    )


class ExtendRequest(BaseModel):
    """How long a reservation shall last, from now on."""

    model_config = ConfigDict(extra="forbid")

    ttl_seconds: Annotated[int, Field(ge=1, le=LONGEST_TTL, strict=True)]


class TransferRequest(BaseModel):
    """To which place the reservation shall move."""

    model_config = ConfigDict(extra="forbid")

    location: Annotated[str, Field(min_length=1, max_length=40), _STORABLE]


class CommitRequest(BaseModel):
    """Under which number the reservation becomes an order."""

    model_config = ConfigDict(extra="forbid")

    order_no: Annotated[str, Field(min_length=1, max_length=35), _STORABLE, _VISIBLE]
    if_expired: Literal["reserve_again", "refuse"] = Field(
        default="reserve_again", description="What to do when it has expired: take the same once more, if it is there"
    )


class SoldLine(BaseModel):
    """So much of an item, in the item's base unit."""

    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(min_length=1, max_length=200), _STORABLE]
    quantity: Annotated[Decimal, Field(gt=0, le=10**9, decimal_places=6), BeforeValidator(_plain_number)]


class SaleRequest(BaseModel):
    """A receipt of a store's till: what was sold and what was brought back."""

    model_config = ConfigDict(extra="forbid")

    store: Annotated[str, Field(min_length=1, max_length=40), _STORABLE]
    receipt_no: Annotated[str, Field(min_length=1, max_length=64), _STORABLE, _VISIBLE]
    sold_at: Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_believable)]
    lines: list[SoldLine] = Field(default=[], max_length=LINES_LIMIT)
    returns: list[SoldLine] = Field(default=[], max_length=LINES_LIMIT)
    member: Annotated[str, Field(max_length=100), _STORABLE] = Field(default="", description="Number of the card")

    @model_validator(mode="after")
    def _says_something(self) -> SaleRequest:
        if not self.lines and not self.returns:
            raise ValueError("must have lines or returns")
        return self


class SaleAnswer(BaseModel):
    """A sale that is booked. `reference` is the number by which the ERP's document will name it."""

    store: str
    receipt_no: str
    business_date: date
    reference: str


class ReservedLine(BaseModel):
    """A line as it was asked for."""

    sku: str
    location: str
    quantity: Quantity


class ReservationAnswer(BaseModel):
    """A reservation. It ends at `expires_at`, whether or not anybody looks, unless an order took what it holds."""

    id: UUID
    state: Literal["active", "committed", "released", "expired"]
    channel: str
    cart_id: str
    lines: list[ReservedLine]
    expires_at: datetime
    ended_at: datetime | None
    order_no: str | None


BODIES = (ExtendRequest, TransferRequest, CommitRequest, SaleRequest)
"""What callers send to the routes that FastAPI does not read the bodies of."""


class Accepted(BaseModel):
    """A push that is stored for good."""

    event_id: str
    status: str


class ProblemPart(BaseModel):
    """One wrong part of a request."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """A problem as in RFC 9457; `code` never changes, `title` and `detail` follow Accept-Language."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: list[ProblemPart] | None = None


class Health(BaseModel):
    """What a probe found."""

    model_config = ConfigDict(extra="allow")

    status: str
    checks: dict[str, Any] | None = None
