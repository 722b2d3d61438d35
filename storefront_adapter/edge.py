"""The outermost layer: trace ids, the limit on bodies, figures, and the last catch, so that a failure leaks nothing."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request

from storefront_adapter.failures import failure_response
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import TEMPLATE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from storefront_adapter.metrics import Metrics

BODY_LIMIT = 1_000_000
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    b" form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (*_HEADERS, (b"content-security-policy", _CONTENT_SECURITY_POLICY))


class Edge:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["trace_id"] = _trace_id(scope)
        exchange = _Exchange(scope, receive, send)
        began = time.perf_counter()
        try:
            structlog.contextvars.bind_contextvars(trace_id=scope["trace_id"])  # each request has a context of its own
            await exchange.run(self._app)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.observe(method, _template(scope), exchange.status, time.perf_counter() - began)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._read = 0
        self._started = False
        self.status = 500

    async def run(self, app: ASGIApp) -> None:
        """Let the app answer, and answer in its place when it fails."""
        try:
            if _declared_length(self._scope) > BODY_LIMIT:
                raise ProblemError("payload-too-large")  # noqa: TRY301 - answered like one that a route raises
            await app(self._scope, self.receive, self.send)
        except Exception as error:
            if self._started:
                raise
            response = await failure_response(Request(self._scope), error)
            await response(self._scope, self._receive, self.send)

    async def receive(self) -> Message:
        """Pass on the body, as long as it keeps to the limit."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > BODY_LIMIT:
                raise ProblemError("payload-too-large")
        return message

    async def send(self, message: Message) -> None:
        """Pass on the answer with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self._started = True
            self.status = message["status"]
            given = dict(message["headers"])
            ours = _PAGE_HEADERS if given.get(b"content-type", b"").startswith(b"text/html") else _HEADERS
            added = [header for header in ours if header[0] not in given]
            trace_id = self._scope["trace_id"].encode()
            message["headers"] = [*message["headers"], *added, (b"x-trace-id", trace_id)]
        await self._send(message)


def _trace_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"traceparent" and (known := _TRACEPARENT.fullmatch(value.decode("latin-1"))):
            return known[1]
    return secrets.token_hex(16)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _template(scope: Scope) -> str:
    """Return the path as the route has it: the paths themselves would be a label each."""
    return str(scope.get(TEMPLATE) or getattr(scope.get("route"), "path", None) or "unmatched")
