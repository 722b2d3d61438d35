"""Pushes from other systems: verified, stored, acknowledged after the commit; the work is done elsewhere."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Path
from sqlalchemy.exc import DataError
from starlette.requests import Request
from starlette.responses import Response

from hub.contracts import PushedEvent, PushReceiver
from hub.errors import AuthFailed, RecordError
from hub.sync.inbox import CHANNEL, STORE, event_parameters
from storefront_adapter.api.body import json_response
from storefront_adapter.api.schemas import Accepted
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import services_of
from storefront_adapter.texts import N_


def hooks_router() -> APIRouter:
    """Return the route."""
    router = APIRouter()
    router.post(
        "/hooks/{system}/{connection}",
        response_model=Accepted,
        status_code=202,
        summary="A push from another system",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}},
    )(receive_push)
    return router


async def receive_push(
    request: Request,
    system: Annotated[str, Path(description="The kind of system, such as sap")],
    connection: Annotated[str, Path(description="The name of the source in the settings")],
) -> Response:
    """Store a push and acknowledge it; the same event again gets the same answer and changes nothing."""
    receiver = services_of(request).receivers.get((system, connection))
    if receiver is None:
        raise ProblemError("connection-not-found")
    event = _read_event(receiver, dict(request.headers), await request.body())
    await _store(request, receiver.source, event)
    return json_response({"event_id": event.event_id, "status": "accepted"}, 202)


def _read_event(receiver: PushReceiver, headers: dict[str, str], body: bytes) -> PushedEvent:
    try:
        return receiver.receive(headers, body)
    except AuthFailed as error:
        structlog.get_logger().warning("push_refused", source=receiver.source, reason=error.message)
        detail = N_("The sender did not prove who it is.")
        raise ProblemError("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"}) from error
    except RecordError as error:
        errors = [{"pointer": f"/{error.field}" if error.field else "", "detail": error.message}]
        raise ProblemError("event-rejected", errors=errors, extra={"reason": error.reason}) from error


async def _store(request: Request, source: str, event: PushedEvent) -> None:
    try:
        async with services_of(request).writes.begin() as connection:
            stored = await connection.exec_driver_sql(STORE, event_parameters(source, event))
            if stored.rowcount:
                await connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
    except (DataError, UnicodeEncodeError) as error:
        # JSON may spell characters that PostgreSQL can't hold; the event can't be kept, so it is not acknowledged
        detail = N_("The event holds characters that can't be stored.")
        raise ProblemError("event-rejected", detail) from error
