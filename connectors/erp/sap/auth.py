"""Logging in to SAP: a technical user (basic), or an OAuth2 client whose token is kept until it is nearly stale."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Protocol

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from connectors.erp.sap.answers import SYSTEM
from hub.errors import AuthFailed, ProtocolViolation, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.erp.sap.settings import SapSettings
    from connectors.http import HttpClient

_OPERATION = "token"
_SERVER_ERROR = 500
_OK = 200
# a server that does not say how long a token lives: RFC 6749 leaves it open, so little is assumed
_UNTOLD_LIFE = 300.0
_MARGIN = 60.0


class Login(Protocol):
    """A way to log in."""

    def current(self) -> AuthBase:
        """Return what signs the next request."""

    def renew(self, refused: AuthBase) -> bool:
        """Tell whether a request that was refused with 401 is worth repeating with fresh credentials."""


class BasicLogin:
    """A technical user with a password, sent with each request."""

    def __init__(self, user: str, password: str) -> None:
        # bytes: requests would encode text as Latin-1, which has no Chinese
        self._auth = HTTPBasicAuth(user.encode(), password.encode())

    def current(self) -> AuthBase:
        """Return the basic authentication."""
        return self._auth

    def renew(self, refused: AuthBase) -> bool:  # noqa: ARG002 - a password does not become right by repeating it
        """Say no: SAP locks a user after a few wrong passwords."""
        return False


class BearerAuth(AuthBase):
    """Signs a request with a bearer token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the Authorization header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class OAuthLogin:
    """OAuth2 client credentials (RFC 6749 section 4.4); one token for all threads."""

    def __init__(
        self,
        http: HttpClient,
        *,
        token_url: str,
        client_id: str,
        client_secret: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._token_url = token_url
        self._client = HTTPBasicAuth(client_id.encode(), client_secret.encode())
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._auth: BearerAuth | None = None
        self._stale_at = 0.0

    def current(self) -> AuthBase:
        """Return the token, fetched anew when it has less than a minute (or a tenth of its life) left.

        Raises:
            AuthFailed: the client is refused.
            RemoteError: the token service does not answer properly.
        """
        with self._lock:
            if self._auth is None or self._monotonic() >= self._stale_at:
                token, life = self._http.call(_OPERATION, self._build_request, _read_token)
                self._auth = BearerAuth(token)
                self._stale_at = self._monotonic() + life - min(_MARGIN, life / 10)
            return self._auth

    def renew(self, refused: AuthBase) -> bool:
        """Drop the refused token, unless another thread has already replaced it; say yes."""
        with self._lock:
            if self._auth is refused:
                self._auth = None
            return True

    def _build_request(self) -> requests.Request:
        return requests.Request(
            "POST",
            self._token_url,
            data={"grant_type": "client_credentials"},
            headers={"Accept": "application/json"},
            auth=self._client,
        )


def make_login(settings: SapSettings, http: HttpClient) -> Login:
    """Return the way to log in that the settings name."""
    if settings.user is not None and settings.password is not None:
        return BasicLogin(settings.user, settings.password.get_secret_value())
    return OAuthLogin(
        http,
        token_url=settings.token_url or "",
        client_id=settings.client_id or "",
        client_secret=settings.client_secret.get_secret_value() if settings.client_secret else "",
    )


def _read_token(response: requests.Response) -> tuple[str, float]:
    """Return the token and its life in seconds. The body is never quoted in an error: it may hold the token."""
    if response.status_code >= _SERVER_ERROR:
        raise Unavailable(
            "the token service failed", system=SYSTEM, operation=_OPERATION, http_status=response.status_code
        )
    if response.status_code != _OK:
        raise AuthFailed(
            "the token service refused the client; check client_id, client_secret and token_url",
            system=SYSTEM,
            operation=_OPERATION,
            http_status=response.status_code,
        )
    try:
        body = json.loads(response.content)
        token, life = body["access_token"], float(body.get("expires_in", _UNTOLD_LIFE))
    except (ValueError, KeyError, TypeError, AttributeError):
        token, life = None, 0.0
    if not isinstance(token, str) or not token:
        raise ProtocolViolation("the token service gave no access_token", system=SYSTEM, operation=_OPERATION)
    return token, life
