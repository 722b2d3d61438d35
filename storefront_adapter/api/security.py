"""API keys on requests: who calls, and whether the key's role allows the operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from starlette.requests import Request

from storefront_adapter.problems import ProblemError
from storefront_adapter.services import services_of
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hub.access import Principal

_CHALLENGE = 'Bearer realm="oneshelf"'


def presented_key(request: Request) -> str | None:
    """Return the key that the request carries, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key") or None


async def authorise(request: Request, scope: str) -> Principal:
    """Return who calls.

    Raises:
        ProblemError: there is no valid key (401), or its role lacks the scope (403).
    """
    key = presented_key(request)
    if key is None:
        raise ProblemError("unauthenticated", headers={"WWW-Authenticate": _CHALLENGE})
    principal = await services_of(request).keys.verify(key)
    if principal is None:
        detail = N_("The API key is wrong or revoked.")
        raise ProblemError(
            "unauthenticated", detail, headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
        )
    if scope not in principal.scopes:
        challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
        raise ProblemError(
            "missing-scope",
            N_("The key's role %(role)s lacks the scope %(scope)s."),
            {"role": principal.role, "scope": scope},
            headers={"WWW-Authenticate": challenge},
        )
    return principal


async def still_allowed(request: Request, scope: str) -> bool:
    """Tell, during a long answer, whether the caller would still be let pass; a revoked key is not for 2 s at most."""
    try:
        await authorise(request, scope)
    except ProblemError:
        return False
    return True


def principal_of(request: Request) -> Principal:
    """Return who calls, after `authorise` has let it pass."""
    return cast("Principal", request.state.principal)


def require(scope: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that lets holders of the scope pass."""

    async def check(request: Request) -> None:
        request.state.principal = await authorise(request, scope)

    return check
