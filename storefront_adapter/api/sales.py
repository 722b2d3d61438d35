"""Sales of the stores, as their tills tell them."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from hub.sales import Sale, SoldLine, record_sale
from storefront_adapter.api.body import json_response
from storefront_adapter.api.requests import read_body, replayed
from storefront_adapter.api.schemas import SaleAnswer, SaleRequest
from storefront_adapter.api.security import principal_of, require
from storefront_adapter.services import services_of

SCOPE = "sales:write"


def sales_router() -> APIRouter:
    """Return the route."""
    router = APIRouter()
    router.add_api_route(
        "/v1/sales",
        post_sale,
        methods=["POST"],
        status_code=201,
        response_model=SaleAnswer,
        summary="Tell of a store's sale",
        description="What was sold is gone at once, whatever the stock says. Each receipt of a store counts once: the"
        " same again is answered the same way.",
        dependencies=[Depends(require(SCOPE))],
        openapi_extra={"x-scope": SCOPE, "x-body": SaleRequest.__name__},
    )
    return router


async def post_sale(request: Request) -> Response:
    """Book a sale."""
    wanted = read_body(SaleRequest, request, await request.body())
    principal, services = principal_of(request), services_of(request)
    sale = Sale(
        wanted.store,
        wanted.receipt_no,
        wanted.sold_at,
        tuple(SoldLine(line.sku, line.quantity) for line in wanted.lines),
        tuple(SoldLine(line.sku, line.quantity) for line in wanted.returns),
        wanted.member,
    )
    async with services.writes.begin() as connection:
        recorded = await record_sale(connection, sale, channel=principal.channel, principal=principal.key_id)
    answer = {
        "store": sale.store,
        "receipt_no": sale.receipt_no,
        "business_date": recorded.business_date.isoformat(),
        "reference": recorded.reference,
    }
    return json_response(answer, 201, {"Cache-Control": "no-store", **replayed(recorded.replayed)})
