"""The hot routes: plain Starlette routes, since most of the traffic asks one of these questions.

One table gives each its path, scope and shapes; routing and the API's description are both made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.routing import Route

from hub.stock.reading import is_storable, read_stock, unknown_places
from storefront_adapter.api.body import (
    CACHE_CONTROL,
    entity_tag,
    json_response,
    stock_body,
    tag_matches,
)
from storefront_adapter.api.schemas import LOOKUP_LIMIT, LookupAnswer, LookupRequest, Stock
from storefront_adapter.api.security import authorise
from storefront_adapter.failures import pointer_errors
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import TEMPLATE, services_of
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection
    from starlette.requests import Request

    Handler = Callable[[Request], Awaitable[Response]]

MOST_LOCATIONS = 1000


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
    statuses: tuple[int, ...] = ()

    def route(self) -> Route:
        """Return the route, which checks the scope first."""

        async def guarded(request: Request) -> Response:
            request.scope[TEMPLATE] = self.path
            await authorise(request, self.scope)
            return await self.handler(request)

        return Route(self.pattern, guarded, methods=[self.method], name=self.handler.__name__)


async def get_stock(request: Request) -> Response:
    """Answer what one SKU has, or that nothing changed since the caller's last look."""
    sku = str(request.path_params["sku"])
    locations = wanted_locations(request.query_params.getlist("location"))
    async with services_of(request).reads.connect() as connection:
        stock = (await read_stock(connection, [sku], locations)).get(sku)
        if stock is None:
            raise ProblemError("sku-not-found", N_("No item has the SKU %(sku)s."), {"sku": sku})
        await _refuse_unknown(connection, locations, found={level.location for level in stock.levels})
    body = stock_body(stock)
    tag = entity_tag(body)
    headers = {"ETag": tag, "Cache-Control": CACHE_CONTROL}
    if body["as_of"]:
        headers["X-Stock-As-Of"] = body["as_of"]
    if tag_matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return json_response(body, headers=headers)


async def lookup_stock(request: Request) -> Response:
    """Answer what many SKUs have."""
    wanted = await _lookup_request(request)
    skus = list(dict.fromkeys(wanted.skus))
    locations = wanted_locations(wanted.locations or ())
    async with services_of(request).reads.connect() as connection:
        found = await read_stock(connection, skus, locations)
        present = {level.location for stock in found.values() for level in stock.levels}
        await _refuse_unknown(connection, locations, found=present)
    body = {
        "items": [stock_body(found[sku]) for sku in skus if sku in found],
        "not_found": [sku for sku in skus if sku not in found],
    }
    return json_response(body, headers={"Cache-Control": CACHE_CONTROL})


def wanted_locations(codes: Collection[str]) -> list[str] | None:
    """Return the location codes that a caller names, each once; None if it names none.

    Raises:
        ProblemError: a code can't be one, or there are too many.
    """
    named = list(dict.fromkeys(code for code in codes if code))
    if len(named) > MOST_LOCATIONS:
        errors = [{"pointer": "/query/location", "detail": f"at most {MOST_LOCATIONS}"}]
        raise ProblemError("validation-failed", errors=errors)
    for code in named:
        if not is_storable(code):
            raise location_not_found(code)
    return named or None


def location_not_found(code: str) -> ProblemError:
    """Return the problem of a code that no active location has."""
    return ProblemError("location-not-found", N_("No active location has the code %(code)s."), {"code": code})


async def _refuse_unknown(connection: AsyncConnection, locations: list[str] | None, found: Collection[str]) -> None:
    # Only a place without any of these items needs a look at the list of places.
    if missing := [code for code in locations or () if code not in found]:
        unknown = await unknown_places(connection, missing)
        if unknown:
            raise location_not_found(unknown[0])


async def _lookup_request(request: Request) -> LookupRequest:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ProblemError("unsupported-media-type")
    try:
        return LookupRequest.model_validate_json(await request.body())
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        raise ProblemError("validation-failed", errors=pointer_errors([{**part} for part in errors])) from None


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
        "/v1/stock/{sku}",
        "/v1/stock/{sku:path}",
        get_stock,
        "stock:read",
        "Stock of one SKU",
        "Totals and every place that has a level. `available` is never below 0; a read is a hint, not a promise."
        " A slash in the SKU must be sent as %2F; where a proxy in between decodes it, use lookup.",
        Stock,
        parameters=(_SKU, _LOCATION, _IF_NONE_MATCH),
        statuses=(404,),
    ),
)
