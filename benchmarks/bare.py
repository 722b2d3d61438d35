"""A bare route for comparison, served by `uvicorn --factory benchmarks.bare:create_app`.

It sends the statement of a stock read for each request and answers what the database wrote: no keys, tags or figures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from hub.db.session import Database
from hub.stock.answers import read_answers

if TYPE_CHECKING:
    from starlette.requests import Request


def create_app() -> Starlette:
    """Build an app with one route that sends one statement for each request."""
    engine = Database(os.environ["ONESHELF_DATABASE__URL"]).planned_engine()

    async def read(request: Request) -> Response:
        sku = request.path_params["sku"]
        found = await read_answers(engine, [sku], channel="online")
        return Response(found[sku].body, media_type="application/json")

    return Starlette(routes=[Route("/v1/stock/{sku}", read)])
