"""What waits between the systems and the shop, for monitors and for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.alerts.book import OPEN_ALERTS, OpenAlert
from hub.alerts.sights import LOOKS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_BACKLOG = """
SELECT (SELECT count(*) FROM inbox WHERE state = 'pending'), (SELECT count(*) FROM inbox WHERE state = 'quarantined'),
       (SELECT min(received_at) FROM inbox WHERE state = 'pending'),
       (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL),
       (SELECT count(*) FROM outbox WHERE published_seq IS NULL),
       (SELECT count(*) FROM alert_message WHERE sent_at IS NULL),
       (SELECT max(moved_at) FROM source_position WHERE source = %(looks)s)
"""
_QUARANTINE = """
SELECT source, kind, key, reason, detail, raw, times, first_seen_at, last_seen_at
FROM quarantine WHERE resolved_at IS NULL ORDER BY last_seen_at DESC, id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits where, and when somebody last looked whether all is well (None: nobody ever did)."""

    inbox_pending: int
    inbox_quarantined: int
    inbox_oldest_at: datetime | None
    quarantine_open: int
    outbox_waiting: int
    alerts_untold: int
    looked_at: datetime | None


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """A record that could not be used."""

    source: str
    kind: str
    key: str
    reason: str
    detail: str
    raw: Any
    times: int
    first_seen_at: datetime
    last_seen_at: datetime

    @property
    def raw_text(self) -> str:
        """The record as it came, readable."""
        return json.dumps(self.raw, ensure_ascii=False, indent=2)


async def read_backlog(connection: AsyncConnection) -> Backlog:
    """Count what waits."""
    row = (await connection.exec_driver_sql(_BACKLOG, {"looks": LOOKS})).one()
    return Backlog(*row)


async def read_alerts(connection: AsyncConnection) -> list[OpenAlert]:
    """Return the alerts that are not over, newest first."""
    return [OpenAlert(*row) for row in await connection.exec_driver_sql(OPEN_ALERTS)]


async def read_quarantine(connection: AsyncConnection, limit: int = 100) -> list[QuarantinedRecord]:
    """Return the newest open entries of the quarantine."""
    return [QuarantinedRecord(*row) for row in await connection.exec_driver_sql(_QUARANTINE, {"limit": limit})]
