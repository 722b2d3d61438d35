"""An alert to send, for tests of channels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hub.contracts import Alert

MOMENT = datetime(2026, 11, 11, 2, 3, 4, tzinfo=UTC)


def make_alert(**changes: Any) -> Alert:
    given = {
        "message_id": "oneshelf-alert-7",
        "kind": "feed_stale",
        "subject": "kingdee",
        "phase": "raised",
        "severity": "critical",
        "title": "Oneshelf 告警·严重·库存数据过期：kingdee",
        "summary": "kingdee 的库存数据已过期，最近一次成功读取：2026-11-11 10:00。",
        "details": ["开始于 2026-11-11 10:01 (Asia/Shanghai)"],
        "advice": "请在运维页查看 kingdee 的错误。",
        "link": "https://hub.example.com/staff/ops",
        "began_at": MOMENT,
        "raised_at": MOMENT,
        "said_at": MOMENT,
        "facts": {"failures": 3},
        **changes,
    }
    return Alert(**given)
