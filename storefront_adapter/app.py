"""The app: everything is built here from its arguments, nothing when the module is imported."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from hub.access import KeyRing, load_roles
from hub.db.session import Database
from hub.gather import Gathered
from hub.stock.answers import read_in_order
from hub.stock.reservations import Reserving
from hub.sync.following import StockChanges
from storefront_adapter.api.hooks import hooks_router
from storefront_adapter.api.hot import HOT_ROUTES, Shortcut
from storefront_adapter.api.openapi import description_router, install_openapi
from storefront_adapter.api.probes import probes_router
from storefront_adapter.api.reservations import reservations_router
from storefront_adapter.api.sales import sales_router
from storefront_adapter.api.stock import stock_router
from storefront_adapter.edge import Edge
from storefront_adapter.failures import install_handlers
from storefront_adapter.metrics import Metrics
from storefront_adapter.services import Services
from storefront_adapter.staff.pages import Pages
from storefront_adapter.staff.routes import staff_router, static_files
from storefront_adapter.texts import Languages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hub.contracts import PushReceiver
    from hub.settings import Settings

_LONGEST_WAIT = "10s"
"""For rows that others have locked; then the caller is told to come again."""


def create_app(settings: Settings, database_url: str, receivers: Mapping[tuple[str, str], PushReceiver]) -> FastAPI:
    """Build the app.

    Args:
        settings: `adapter` and `database.pool_size` are used, and `config_dir` for `roles.yaml`.
        database_url: a migrated PostgreSQL.
        receivers: who reads pushes, by (system, connection) as in `/hooks/{system}/{connection}`.

    Raises:
        ConfigError: the roles file is wrong.
    """
    services = _services(settings, database_url, receivers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await services.reserving.close()
        await services.answers.dispose()
        await services.writes.dispose()
        services.database.close()

    app = FastAPI(
        title="Oneshelf",
        version=_version(),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.end_streams = services.changes.end  # for the server, which waits for answers to end before it stops
    app.add_middleware(Shortcut)
    app.add_middleware(Edge, metrics=services.metrics)  # before the shortcut: what is added last is met first
    install_handlers(app)
    app.router.routes.extend(hot.route() for hot in HOT_ROUTES)  # first, since the router tries one after another
    for router in (stock_router(), reservations_router(), sales_router(), hooks_router()):
        app.include_router(router)
    for router in (probes_router(), description_router(), staff_router()):
        app.include_router(router)
    app.mount("/staff/static", static_files())
    install_openapi(app)
    return app


def _services(settings: Settings, database_url: str, receivers: Mapping[tuple[str, str], PushReceiver]) -> Services:
    database = Database(database_url, pool_size=settings.database.pool_size)
    engine = database.async_engine(lock_timeout=_LONGEST_WAIT)
    # A read is one statement: without a transaction around it there is nothing to end.
    reads = engine.execution_options(isolation_level="AUTOCOMMIT")
    answers = database.planned_engine()
    languages = Languages(settings.adapter.default_language)
    return Services(
        settings=settings,
        database=database,
        reads=reads,
        writes=engine,
        answers=answers,
        gathered=Gathered(partial(read_in_order, answers)),
        reserving=Reserving(database),
        changes=StockChanges(reads, most=settings.adapter.streams),
        keys=KeyRing(reads, load_roles(settings.config_dir / "roles.yaml")),
        receivers=dict(receivers),
        metrics=Metrics(),
        languages=languages,
        pages=Pages(languages, settings.adapter),
    )


def _version() -> str:
    try:
        return version("oneshelf")
    except PackageNotFoundError:  # a checkout that is run without being installed
        return "0"
