"""Signatures of Kingdee K/3 Cloud, pure: no clock, no randomness, no network.

The scheme is that of the vendor's own Python and Java clients, release 8.2.0, found by running them; a test compares
ours with theirs. Note its two oddities: a signature is the base64 of the *hexadecimal text* of an HMAC-SHA256, and the
first key is hidden in the application id behind an XOR.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

_STANDARD_XOR_KEY = "0054f397c6234378b09ca7d3e5debce7"
_HIDDEN_SECRET_CHARS = 32
_SIGNED_HEADERS = "x-api-timestamp,x-api-nonce"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs. The secrets stay out of `repr`."""

    acct_id: str
    user: str
    app_id: str
    app_secret: str = field(repr=False)
    lcid: int = 2052
    org_number: str = "0"
    xor_key: str | None = field(default=None, repr=False)


def client_id(app_id: str) -> str:
    """Return the part of the application id before its first underscore."""
    return app_id.partition("_")[0]


def hides_secret(app_id: str) -> bool:
    """Tell whether the application id has the usual form `<id>_<32 characters>`."""
    return len(app_id.partition("_")[2]) == _HIDDEN_SECRET_CHARS


def api_secret(app_id: str, xor_key: str | None = None) -> str:
    """Return the key hidden in the application id; blank when the id has another form, as the vendor's clients do."""
    if not hides_secret(app_id):
        return ""
    try:
        hidden = base64.b64decode(app_id.partition("_")[2], validate=True)
    except binascii.Error:
        return ""
    key = (xor_key or _STANDARD_XOR_KEY).encode()
    return base64.b64encode(bytes(a ^ b for a, b in zip(hidden, key, strict=False))).decode()


def sign(message: str, key: str) -> str:
    """Return base64(hex(HMAC-SHA256(key, message)))."""
    digest = hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
    return base64.b64encode(digest.encode()).decode()


def request_headers(identity: Identity, url: str, *, timestamp: int, nonce: str) -> dict[str, str]:
    """Return the headers that sign one POST to `url`; `timestamp` is in seconds."""
    path = quote(urlsplit(url).path).replace("/", "%2F")
    request = f"POST\n{path}\n\nx-api-nonce:{nonce}\nx-api-timestamp:{timestamp}\n"
    data = f"{identity.acct_id},{identity.user},{identity.lcid},{identity.org_number}"
    return {
        "X-Api-ClientID": client_id(identity.app_id),
        "X-Api-Auth-Version": "2.0",
        "x-api-timestamp": str(timestamp),
        "x-api-nonce": nonce,
        "x-api-signheaders": _SIGNED_HEADERS,
        "X-Api-Signature": sign(request, api_secret(identity.app_id, identity.xor_key)),
        "X-Kd-Appkey": identity.app_id,
        "X-Kd-Appdata": base64.b64encode(data.encode()).decode(),
        "X-Kd-Signature": sign(identity.app_id + data, identity.app_secret),
    }


def login_sign(identity: Identity, *, timestamp: int) -> str:
    """Return the sign of `LoginBySign`: SHA-256 of its five texts, sorted by code point and joined."""
    parts = [identity.acct_id, identity.user, identity.app_id, identity.app_secret, str(timestamp)]
    return hashlib.sha256("".join(sorted(parts)).encode()).hexdigest()


def login_parameters(identity: Identity, *, timestamp: int) -> list[str | int]:
    """Return the parameters of `LoginBySign` in their order."""
    sign_text = login_sign(identity, timestamp=timestamp)
    return [identity.acct_id, identity.user, identity.app_id, timestamp, sign_text, identity.lcid]
