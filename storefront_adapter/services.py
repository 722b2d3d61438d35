"""What the routes share: built once per app, found by each request through `app.state`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.requests import HTTPConnection

    from hub.access import KeyRing
    from hub.contracts import PushReceiver
    from hub.db.session import Database
    from hub.gather import Gathered
    from hub.settings import Settings
    from hub.stock.answers import Answer, Question
    from hub.stock.reservations import Reserving
    from hub.sync.following import StockChanges
    from storefront_adapter.metrics import Metrics
    from storefront_adapter.staff.pages import Pages
    from storefront_adapter.texts import Language, Languages


TEMPLATE = "oneshelf_route"
"""Where plain Starlette routes note their path template in the scope; FastAPI notes only its own."""


@dataclass(frozen=True, slots=True)
class Services:
    """Settings, connections and texts.

    `reads` commits each statement by itself; `writes` has transactions; `answers` is for stock as shops are told it,
    and `gathered` reads it by single SKUs. `reserving` is the group commit of reservations.
    `changes` is followed by the streams of stock changes.
    """

    settings: Settings
    database: Database
    reads: AsyncEngine
    writes: AsyncEngine
    answers: AsyncEngine
    gathered: Gathered[Question, Answer | None]
    reserving: Reserving
    changes: StockChanges
    keys: KeyRing
    receivers: Mapping[tuple[str, str], PushReceiver]
    metrics: Metrics
    languages: Languages
    pages: Pages


def services_of(request: HTTPConnection) -> Services:
    """Return the services of the app that serves the request."""
    return cast("Services", request.app.state.services)


def language_of(request: HTTPConnection) -> Language:
    """Return the language of an API answer: Accept-Language, else the configured one."""
    return services_of(request).languages.choose(accept=request.headers.get("accept-language", ""))


def trace_id_of(request: HTTPConnection) -> str:
    """Return the request's trace id."""
    return str(request.scope.get("trace_id", ""))
