"""The vendor's two signatures: the headers of a signed request and LoginBySign.

Source: the published SDKs' wire behaviour (Python and Java, 8.2.0). Two keys take part in a request: the gateway's,
hidden in the second half of the appId, signs path, nonce and timestamp; the appSecret signs appId and appData.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sandbox.erp.kingdee.credentials import ACCT_ID, APP_ID, APP_SECRET, LCID, USER

if TYPE_CHECKING:
    from collections.abc import Mapping

_XOR_KEY: Final = b"0054f397c6234378b09ca7d3e5debce7"
_ENCODED_LENGTH: Final = 32
_APP_DATA_PARTS: Final = 4


class Verdict(Enum):
    """What checking a request's signature comes to."""

    GOOD = "good"
    BAD = "bad"
    WRONG_TENANT = "wrong tenant"


@dataclass(frozen=True, slots=True)
class AppData:
    """The caller as X-Kd-Appdata names it; the organisation is not checked by the server."""

    acct_id: str
    user: str
    lcid: str
    org_num: str


def gateway_key(app_id: str) -> tuple[str, str]:
    """Return the client id and the gateway's signing key that an appId holds ('' where it is malformed)."""
    client_id, _, encoded = app_id.partition("_")
    if len(encoded) != _ENCODED_LENGTH:
        return client_id, ""
    try:
        hidden = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return client_id, ""
    plain = bytes(left ^ right for left, right in zip(hidden, _XOR_KEY, strict=False))
    return client_id, base64.b64encode(plain).decode()


def sign(message: str, key: str) -> str:
    """Return base64 of the lower-case hex text of HMAC-SHA256: the vendor encodes the text, not the digest."""
    digest = hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
    return base64.b64encode(digest.encode()).decode()


def gateway_message(path: str, nonce: str, timestamp: str) -> str:
    """Return what the gateway signature signs; `path` is the unquoted path with its /k3cloud/ in front."""
    quoted = quote(path).replace("/", "%2F")
    return f"POST\n{quoted}\n\nx-api-nonce:{nonce}\nx-api-timestamp:{timestamp}\n"


def verify_request(path: str, headers: Mapping[str, str]) -> Verdict:
    """Check a signed request. Age of the timestamp and repeated nonces don't matter to the server (measured live)."""
    app_id = headers.get("x-kd-appkey", "")
    app_data = _app_data(headers.get("x-kd-appdata", ""))
    if app_data is None:
        return Verdict.BAD
    if app_data.acct_id != ACCT_ID:
        return Verdict.WRONG_TENANT
    client_id, api_secret = gateway_key(APP_ID)
    message = gateway_message(path, headers.get("x-api-nonce", ""), headers.get("x-api-timestamp", ""))
    text = f"{app_data.acct_id},{app_data.user},{app_data.lcid},{app_data.org_num}"
    genuine = (
        app_id == APP_ID
        and headers.get("x-api-clientid") == client_id
        and app_data.user == USER
        and app_data.lcid == str(LCID)
        and _same(headers.get("x-api-signature", ""), sign(message, api_secret))
        and _same(headers.get("x-kd-signature", ""), sign(APP_ID + text, APP_SECRET))
    )
    return Verdict.GOOD if genuine else Verdict.BAD


def login_sign(acct_id: str, user: str, app_id: str, app_secret: str, timestamp: str) -> str:
    """Return LoginBySign's sign: lower hex SHA-256 of the five parts in ordinal order, joined."""
    return hashlib.sha256("".join(sorted((acct_id, user, app_id, app_secret, timestamp))).encode()).hexdigest()


def _app_data(header: str) -> AppData | None:
    try:
        parts = base64.b64decode(header).decode().split(",")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return AppData(*parts) if len(parts) == _APP_DATA_PARTS else None


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())
