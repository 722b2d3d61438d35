"""Reading stock for shops and staff: one statement per question, asynchronous, never waiting on another system.

A level tells what may be sold of an item at a place (`on_hand`, 在库), what is there but may not be sold (`unsellable`,
不可售) and how old the numbers are. Ages are judged by the database's clock alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# One rule of staleness for every question: never read in full, or last read longer ago than the source allows. A place
# has been read in full when it has a floor, and a level is in doubt while a part of it could not be understood.
_STALE = """COALESCE(feed.read_at IS NULL OR feed.full_read_at IS NULL
         OR clock_timestamp() - feed.read_at > make_interval(secs => feed.stale_after_seconds), true)"""
PLACE_STALE = f"({_STALE} OR NOT EXISTS (SELECT FROM stock_floor AS floor WHERE floor.location_id = location.id))"
LEVEL_STALE = f"({PLACE_STALE} OR level.doubted_at IS NOT NULL)"
# What has expired and nobody has given back yet: it is free already.
_EXPIRED = """CASE WHEN level.next_expiry IS NOT NULL AND level.next_expiry <= EXTRACT(EPOCH FROM clock_timestamp())
    THEN (SELECT COALESCE(sum(bucket.quantity), 0) FROM hold_bucket AS bucket
          WHERE bucket.item_id = level.item_id AND bucket.location_id = level.location_id
            AND bucket.expires_second <= EXTRACT(EPOCH FROM clock_timestamp()))
    ELSE 0 END"""
RESERVED = f"(level.held - {_EXPIRED})"
ROOM = f"(level.room + CASE WHEN level.frozen_at IS NULL THEN {_EXPIRED} ELSE 0 END)"
# As `stock_pools` counts them, with what has expired and nobody has given back yet.
_POOLS = """SELECT pool.channel, GREATEST(
        COALESCE(pool.ring_fenced, floor(GREATEST(level.on_hand - level.safety_stock, 0) * pool.percent / 100))
        - pool.held
        + (SELECT COALESCE(sum(bucket.quantity), 0) FROM hold_bucket AS bucket
           WHERE bucket.item_id = pool.item_id AND bucket.location_id = pool.location_id
             AND bucket.channel = pool.channel
             AND bucket.expires_second <= EXTRACT(EPOCH FROM clock_timestamp())), 0) AS room
    FROM stock_pool AS pool WHERE pool.item_id = level.item_id AND pool.location_id = level.location_id"""
# What a channel may still take: of its own pool, or of what no pool has set apart; never more than there is.
OFFERED = f"""GREATEST(CASE WHEN level.pooled THEN (
        SELECT LEAST({ROOM}, COALESCE(max(pool.room) FILTER (WHERE pool.channel = %(channel)s::text),
                                      {ROOM} - sum(pool.room)))
        FROM ({_POOLS}) AS pool) ELSE {ROOM} END, 0)"""
_APART = """LEFT JOIN LATERAL (
    SELECT array_agg(part.status ORDER BY part.status, part.owner) AS statuses,
           array_agg(part.owner ORDER BY part.status, part.owner) AS owners,
           array_agg(part.quantity ORDER BY part.status, part.owner) AS quantities
    FROM stock_unsellable AS part
    WHERE part.item_id = level.item_id AND part.location_id = level.location_id) AS apart ON true"""
WANTED = "location.active AND (%(locations)s::text[] IS NULL OR location.code = ANY(%(locations)s::text[]))"
# An item without any level is known to be nowhere only as surely as the places' sources are fresh: their ages stand in.
_PLACES = f"FROM location LEFT JOIN feed ON feed.source = location.stock_source WHERE {WANTED}"
NOWHERE_AS_OF = f"(SELECT CASE WHEN bool_and(feed.read_at IS NOT NULL) THEN min(feed.read_at) END {_PLACES})"
NOWHERE_STALE = f"(SELECT COALESCE(bool_or({PLACE_STALE}), true) {_PLACES})"
_ITEMS = f"""
SELECT item.sku, item.gtin, item.name, item.unit,
       CASE WHEN location.id IS NULL THEN {NOWHERE_AS_OF} END,
       CASE WHEN location.id IS NULL THEN {NOWHERE_STALE} END,
       location.code, location.name, location.kind, location.sellable_online, level.on_hand, {ROOM}, {RESERVED},
       LEAST(feed.read_at, level.doubted_at), {LEVEL_STALE},
       apart.statuses, apart.owners, apart.quantities
