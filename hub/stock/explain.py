"""Why a number is what it is: the arithmetic of one level, term by term, now or at any moment of the past.

A moment of the past has two times: `at`, the moment on the business's own calendar, and `known_at`, how far the hub's
knowledge reaches. A till that tells at noon of a sale of ten o'clock is the difference between the two. Without either,
the terms are those of the level's row as it stands; all of them are read in one view of the database.

What the ledger must hold: every change of a quantity, from `quantity_before` to `quantity_after`, by status: sellable
(the base), demand and supply (each by number, which stands in `source`), safety_stock, buffer, and frozen (1 while the
level is counted, 0 when it is not). An entry takes effect at `effective_at`, at the latest when it was recorded: a
till's clock may be ahead, and the level counts what it is told at once.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hub.errors import DomainError
from hub.stock.coverage import LIVE
from hub.stock.reading import LEVEL_STALE, is_storable
from hub.stock.reservations import LONGEST_TTL
from hub.stock.rule import Base, available

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

SIGNS: Final = {"supply": 1, "demand": -1, "reservation": -1, "safety_stock": -1, "buffer": -1}
"""How each kind of term counts, beside the base, in the order in which they are told."""
OTHERS: Final = "others"
"""The cause of a term that sums what is not told one by one."""
MOST_TOLD: Final = 200
"""So many terms of a kind are told one by one, the newest (of present reservations, any); the rest is one term."""
TOOK_EFFECT: Final = "LEAST(entry.effective_at, entry.recorded_at)"
_SUMMED = "('demand', 'supply', 'safety_stock', 'buffer', 'frozen')"
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_OF_LEVEL = "item_id = %(item_id)s AND location_id = %(location_id)s"

_LEVEL = f"""
SELECT item.id, location.id, item.sku, item.name, item.unit, location.code, location.name,
       COALESCE(level.on_hand, 0), COALESCE(level.demand, 0), COALESCE(level.supply, 0),
       COALESCE(level.safety_stock, 0), COALESCE(level.buffer, 0), level.frozen_at,
       COALESCE(level.read_began, 0), COALESCE(level.read_ended, 0), COALESCE(level.closed_through, 0),
       began.drawn_at, ended.drawn_at, LEAST(feed.read_at, level.doubted_at), {LEVEL_STALE}, clock_timestamp()
FROM (VALUES (1)) AS one(n)
LEFT JOIN item ON item.sku = %(sku)s
LEFT JOIN location ON location.code = %(location)s AND location.active
LEFT JOIN feed ON feed.source = location.stock_source
LEFT JOIN stock_level AS level ON level.item_id = item.id AND level.location_id = location.id
LEFT JOIN tick_time AS began ON began.tick = level.read_began
LEFT JOIN tick_time AS ended ON ended.tick = level.read_ended
"""
# The last word of the ledger on what is a chain. For the base it is the quantity, for the rest only who said it.
_LAST = f"""
SELECT wanted.status, entry.quantity_after, entry.cause, entry.source, entry.batch_id, entry.effective_at,
       entry.recorded_at, began.drawn_at, ended.drawn_at
FROM unnest(ARRAY['sellable', 'safety_stock', 'buffer', 'frozen']) AS wanted(status)
CROSS JOIN LATERAL (
    SELECT * FROM stock_ledger AS entry
    WHERE {_OF_LEVEL} AND entry.status = wanted.status AND entry.owner = ''
      AND {TOOK_EFFECT} <= LEAST(%(at)s::timestamptz, %(known_at)s::timestamptz)
      AND entry.recorded_at <= %(known_at)s::timestamptz
    ORDER BY {TOOK_EFFECT} DESC, entry.id DESC LIMIT 1) AS entry
LEFT JOIN tick_time AS began ON began.tick = entry.read_began
LEFT JOIN tick_time AS ended ON ended.tick = entry.read_ended
"""
_OPEN = f"""
(SELECT 'demand', quantity - COALESCE(covered, 0), kind, number, channel, effective_at, recorded_at
 FROM stock_demand WHERE {_OF_LEVEL} AND state IN {LIVE} AND quantity > COALESCE(covered, 0)
 ORDER BY id DESC LIMIT {MOST_TOLD})
