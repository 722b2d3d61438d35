"""Lists: stock in the order of its change, and the places that hold it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from starlette.requests import Request
from starlette.responses import Response

from hub.stock.reading import Place, read_changes, read_places, safe_since, unknown_places
from storefront_adapter.api.body import CACHE_CONTROL, json_response, level_body, time_text
from storefront_adapter.api.cursor import Cursor, filter_digest, read_cursor, write_cursor
from storefront_adapter.api.places import location_not_found, wanted_locations
from storefront_adapter.api.schemas import LocationAnswer, LocationList, StockPage
from storefront_adapter.api.security import principal_of, require
from storefront_adapter.services import services_of

_CACHING = {"Cache-Control": CACHE_CONTROL}


def stock_router() -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    for path, handler, scope, answer, summary in (
        ("/v1/stock", list_stock, "stock:read", StockPage, "Stock in the order of its change"),
        ("/v1/locations", list_locations, "locations:read", LocationList, "All places"),
        ("/v1/locations/{code}", get_location, "locations:read", LocationAnswer, "One place"),
    ):
        router.add_api_route(
            path,
            handler,
            methods=["GET"],
            response_model=answer,
            summary=summary,
            dependencies=[Depends(require(scope))],
            openapi_extra={"x-scope": scope},
        )
    return router


async def list_stock(
    request: Request,
    location: Annotated[list[str] | None, Query(description="Only these places; may be repeated")] = None,
    updated_since: Annotated[AwareDatetime | None, Query(description="Only levels changed at or after it")] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Walk over levels in the order of their change; a level that changes meanwhile is met again."""
    locations = wanted_locations(location or [])
    digest = filter_digest({"location": sorted(locations or []), "updated_since": time_text(updated_since)})
    before = read_cursor(cursor, digest) if cursor else None
    async with services_of(request).reads.connect() as connection:
        if before is None:
            if unknown := await unknown_places(connection, locations or []):
                raise location_not_found(unknown[0])
            next_since = await safe_since(connection)
        else:
            next_since = before.next_since
        rows = await read_changes(
            connection,
            locations=locations,
            since=updated_since,
            after=before.position if before else None,
            limit=limit + 1,
            channel=principal_of(request).channel,
        )
    shown = rows[:limit]
    more = len(rows) > limit
    body = {
        "items": [
            {"sku": row.sku, **level_body(row.level), "changed_at": time_text(row.position.changed_at)} for row in shown
        ],
        "next_cursor": write_cursor(Cursor(shown[-1].position, next_since), digest) if more else None,
        "next_updated_since": None if more else time_text(next_since),
    }
    return json_response(body, headers=_CACHING)


async def list_locations(request: Request) -> Response:
    """List all active places in their configured order."""
    async with services_of(request).reads.connect() as connection:
        places = await read_places(connection)
    return json_response({"items": [_place_body(place) for place in places]}, headers=_CACHING)


async def get_location(request: Request, code: str) -> Response:
    """Return one active place."""
    async with services_of(request).reads.connect() as connection:
        places = await read_places(connection)
    for place in places:
        if place.code == code:
            return json_response(_place_body(place), headers=_CACHING)
    raise location_not_found(code)


def _place_body(place: Place) -> dict[str, Any]:
    body: dict[str, Any] = {name: getattr(place, name) for name in LocationAnswer.model_fields}
    body["as_of"] = time_text(place.as_of)
    return body