FROM item
LEFT JOIN (stock_level AS level
           JOIN location ON location.id = level.location_id AND {WANTED}
           LEFT JOIN feed ON feed.source = location.stock_source) ON level.item_id = item.id
{_APART}
WHERE item.sku = ANY(%(skus)s::text[])
ORDER BY item.sku, location.position, location.code
"""
_CHANGES = f"""
SELECT item.sku, level.changed_at, level.item_id, level.location_id,
       location.code, location.name, location.kind, location.sellable_online, level.on_hand, {OFFERED}, {RESERVED},
       LEAST(feed.read_at, level.doubted_at), {LEVEL_STALE},
       apart.statuses, apart.owners, apart.quantities
FROM stock_level AS level
JOIN item ON item.id = level.item_id
JOIN location ON location.id = level.location_id AND {WANTED}
LEFT JOIN feed ON feed.source = location.stock_source
{_APART}
WHERE (%(since)s::timestamptz IS NULL OR level.changed_at >= %(since)s::timestamptz)
  AND (%(after_at)s::timestamptz IS NULL
       OR (level.changed_at, level.item_id, level.location_id)
          > (%(after_at)s::timestamptz, %(after_item)s::bigint, %(after_location)s::bigint))
ORDER BY level.changed_at, level.item_id, level.location_id
LIMIT %(limit)s
"""
# A change is stamped before it commits, so one that is still being written may surface behind a reader. A follower
# therefore starts its next walk at the oldest transaction that was writing when this walk began.
_SAFE_SINCE = """
SELECT LEAST(clock_timestamp() - interval '60 seconds',
             (SELECT min(xact_start) FROM pg_stat_activity
              WHERE datname = current_database() AND backend_xid IS NOT NULL))
"""
_LOCATIONS = f"""
SELECT location.code, location.name, location.kind, location.region, location.ownership, location.sellable_online,
       location.pickup, location.opening_hours, location.cutoff_time, location.time_zone, feed.read_at,
       {PLACE_STALE}
FROM location LEFT JOIN feed ON feed.source = location.stock_source
WHERE location.active ORDER BY location.position, location.code
"""
FEEDS = f"""
SELECT feed.source, feed.read_at, feed.full_read_at, feed.items_read_at,
       EXTRACT(EPOCH FROM clock_timestamp() - feed.read_at)::float8, {_STALE},
       feed.stale_after_seconds, feed.failures, COALESCE(feed.error, feed.snapshot_error), feed.failed_at
FROM feed ORDER BY feed.source
"""


@dataclass(frozen=True, slots=True)
class Level:
    """The stock of one item at one place.

    `unsellable` holds own goods that may not be sold, by stock status; `consigned` (寄售) what belongs to others.
    `available` (可售) may be promised; it is negative when more was sold than there is. `reserved` (锁定) is held for
    carts. `as_of` is when the source was last read with success, None if it never was.
    """

    location: str
    name: str
    kind: str
    sellable_online: bool
    on_hand: Decimal
    available: Decimal
    reserved: Decimal
    as_of: datetime | None
    stale: bool
    unsellable: Mapping[str, Decimal]
    consigned: Decimal

    @property
    def offered(self) -> Decimal:
        """What a shop may offer: `available`, at least 0."""
        return max(self.available, Decimal(0))

    @property
    def unavailable(self) -> Decimal:
        """Own goods that are there and may not be sold (不可售)."""
        return sum(self.unsellable.values(), Decimal(0))


@dataclass(frozen=True, slots=True)
class ItemStock:
    """An item and its levels; `as_of` is the oldest of them and `stale` holds if one of them is stale."""

    sku: str
    gtin: str | None
    name: str
    unit: str
    as_of: datetime | None
    stale: bool
    levels: tuple[Level, ...]

    @property
    def on_hand(self) -> Decimal:
        """The sum over all places."""
        return sum((level.on_hand for level in self.levels), Decimal(0))

    @property
    def offered(self) -> Decimal:
        """What shops may offer: over the places that sell online, each counted with at least 0."""
        return sum((level.offered for level in self.levels if level.sellable_online), Decimal(0))

    @property
    def unavailable(self) -> Decimal:
        """The sum over all places of own goods that may not be sold."""
        return sum((level.unavailable for level in self.levels), Decimal(0))

    @property
    def consigned(self) -> Decimal:
        """The sum over all places of other owners' goods."""
        return sum((level.consigned for level in self.levels), Decimal(0))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk over changes stands: the key of the last row it saw."""

    changed_at: datetime
    item_id: int
    location_id: int


@dataclass(frozen=True, slots=True)
class ChangedLevel:
    """One row of a walk over changes."""

    sku: str
    position: Position
    level: Level


@dataclass(frozen=True, slots=True)
class Place:
    """An active location as shops see it."""

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
    as_of: datetime | None
    stale: bool


@dataclass(frozen=True, slots=True)
class FeedState:
    """How a source is doing. `age_seconds` is None before its first good read."""

    source: str
    read_at: datetime | None
    full_read_at: datetime | None
    items_read_at: datetime | None
    age_seconds: float | None
    stale: bool
    stale_after_seconds: int
    failures: int
    error: str | None
    failed_at: datetime | None


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can hold the text at all; what it can't hold it can't know either."""
    return _UNSTORABLE.search(text) is None


