"""The robot of a WeCom group (企业微信群机器人, now 消息推送).

Sources: WeCom's developer documentation, `document/path/91770` (developer.work.weixin.qq.com; 20 messages a minute,
`markdown.content` at most 4096 bytes in UTF-8), as reprinted at cnblogs.com/tiandi/p/17768525.html, and its table of
codes; answers as users met them, named below. Nothing was tried on a real group, so grade C.

Sure: `errcode` in HTTP 200, 40058 with "exceed max length 4096", 45009 for too many messages, 93000 for an unknown key.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from connectors.notify.robots.address import check_address, host_of, refusal
from connectors.notify.robots.channel import json_request, read_object
from connectors.notify.robots.markdown import cut, text_of
from hub.errors import AuthFailed, ProtocolViolation, RateLimited, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from hub.contracts import Alert
    from hub.settings import ChannelSettings

# dromara/domain-admin#82: "markdown.content exceed max length 4096"
LARGEST_CONTENT = 4096
_TOO_MANY = 45009
_TOO_MANY_PAUSE = 60.0
_MEND = frozenset({93000, 93004, 93008})  # no such robot (or put out of the group), stopped, not in the group
_BUSY = -1


class WeComFormat:
    """Markdown messages. The key in the address is the only proof there is."""

    def __init__(self, name: str, settings: ChannelSettings) -> None:
        self._url = check_address(name, settings, token="key")  # noqa: S106 - the parameter's name
        if settings.secret:
            raise refusal(name, "secret", "is of no use: WeCom's robots have none")
        self._keyword = settings.keyword

    def describe(self) -> str:
        """Return where it posts, without any secret."""
        return f"WeCom robot at {host_of(self._url)}"

    def build_request(self, alert: Alert) -> requests.Request:
        """Return the POST of a markdown message."""
        return json_request(self._url, build_body(alert, self._keyword))

    def read_answer(self, response: requests.Response, facts: Mapping[str, Any]) -> None:
        """Return if the group has the message.

        Raises:
            RemoteError: it has not; HTTP 200 says nothing.
        """
        answer = read_object(response, facts)
        code = answer.get("errcode")
        if not isinstance(code, int) or isinstance(code, bool):
            raise ProtocolViolation("the answer has no errcode", **facts)
        raise_for_code(code, str(answer.get("errmsg", "")), {**facts, "remote_code": str(code)})


def build_body(alert: Alert, keyword: str = "") -> dict[str, Any]:
    """Return the message."""
    return {"msgtype": "markdown", "markdown": {"content": cut(text_of(alert, keyword=keyword), LARGEST_CONTENT)}}


def raise_for_code(code: int, message: str, facts: Mapping[str, Any]) -> None:
    """Raise what an `errcode` means; 0 is success.

    Raises:
        RemoteError: any other code. One that is not known is a refusal, never a success.
    """
    if code == 0:
        return
    said = json.dumps(message[:200], ensure_ascii=False)
    if code == _TOO_MANY:
        raise RateLimited(f"too many messages: {said}", retry_after=_TOO_MANY_PAUSE, **facts)
    if code == _BUSY:
        raise Unavailable(f"busy: {said}", **facts)
    if code in _MEND:
        raise AuthFailed(f"{said}; copy the robot's address anew from the group", **facts)
    raise Rejected(f"refused: {said}", **facts)