UNION ALL
(SELECT 'supply', quantity, kind, number, NULL, effective_at, recorded_at
 FROM stock_supply WHERE {_OF_LEVEL} AND state = 'open' AND counted
 ORDER BY id DESC LIMIT {MOST_TOLD})
"""
# What is looked up for the few lines that are left is looked up one by one (OFFSET 0): the planner expects many.
_SUMS = f"""
WITH line AS (
    SELECT entry.status, each.kind, each.number, sum(entry.quantity_after - entry.quantity_before) AS quantity,
           min(entry.id) AS first, max(entry.id) AS last
    FROM stock_ledger AS entry
    CROSS JOIN LATERAL (
        SELECT CASE WHEN entry.status IN ('demand', 'supply') THEN split_part(entry.cause, ' ', 1) END AS kind,
               CASE WHEN entry.status IN ('demand', 'supply') THEN entry.source END AS number) AS each
    WHERE {_OF_LEVEL} AND entry.status IN {_SUMMED}
      AND entry.recorded_at <= %(known_at)s::timestamptz AND {TOOK_EFFECT} <= %(at)s::timestamptz
    GROUP BY 1, 2, 3 HAVING sum(entry.quantity_after - entry.quantity_before) <> 0),
ranked AS (
    SELECT *, sum(quantity) OVER (PARTITION BY status) AS total,
           row_number() OVER (PARTITION BY status ORDER BY first DESC) AS position
    FROM line)
SELECT ranked.status, ranked.total, ranked.quantity, COALESCE(ranked.kind, entry.cause), ranked.number,
       CASE WHEN ranked.kind IS NULL THEN entry.source ELSE demand.channel END, entry.effective_at, entry.recorded_at
FROM ranked
CROSS JOIN LATERAL (
    SELECT cause, source, effective_at, recorded_at FROM stock_ledger
    WHERE id = CASE WHEN ranked.kind IS NULL THEN ranked.last ELSE ranked.first END OFFSET 0) AS entry
LEFT JOIN LATERAL (
    SELECT channel FROM stock_demand
    WHERE ranked.status = 'demand' AND kind = ranked.kind AND number = ranked.number AND {_OF_LEVEL}
    OFFSET 0) AS demand ON true
WHERE ranked.position <= {MOST_TOLD}
"""
_HELD = f"""
SELECT COALESCE(sum(quantity), 0) FROM hold_bucket WHERE {_OF_LEVEL} AND expires_second > %(second)s
"""
# By the ends of the level's buckets, since reservations are found by their end.
_HOLDERS = f"""
SELECT line.quantity, held.channel, held.id, held.created_at, held.expires_second
FROM (SELECT DISTINCT expires_second FROM hold_bucket
      WHERE {_OF_LEVEL} AND expires_second > %(second)s AND quantity <> 0) AS bucket
CROSS JOIN LATERAL (
    SELECT id, channel, created_at, expires_second FROM reservation
    WHERE state = 'active' AND expires_second = bucket.expires_second OFFSET 0) AS held
CROSS JOIN LATERAL (
    SELECT quantity FROM reservation_line WHERE reservation_id = held.id AND {_OF_LEVEL} OFFSET 0) AS line
LIMIT {MOST_TOLD}
"""
# What is active was held or put off within the longest time that a reservation may last. What was put off may have been
# held before that: the sums then begin where the oldest of these was made.
_HELD_THEN = f"""
WITH since AS (
    SELECT LEAST(window_start, (
        SELECT min(held.created_at)
        FROM hold_event AS event
        CROSS JOIN LATERAL (SELECT created_at FROM reservation WHERE id = event.reservation_id OFFSET 0) AS held
        WHERE {_OF_LEVEL} AND event.kind = 'extended' AND event.recorded_at >= window_start
          AND event.recorded_at <= %(until)s::timestamptz)) AS moment
    FROM (SELECT %(until)s::timestamptz - make_interval(secs => {LONGEST_TTL + 1})) AS longest(window_start)),
