"""Logging on: Basic users, OAuth 2.0 client credentials, and the session that a CSRF token belongs to."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMO_USER: Final = "ONESHELF"
DEMO_PASSWORD: Final = "demo-sap-password"
DEMO_OAUTH_CLIENT: Final = "oneshelf-client"
DEMO_OAUTH_SECRET: Final = "demo-sap-client-secret"
SAP_CLIENT: Final = "100"
SESSION_COOKIE: Final = f"SAP_SESSIONID_S4H_{SAP_CLIENT}"
CONTEXT_COOKIE: Final = "sap-usercontext"
TOKEN_SECONDS: Final = 3600
SESSION_SECONDS: Final = 1800


@dataclass(slots=True)
class Session:
    """A session (安全会话) and its CSRF token; it ends after half an hour of silence."""

    user: str
    csrf_token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    used_at: float = field(default_factory=time.monotonic)


class Gatekeeper:
    """Knows who may log on, which bearer tokens and which sessions live. All of it dies with the process."""

    def __init__(self) -> None:
        self._tokens: dict[str, float] = {}
        self._sessions: dict[str, Session] = {}

    def user_of(self, authorization: str | None) -> str | None:
        """Return the user that an Authorization header logs on, None if it does not."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            name, password = _basic(value)
            known = _same(name.upper(), DEMO_USER) and _same(password, DEMO_PASSWORD)
            return DEMO_USER if known else None
        if scheme.lower() == "bearer":
            return DEMO_USER if self._tokens.get(value.strip(), 0) > time.monotonic() else None
        return None

    def issue_token(self, authorization: str | None, body: str) -> tuple[int, dict[str, Any]]:
        """Answer a token request (RFC 6749, section 4.4) with a status and a JSON body."""
        form = {name: values[-1] for name, values in parse_qs(body).items()}
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            client, secret = _basic(value)
        else:
            client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if not (_same(client, DEMO_OAUTH_CLIENT) and _same(secret, DEMO_OAUTH_SECRET)):
            return 401, {"error": "invalid_client", "error_description": "Client authentication failed"}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}

    def revoke_tokens(self) -> None:
        """Forget every bearer token."""
        self._tokens.clear()

    def session(self, cookies: Mapping[str, str], user: str) -> Session | None:
        """Return the living session that the cookies name, None if there is none of this user."""
        key = cookies.get(SESSION_COOKIE, "")
        session = self._sessions.get(key)
        if session is None or session.user != user:
            return None
        now = time.monotonic()
        if now - session.used_at > SESSION_SECONDS:
            self._sessions.pop(key, None)
            return None
        session.used_at = now
        return session

    def open_session(self, user: str) -> tuple[str, Session]:
        """Open a session; return its cookie value and itself."""
        key, session = secrets.token_urlsafe(24), Session(user)
        self._sessions[key] = session
        return key, session

    def end_session(self, cookies: Mapping[str, str]) -> None:
        """Forget the session that the cookies name."""
        self._sessions.pop(cookies.get(SESSION_COOKIE, ""), None)


def _basic(value: str) -> tuple[str, str]:
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
