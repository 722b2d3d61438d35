"""Reservations: make one, look at it, let it last longer, move it, release it, make an order of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import Response

from hub.stock.reservations import Line, Refused, Wish, commit, extend, read_reservation, release, transfer
from storefront_adapter.api.body import json_response, quantity_text, time_text
from storefront_adapter.api.requests import read_body, replayed, request_key
from storefront_adapter.api.schemas import (
    CommitRequest,
    ExtendRequest,
    ReservationAnswer,
    ReservationRequest,
    TransferRequest,
)
from storefront_adapter.api.security import principal_of, require
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import services_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from hub.access import Principal
    from hub.stock.reservations import Held, Outcome, Reservation

SCOPE = "stock:hold"
_NO_STORE = {"Cache-Control": "no-store"}
_PROBLEMS = {"insufficient": "insufficient-stock", "frozen": "location-frozen", "unknown": "unknown-line"}


def reservations_router() -> APIRouter:
    """Return the routes; making a reservation is a hot route."""
    router = APIRouter()
    for method, path, handler, summary, body in (
        ("GET", "", get_reservation, "A reservation as it stands", None),
        ("DELETE", "", delete_reservation, "Release a reservation", None),
        ("POST", "/extend", extend_reservation, "Let a reservation last longer", ExtendRequest),
        ("POST", "/transfer", transfer_reservation, "Move a reservation to another place", TransferRequest),
        ("POST", "/commit", commit_reservation, "Make an order of a reservation", CommitRequest),
    ):
        router.add_api_route(
            f"/v1/reservations/{{reservation_id}}{path}",
            handler,
            methods=[method],
            response_model=ReservationAnswer,
            summary=summary,
            dependencies=[Depends(require(SCOPE))],
            openapi_extra={"x-scope": SCOPE} | ({"x-body": body.__name__} if body else {}),
        )
    return router


async def post_reservation(request: Request) -> Response:
    """Reserve all lines or none."""
    body = await request.body()
    wanted = read_body(ReservationRequest, request, body)
    principal, services = principal_of(request), services_of(request)
    key = request_key(request, principal.key_id, "POST /v1/reservations", body)
    rules = services.settings.sales_channel(principal.channel)
    wish = Wish(
        key,
        principal.channel,
        tuple(Line(line.sku, line.location, line.quantity) for line in wanted.lines),
        wanted.ttl_seconds or rules.ttl_seconds,
        wanted.cart_id,
        everywhere=rules.everywhere,
    )
    outcome = await services.reserving.ask(wish)
    if isinstance(outcome, Refused):
        raise ProblemError(
            _PROBLEMS[outcome.problem], extra={"lines": list(outcome.lines)}, headers=replayed(outcome.replayed)
        )
    return _made(wish, outcome)


def _made(wish: Wish, held: Held) -> Response:
    answer = {
        "id": str(held.id),
        "state": "active",
        "channel": held.channel,
        "cart_id": wish.cart_id,
        "lines": _lines(wish.lines),
        "expires_at": time_text(held.expires_at),
        "ended_at": None,
        "order_no": None,
    }
    headers = {**_NO_STORE, "Location": f"/v1/reservations/{held.id}", **replayed(held.replayed)}
    return json_response(answer, 201, headers)


async def get_reservation(request: Request, reservation_id: UUID) -> Response:
    """Answer how a reservation stands at this moment."""
    async with services_of(request).reads.connect() as connection:
        return json_response(await _answer(connection, principal_of(request), reservation_id), headers=_NO_STORE)


async def delete_reservation(request: Request, reservation_id: UUID) -> Response:
    """Release a reservation; one that was released or has expired before is answered the same way."""
    principal = principal_of(request)
    async with services_of(request).writes.begin() as connection:
        await _own(connection, principal, reservation_id)
        if await release(connection, reservation_id) == "committed":
            raise ProblemError("reservation-committed")
        return json_response(await _answer(connection, principal, reservation_id), headers=_NO_STORE)


async def extend_reservation(request: Request, reservation_id: UUID) -> Response:
    """Let an active reservation last for so many seconds from now."""
    principal = principal_of(request)
    wanted = read_body(ExtendRequest, request, await request.body())
    async with services_of(request).writes.begin() as connection:
        await _own(connection, principal, reservation_id)
        state = await extend(connection, reservation_id, wanted.ttl_seconds)
        answer = await _answer(connection, principal, reservation_id)
    if state != "active":
        raise ProblemError(f"reservation-{state}")
    return json_response(answer, headers=_NO_STORE)


async def transfer_reservation(request: Request, reservation_id: UUID) -> Response:
    """Move what an active reservation holds to another place, all of it or nothing."""
    principal, services = principal_of(request), services_of(request)
    wanted = read_body(TransferRequest, request, await request.body())
    rules = services.settings.sales_channel(principal.channel)
    async with services.writes.begin() as connection:
        await _own(connection, principal, reservation_id)
        outcome = await transfer(connection, reservation_id, wanted.location, everywhere=rules.everywhere)
        _refuse(outcome, "active")
        return json_response(await _answer(connection, principal, reservation_id), headers=_NO_STORE)


async def commit_reservation(request: Request, reservation_id: UUID) -> Response:
    """Make an order of a reservation; the same order of the same reservation is answered the same way again."""
    principal = principal_of(request)
    wanted = read_body(CommitRequest, request, await request.body())
    again = wanted.if_expired == "reserve_again"
    try:
        async with services_of(request).writes.begin() as connection:
            await _own(connection, principal, reservation_id)
            outcome = await commit(connection, reservation_id, wanted.order_no, wanted.order_no, again=again)
            _refuse(outcome, "committed")
            answer = await _answer(connection, principal, reservation_id)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise ProblemError("order-number-used") from None
        raise
    if answer["order_no"] != wanted.order_no:
        raise ProblemError("reservation-committed")
    return json_response(answer, headers=_NO_STORE)


def _refuse(outcome: Outcome | None, wanted: str) -> None:
    """Refuse what did not come about."""
    if outcome is None:
        raise ProblemError("reservation-not-found")
    if outcome.problem is not None:
        raise ProblemError(_PROBLEMS[outcome.problem], extra={"lines": list(outcome.lines)})
    if outcome.state != wanted:
        raise ProblemError(f"reservation-{outcome.state}")


async def _own(connection: AsyncConnection, principal: Principal, wanted: UUID) -> Reservation:
    """Return a reservation of the caller's channel.

    Raises:
        ProblemError: there is none.
    """
    found = await read_reservation(connection, wanted)
    if found is None or found.channel != principal.channel:
        raise ProblemError("reservation-not-found")
    return found


async def _answer(connection: AsyncConnection, principal: Principal, wanted: UUID) -> dict[str, Any]:
    found = await _own(connection, principal, wanted)
    return {
        "id": str(found.id),
        "state": found.state,
        "channel": found.channel,
        "cart_id": found.cart_id,
        "lines": _lines(found.lines),
        "expires_at": time_text(found.expires_at),
        "ended_at": time_text(found.ended_at),
        "order_no": found.order_no,
    }


def _lines(lines: tuple[Line, ...]) -> list[Mapping[str, str]]:
    return [{"sku": line.sku, "location": line.location, "quantity": quantity_text(line.quantity)} for line in lines]
