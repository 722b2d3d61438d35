"""Why a number is what it is, for those who may see the documents behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from hub.stock.explain import explain, snapshot
from storefront_adapter.api.body import json_response, quantity_text, time_text
from storefront_adapter.api.schemas import ExplainQuery
from storefront_adapter.failures import pointer_errors
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import services_of

if TYPE_CHECKING:
    from hub.stock.explain import Explanation, Pool, Term

SCOPE = "stock:explain"
_TIMES = ("effective_at", "recorded_at", "read_began_at", "read_ended_at", "expires_at")


async def explain_stock(request: Request) -> Response:
    """Answer the arithmetic of one level."""
    try:
        asked = ExplainQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        parts = error.errors(include_url=False, include_input=False, include_context=False)
        errors = pointer_errors([{**part, "loc": ("query", *part["loc"])} for part in parts])
        raise ProblemError("validation-failed", errors=errors) from None
    sku = str(request.path_params["sku"])
    async with snapshot(services_of(request).writes) as connection:
        found = await explain(connection, sku, asked.location, at=asked.at, known_at=asked.known_at)
    return json_response(explanation_body(found), headers={"Cache-Control": "no-store"})


def explanation_body(found: Explanation) -> dict[str, Any]:
    """Return an explanation as the API tells it."""
    return {
        "sku": found.sku,
        "location": found.location,
        "unit": found.unit,
        "at": time_text(found.at),
        "known_at": time_text(found.known_at),
        "available": quantity_text(found.available),
        "on_hand": quantity_text(found.on_hand),
        "terms": [_term_body(term) for term in found.terms],
        "pools": [_pool_body(pool) for pool in found.pools],
        "as_of": time_text(found.as_of),
        "stale": found.stale,
    }


def _term_body(term: Term) -> dict[str, Any]:
    return {
        "kind": term.kind,
        "quantity": quantity_text(term.quantity),
        "cause": term.cause,
        "source": term.source,
        "number": term.number,
        **{name: time_text(getattr(term, name)) for name in _TIMES},
    }


def _pool_body(pool: Pool) -> dict[str, Any]:
    return {
        "channel": pool.channel,
        "ring_fenced": None if pool.ring_fenced is None else quantity_text(pool.ring_fenced),
        "percent": None if pool.percent is None else quantity_text(pool.percent),
        "taken": quantity_text(pool.taken),
    }