holder AS (
    SELECT reservation_id, max(channel) AS channel, sum(quantity) AS quantity, min(recorded_at) AS held_at
    FROM hold_event
    WHERE {_OF_LEVEL} AND reservation_id IS NOT NULL
      AND recorded_at >= (SELECT moment FROM since) AND recorded_at <= %(until)s::timestamptz
    GROUP BY reservation_id HAVING sum(quantity) > 0)
SELECT holder.quantity, holder.channel, holder.reservation_id, holder.held_at, held.expires_second
FROM holder
LEFT JOIN LATERAL (SELECT expires_second FROM reservation WHERE id = holder.reservation_id OFFSET 0) AS held ON true
WHERE held.expires_second IS NULL OR held.expires_second > %(second)s
"""
# Reservations that ended long ago are forgotten one by one; what they held together is not.
_HELD_LONG_AGO = f"""
SELECT COALESCE((SELECT sum(quantity) FROM hold_balance WHERE {_OF_LEVEL} AND through < %(until)s::timestamptz), 0)
     + COALESCE((SELECT sum(quantity) FROM hold_event
                 WHERE {_OF_LEVEL} AND CASE WHEN kind = 'expired' THEN effective_at ELSE recorded_at END
                                       <= %(until)s::timestamptz), 0)
"""
_POOLS = f"SELECT channel, ring_fenced, percent, held FROM stock_pool WHERE {_OF_LEVEL} ORDER BY channel"
# A hot level has a hundred thousand entries: summed in memory, by a plan that is not compiled first.
_SETTINGS = "SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the sum, in the item's base unit, with its sign.

    Attributes:
        kind: base, demand, supply, reservation, safety_stock, buffer or frozen.
        cause: what made it: the kind of read (snapshot, push, delta …), of document (order, sale, transfer, return),
            cart, whoever set a limit; `others` for what is not told one by one; None where nothing is known.
        source: the ERP that was read, or the sales channel.
        number: the read cycle, or the number of order, receipt, transfer or reservation.
        effective_at: when it began to count for the business.
        recorded_at: when the hub learned of it.
        read_began_at: when the request for the base was sent; ticks are kept with their times for 30 days.
        expires_at: when a reservation ends.
    """

    kind: str
    quantity: Decimal
    cause: str | None = None
    source: str | None = None
    number: str | None = None
    effective_at: datetime | None = None
    recorded_at: datetime | None = None
    read_began_at: datetime | None = None
    read_ended_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """What is set apart for a channel: a quantity, or a share of the base less safety stock; and what is taken."""

    channel: str
    ring_fenced: Decimal | None
    percent: Decimal | None
    taken: Decimal


@dataclass(frozen=True, slots=True)
class Explanation:
    """The terms of a level; their sum is `available`.

    `at` and `known_at` are the moment that is explained. `stale` is None for the past, since whether a source was late
    then is not kept. `pools` are those of now; there are none for the past.
    """

    item_id: int
    location_id: int
    sku: str
    name: str
    unit: str
    location: str
    location_name: str
    at: datetime
    known_at: datetime
    available: Decimal
    on_hand: Decimal
    terms: tuple[Term, ...]
    pools: tuple[Pool, ...]
    as_of: datetime | None
    stale: bool | None


@dataclass(frozen=True, slots=True)
class _Level:
    """A level's row with what surrounds it; zeros where there is no row."""

    item_id: int
    location_id: int
    sku: str
    name: str
    unit: str
    location: str
    location_name: str
    on_hand: Decimal
    demand: Decimal
    supply: Decimal
    safety_stock: Decimal
    buffer: Decimal
    frozen_at: datetime | None
    read_began: int
    read_ended: int
    closed_through: int
    read_began_at: datetime | None
    read_ended_at: datetime | None
    as_of: datetime | None
    stale: bool
    moment: datetime

    @property
    def key(self) -> dict[str, Any]:
        """The level as the statements name it."""
        return {"item_id": self.item_id, "location_id": self.location_id}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a moment consists of: the base and its ticks, the sum of each kind, and the terms that are told."""

    base: Term
    ticks: tuple[int, int]
    totals: Mapping[str, Decimal]
    told: Sequence[Term]
    frozen: Term | None
    as_of: datetime | None
    stale: bool | None


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open one view of the database for all statements of the block; nothing can be written in it."""
    looking = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    async with looking.connect() as connection:
        yield connection


