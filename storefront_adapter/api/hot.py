"""The hot routes: plain Starlette routes, since most of the traffic asks one of these questions.

One table gives each its path, scope and shapes; routing and the API's description are both made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from hub.stock.answers import Question, read_answers
from hub.stock.reading import unknown_places
from storefront_adapter.api.body import CACHE_CONTROL, entity_tag, json_text, tag_matches
from storefront_adapter.api.explain import SCOPE as EXPLAIN_SCOPE
from storefront_adapter.api.explain import explain_stock
from storefront_adapter.api.places import location_not_found, wanted_locations
from storefront_adapter.api.requests import read_body
from storefront_adapter.api.reservations import SCOPE, post_reservation
from storefront_adapter.api.schemas import (
    LOOKUP_LIMIT,
    LookupAnswer,
    LookupRequest,
    ReservationAnswer,
    ReservationRequest,
    Stock,
    StockChanged,
    StockExplanation,
)
from storefront_adapter.api.security import authorise, principal_of
from storefront_adapter.api.stream import MEDIA_TYPE as EVENT_STREAM
from storefront_adapter.api.stream import SCOPE as STREAM_SCOPE
from storefront_adapter.api.stream import stream_stock
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import TEMPLATE, services_of
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from hub.stock.answers import Answer
    from storefront_adapter.services import Services

    Handler = Callable[[Request], Awaitable[Response]]


class _SentRoute(Route):
    """A route whose words behind a SKU must stand in the address as it was sent: a SKU may hold them behind a %2F."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether the route serves a request."""
        _, parameter, behind = self.path.rpartition("}")
        sent: bytes | None = scope.get("raw_path")
        if parameter and sent is not None and not sent.endswith(behind.encode()):
            return Match.NONE, {}
        return super().matches(scope)


@dataclass(frozen=True, slots=True)
class HotRoute:
    """One hot route. `path` is as the description has it, `pattern` as the router needs it."""

    method: str
    path: str
    pattern: str
    handler: Handler
    scope: str
    summary: str
    description: str
    answer: type[BaseModel]
    request: type[BaseModel] | None = None
    parameters: tuple[Mapping[str, Any], ...] = ()
    success: int = 200
    media_type: str = "application/json"
    statuses: tuple[int, ...] = ()

    @property
    def fixed(self) -> bool:
        """Tell whether the path is always the same."""
        return "{" not in self.path

    def route(self) -> Route:
        """Return the route. Given an object, not a function, Starlette adds nothing of its own around it."""
        return _SentRoute(self.pattern, self, methods=[self.method], name=self.handler.__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request as an ASGI app: check the scope first, then answer."""
        scope[TEMPLATE] = self.path
        request = Request(scope, receive, send)
        request.state.principal = await authorise(request, self.scope)
        response = await self.handler(request)
        await response(scope, receive, send)


class Shortcut:
    """ASGI middleware: hot routes are served past the framework's layers, which cost as much as such an answer itself.

    What a route raises is for who stands before this to answer, what is no hot route's for who stands behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._fixed = {(hot.method, hot.path): hot for hot in HOT_ROUTES if hot.fixed}
        self._others = [(hot.method, hot.route()) for hot in HOT_ROUTES if not hot.fixed]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self._app if scope["type"] != "http" else self._find(scope) or self._app
        await app(scope, receive, send)

    def _find(self, scope: Scope) -> ASGIApp | None:
        if fixed := self._fixed.get((scope["method"], scope["path"])):
            return fixed
        for method, route in self._others:
            if method == scope["method"]:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    return route.app
        return None


async def get_stock(request: Request) -> Response:
    """Answer what one SKU has, or that nothing changed since the caller's last look."""
    sku = str(request.path_params["sku"])
    locations = wanted_locations(request.query_params.getlist("location"))
    services, channel = services_of(request), principal_of(request).channel
    if locations is None:
        answer = await services.gathered.ask(Question(sku, channel))
    else:
        answer = (await read_answers(services.answers, [sku], locations, channel=channel)).get(sku)
    if answer is None:
        raise ProblemError("sku-not-found", N_("No item has the SKU %(sku)s."), {"sku": sku})
    await _refuse_unknown(services, locations, [answer])
    tag = entity_tag(answer.body)
    headers = {"ETag": tag, "Cache-Control": CACHE_CONTROL}
    if answer.as_of:
        headers["X-Stock-As-Of"] = answer.as_of
    if tag_matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type="application/json")


async def lookup_stock(request: Request) -> Response:
    """Answer what many SKUs have."""
    wanted = read_body(LookupRequest, request, await request.body())
    skus = list(dict.fromkeys(wanted.skus))
    locations = wanted_locations(wanted.locations or ())
    services = services_of(request)
    found = await read_answers(services.answers, skus, locations, channel=principal_of(request).channel)
    await _refuse_unknown(services, locations, found.values())
    items = ",".join(found[sku].body for sku in skus if sku in found)
    not_found = json_text([sku for sku in skus if sku not in found])
    body = f'{{"items":[{items}],"not_found":{not_found}}}'.encode("utf-8", "replace")
    return Response(body, headers={"Cache-Control": CACHE_CONTROL}, media_type="application/json")


