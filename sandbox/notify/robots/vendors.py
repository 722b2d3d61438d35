"""What each kind of receiver checks and answers. A verdict's `code` 0 means that the group saw the message."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.notify.robots.world import Robot, World

_HOUR_MS: Final = 3_600_000
_WEBHOOK_TOLERANCE: Final = 300.0
_LARGEST_DINGTALK: Final = 20_000
_LARGEST_WECOM: Final = 4096


@dataclass(frozen=True, slots=True)
class Post:
    """What came in: the address's parameters, the headers in lower case, the body."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer's code and text, and what people would read."""

    code: int
    text: str
    title: str = ""
    said: str = ""


def judge_dingtalk(world: World, robot: Robot | None, post: Post) -> Verdict:
    """Check a post as DingTalk does."""
    if robot is None:
        given = post.query.get("access_token")
        return Verdict(300005, "token is not exist") if given else Verdict(40035, "缺少参数 access_token")
    if refused := _dingtalk_door(world, robot, post):
        return refused
    message = _markdown(post.body)
    title, text = message.get("title"), message.get("text")
    if not isinstance(title, str) or not title or not isinstance(text, str) or not text:
        return Verdict(40035, "缺少参数 markdown")
    if robot.keyword and robot.keyword not in title + text:
        return Verdict(310000, "keywords not in content")
    if not world.admit(robot):
        return Verdict(130101, "send too fast, exceed 20 times per minute")
    return Verdict(0, "ok", title, text)


def _dingtalk_door(world: World, robot: Robot, post: Post) -> Verdict | None:
    if not post.headers.get("content-type", "").lower().startswith("application/json"):
        return Verdict(43004, "无效的HTTP HEADER Content-Type")
    if robot.secret and (problem := _dingtalk_signature(world, robot.secret, post.query)):
        return Verdict(310000, problem)
    if len(post.body) > _LARGEST_DINGTALK:
        return Verdict(460101, "message too long, exceed 20000 bytes")
    return None


def _dingtalk_signature(world: World, secret: str, query: Mapping[str, str]) -> str:
    timestamp = query.get("timestamp", "")
    if not timestamp.isdigit() or abs(world.clock() * 1000 - int(timestamp)) > _HOUR_MS:
        return "invalid timestamp"
    digest = hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), "sha256")
    same = hmac.compare_digest(base64.b64encode(digest).decode(), query.get("sign", ""))
    return "" if same else "sign not match"


def judge_wecom(world: World, robot: Robot | None, post: Post) -> Verdict:
    """Check a post as WeCom does."""
    if robot is None:
        return Verdict(93000, "invalid webhook url, hint: [1700000000000000000000000], from ip: 127.0.0.1")
    content = _markdown(post.body).get("content")
    if not isinstance(content, str) or not content:
        return Verdict(44004, "content size out of limit, hint: [1700000000000000000000000], from ip: 127.0.0.1")
    if len(content.encode()) > _LARGEST_WECOM:
        return Verdict(40058, "markdown.content exceed max length 4096. invalid Request Parameter")
    if not world.admit(robot):
        return Verdict(45009, "api freq out of limit, hint: [1700000000000000000000000], from ip: 127.0.0.1")
    return Verdict(0, "ok", said=content)


def _markdown(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(content, dict) or content.get("msgtype") != "markdown":
        return {}
    message = content.get("markdown")
    return message if isinstance(message, dict) else {}


def judge_webhook(world: World, robot: Robot | None, post: Post) -> Verdict:
    """Check a post as a careful receiver of Standard Webhooks does; the code is an HTTP status, 0 for 204."""
    if robot is None:
        return Verdict(404, "no such inbox")
    if robot.secret and not _webhook_is_signed(world, robot.secret, post):
        return Verdict(401, "signature, id or time is missing or wrong")
    try:
        content = json.loads(post.body)
    except ValueError:
        return Verdict(400, "no JSON")
    if not isinstance(content, dict) or not {"type", "timestamp", "data"} <= set(content):
        return Verdict(422, "no event")
    return Verdict(0, "", str(content["data"].get("title", "")), str(content["data"].get("summary", "")))


def _webhook_is_signed(world: World, secret: str, post: Post) -> bool:
    number, moment = post.headers.get("webhook-id", ""), post.headers.get("webhook-timestamp", "")
    if not number or not moment.isdigit() or abs(world.clock() - int(moment)) > _WEBHOOK_TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, f"{number}.{moment}.".encode() + post.body, hashlib.sha256).digest())
    given = [part.removeprefix("v1,") for part in post.headers.get("webhook-signature", "").split(" ")]
    return any(hmac.compare_digest(wanted, one.encode()) for one in given)
