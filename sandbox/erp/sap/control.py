"""The control endpoints: what the demo and the tests use to make things happen in the ERP. They need no log-on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.erp.sap.movements import PostingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from sandbox.erp.sap.world import Posted, World

_MOST_MOVES: Final = 10_000
_MOVED: Final = 201
_NOTHING_TO_POST: Final = 200


def control_routes(world: World) -> list[Route]:
    """Return the routes under `/__world`."""

    async def movements(request: Request) -> JSONResponse:
        order = await _body(request)
        try:
            posted = await run_in_threadpool(world.move, order)
        except PostingError as refused:
            return _refused(refused)
        return JSONResponse(posted.as_json(), status_code=_MOVED if posted.number else _NOTHING_TO_POST)

    async def cancel(request: Request) -> JSONResponse:
        order = await _body(request)
        return await _turn(partial(world.cancel, item=order.get("item")), order)

    async def post_again(request: Request) -> JSONResponse:
        return await _turn(world.post_again, await _body(request))

    async def moves(request: Request) -> JSONResponse:
        order = await _body(request)
        count, seconds = int(order.get("count", 1)), float(order.get("over_seconds", 0))
        post = partial(world.random_moves, everywhere=bool(order.get("everywhere")))
        documents = await run_in_threadpool(post, min(max(count, 0), _MOST_MOVES), seconds)
        return JSONResponse({"documents": [posted.as_json() for posted in documents]}, status_code=_MOVED)

    async def stock(_: Request) -> JSONResponse:
        return JSONResponse({"rows": await run_in_threadpool(world.stock)})

    async def totals(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(world.totals))

    async def info(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(world.info))

    async def reset(_: Request) -> JSONResponse:
        await run_in_threadpool(world.reset)
        return JSONResponse(await run_in_threadpool(world.info))

    return [
        Route("/__world/movements", movements, methods=["POST"]),
        Route("/__world/cancel", cancel, methods=["POST"]),
        Route("/__world/post-again", post_again, methods=["POST"]),
        Route("/__world/moves", moves, methods=["POST"]),
        Route("/__world/reset", reset, methods=["POST"]),
        Route("/__world/stock", stock, methods=["GET"]),
        Route("/__world/totals", totals, methods=["GET"]),
        Route("/__world/info", info, methods=["GET"]),
    ]


async def _turn(posting: Callable[..., Posted], order: Mapping[str, Any]) -> JSONResponse:
    """Post what follows from the document that the order names; answer with the new document."""
    number, year = str(order.get("material_document", "")), str(order.get("year", ""))
    try:
        posted = await run_in_threadpool(posting, number, year, allow_negative=bool(order.get("allow_negative")))
    except PostingError as refused:
        return _refused(refused)
    return JSONResponse(posted.as_json(), status_code=_MOVED)


async def _body(request: Request) -> dict[str, Any]:
    content: dict[str, Any] = await request.json() if await request.body() else {}
    return content


def _refused(refused: PostingError) -> JSONResponse:
    return JSONResponse({"error": refused.english, "code": refused.code}, status_code=409)
