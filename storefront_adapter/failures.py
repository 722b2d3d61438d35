"""From exceptions to problems: the one place where failures of any layer become answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import structlog
from fastapi.exceptions import RequestValidationError
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, SerializationFailure
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from hub.errors import DomainError
from storefront_adapter.problems import BY_STATUS, PROBLEM_TYPES, ProblemError
from storefront_adapter.services import language_of, services_of, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    Handler = Callable[[Request, Exception], Awaitable[Response]]

_E = TypeVar("_E", bound=Exception)
_RETRY_SECONDS = "2"
_IN_THE_WAY = (DeadlockDetected, SerializationFailure, LockNotAvailable, QueryCanceled)
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


def install_handlers(app: FastAPI) -> None:
    """Make every failure of a route a problem."""
    for kinds, handler in _handlers():
        for kind in kinds:
            app.add_exception_handler(kind, handler)


async def failure_response(request: Request, error: Exception) -> Response:
    """Return the problem that an exception is; what none of the handlers knows is a fault of ours, and is logged."""
    for kinds, handler in _handlers():
        if isinstance(error, kinds):
            return await handler(request, error)
    structlog.get_logger().error("request_failed", path=request.url.path, exc_info=error)
    return problem_response(request, ProblemError("internal-error"))


def _handlers() -> tuple[tuple[tuple[type[Exception], ...], Handler], ...]:
    unavailable = (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError, TimeoutError)
    return (
        ((ProblemError,), _on_problem),
        ((HTTPException,), _on_http),
        ((RequestValidationError,), _on_validation),
        ((DomainError,), _on_domain),
        (unavailable, _on_database),
    )


def problem_response(request: Request, problem: ProblemError) -> Response:
    """Return the problem as the caller can read it: people on the staff page get a page."""
    if request.url.path.startswith("/staff") and "text/html" in request.headers.get("accept", ""):
        return services_of(request).pages.problem(request, problem)
    return problem.response(language_of(request), trace_id_of(request))


def pointer_errors(errors: Sequence[Mapping[str, Any]]) -> list[Mapping[str, str]]:
    """Return pydantic's errors with JSON pointers; parameters are pointed to below their place (`/query/limit`)."""
    return [{"pointer": _pointer(error.get("loc", ())), "detail": str(error.get("msg", ""))} for error in errors]


def _pointer(location: Sequence[object]) -> str:
    parts = [str(part) for part in location]
    if parts[:1] == ["body"]:
        parts = parts[1:]
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


async def _on_problem(request: Request, error: Exception) -> Response:
    return problem_response(request, _as(ProblemError, error))


async def _on_http(request: Request, error: Exception) -> Response:
    failure = _as(HTTPException, error)
    status = failure.status_code
    fallback = "bad-request" if _CLIENT_ERROR <= status < _SERVER_ERROR else "internal-error"
    problem = ProblemError(BY_STATUS.get(status, fallback), headers=dict(failure.headers or {}), status=status)
    return problem_response(request, problem)


async def _on_validation(request: Request, error: Exception) -> Response:
    errors = pointer_errors(_as(RequestValidationError, error).errors())
    return problem_response(request, ProblemError("validation-failed", errors=errors))


async def _on_domain(request: Request, error: Exception) -> Response:
    failure = _as(DomainError, error)
    if failure.code in PROBLEM_TYPES:
        return problem_response(request, ProblemError(failure.code, extra=failure.extra))
    return problem_response(request, ProblemError("bad-request", failure.message, status=failure.status))


async def _on_database(request: Request, error: Exception) -> Response:
    cause = error.orig if isinstance(error, OperationalError) else error
    slug = "database-busy" if isinstance(cause, _IN_THE_WAY) else "database-unavailable"
    structlog.get_logger().error(slug.replace("-", "_"), path=request.url.path, error=type(cause).__name__)
    return problem_response(request, ProblemError(slug, headers={"Retry-After": _RETRY_SECONDS}))


def _as(kind: type[_E], error: Exception) -> _E:
    if not isinstance(error, kind):
        raise error
    return error
