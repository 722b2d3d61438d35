"""The declared faults of this sandbox. Each may be limited to one kind of robot: `{"kind": "wecom"}`."""

from __future__ import annotations

from typing import Final

FAULTS: Final = {
    "down-503": "503 with an HTML page of a proxy",
    "latency": "Every post waits before it is worked on; seconds (default 1)",
    "redirect": "302 to another host",
    "html-200": "200 with an HTML page in place of the answer; nothing is posted",
    "lost-answer": "The message is posted, then 504: the sender can't know",
    "busy": "The vendor is busy: errcode -1 (500 for plain JSON)",
    "too-many": "Too many messages: 130101 (DingTalk), 45009 (WeCom), 429 with Retry-After (plain JSON)",
    "gone": "The robot was taken out of the group: 300005, 93000, 410",
    "no-errcode": "200 with a JSON object that has no errcode",
    "punished": "DingTalk's guard against too many calls from one address: status 1111 and no errcode",
    "unknown-code": "An errcode that no documentation names; code (default 999999)",
}
