"""The staff page's routes: sign-in, choice of the store, and the screens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from hub.alerts.texts import SEVERITIES, Voice, Words
from hub.stock.reading import read_feeds
from storefront_adapter.pipeline import read_alerts, read_backlog, read_quarantine
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import TEMPLATE, services_of
from storefront_adapter.staff.explain import explain_page
from storefront_adapter.staff.find import card_fragment, find_page
from storefront_adapter.staff.listing import export_list, stock_page
from storefront_adapter.staff.pages import STATIC_DIR
from storefront_adapter.staff.visit import (
    HOME,
    SESSION_COOKIE,
    SESSION_SECONDS,
    STORE_COOKIE,
    SignInNeededError,
    Visit,
    open_visit,
    refuse_foreign_form,
    safe_next,
    sign_in,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from starlette.types import Scope

    from hub.alerts.book import OpenAlert

    Screen = Callable[[Visit], Awaitable[Response]]
    Endpoint = Callable[[Request], Coroutine[None, None, Response]]

_SIGN_IN = f"{HOME}/sign-in"


def staff_router() -> APIRouter:
    """Return the routes, which are no part of the API."""
    router = APIRouter(include_in_schema=False)
    for path, screen in (
        (HOME, find_page),
        (f"{HOME}/card", card_fragment),
        (f"{HOME}/explain", explain_page),
        (f"{HOME}/stock", stock_page),
        (f"{HOME}/export.xlsx", export_list),
        (f"{HOME}/ops", ops_page),
        (f"{HOME}/store", store_page),
    ):
        router.add_route(path, _screen(path, screen), methods=["GET"])
    router.add_route(f"{HOME}/store", choose_store, methods=["POST"])
    router.add_route(_SIGN_IN, sign_in_page, methods=["GET"])
    router.add_route(_SIGN_IN, sign_in_form, methods=["POST"])
    router.add_route(f"{HOME}/sign-out", sign_out, methods=["POST"])
    return router


def static_files() -> StaticFiles:
    """Return the app that serves the files of the page."""
    return _StaticFiles(directory=STATIC_DIR)


class _StaticFiles(StaticFiles):
    """Files whose addresses change with their content: kept for good by browsers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        scope[TEMPLATE] = "/staff/static"
        response = await super().get_response(path, scope)
        versioned = scope.get("query_string", b"").startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def _screen(path: str, screen: Screen) -> Endpoint:
    async def serve(request: Request) -> Response:
        request.scope[TEMPLATE] = path
        try:
            visit = await open_visit(request)
        except SignInNeededError:
            return _to_sign_in(request)
        return await screen(visit)

    return serve


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("hx-request"):
        # A part of a page can't show the form: the whole page has to go there.
        return Response(status_code=204, headers={"HX-Redirect": _SIGN_IN})
    url = request.url
    wish = url.path + (f"?{url.query}" if url.query else "")
    return RedirectResponse(f"{_SIGN_IN}?{urlencode({'next': wish})}", 303)


async def ops_page(visit: Visit) -> Response:
    """Show how the sources do and what waits."""
    if not visit.may_see_ops:
        raise ProblemError("missing-scope")
    services = services_of(visit.request)
    async with services.reads.connect() as connection:
        feeds = await read_feeds(connection)
        backlog = await read_backlog(connection)
        records = await read_quarantine(connection)
        alerts = await read_alerts(connection)
    spoken = _spoken(visit, alerts)
    return services.pages.render(
        visit, "ops.html", tab="ops", alerts=spoken, feeds=feeds, backlog=backlog, records=records
    )


def _spoken(visit: Visit, alerts: Sequence[OpenAlert]) -> list[tuple[OpenAlert, Words, bool]]:
    """Return each alert with its words in the visitor's language, and whether it is critical."""
    services = services_of(visit.request)
    voice = replace(Voice.of(services.settings.adapter), language=services.pages.language(visit.request).code)
    return [
        (alert, voice.words(alert.kind, alert.subject, alert.facts), SEVERITIES[alert.kind] == "critical")
        for alert in alerts
    ]


async def store_page(visit: Visit) -> Response:
    """Let the clerk say which store this is."""
    wish = safe_next(visit.request.query_params.get("next"))
    return services_of(visit.request).pages.render(visit, "store.html", tab="store", next=wish)


async def choose_store(request: Request) -> Response:
    """Remember the clerk's store on this device."""
    refuse_foreign_form(request)
    try:
        visit = await open_visit(request)
    except SignInNeededError:
        return _to_sign_in(request)
    fields = await _fields(request)
    response = RedirectResponse(safe_next(fields.get("next")), 303)
    code = fields.get("code", "")
    if any(place.code == code for place in visit.places):
        services_of(request).pages.set_cookie(response, STORE_COOKIE, code)
    return response


async def sign_in_page(request: Request) -> Response:
    """Show the form, or go on if nobody has to sign in."""
    wish = safe_next(request.query_params.get("next"))
    services = services_of(request)
    if services.settings.adapter.staff_open:
        return RedirectResponse(wish, 303)
    return services.pages.plain(request, "sign_in.html", next=wish, failed=False)


async def sign_in_form(request: Request) -> Response:
    """Open a session for the holder of a key."""
    refuse_foreign_form(request)
    fields = await _fields(request)
    wish = safe_next(fields.get("next"))
    pages = services_of(request).pages
    session = await sign_in(request, fields.get("key", ""))
    if session is None:
        return pages.plain(request, "sign_in.html", status=403, next=wish, failed=True)
    response = RedirectResponse(wish, 303)
    pages.set_cookie(response, SESSION_COOKIE, session, SESSION_SECONDS)
    return response


async def sign_out(request: Request) -> Response:
    """End the session on this device."""
    refuse_foreign_form(request)
    response = RedirectResponse(_SIGN_IN, 303)
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


async def _fields(request: Request) -> dict[str, str]:
    form = await request.form()
    return {name: value for name, value in form.items() if not isinstance(value, UploadFile)}
