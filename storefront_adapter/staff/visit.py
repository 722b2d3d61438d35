"""Who visits the staff page, from which store; sign-in with an API key until staff accounts exist.

The session cookie holds the key's id, an end, and an HMAC of both made with the key's stored digest: nothing of the
key itself. It ends when the key is revoked, and every process can check it without a secret of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hub.stock.reading import read_places
from storefront_adapter.problems import ProblemError
from storefront_adapter.services import services_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from hub.access import Principal
    from hub.stock.reading import Place

SESSION_COOKIE = "oneshelf_session"
STORE_COOKIE = "oneshelf_store"
SESSION_SECONDS = 12 * 3600
STAFF_SCOPE = "stock:read"
OPS_SCOPE = "ops:read"
EXPLAIN_SCOPE = "stock:explain"
HOME = "/staff"
_LONGEST_COOKIE = 300


class SignInNeededError(Exception):
    """Raised when a visitor has to sign in first."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a visitor who may be here."""

    request: Request
    principal: Principal | None
    places: Sequence[Place]
    store: Place | None

    @property
    def may_see_ops(self) -> bool:
        """Tell whether the visitor may look at the state of the hub."""
        return self.principal is None or OPS_SCOPE in self.principal.scopes

    @property
    def may_explain(self) -> bool:
        """Tell whether the visitor may see the documents behind a number."""
        return self.principal is None or EXPLAIN_SCOPE in self.principal.scopes

    @property
    def here(self) -> str:
        """The address of this page, to come back to."""
        url = self.request.url
        return url.path + (f"?{url.query}" if url.query else "")


async def open_visit(request: Request) -> Visit:
    """Let the visitor in.

    Raises:
        SignInNeededError: the page is not open and there is no valid session.
    """
    services = services_of(request)
    principal = None
    if not services.settings.adapter.staff_open:
        principal = await _session_holder(request)
        if principal is None:
            raise SignInNeededError
    async with services.reads.connect() as connection:
        places = await read_places(connection)
    code = request.cookies.get(STORE_COOKIE)
    return Visit(request, principal, places, next((place for place in places if place.code == code), None))


async def sign_in(request: Request, key: str) -> str | None:
    """Return the value of a session cookie for the holder of a key that may read stock, else None."""
    principal = await services_of(request).keys.verify(key.strip())
    if principal is None or STAFF_SCOPE not in principal.scopes:
        return None
    ends = int(time.time()) + SESSION_SECONDS
    return f"{principal.key_id}.{ends}.{_signature(principal, ends)}"


async def _session_holder(request: Request) -> Principal | None:
    match request.cookies.get(SESSION_COOKIE, "")[:_LONGEST_COOKIE].split("."):
        case [key_id, ends, signature] if ends.isascii() and ends.isdigit() and key_id.isalnum() and key_id.isascii():
            principal = await services_of(request).keys.holder(key_id)
        case _:
            return None
    if principal is None or time.time() > int(ends) or STAFF_SCOPE not in principal.scopes:
        return None
    same = hmac.compare_digest(signature.encode(), _signature(principal, int(ends)).encode())
    return principal if same else None


def _signature(principal: Principal, ends: int) -> str:
    message = f"oneshelf staff session|{principal.key_id}|{ends}".encode()
    return hmac.new(principal.secret_sha256, message, hashlib.sha256).hexdigest()


def refuse_foreign_form(request: Request) -> None:
    """Refuse a form that another site sent.

    Raises:
        ProblemError: the browser says so.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        foreign = site not in {"same-origin", "none"}
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise ProblemError("cross-site-request")


def safe_next(address: object) -> str:
    """Return a place of the staff page to go on to; whatever leads elsewhere becomes its start."""
    text = str(address or "")
    parts = urlsplit(text) if text.isprintable() and "\\" not in text else None
    inside = parts is not None and not parts.scheme and not parts.netloc
    if not inside or not (text == HOME or text.startswith((f"{HOME}/", f"{HOME}?"))):
        return HOME
    return text
