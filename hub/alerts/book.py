"""The book of alerts: each look moves every alert on and writes down whom to tell, in one transaction."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hub.alerts.rules import Course, Pace, advance
from hub.alerts.sights import LOOKS, see
from hub.db.rows import one_value
from hub.sync.feed import database_time, move_position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import psycopg

    from hub.alerts.rules import Kind, Telling
    from hub.settings import Settings

_SLEEP = timedelta(minutes=10)
# One look at a time, whoever looks: each of them judges what the one before wrote.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('oneshelf.alerts.look'))"
_OPEN = """
SELECT id, kind, subject, facts, began_at, raised_at, told_at, well_since FROM alert WHERE resolved_at IS NULL
"""
_INSERT = """
INSERT INTO alert (kind, subject, facts, began_at, raised_at, told_at, well_since, resolved_at)
VALUES (%(kind)s, %(subject)s, %(facts)s::jsonb, %(began_at)s, %(raised_at)s, %(told_at)s, %(well_since)s,
        %(resolved_at)s)
RETURNING id
"""
_UPDATE = """
UPDATE alert SET facts = %(facts)s::jsonb, raised_at = %(raised_at)s, told_at = %(told_at)s,
    well_since = %(well_since)s, resolved_at = %(resolved_at)s
WHERE id = %(id)s
RETURNING id
"""
# Where the last word still waits, one more of the same would only queue up behind it.
_TELL = """
INSERT INTO alert_message (alert_id, channel, phase, facts)
SELECT %(id)s, told.channel, %(phase)s, %(facts)s::jsonb FROM unnest(%(channels)s::text[]) AS told (channel)
WHERE %(phase)s <> 'repeated'
   OR NOT EXISTS (SELECT FROM alert_message AS waiting
                  WHERE waiting.alert_id = %(id)s AND waiting.channel = told.channel
                    AND waiting.sent_at IS NULL AND waiting.given_up_at IS NULL)
"""
_ANNOUNCE = """
WITH told AS (
    INSERT INTO alert (kind, subject, facts, began_at, raised_at, told_at, resolved_at)
    SELECT %(kind)s, %(subject)s, %(facts)s::jsonb, moment, moment, moment, moment FROM clock_timestamp() AS moment
    RETURNING id)
INSERT INTO alert_message (alert_id, channel, phase, facts)
SELECT told.id, channel, 'raised', %(facts)s::jsonb FROM told, unnest(%(channels)s::text[]) AS channel
"""
OPEN_ALERTS = """
SELECT alert.kind, alert.subject, alert.facts, alert.began_at, alert.raised_at,
       count(message.id), (array_agg(message.error ORDER BY message.id) FILTER (WHERE message.error IS NOT NULL))[1]
FROM alert LEFT JOIN alert_message AS message
  ON message.alert_id = alert.id AND message.sent_at IS NULL
WHERE alert.raised_at IS NOT NULL AND alert.resolved_at IS NULL
GROUP BY alert.id ORDER BY alert.raised_at DESC, alert.id DESC
"""
"""The alerts that were raised and are not over, newest first: columns of `OpenAlert`."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is not over; `untold` messages about it did not get through, the first of them for `error`."""

    kind: str
    subject: str
    facts: Mapping[str, Any]
    began_at: datetime
    raised_at: datetime
    untold: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a look had to tell."""

    kind: str
    subject: str
    phase: Telling


@dataclass(frozen=True, slots=True)
class _Entry:
    """An open alert as it stands in the book; `id` is None for what no look saw before."""

    id: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    course: Course | None = None


def look(connection: psycopg.Connection, settings: Settings, watcher: str) -> list[Told]:
    """Judge everything, move the alerts on, queue messages for the channels of operations; returns what has to be told.

    Any number of watchers may look at the same time: what one raised, the others find raised.
    """
    rules = settings.alerts
    pace = Pace(timedelta(seconds=rules.settle_seconds), timedelta(hours=rules.repeat_hours))
    channels = list(rules.enabled_channels("operations"))
    told: list[Told] = []
    with connection.transaction():
        connection.execute(_ONE_AT_A_TIME)
        now = database_time(connection)
        waking = _is_waking(connection, now)
        move_position(connection, LOOKS, {}, watcher)
        seen = (replace(sight, since=None) if waking else sight for sight in see(connection, settings, now))
        sights = {(sight.kind.value, sight.subject): sight for sight in seen}
        entries = {
            (kind, subject): _Entry(number, facts, Course(*times))
            for number, kind, subject, facts, *times in connection.execute(_OPEN)
        }
        for key in sorted({*sights, *entries}):
            sight, entry = sights.get(key), entries.get(key, _Entry())
            course, phase = advance(entry.course, sight, now, pace)
            facts = json.dumps(dict(sight.facts if sight else entry.facts))
            number = _write(connection, key, entry.id, course, facts)
            if phase is not None:
                connection.execute(_TELL, {"id": number, "phase": phase, "facts": facts, "channels": channels})
                told.append(Told(*key, phase))
    return told


def announce(
    connection: psycopg.Connection, kind: Kind, subject: str, facts: Mapping[str, Any], channels: Sequence[str]
) -> Told:
    """Queue a message for these channels about what is told once and has no end, in the caller's transaction."""
    values = {"kind": kind.value, "subject": subject, "facts": json.dumps(dict(facts)), "channels": list(channels)}
    connection.execute(_ANNOUNCE, values)
    return Told(kind.value, subject, "raised")


def _is_waking(connection: psycopg.Connection, now: datetime) -> bool:
    """Tell whether nobody has looked for a while: then all was down, and what is old may catch up before it is told."""
    last = one_value(connection.execute("SELECT max(moved_at) FROM source_position WHERE source = %s", (LOOKS,)))
    return last is not None and now - last > _SLEEP


def _write(
    connection: psycopg.Connection, key: tuple[str, str], number: int | None, course: Course | None, facts: str
) -> int | None:
    """Write the course of an alert, or take out what came to nothing; returns the alert's id."""
    if course is None:
        connection.execute("DELETE FROM alert WHERE id = %s", (number,))
        return None
    values = {"id": number, "kind": key[0], "subject": key[1], "facts": facts, **asdict(course)}
    return int(one_value(connection.execute(_INSERT if number is None else _UPDATE, values)))


def load_open_alerts(connection: psycopg.Connection) -> list[OpenAlert]:
    """Return the alerts that are not over, newest first."""
    return [OpenAlert(*row) for row in connection.execute(OPEN_ALERTS)]
