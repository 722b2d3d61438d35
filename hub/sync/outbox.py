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
    from sqlalchemy.ext.asyncio import AsyncConnection

CHANNEL = "oneshelf_outbox"
"""NOTIFY channel that wakes the relay, once per transaction."""
_RELAY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('oneshelf.outbox_relay'))"
# Numbered apart from the join: a subquery would be run once more for each row of a table that the planner takes for
# tiny, and number anew, in the order in which the rows lie there.
_PUBLISH = """
WITH numbered AS MATERIALIZED (
    SELECT id, nextval('outbox_published') AS seq
    FROM (SELECT id FROM outbox WHERE published_seq IS NULL ORDER BY id LIMIT %s) AS waiting)
UPDATE outbox SET published_seq = numbered.seq
FROM numbered
WHERE outbox.id = numbered.id
RETURNING outbox.published_seq, outbox.topic, outbox.key, outbox.payload
"""
_FOLLOW = """
SELECT published_seq, topic, key, payload FROM outbox WHERE published_seq > %(after)s
ORDER BY published_seq LIMIT %(limit)s
"""
_KEPT = "SELECT COALESCE(min(published_seq), 1), COALESCE(max(published_seq), 0) FROM outbox"
# From the oldest number on all must be there, or a reader could not tell whether it missed one: rows are deleted in the
# order of their numbers, and the newest stays.
_FORGET = """
DELETE FROM outbox WHERE published_seq < (
    SELECT min(published_seq) FROM outbox
    WHERE created_at >= clock_timestamp() - make_interval(days => %s)
       OR published_seq = (SELECT max(published_seq) FROM outbox))
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


@dataclass(frozen=True, slots=True)
class Kept:
    """The numbers of the published rows that are still there: all from `oldest` to `newest`."""

    oldest: int
    newest: int

    def all_behind(self, seq: int) -> bool:
        """Tell whether a reader that has read up to `seq` can read on and misses nothing."""
        return self.oldest - 1 <= seq <= self.newest


async def read_kept(connection: AsyncConnection) -> Kept:
    """Return which published rows are still there."""
    oldest, newest = (await connection.exec_driver_sql(_KEPT)).one()
    return Kept(oldest, newest)


async def read_published(connection: AsyncConnection, after: int, limit: int) -> list[Published]:
    """Return published rows behind the number `after`, in their order."""
    rows = await connection.exec_driver_sql(_FOLLOW, {"after": after, "limit": limit})
    return [Published(*row) for row in rows]


def forget_published(connection: psycopg.Connection, *, days: int) -> int:
    """Delete published rows older than `days`, but for the newest; returns how many."""
    return connection.execute(_FORGET, (days,)).rowcount
