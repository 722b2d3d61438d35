"""What callers send: JSON bodies in a shape, and keys that make a request count once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from hub.idempotency import RequestKey
from storefront_adapter.failures import pointer_errors
from storefront_adapter.problems import ProblemError
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from starlette.requests import Request

Shape = TypeVar("Shape", bound=BaseModel)

_LONGEST_KEY = 255


def read_body(shape: type[Shape], request: Request, body: bytes) -> Shape:
    """Return a JSON body in its shape.

    Raises:
        ProblemError: it is not JSON, or has another shape.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ProblemError("unsupported-media-type")
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        raise ProblemError("validation-failed", errors=pointer_errors([{**part} for part in errors])) from None


def request_key(request: Request, principal: str, route: str, body: bytes) -> RequestKey:
    """Return the key that makes this request of `principal` count once.

    Raises:
        ProblemError: it carries no Idempotency-Key, or one that can't be one.
    """
    key = request.headers.get("idempotency-key", "")
    if not key:
        raise ProblemError("idempotency-key-missing")
    if len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise ProblemError("bad-request", N_("An Idempotency-Key has at most 255 printable ASCII characters."))
    return RequestKey(principal, key, route, hashlib.sha256(body).hexdigest())


def replayed(again: bool) -> dict[str, str]:  # noqa: FBT001 - a fact, not a switch
    """Return the headers that tell whether an answer is a stored one."""
    return {"Idempotent-Replayed": "true"} if again else {}
