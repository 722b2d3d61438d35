"""The adapter's wiring for an ASGI server: `uvicorn --factory oneshelf.asgi:create_app`."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from connectors.registry import create_receiver
from flows.runtime import database_url
from hub.settings import load_settings
from hub.telemetry import configure_logging
from storefront_adapter.app import create_app as create_adapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from hub.contracts import PushReceiver
    from hub.settings import Settings


def create_app() -> FastAPI:
    """Build the adapter from the settings; an embedded database is held until the server stops.

    Raises:
        ConfigError: a setting or a config file is wrong.
    """
    settings = load_settings()
    configure_logging(level=settings.log.level, as_json=settings.log.as_json)
    with ExitStack() as stack:
        app = create_adapter(settings, stack.enter_context(database_url(settings)), push_receivers(settings))
        held = stack.pop_all()
    serve = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as ending:
            ending.callback(held.close)
            await ending.enter_async_context(serve(served))
            yield

    app.router.lifespan_context = lifespan
    return app


def push_receivers(settings: Settings) -> dict[tuple[str, str], PushReceiver]:
    """Return who reads the pushes of each enabled source that sends any.

    Raises:
        ConfigError: a source's settings are wrong.
    """
    found: dict[tuple[str, str], PushReceiver] = {}
    for name, source in settings.enabled_sources().items():
        receiver = create_receiver(source.system, name, source.connection)
        if receiver is not None:
            found[source.system, name] = receiver
    return found
