"""Reservations (锁定): a cart's temporary claim on stock, all of its lines or none.

The rules stand in the database's functions `stock_reserve`, `stock_release`, `stock_extend`, `stock_transfer` and
`stock_commit`, each one statement.
What decides is read there, under the locks of the levels (docs/reservations.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import DBAPIError

from hub.gather import Gathered
from hub.idempotency import KeyReusedError
from hub.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from hub.db.session import Database
    from hub.idempotency import RequestKey

LONGEST_TTL: Final = 86_400
_MOST_TOGETHER: Final = 128
_LANES: Final = 4
_SHORT_WAIT, _LONG_WAIT = "50ms", "10s"

_RESERVE = "SELECT n, expires_second, problem, problem_lines FROM stock_reserve(%(asked)s::json)"
_STORED = """
SELECT stored.principal, stored.key, stored.route, stored.digest, stored.outcome, held.id, held.channel,
       held.first_expiry
FROM unnest(%(principals)s::text[], %(keys)s::text[]) AS asked(principal, key)
JOIN idempotency_key AS stored USING (principal, key)
LEFT JOIN reservation AS held ON held.id = stored.reservation_id
"""
_READ = """
SELECT held.id, held.principal, held.channel, held.cart_id, held.asked, held.created_at, held.expires_second,
       CASE WHEN held.state = 'active' AND held.expires_second <= GREATEST(
                     EXTRACT(EPOCH FROM clock_timestamp()),
                     (SELECT max(level.closed_through) FROM reservation_line AS line
                      JOIN stock_level AS level USING (item_id, location_id) WHERE line.reservation_id = held.id))
            THEN 'expired' ELSE held.state END,
       held.ended_at, held.order_no
