"""Why a number is what it is, on the staff page: the sum term by term, and a picture of the day before."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hub.stock.explain import explain, snapshot
from hub.stock.timeline import read_timeline
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import services_of
from storefront_adapter.staff.picture import HEIGHT, WIDTH, draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from storefront_adapter.staff.visit import Visit


async def explain_page(visit: Visit) -> Response:
    """Explain the number of an item at a place, now or at a moment that the visitor chooses."""
    if not visit.may_explain:
        raise ProblemError("missing-scope")
    services = services_of(visit.request)
    query = visit.request.query_params
    zone = ZoneInfo(services.settings.adapter.time_zone)
    at, known_at = (_moment(query, name, zone) for name in ("at", "known_at"))
    async with snapshot(services.writes) as connection:
        found = await explain(connection, query.get("sku", ""), query.get("place", ""), at=at, known_at=known_at)
        timeline = await read_timeline(connection, found)
    return services.pages.render(
        visit,
        "explain.html",
        tab="find",
        found=found,
        timeline=timeline,
        picture=draw(timeline),
        width=WIDTH,
        height=HEIGHT,
        chosen={"at": _field(at, zone), "known_at": _field(known_at, zone)},
    )


def _moment(query: Mapping[str, str], name: str, zone: ZoneInfo) -> datetime | None:
    """Return a time of the form, which is local, or one with its own offset."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ProblemError("validation-failed", errors=[{"pointer": f"/query/{name}", "detail": "no time"}]) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _field(moment: datetime | None, zone: ZoneInfo) -> str:
    """Return a time as the form's field takes it."""
    return "" if moment is None else moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")
