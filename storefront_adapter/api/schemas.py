"""The shapes of the API, for its description and for what callers send."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Quantity = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["12", "3.25"])]
"""A decimal number as text in the item's base unit, without exponent and trailing zeros."""
AsOf = Annotated[datetime | None, Field(description="When the source was last read; null: never")]
Stale = Annotated[bool, Field(description="The number is older than its source allows")]
LOOKUP_LIMIT = 200


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

    Follow `next_cursor` until it is null. To hear of later changes, walk again with `updated_since` set to
    `next_updated_since`; some levels come twice, none is left out.
    """

    items: list[ChangedStock]
    next_cursor: str | None
    next_updated_since: datetime | None


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
