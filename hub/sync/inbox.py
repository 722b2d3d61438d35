"""Inbox: every push is stored before it is acknowledged, and its effect is applied once.

An event is claimed by a lease, not by an open transaction, since its work waits on other systems. The effect and the
mark `done` are one transaction; a process that dies in between leaves the event to the next one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.contracts import PushedEvent, Rejection
from hub.sync.quarantine import quarantine

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import psycopg

CHANNEL = "oneshelf_inbox"
"""NOTIFY channel that wakes the one who works the inbox."""
KIND = "inbox"
STORE = """
INSERT INTO inbox (source, event_id, kind, payload) VALUES (%(source)s, %(event_id)s, %(kind)s, %(payload)s::jsonb)
ON CONFLICT (source, event_id) DO NOTHING
"""
_CLAIM = """
UPDATE inbox SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE id IN (SELECT id FROM inbox WHERE state = 'pending' AND next_attempt_at <= clock_timestamp()
               AND source = ANY(%(sources)s)
             ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id, source, event_id, kind, payload, attempts
"""
_BACK_OFF_LIMIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that is ours to work on until its lease ends."""

    id: int
    source: str
    event: PushedEvent
    attempts: int


def event_parameters(source: str, event: PushedEvent) -> dict[str, str]:
    """Return the parameters of `STORE` for an event."""
    payload = json.dumps(dict(event.payload), ensure_ascii=False)
    return {"source": source, "event_id": event.event_id, "kind": event.kind, "payload": payload}


def claim_events(
    connection: psycopg.Connection, sources: Collection[str], *, limit: int = 50, lease_seconds: float = 120
) -> Sequence[Claimed]:
    """Take up to `limit` due events of `sources`, oldest first."""
    parameters = {"sources": list(sources), "limit": limit, "lease": lease_seconds}
    rows = connection.execute(_CLAIM, parameters).fetchall()
    return sorted(
        (Claimed(row[0], row[1], PushedEvent(row[2], row[3], row[4]), row[5]) for row in rows), key=lambda c: c.id
    )


def release_claims(connection: psycopg.Connection, sources: Collection[str]) -> None:
    """Make all open events due now: only the one who has the turn works them, and the one before is gone."""
    connection.execute(
        "UPDATE inbox SET next_attempt_at = clock_timestamp()"
        " WHERE state = 'pending' AND next_attempt_at > clock_timestamp() AND source = ANY(%s)",
        (list(sources),),
    )


def mark_done(connection: psycopg.Connection, events: Collection[Claimed]) -> None:
    """Mark events as done, in the transaction of their effect."""
    connection.execute(
        "UPDATE inbox SET state = 'done', done_at = clock_timestamp(), error = NULL"
        " WHERE id = ANY(%s) AND state = 'pending'",
        ([event.id for event in events],),
    )


def put_back(connection: psycopg.Connection, event: Claimed, error: str, *, most_attempts: int) -> bool:
    """Leave a failed event for later with back-off, or quarantine it after its last attempt; True if it goes on."""
    if event.attempts >= most_attempts:
        given_up = connection.execute(
            "UPDATE inbox SET state = 'quarantined', error = %s WHERE id = %s AND state = 'pending'",
            (error[:500], event.id),
        )
        if not given_up.rowcount:  # our lease had ended, and another one has brought it to its end
            return False
        raw = {"event_id": event.event.event_id, "kind": event.event.kind, "payload": dict(event.event.payload)}
        rejection = Rejection("push_failed", error[:500], raw, item=event.event.event_id)
        quarantine(connection, event.source, KIND, [rejection])
        return False
    pause = min(2.0**event.attempts, _BACK_OFF_LIMIT_SECONDS)
    connection.execute(
        "UPDATE inbox SET error = %s, next_attempt_at = clock_timestamp() + make_interval(secs => %s) WHERE id = %s",
        (error[:500], pause, event.id),
    )
    return True


def replay_quarantined(connection: psycopg.Connection, source: str) -> int:
    """Make a source's quarantined events due again; returns how many."""
    cursor = connection.execute(
        "UPDATE inbox SET state = 'pending', attempts = 0, next_attempt_at = clock_timestamp()"
        " WHERE source = %s AND state = 'quarantined'",
        (source,),
    )
    connection.execute(
        "UPDATE quarantine SET resolved_at = clock_timestamp() WHERE source = %s AND kind = %s AND resolved_at IS NULL",
        (source, KIND),
    )
    connection.execute(f"NOTIFY {CHANNEL}")
    return cursor.rowcount
