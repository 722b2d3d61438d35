"""Probes: alive, ready, and figures for monitors."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from hub.clock import utc_now
from hub.db.migrate import current_revision, head_revision
from hub.stock.reading import FeedState, read_feeds
from storefront_adapter.api.body import json_response, time_text
from storefront_adapter.api.schemas import Health
from storefront_adapter.api.security import authorise
from storefront_adapter.pipeline import Backlog, read_alerts, read_backlog
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import Services, services_of

_PATIENCE_SECONDS = 3.0
_NO_STORE = {"Cache-Control": "no-store"}


def probes_router() -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    router.get("/livez", response_model=Health, summary="The process answers")(livez)
    router.get("/readyz", response_model=Health, summary="The service can do its work")(readyz)
    router.get("/metrics", response_class=Response, summary="Figures for Prometheus")(metrics)
    return router


async def livez() -> Response:
    """Answer without touching anything else."""
    return json_response({"status": "ok"}, headers=_NO_STORE)


async def readyz(request: Request) -> Response:
    """Check database, schema and sources; stale sources are a warning, since old numbers still answer."""
    services = services_of(request)
    checks: dict[str, Any] = {"database": "ok"}
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), services.reads.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        checks["database"] = "unreachable"
        raise ProblemError("not-ready", extra={"checks": checks}) from error
    checks["migrations"] = await _migrations(services)
    if checks["migrations"] != "ok":
        raise ProblemError("not-ready", extra={"checks": checks})
    async with services.reads.connect() as connection:
        feeds = await read_feeds(connection)
        backlog = await read_backlog(connection)
    checks["feeds"] = {feed.source: _feed_body(feed) for feed in feeds}
    checks["watch"] = _watch_body(backlog, services.settings.alerts.watch_late_seconds)
    warnings = [f"feed {feed.source} is stale" for feed in feeds if feed.stale]
    if checks["watch"]["status"] == "late":
        warnings.append("nobody looks whether all is well: alerts are not told")
    return json_response({"status": "ready", "checks": checks, "warnings": warnings}, headers=_NO_STORE)


async def _migrations(services: Services) -> str:
    current = await run_in_threadpool(current_revision, services.database)
    head = await run_in_threadpool(head_revision)
    return "ok" if current == head else f"at {current or 'none'}, needs {head}"


def _feed_body(feed: FeedState) -> dict[str, Any]:
    return {"status": "stale" if feed.stale else "ok", "read_at": time_text(feed.read_at)}


def _watch_body(backlog: Backlog, late_seconds: int) -> dict[str, Any]:
    """Tell when somebody last looked for alerts: who watches from outside sees here that the watcher is gone."""
    if backlog.looked_at is None:
        return {"status": "never", "looked_at": None}
    late = late_seconds > 0 and (utc_now() - backlog.looked_at).total_seconds() > late_seconds
    return {"status": "late" if late else "ok", "looked_at": time_text(backlog.looked_at)}


async def metrics(request: Request) -> Response:
    """Return all figures, to monitors on this machine and to holders of ops:read."""
    if not _is_local(request):
        await authorise(request, "ops:read")
    services = services_of(request)
    async with services.reads.connect() as connection:
        feeds = await read_feeds(connection)
        backlog = await read_backlog(connection)
        alerts = await read_alerts(connection)
    text = services.metrics.exposition(feeds, backlog, alerts)
    return Response(text, media_type=CONTENT_TYPE_LATEST, headers=_NO_STORE)


def _is_local(request: Request) -> bool:
    """Tell whether the caller is on this machine; what a proxy on it passes on is not."""
    if request.client is None or {"forwarded", "x-forwarded-for", "x-real-ip"} & set(request.headers):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