FROM reservation AS held WHERE held.id = %(id)s
"""
_TRANSFER = "SELECT state, problem, problem_lines FROM stock_transfer(%(id)s, %(location)s, %(everywhere)s)"
_COMMIT = """
SELECT state, committed_as, problem, problem_lines
FROM stock_commit(%(id)s, %(order_no)s, %(reference)s, %(again)s)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """What is asked for: `quantity` of the base unit, above zero."""

    sku: str
    location: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Wish:
    """One request for a reservation, which counts once by its key."""

    key: RequestKey
    channel: str
    lines: tuple[Line, ...]
    ttl_seconds: int
    cart_id: str = ""
    everywhere: bool = False
    """Also at places that do not sell online."""
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Held:
    """It is reserved, until `expires_at`. `replayed`: by an earlier request with the same key."""

    id: UUID
    channel: str
    expires_at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was reserved. `problem` is insufficient, frozen or unknown; `lines` are those that failed."""

    problem: str
    lines: tuple[Mapping[str, Any], ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as it stands: active, committed (then as `order_no`), released or expired."""

    id: UUID
    principal: str
    channel: str
    cart_id: str
    lines: tuple[Line, ...]
    created_at: datetime
    expires_at: datetime
    state: str
    ended_at: datetime | None
    order_no: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a commit or a transfer.

    `state` is that of the reservation afterwards, `order_no` the number it is committed under. `problem` is
    insufficient, frozen or unknown when there was no room for it; `lines` are those that lack.
    """

    state: str
    order_no: str | None = None
    problem: str | None = None
    lines: tuple[Mapping[str, Any], ...] = ()


class Reserving:
    """The group commit of one process: requests that wait at the same moment share a statement.

    A level that something else has locked, a large read for instance, keeps only those waiting that ask for it: their
    requests leave the common statement after a moment and wait in a lane of their own.
    """

    def __init__(self, database: Database) -> None:
        # The tables may be tiny when a plan is made and large when it is used.
        rules = {"default_transaction_isolation": "read\\ committed", "enable_seqscan": "off"}
        self._engines = (
            database.planned_engine(**rules, lock_timeout=_SHORT_WAIT),
            database.planned_engine(**rules, lock_timeout=_LONG_WAIT),
        )
        together, alone = self._engines
        self._together: Gathered[Wish, Held | Refused] = Gathered(partial(reserve, together), most=_MOST_TOGETHER)
        self._alone: Gathered[Wish, Held | Refused] = Gathered(partial(reserve, alone), most=1, at_once=_LANES)

    async def ask(self, wish: Wish) -> Held | Refused:
        """Return what became of a request.

        Raises:
            KeyReusedError: its key belongs to another request.
            DBAPIError: it could not be served; it may be sent again with the same key.
        """
        try:
            return await self._together.ask(wish)
        except DBAPIError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        return await self._alone.ask(wish)

    async def close(self) -> None:
        """Give the connections back."""
        for engine in self._engines:
            await engine.dispose()


async def reserve(engine: AsyncEngine, wishes: Sequence[Wish]) -> list[Held | Refused | Exception]:
    """Serve many requests in their order; each has an outcome of its own.

    A request that breaks the statement (a deadlock, a level that stays locked) must not take the others with it: then
    each half is served for itself, down to the one that fails alone. A request whose outcome was lost with its
    connection is sent again: its key makes that harmless.
    """
    try:
        return await _reserve_together(engine, wishes)
    except DBAPIError as error:
        failure = error
    if failure.connection_invalidated:
        try:
            return await _reserve_together(engine, wishes)
        except DBAPIError as error:
            failure = error
    if len(wishes) == 1:
        return [failure]
    middle = len(wishes) // 2
    return [*await reserve(engine, wishes[:middle]), *await reserve(engine, wishes[middle:])]


async def _reserve_together(engine: AsyncEngine, wishes: Sequence[Wish]) -> list[Held | Refused | Exception]:
    asked = [_asked(number, wish) for number, wish in enumerate(wishes)]
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql(_RESERVE, {"asked": json.dumps(asked)})
        outcomes: dict[int, Held | Refused | Exception] = {
            number: Held(wishes[number].id, wishes[number].channel, _time(expires))
            if problem is None
            else Refused(problem, tuple(lines))
            for number, expires, problem, lines in rows
        }
        if len(outcomes) < len(wishes):
            known = {number: wish for number, wish in enumerate(wishes) if number not in outcomes}
            outcomes |= await _stored(connection, known)
    return [outcomes[number] for number in range(len(wishes))]


def _asked(number: int, wish: Wish) -> dict[str, Any]:
    return {
        "n": number,
        "principal": wish.key.principal,
        "key": wish.key.key,
        "route": wish.key.route,
        "digest": wish.key.digest,
        "id": str(wish.id),
        "channel": wish.channel,
        "everywhere": wish.everywhere,
        "cart": wish.cart_id,
        "ttl": wish.ttl_seconds,
        "lines": [{"sku": line.sku, "location": line.location, "quantity": str(line.quantity)} for line in wish.lines],
    }


async def _stored(connection: AsyncConnection, wishes: Mapping[int, Wish]) -> dict[int, Held | Refused | Exception]:
    """Return what became of the requests that came first with these keys."""
    rows = await connection.exec_driver_sql(
        _STORED,
        {
            "principals": [wish.key.principal for wish in wishes.values()],
            "keys": [wish.key.key for wish in wishes.values()],
        },
    )
    stored = {(row[0], row[1]): row[2:] for row in rows}
    return {number: _again(wish, stored.get((wish.key.principal, wish.key.key))) for number, wish in wishes.items()}


def _again(wish: Wish, stored: Sequence[Any] | None) -> Held | Refused | Exception:
    if stored is None:  # forgotten at this very moment
        return LookupError(f"what became of the request with key {wish.key.key} is not known any more")
    route, digest, outcome, held, channel, expires = stored
    if (route, digest.hex()) != (wish.key.route, wish.key.digest):
        return KeyReusedError(wish.key.key)
    if outcome is not None:
        return Refused(outcome["problem"], tuple(outcome["lines"]), replayed=True)
    if held is None:
        return LookupError(f"the reservation of key {wish.key.key} is gone")
    return Held(held, channel, _time(expires), replayed=held != wish.id)


async def read_reservation(connection: AsyncConnection, wanted: UUID) -> Reservation | None:
    """Return a reservation as it stands at this moment, None if there is none."""
    row = (await connection.exec_driver_sql(_READ, {"id": wanted})).first()
    if row is None:
        return None
    held, principal, channel, cart, asked, created_at, expires, state, ended_at, order_no = row
    lines = tuple(Line(line["sku"], line["location"], Decimal(line["quantity"])) for line in asked)
    expires_at = _time(expires)
    if state == "expired":
        ended_at = expires_at
    return Reservation(held, principal, channel, cart, lines, created_at, expires_at, state, ended_at, order_no)


async def release(connection: AsyncConnection, wanted: UUID) -> str | None:
    """Release a reservation and return its state afterwards, None if there is none."""
    return await _state(connection, "SELECT stock_release(%(id)s)", {"id": wanted})


async def extend(connection: AsyncConnection, wanted: UUID, ttl_seconds: int) -> str | None:
    """Let an active reservation last for `ttl_seconds` from now if that is longer; return its state, None if none."""
    return await _state(connection, "SELECT stock_extend(%(id)s, %(ttl)s)", {"id": wanted, "ttl": ttl_seconds})


async def transfer(connection: AsyncConnection, wanted: UUID, location: str, *, everywhere: bool) -> Outcome | None:
    """Move what an active reservation holds to another place, all or nothing; None if there is no such reservation."""
    values = {"id": wanted, "location": location, "everywhere": everywhere}
    row = (await connection.exec_driver_sql(_TRANSFER, values)).one()
    return None if row[0] is None else Outcome(row[0], None, row[1], tuple(row[2] or ()))


async def commit(
    connection: AsyncConnection, wanted: UUID, order_no: str, reference: str, *, again: bool
) -> Outcome | None:
    """Make an order of a reservation: what it holds becomes demand. None if there is no such reservation.

    One that is committed already stays so; `order_no` tells under which number.

    Args:
        reference: the number that the ERP's document will carry.
        again: what it held is taken once more if it has expired and there is room.

    Raises:
        IntegrityError: an order of this number takes from the same levels already.
    """
    values = {"id": wanted, "order_no": order_no, "reference": reference, "again": again}
    row = (await connection.exec_driver_sql(_COMMIT, values)).first()
    return None if row is None else Outcome(row[0], row[1], row[2], tuple(row[3] or ()))


async def _state(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> str | None:
    state: str | None = (await connection.exec_driver_sql(statement, dict(values))).scalar_one()
    return state


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
