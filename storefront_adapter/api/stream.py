"""Changes of stock as they happen, as Server-Sent Events: `GET /v1/stock/stream`.

An event tells the number that `GET /v1/stock/{sku}` gives at the moment it is sent, read after the change was
committed: it may be newer than the change that caused it, and is never older. So a number that is wrong by now is
followed by another event, and changes that wait together need one event for each item, however many they are.

The `id` of an event is its number in the outbox (`published_seq`). It stands on the last event that a number causes, so
that a client which goes on behind it has missed nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hub.stock.answers import Answer, Question, read_answers
from hub.stock.reading import unknown_places
from hub.sync.following import Interest, News, TooManyFollowersError, merge
from hub.sync.outbox import Kept, read_kept
from storefront_adapter.api.body import json_text
from storefront_adapter.api.places import location_not_found, wanted_locations
from storefront_adapter.api.schemas import LOOKUP_LIMIT
from storefront_adapter.api.security import principal_of, still_allowed
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import Services, services_of
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"
SCOPE = "stock:read"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_HEARTBEAT_SECONDS = 15.0
_CHECK_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0
"""A client that takes nothing for so long is gone."""
_COME_BACK_MILLISECONDS = 3000
_COME_BACK_SECONDS = "5"
_AT_ONCE = 100
_LONGEST_NUMBER = 18


async def stream_stock(request: Request) -> Response:
    """Tell of changes until the client goes.

    Raises:
        ProblemError: an item or a place is unknown, or too many streams are open.
    """
    services = services_of(request)
    interest = await _interest(request, services)
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    async with services.reads.connect() as connection:
        kept = await read_kept(connection)
    return _EventStream(_Telling(request, services, interest), kept)


async def _interest(request: Request, services: Services) -> Interest:
    """Return what the caller wants to hear of.

    Raises:
        ProblemError: an item or a place is unknown, or too many are named.
    """
    skus = list(dict.fromkeys(sku for sku in request.query_params.getlist("sku") if sku))
    if len(skus) > LOOKUP_LIMIT:
        errors = [{"pointer": "/query/sku", "detail": f"at most {LOOKUP_LIMIT}"}]
        raise ProblemError("validation-failed", errors=errors)
    locations = wanted_locations(request.query_params.getlist("location"))
    found = await read_answers(services.answers, skus, channel=principal_of(request).channel)
    for sku in skus:
        if sku not in found:
            raise ProblemError("sku-not-found", N_("No item has the SKU %(sku)s."), {"sku": sku})
    if locations is not None:
        async with services.reads.connect() as connection:
            if unknown := await unknown_places(connection, locations):
                raise location_not_found(unknown[0])
    return Interest(frozenset(skus) or None, frozenset(locations or ()) or None)


@dataclass(frozen=True, slots=True)
class _Telling:
    """What one client is told."""

    request: Request
    services: Services
    interest: Interest

    async def blocks(self, kept: Kept) -> AsyncIterator[str]:
        """Yield blocks of the event stream until the client may hear no more, or the process ends."""
        changes = self.services.changes
        position, opening = self._opening(kept)
        yield opening
        told_at = time.monotonic()
        waiting: list[News] = []
        try:
            while not changes.ended and await still_allowed(self.request, SCOPE):
                if not waiting:
                    found, position = await changes.after(position, seconds=_CHECK_SECONDS)
                    waiting = merge(found, self.interest)
                now, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
                text = await self._events(now, waiting[:1])
                if not now and time.monotonic() - told_at >= _HEARTBEAT_SECONDS:
                    text = f":\nid: {position}\n\n"
                if text:
                    yield text
                    told_at = time.monotonic()
        except (SQLAlchemyError, OSError) as error:
            # The client comes back, and is told what is the matter then.
            structlog.get_logger().warning("stream_cut", error=repr(error))

    def _opening(self, kept: Kept) -> tuple[int, str]:
        """Return where the client stands, and what it is told first.

        A block without data is no event, yet tells the browser its position.
        """
        retry = f"retry: {_COME_BACK_MILLISECONDS}\n"
        last = self.request.headers.get("last-event-id", "")
        if not last:
            return kept.newest, f"{retry}id: {kept.newest}\n\n"
        if last.isascii() and last.isdigit() and len(last) <= _LONGEST_NUMBER and kept.all_behind(int(last)):
            return int(last), f"{retry}id: {int(last)}\n\n"
        return kept.newest, retry + _event("stock.reset", {"reason": "unknown_position"}, kept.newest)

    async def _events(self, news: Sequence[News], behind: Sequence[News]) -> str:
        """Return the events for some news; `behind` is what comes next, if anything does yet."""
        skus = [one.sku for one in news if one.sku is not None]
        channel = principal_of(self.request).channel
        asked = (self.services.gathered.ask(Question(sku, channel)) for sku in skus)
        answers = dict(zip(skus, await asyncio.gather(*asked), strict=True))
        text = ""
        for one, following in zip(news, [*news[1:], *behind, None], strict=False):
            seq = None if following is not None and following.seq == one.seq else one.seq
            if one.sku is None:
                text += _event("stock.reset", {"reason": "too_many_changes"}, seq)
            elif (answer := answers[one.sku]) and (data := self._data(one, answer)):
                text += _event("stock.changed", data, seq)
        return text

    def _data(self, news: News, answer: Answer) -> dict[str, object] | None:
        """Return what is told of an item; None if it is at none of the places that the client wants to hear of."""
        told = json.loads(answer.body)
        places = [
            {"location": level["location"], "available": level["available"]}
            for level in told["locations"]
            if (news.locations is None or level["location"] in news.locations)
            and (self.interest.locations is None or level["location"] in self.interest.locations)
        ]
        if self.interest.locations is not None and not places:
            return None
        return {name: told[name] for name in ("sku", "available", "as_of", "stale")} | {"locations": places}


class _EventStream(StreamingResponse):
    """A stream that counts as open while it lasts, and ends when its client takes nothing any more."""

    media_type = MEDIA_TYPE

    def __init__(self, telling: _Telling, kept: Kept) -> None:
        super().__init__(telling.blocks(kept), headers=_HEADERS)
        self._services = telling.services
        self._newest = kept.newest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        try:
            with self._services.changes.follow(self._newest), self._services.metrics.streams.track_inprogress():
                await super().__call__(scope, receive, send)
        except TooManyFollowersError:
            raise ProblemError("too-many-streams", headers={"Retry-After": _COME_BACK_SECONDS}) from None

    async def stream_response(self, send: Send) -> None:
        """Send block by block."""

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await send(message)

        try:
            await super().stream_response(send_soon)
        except TimeoutError:
            structlog.get_logger().warning("stream_stalled")


def _event(name: str, data: object, seq: int | None) -> str:
    number = "" if seq is None else f"id: {seq}\n"
    return f"event: {name}\n{number}data: {json_text(data)}\n\n"