async def explain(
    connection: AsyncConnection,
    sku: str,
    location: str,
    *,
    at: datetime | None = None,
    known_at: datetime | None = None,
) -> Explanation:
    """Explain one level. The connection must show one view of the database (`snapshot`).

    Args:
        at: the business's moment; without it that of `known_at`.
        known_at: as known at this moment; without it with all that is known today.

    Raises:
        DomainError: nobody knows the SKU or the active location, or a time is before 1970 or in the future.
    """
    level = await _find(connection, sku, location)
    _refuse({"at": at, "known_at": known_at}, level.moment)
    asked = at or known_at
    if asked is None:
        found = await _present(connection, level)
        pools = [Pool(*row) for row in await connection.exec_driver_sql(_POOLS, level.key)]
        return _told(level, found, (level.moment, level.moment), pools)
    times = asked, known_at or level.moment
    return _told(level, await _past(connection, level, *times), times, ())


async def _find(connection: AsyncConnection, sku: str, location: str) -> _Level:
    names = {"sku": sku, "location": location}
    storable = {name: text if is_storable(text) else "" for name, text in names.items()}
    row = (await connection.exec_driver_sql(_LEVEL, storable)).one()
    if row[0] is None:
        raise DomainError(f"no item has the SKU {sku}", code="sku-not-found", status=404)
    if row[1] is None:
        raise DomainError(f"no active location has the code {location}", code="location-not-found", status=404)
    return _Level(*row)


def _refuse(times: Mapping[str, datetime | None], moment: datetime) -> None:
    wrong = [
        {"pointer": f"/query/{name}", "detail": "must not be before 1970 or in the future"}
        for name, time in times.items()
        if time is not None and not _EARLIEST <= time <= moment
    ]
    if wrong:
        message = "a time must not be before 1970 or in the future"
        raise DomainError(message, code="validation-failed", status=422, errors=wrong)


def _told(level: _Level, found: _Found, times: tuple[datetime, datetime], pools: Iterable[Pool]) -> Explanation:
    terms = [found.base]
    for kind, sign in SIGNS.items():
        told = sorted((term for term in found.told if term.kind == kind), key=_age)
        rest = sign * found.totals.get(kind, Decimal(0)) - sum((term.quantity for term in told), Decimal(0))
        terms += [*told, Term(kind, rest, OTHERS)] if rest else told
    sums = {kind: found.totals.get(kind, Decimal(0)) for kind in SIGNS}
    free = Decimal(
        available(
            Base(found.base.quantity, *found.ticks),
            sums["demand"],
            sums["supply"],
            sums["reservation"],
            sums["safety_stock"] + sums["buffer"],
        )
    )
    if found.frozen:
        terms.append(replace(found.frozen, quantity=-free))
        free = Decimal(0)
    return Explanation(
        *(level.item_id, level.location_id, level.sku, level.name, level.unit, level.location, level.location_name),
        *times,
        available=free,
        on_hand=found.base.quantity,
        terms=tuple(terms),
        pools=tuple(pools),
        as_of=found.as_of,
        stale=found.stale,
    )


def _age(term: Term) -> datetime:
    return term.effective_at or _EARLIEST


