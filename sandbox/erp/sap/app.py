"""The ASGI app: SAP's OData services, a token endpoint, the world's control endpoints and the fault switchboard."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from sandbox.catalogue import DEMO_SEED
from sandbox.erp.sap.auth import Gatekeeper
from sandbox.erp.sap.control import control_routes
from sandbox.erp.sap.faults import FAULTS
from sandbox.erp.sap.gateway import ROOT, Gateway
from sandbox.erp.sap.resources import Reader
from sandbox.erp.sap.store import Store
from sandbox.erp.sap.world import World
from sandbox.faults import Switchboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "MERGE", "DELETE")
_SECONDS_PER_MINUTE = 60


def create_app(
    database: Path | str,
    *,
    articles: int = 2000,
    seed: int = DEMO_SEED,
    moves_per_minute: float = 0,
    page_size: int = 1000,
    behind: timedelta = timedelta(),
) -> Starlette:
    """Build the sandbox on its own SQLite file, seeded at the first start.

    Args:
        database: the SQLite file; an existing one is continued, and then `articles` and `seed` matter for
            `/__world/reset` only.
        articles: how many articles of the catalogue the retailer has.
        seed: what the articles and their stock are drawn from.
        moves_per_minute: how many random goods movements to post while the app runs.
        page_size: the most rows of one page, however large `$top` is.
        behind: how far the server's clock is behind at first.
    """
    faults = Switchboard(FAULTS)
    store = Store(database)
    world = World(store, articles=articles, seed=seed, entry_lag=lambda: _entry_lag(faults), behind=behind)
    gateway = Gateway(world, Reader(world, faults, page_size), Gatekeeper(), faults)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        traffic = asyncio.create_task(_post_moves(world, moves_per_minute)) if moves_per_minute > 0 else None
        yield
        if traffic is not None:
            traffic.cancel()
            with suppress(asyncio.CancelledError):
                await traffic
        store.close()

    app = Starlette(
        routes=[
            Route(f"{ROOT}/{{path:path}}", gateway.odata, methods=_METHODS),
            Route("/oauth/token", gateway.token, methods=["POST"]),
            *control_routes(world),
            *faults.routes(),
        ],
        lifespan=lifespan,
    )
    app.state.world = world
    app.state.faults = faults
    return app


def _entry_lag(faults: Switchboard) -> int:
    late, ahead = faults.strike("late-commit"), faults.strike("future-entry-time")
    lag = 0 if late is None else int(late.get("seconds", 30))
    return lag if ahead is None else lag - int(ahead.get("seconds", 3600))


async def _post_moves(world: World, per_minute: float) -> None:
    while True:
        await asyncio.sleep(_SECONDS_PER_MINUTE / per_minute)
        await run_in_threadpool(world.random_moves, 1)
