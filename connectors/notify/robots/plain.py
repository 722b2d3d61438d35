"""Plain JSON to any address, in the envelope of Standard Webhooks 1.0, which public libraries verify.

Sure of the envelope: the specification is public (github.com/standard-webhooks/standard-webhooks). The fields of `data`
are our own and stand in `docs/alerts.md`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import requests

from connectors.notify.robots.address import check_address, host_of, refusal
from hub.errors import AuthFailed, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hub.contracts import Alert
    from hub.settings import ChannelSettings

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the form that the specification gives secrets
_SHORTEST_SECRET = 24
_FIRST_FAILURE = 500
_REFUSED = 300
_NOT_ALLOWED = frozenset({401, 403})


class JsonFormat:
    """One JSON object; with a secret, signed over id, time and body."""

    def __init__(self, name: str, settings: ChannelSettings) -> None:
        self._url = check_address(name, settings)
        self._key = _key(name, settings.secret)

    def describe(self) -> str:
        """Return where it posts and how it proves itself, without any secret."""
        return f"JSON to {host_of(self._url)}, {'signed' if self._key else 'not signed'}"

    def build_request(self, alert: Alert) -> requests.Request:
        """Return the POST, with the headers that identify, date and sign it."""
        body = json.dumps(build_body(alert), ensure_ascii=False).encode()
        moment = str(int(time.time()))
        headers = {"Content-Type": "application/json", "webhook-id": alert.message_id, "webhook-timestamp": moment}
        if self._key:
            headers["webhook-signature"] = sign(self._key, alert.message_id, moment, body)
        return requests.Request("POST", self._url, data=body, headers=headers)

    def read_answer(self, response: requests.Response, facts: Mapping[str, Any]) -> None:
        """Return if the receiver took it: any status 2xx says so.

        Raises:
            RemoteError: it did not.
        """
        if response.status_code >= _FIRST_FAILURE:
            raise Unavailable("the receiver failed", **facts)
        if response.status_code in _NOT_ALLOWED:
            raise AuthFailed("the receiver lets us not in; are address and secret right?", **facts)
        if response.status_code >= _REFUSED:
            raise Rejected("the receiver refused the message", **facts)


def _key(name: str, secret: str | None) -> bytes | None:
    if not secret:
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or len(key) < _SHORTEST_SECRET:
        raise refusal(name, "secret", "must be whsec_ and 24 bytes or more in Base64")
    return key


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and Base64 of HMAC-SHA256 over `id.timestamp.body`."""
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def build_body(alert: Alert) -> dict[str, Any]:
    """Return type, time and data of the event, times in ISO 8601 with their offset."""
    return {
        "type": f"alert.{alert.phase}",
        "timestamp": _time(alert.said_at),
        "data": {
            "id": alert.message_id,
            "kind": alert.kind,
            "subject": alert.subject,
            "severity": alert.severity,
            "title": alert.title,
            "summary": alert.summary,
            "details": list(alert.details),
            "advice": alert.advice,
            "link": alert.link,
            "began_at": _time(alert.began_at),
            "raised_at": _time(alert.raised_at),
            "resolved_at": _time(alert.resolved_at),
            "facts": dict(alert.facts),
        },
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
