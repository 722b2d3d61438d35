"""The custom robot of a DingTalk group (钉钉自定义机器人).

Sources: DingTalk's open documentation, `document/robots/custom-robot-access` and
`document/robots/customize-robot-security-settings` (open.dingtalk.com), as reprinted at
blog.csdn.net/lxw1844912514/article/details/125780346 and mihaoyun.com/wordpress/?p=391; error texts as users met them,
named below. Nothing was tried on a real group, so grade C.

Sure: signature, `errcode` in HTTP 200, code 310000 with its four texts, 130101 for too many messages (20 a minute, then
none for ten minutes), 460101 above 20,000 bytes, 300001 and 300005 for an unknown token. Less sure: 410100 and 660026
for too many messages and the 4001xx codes, which newer texts name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from connectors.notify.robots.address import check_address, host_of
from connectors.notify.robots.channel import json_request, read_object
from connectors.notify.robots.markdown import cut, text_of, title_of
from hub.errors import AuthFailed, ProtocolViolation, RateLimited, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from hub.contracts import Alert
    from hub.settings import ChannelSettings

# ccfos/nightingale#369 and others: "send too fast, exceed 20 times per minute"
_TOO_MANY = frozenset({130101, 410100, 660026})
_TOO_MANY_PAUSE = 600.0
# 310000: keyword, signature, time or IP address; 3000xx and 400101: no such token; 400013, 400102, 400106: group or
# robot gone or stopped; 40035: no token given
_MEND = frozenset({310000, 300001, 300005, 400101, 400013, 400102, 400106, 40035})
_BUSY = -1
# timonwong/prometheus-webhook-dingtalk#30: the body may have 20,000 bytes. Quotes and line ends count double in JSON.
LARGEST_BODY = 20_000
_LARGEST_TEXT = 9_000
# DingTalk's guard in front of all interfaces answers {"status": 1111, "wait": 5, "punish": "deny"}: five minutes.
_GUARD = "punish"
_GUARD_PAUSE = 300.0


class DingTalkFormat:
    """Markdown messages, signed if the robot's security setting is 加签."""

    def __init__(self, name: str, settings: ChannelSettings) -> None:
        self._url = check_address(name, settings, token="access_token")  # noqa: S106 - the parameter's name
        self._secret = settings.secret
        self._keyword = settings.keyword

    def describe(self) -> str:
        """Return where it posts and how it proves itself, without any secret."""
        return f"DingTalk robot at {host_of(self._url)}, {'signed' if self._secret else 'not signed'}"

    def build_request(self, alert: Alert) -> requests.Request:
        """Return the POST of a markdown message."""
        url = self._url
        if self._secret:
            url = f"{url}&{urlencode(sign(self._secret, time.time_ns() // 1_000_000))}"
        return json_request(url, build_body(alert, self._keyword))

    def read_answer(self, response: requests.Response, facts: Mapping[str, Any]) -> None:
        """Return if the group has the message.

        Raises:
            RemoteError: it has not; HTTP 200 says nothing.
        """
        answer = read_object(response, facts)
        if _GUARD in answer:
            raise RateLimited("too many calls from this address", retry_after=_GUARD_PAUSE, **facts)
        code = answer.get("errcode")
        if not isinstance(code, int) or isinstance(code, bool):
            raise ProtocolViolation("the answer has no errcode", **facts)
        raise_for_code(code, str(answer.get("errmsg", "")), {**facts, "remote_code": str(code)})


def sign(secret: str, timestamp_ms: int) -> dict[str, str]:
    """Return the parameters `timestamp` and `sign`: Base64 of HMAC-SHA256 over both, the secret as the key.

    DingTalk takes a time that is at most an hour off.
    """
    message = f"{timestamp_ms}\n{secret}".encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return {"timestamp": str(timestamp_ms), "sign": base64.b64encode(digest).decode()}


def build_body(alert: Alert, keyword: str = "") -> dict[str, Any]:
    """Return the message; the title is what the phone's notification shows."""
    text = cut(text_of(alert, keyword=keyword), _LARGEST_TEXT)
    return {"msgtype": "markdown", "markdown": {"title": title_of(alert, keyword), "text": text}}


def raise_for_code(code: int, message: str, facts: Mapping[str, Any]) -> None:
    """Raise what an `errcode` means; 0 is success.

    Raises:
        RemoteError: any other code. One that is not known is a refusal, never a success.
    """
    if code == 0:
        return
    said = json.dumps(message[:200], ensure_ascii=False)
    if code in _TOO_MANY:
        raise RateLimited(f"too many messages: {said}", retry_after=_TOO_MANY_PAUSE, **facts)
    if code == _BUSY:
        raise Unavailable(f"busy: {said}", **facts)
    if code in _MEND:
        raise AuthFailed(f"{said}; see the robot's security settings: keyword, secret, IP addresses, token", **facts)
    raise Rejected(f"refused: {said}", **facts)
