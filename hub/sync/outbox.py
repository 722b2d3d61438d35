"""Outbox: what others must learn of a change, written in the transaction of the change.

Ids are drawn before the commit and may become visible out of order. One relay numbers committed rows with
`published_seq`; readers follow that number and never miss a row that committed late.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

CHANNEL = "oneshelf_outbox"
"""NOTIFY channel that wakes the relay, once per transaction."""
_RELAY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('oneshelf.outbox_relay'))"
_PUBLISH = """
UPDATE outbox SET published_seq = numbered.seq
FROM (SELECT id, nextval('outbox_published') AS seq
      FROM (SELECT id FROM outbox WHERE published_seq IS NULL ORDER BY id LIMIT %s) AS waiting) AS numbered
WHERE outbox.id = numbered.id
RETURNING outbox.published_seq, outbox.topic, outbox.key, outbox.payload
"""


@dataclass(frozen=True, slots=True)
class Published:
    """One numbered outbox row."""

    seq: int
    topic: str
    key: str
    payload: Mapping[str, Any]


def write_outbox(connection: psycopg.Connection, topic: str, key: str, payload: Mapping[str, Any]) -> None:
    """Add a row in the caller's transaction and wake the relay when it commits."""
    connection.execute(
        "INSERT INTO outbox (topic, key, payload) VALUES (%s, %s, %s::jsonb)",
        (topic, key, json.dumps(payload, ensure_ascii=False)),
    )
    connection.execute(f"NOTIFY {CHANNEL}")


def publish_waiting(connection: psycopg.Connection, limit: int = 500) -> Sequence[Published]:
    """Number waiting rows in the caller's transaction and return them in order; none if another relay is at it."""
    row = connection.execute(_RELAY_LOCK).fetchone()
    if row is None or not row[0]:
        return ()
    rows = connection.execute(_PUBLISH, (limit,)).fetchall()
    return sorted((Published(int(seq), topic, key, payload) for seq, topic, key, payload in rows), key=lambda r: r.seq)


def forget_published(connection: psycopg.Connection, *, days: int) -> int:
    """Delete published rows older than `days`; returns how many."""
    cursor = connection.execute(
        "DELETE FROM outbox WHERE published_seq IS NOT NULL"
        " AND created_at < clock_timestamp() - make_interval(days => %s)",
        (days,),
    )
    return cursor.rowcount