async def read_stock(
    connection: AsyncConnection, skus: Collection[str], locations: Collection[str] | None = None
) -> dict[str, ItemStock]:
    """Return the items among `skus` that exist, by SKU, with their levels at `locations` (None: everywhere)."""
    wanted = [sku for sku in skus if is_storable(sku)]
    if not wanted:
        return {}
    result = await connection.exec_driver_sql(
        _ITEMS, {"skus": wanted, "locations": None if locations is None else list(locations)}
    )
    return {sku: _item_stock(list(rows)) for sku, rows in groupby(result, key=lambda row: str(row[0]))}


def _item_stock(rows: Sequence[Sequence[Any]]) -> ItemStock:
    sku, gtin, name, unit, elsewhere_as_of, elsewhere_stale, code = rows[0][:7]
    if code is None:
        return ItemStock(sku, gtin, name, unit, elsewhere_as_of, elsewhere_stale, ())
    levels = tuple(_level(row[6:]) for row in rows)
    return ItemStock(
        sku, gtin, name, unit, oldest(level.as_of for level in levels), any(level.stale for level in levels), levels
    )


def oldest(times: Iterable[datetime | None]) -> datetime | None:
    """Return the oldest of the times; None is older than all."""
    known = list(times)
    return None if None in known else min((time for time in known if time is not None), default=None)


def _level(row: Sequence[Any]) -> Level:
    code, name, kind, sellable_online, on_hand, room, reserved, read_at, stale, statuses, owners, quantities = row
    unsellable: dict[str, Decimal] = {}
    consigned = Decimal(0)
    for status, owner, quantity in zip(statuses or (), owners or (), quantities or (), strict=True):
        if owner:
            consigned += quantity
        else:
            unsellable[status] = quantity
    return Level(code, name, kind, sellable_online, on_hand, room, reserved, read_at, stale, unsellable, consigned)


async def read_changes(
    connection: AsyncConnection,
    *,
    locations: Collection[str] | None = None,
    since: datetime | None = None,
    after: Position | None = None,
    limit: int = 50,
    channel: str = "",
) -> list[ChangedLevel]:
    """Return levels in the order in which they changed, from `since` on and behind `after`.

    Their `available` is what `channel` may take, and not below 0.

    A level that changes while somebody walks moves to the end and is met again; none is left out.
    """
    result = await connection.exec_driver_sql(
        _CHANGES,
        {
            "locations": None if locations is None else list(locations),
            "since": since,
            "after_at": after and after.changed_at,
            "after_item": after and after.item_id,
            "after_location": after and after.location_id,
            "limit": limit,
            "channel": channel,
        },
    )
    return [ChangedLevel(row[0], Position(row[1], row[2], row[3]), _level(row[4:])) for row in result]


async def safe_since(connection: AsyncConnection) -> datetime:
    """Return the time from which the next walk must start so that it misses no change that is being written now."""
    result = await connection.exec_driver_sql(_SAFE_SINCE)
    time: datetime = result.scalar_one()
    return time


async def read_places(connection: AsyncConnection) -> list[Place]:
    """Return all active locations in their configured order."""
    return [Place(*row) for row in await connection.exec_driver_sql(_LOCATIONS)]


async def unknown_places(connection: AsyncConnection, codes: Collection[str]) -> list[str]:
    """Return those of `codes` that are no active location, in their order."""
    known = {place.code for place in await read_places(connection)}
    return [code for code in codes if code not in known]


async def read_feeds(connection: AsyncConnection) -> list[FeedState]:
    """Return the state of every declared source."""
    return [FeedState(*row) for row in await connection.exec_driver_sql(FEEDS)]
