"""Every answer that is not a success is a problem (RFC 9457): a stable code, a page that explains it, no internals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storefront_adapter.texts import Language

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem; `slug` is its code and the name of its page."""

    slug: str
    status: int
    title: str
    explanation: str


_TYPES = (
    ProblemType(
        "bad-request",
        400,
        N_("The request is malformed"),
        N_("The server could not read the request. Check its syntax, its headers and its encoding."),
    ),
    ProblemType(
        "invalid-cursor",
        400,
        N_("The cursor can't be used"),
        N_("A cursor belongs to the filters that it was made with. Start again without a cursor."),
    ),
    ProblemType(
        "idempotency-key-missing",
        400,
        N_("An Idempotency-Key is needed"),
        N_("Send a header Idempotency-Key that is new for each request, and the same when you repeat it."),
    ),
    ProblemType(
        "unauthenticated",
        401,
        N_("A valid API key is needed"),
        N_("Send the key as `Authorization: Bearer osk_…` or `X-API-Key: osk_…`. A revoked key is not valid."),
    ),
    ProblemType(
        "missing-scope",
        403,
        N_("The key may not do this"),
        N_("The role of the API key lacks the scope that the operation needs. Roles stand in config/roles.yaml."),
    ),
    ProblemType(
        "cross-site-request",
        403,
        N_("The form was sent from another site"),
        N_("Forms of the staff page are accepted from the staff page alone. Open it again and repeat."),
    ),
    ProblemType(
        "not-found",
        404,
        N_("There is nothing at this address"),
        N_("Check the path against the API description."),
    ),
    ProblemType(
        "sku-not-found",
        404,
        N_("The SKU is unknown"),
        N_("No source has told the hub of an item with this SKU. SKUs are compared exactly, with case."),
    ),
    ProblemType(
        "location-not-found",
        404,
        N_("The location is unknown"),
        N_("There is no active location with this code. GET /v1/locations lists them."),
    ),
    ProblemType(
        "reservation-not-found",
        404,
        N_("There is no such reservation"),
        N_("Your channel has made no reservation with this id."),
    ),
    ProblemType(
        "connection-not-found",
        404,
        N_("No such connection"),
        N_("Pushes go to /hooks/{system}/{connection} with the names of a configured source that takes pushes."),
    ),
    ProblemType(
        "method-not-allowed",
        405,
        N_("The method is not allowed here"),
        N_("The Allow header lists the methods of this address."),
    ),
    ProblemType(
        "insufficient-stock",
        409,
        N_("There is not enough stock"),
        N_("`lines` names each line that lacks stock: what was requested, what is available. Nothing was taken."),
    ),
    ProblemType(
        "location-frozen",
        409,
        N_("The place is being counted"),
        N_("Stock of a place is not promised while it is counted (盘点). `lines` names the lines concerned."),
    ),
    ProblemType(
        "reservation-expired",
        409,
        N_("The reservation has expired"),
        N_("What it held is free again. Reserve anew."),
    ),
    ProblemType(
        "reservation-released",
        409,
        N_("The reservation was released"),
        N_("A reservation ends once: by a release, by its time, or by an order. Reserve anew."),
    ),
    ProblemType(
        "reservation-committed",
        409,
        N_("An order has taken the reservation"),
        N_("What it held is the order's now. To give it back, cancel the order."),
    ),
    ProblemType(
        "order-number-used",
        409,
        N_("The order number is used already"),
        N_("Another order with this number takes from the same stock. Each order has a number of its own."),
    ),
    ProblemType(
        "receipt-reused",
        409,
        N_("The receipt number belongs to another sale"),
        N_("A receipt number of a store stands for one sale. This one was told before, with another content."),
    ),
    ProblemType(
        "idempotency-key-reused",
        409,
        N_("The key belongs to another request"),
        N_("An Idempotency-Key stands for one request with one body. Take a new key for a new request."),
    ),
    ProblemType(
        "payload-too-large",
        413,
        N_("The body is too large"),
        N_("Bodies of more than 1 MB are refused. Send less at a time."),
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        N_("The body's type is not supported"),
        N_("Send JSON with `Content-Type: application/json`."),
    ),
    ProblemType(
        "validation-failed",
        422,
        N_("The request does not have the right shape"),
        N_("`errors` names each wrong part with a JSON pointer. Repeating the same request is of no use."),
    ),
    ProblemType(
        "unknown-line",
        422,
        N_("A line names what does not exist"),
        N_("`lines` names each line whose SKU or location is unknown. Nothing was taken."),
    ),
    ProblemType(
        "event-rejected",
        422,
        N_("The event can't be read"),
        N_("The body is not an event that this connection knows. Nothing was stored."),
    ),
    ProblemType(
        "internal-error",
        500,
        N_("Something went wrong on the server"),
        N_("The operators find the cause in the log by the trace id. Reading again is safe."),
    ),
    ProblemType(
        "database-busy",
        503,
        N_("Too much is going on at the same rows"),
        N_("Others held what it needs for too long, and nothing was changed. Repeat after the time in Retry-After."),
    ),
    ProblemType(
        "database-unavailable",
        503,
        N_("The database can't be reached"),
        N_("Repeat after the time in Retry-After."),
    ),
    ProblemType(
        "too-many-streams",
        503,
        N_("Too many streams are open"),
        N_("No more clients can be told of changes here. Repeat after the time in Retry-After, or read instead."),
    ),
    ProblemType(
        "not-ready",
        503,
        N_("The service is not ready"),
        N_("`checks` tells what is missing. It comes back by itself when that is mended."),
    ),
)
PROBLEM_TYPES: Mapping[str, ProblemType] = {kind.slug: kind for kind in _TYPES}
"""All kinds by slug."""
BY_STATUS: Mapping[int, str] = {
    400: "bad-request",
    401: "unauthenticated",
    403: "missing-scope",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
    422: "validation-failed",
    503: "database-unavailable",
}
"""What a bare HTTP status of the framework means."""


@dataclass
class ProblemError(Exception):
    """Raised by a handler to answer with a problem.

    Attributes:
        detail: what is wrong this time, a text of the catalogues with `%(name)s` for `values`.
        errors: the wrong parts of the request, each with `pointer` and `detail`.
        extra: further members of the problem.
    """

    slug: str
    detail: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    errors: Sequence[Mapping[str, str]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None

    def response(self, language: Language, trace_id: str) -> Response:
        """Return the answer in the caller's language."""
        kind = PROBLEM_TYPES[self.slug]
        status = self.status or kind.status
        body: dict[str, Any] = {
            "type": f"/problems/{kind.slug}",
            "title": language.text(kind.title),
            "status": status,
            "detail": language.text(self.detail or kind.explanation, **self.values),
            "code": kind.slug,
            "trace_id": trace_id,
            **self.extra,
        }
        if self.errors:
            body["errors"] = list(self.errors)
        headers = {"Content-Language": language.tag, "Cache-Control": "no-store", **self.headers}
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, status, headers, media_type=MEDIA_TYPE)