async def _refuse_unknown(services: Services, locations: list[str] | None, answers: Collection[Answer]) -> None:
    # A look at the list of places is needed only when none of these items is at all of them.
    if locations is None or any(answer.places == len(locations) for answer in answers):
        return
    async with services.reads.connect() as connection:
        if unknown := await unknown_places(connection, locations):
            raise location_not_found(unknown[0])


_SKU = {"name": "sku", "in": "path", "required": True, "schema": {"type": "string"}, "description": "percent-encoded"}
_LOCATION = {
    "name": "location",
    "in": "query",
    "required": False,
    "schema": {"type": "array", "items": {"type": "string"}},
    "description": "Only these places; may be repeated",
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "ETag of an earlier answer: 304 if nothing but its age has changed",
}
_PLACE = {
    "name": "location",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "maxLength": 40},
    "description": "The place",
}
_AT = {
    "name": "at",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "format": "date-time"},
    "description": "The moment of the business that is explained; without it that of `known_at`",
}
_KNOWN_AT = {
    "name": "known_at",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "format": "date-time"},
    "description": "As known at this moment; without it with all that is known today",
}
_SKUS = {
    "name": "sku",
    "in": "query",
    "required": False,
    "schema": {"type": "array", "items": {"type": "string"}, "maxItems": LOOKUP_LIMIT},
    "description": "Only these SKUs; may be repeated",
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The last `id` of the stream before: what happened since comes first. Browsers send it themselves",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "maxLength": 255},
    "description": "The same key and body again: the same answer, and nothing happens twice",
}
# Fixed paths stand before the one that takes any SKU.
HOT_ROUTES = (
    HotRoute(
        "POST",
        "/v1/stock/lookup",
        "/v1/stock/lookup",
        lookup_stock,
        "stock:read",
        "Stock of many SKUs",
        f"Up to {LOOKUP_LIMIT} SKUs in one request; unknown ones are listed in `not_found`. Takes any SKU, also one"
        " with a slash.",
        LookupAnswer,
        request=LookupRequest,
        statuses=(404, 413, 415, 422),
    ),
    HotRoute(
        "GET",
        "/v1/stock/stream",
        "/v1/stock/stream",
        stream_stock,
        STREAM_SCOPE,
        "Changes of stock as they happen",
        "Server-Sent Events, from now on or from behind `Last-Event-ID`. `stock.changed` tells the numbers of a SKU as"
        " they are when it is sent; changes that wait together are one event. `stock.reset`, with a `reason`, says that"
        " anything may have changed: read again what you show. Connect first, then read: nothing is missed in between."
        " A comment comes at least every 15 seconds. The stream may end at any time; come back with the last `id`.",
        StockChanged,
        parameters=(_SKUS, _LOCATION, _LAST_EVENT_ID),
        media_type=EVENT_STREAM,
        statuses=(404, 422, 503),
    ),
    HotRoute(
        "GET",
        "/v1/stock/{sku}/explain",
        "/v1/stock/{sku:path}/explain",
        explain_stock,
        EXPLAIN_SCOPE,
        "Why a number is what it is",
        "The arithmetic of one level, term by term, with cause, document and time: now, in one view of the database, or"
        " at any moment of the past, with all that is known today or as known at any moment.",
        StockExplanation,
        parameters=(_SKU, _PLACE, _AT, _KNOWN_AT),
        statuses=(404, 422),
    ),
    HotRoute(
        "GET",
        "/v1/stock/{sku}",
        "/v1/stock/{sku:path}",
        get_stock,
        "stock:read",
        "Stock of one SKU",
        "Totals and every place that has a level; of a kit, what its components make. `available` is what the caller's"
        " channel may take, never below 0; a read is a hint, not a promise."
        " A slash in the SKU must be sent as %2F; where a proxy in between decodes it, use lookup.",
        Stock,
        parameters=(_SKU, _LOCATION, _IF_NONE_MATCH),
        statuses=(404,),
    ),
    HotRoute(
        "POST",
        "/v1/reservations",
        "/v1/reservations",
        post_reservation,
        SCOPE,
        "Reserve stock for a cart",
        "All lines or none; lines of one SKU at one place are summed and kits taken apart. What is reserved is offered"
        " to nobody else until `expires_at`, then it is free again at once.",
        ReservationAnswer,
        request=ReservationRequest,
        parameters=(_IDEMPOTENCY_KEY,),
        success=201,
        statuses=(400, 409, 413, 415, 422),
    ),
)