async def _present(connection: AsyncConnection, level: _Level) -> _Found:
    last = await _last(connection, level, level.moment, level.moment)
    base = replace(
        last.get("sellable", Term("base", Decimal(0))),
        quantity=level.on_hand,
        read_began_at=level.read_began_at,
        read_ended_at=level.read_ended_at,
    )
    second = max(_second(level.moment), level.closed_through)
    held = (await connection.exec_driver_sql(_HELD, {**level.key, "second": second})).scalar_one()
    holders = await connection.exec_driver_sql(_HOLDERS, {**level.key, "second": second})
    told = [
        Term(kind, SIGNS[kind] * quantity, cause, channel or None, number, *times)
        for kind, quantity, cause, number, channel, *times in await connection.exec_driver_sql(_OPEN, level.key)
    ]
    limits = {"safety_stock": level.safety_stock, "buffer": level.buffer}
    told += [
        replace(last.get(kind, Term(kind, Decimal(0))), quantity=-quantity)
        for kind, quantity in limits.items()
        if quantity
    ]
    return _Found(
        base,
        (level.read_began, level.read_ended),
        {"demand": level.demand, "supply": level.supply, "reservation": held, **limits},
        [*told, *map(_holder, holders)],
        _frozen(level, last) if level.frozen_at else None,
        level.as_of,
        level.stale,
    )


async def _past(connection: AsyncConnection, level: _Level, at: datetime, known_at: datetime) -> _Found:
    await connection.exec_driver_sql(_SETTINGS)
    last = await _last(connection, level, at, known_at)
    rows = (await connection.exec_driver_sql(_SUMS, {**level.key, "at": at, "known_at": known_at})).all()
    totals: dict[str, Decimal] = {row[0]: row[1] for row in rows}
    told = [
        Term(kind, SIGNS[kind] * quantity, cause, source or None, number, *times)
        for kind, _, quantity, cause, number, source, *times in rows
        if kind in SIGNS
    ]
    totals["reservation"], holders = await _held_then(connection, level, at, known_at)
    began_before = level.frozen_at is not None and level.frozen_at <= min(at, known_at)
    frozen = _frozen(level, last) if began_before or totals.get("frozen", 0) > 0 else None
    base = last.get("sellable", Term("base", Decimal(0)))
    return _Found(base, (0, 0), totals, [*told, *holders], frozen, base.read_began_at, None)


async def _held_then(
    connection: AsyncConnection, level: _Level, at: datetime, known_at: datetime
) -> tuple[Decimal, list[Term]]:
    """Return what reservations held at a moment of the past, and the newest of them."""
    values = {**level.key, "until": min(at, known_at), "second": _second(at)}
    rows = (await connection.exec_driver_sql(_HELD_THEN, values)).all()
    known = [_holder(row) for row in rows if row[-1] is not None]
    total = -sum((term.quantity for term in known), Decimal(0))
    if len(known) < len(rows):
        total = (await connection.exec_driver_sql(_HELD_LONG_AGO, values)).scalar_one()
    return total, sorted(known, key=_age)[-MOST_TOLD:]


async def _last(connection: AsyncConnection, level: _Level, at: datetime, known_at: datetime) -> dict[str, Term]:
    """Return the last entry of each chain, as a term, by status."""
    rows = await connection.exec_driver_sql(_LAST, {**level.key, "at": at, "known_at": known_at})
    return {status: _chain_term(status, *facts) for status, *facts in rows}


def _chain_term(
    status: str, quantity: Decimal, cause: str, source: str, batch_id: int | None, *times: datetime | None
) -> Term:
    kind = "base" if status == "sellable" else status
    return Term(kind, quantity, cause, source or None, None if batch_id is None else str(batch_id), *times)


def _holder(row: Sequence[Any]) -> Term:
    quantity, channel, number, made_at, expires_second = row
    expires_at = datetime.fromtimestamp(expires_second, UTC)
    return Term("reservation", -quantity, "cart", channel, str(number), made_at, made_at, expires_at=expires_at)


def _frozen(level: _Level, last: Mapping[str, Term]) -> Term:
    """Return since when, and by what, a level is or was being counted; its quantity takes away all that is left."""
    known = last.get("frozen", Term("frozen", Decimal(0)))
    if level.frozen_at and (known.effective_at is None or known.quantity <= 0):
        return Term("frozen", Decimal(0), "count", effective_at=level.frozen_at, recorded_at=level.frozen_at)
    return known


def _second(moment: datetime) -> int:
    """Return the second (Unix time) that has begun: what ends in it has ended."""
    return int(moment.timestamp())
