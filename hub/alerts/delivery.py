"""Sending what waits: each channel gets its messages in their order, at least once.

A message is written in the transaction that moves the alert on and is marked as sent after the channel took it. What
fails stays and is tried again at the next look; a process that dies between the two sends it twice, which does no harm.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import structlog

from hub.alerts.texts import Voice, compose
from hub.errors import Rejected, RemoteError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hub.contracts import Alert, AlertChannel
    from hub.settings import Settings

# Held by the session, not by a transaction: one that is open while a channel hangs would hold up others. Whoever comes
# second waits for its turn, since the first may have looked before the second wrote.
_LOCK = "hashtext('oneshelf.alerts.send')"
_WAIT = "60s"
_GIVE_UP = """
UPDATE alert_message SET given_up_at = clock_timestamp()
WHERE sent_at IS NULL AND given_up_at IS NULL AND created_at < clock_timestamp() - %s
"""
_WAITING = """
SELECT message.id, alert.kind, alert.subject, message.phase, message.facts, alert.began_at, alert.raised_at,
       message.created_at, CASE WHEN message.phase = 'resolved' THEN alert.resolved_at END
FROM alert_message AS message JOIN alert ON alert.id = message.alert_id
WHERE message.channel = %s AND message.id > %s AND message.sent_at IS NULL AND message.given_up_at IS NULL
ORDER BY message.id LIMIT 1
"""
_SENT = "UPDATE alert_message SET sent_at = clock_timestamp(), attempts = attempts + 1, error = NULL WHERE id = %s"
_FAILED = "UPDATE alert_message SET attempts = attempts + 1, error = %s WHERE id = %s"


def deliver(connection: psycopg.Connection, channels: Collection[AlertChannel], settings: Settings) -> int:
    """Send what waits for these channels, on a connection in autocommit mode; returns how many got through."""
    voice = Voice.of(settings.adapter)
    with _one_at_a_time(connection) as mine:
        if not mine:
            return 0
        connection.execute(_GIVE_UP, (timedelta(hours=settings.alerts.give_up_hours),))
        return sum(_deliver_to(connection, channel, voice) for channel in channels)


def _deliver_to(connection: psycopg.Connection, channel: AlertChannel, voice: Voice) -> int:
    log = structlog.get_logger().bind(channel=channel.name)
    sent, number = 0, 0
    while (waiting := _next(connection, channel.name, number, voice)) is not None:
        number, alert = waiting
        try:
            channel.send(alert)
        except RemoteError as error:
            connection.execute(_FAILED, (str(error)[:500], number))
            log.warning("alert_not_sent", message=alert.message_id, error=str(error))
            if not isinstance(error, Rejected):
                break  # the channel is in trouble, not this message: the others wait with it
        else:
            connection.execute(_SENT, (number,))
            log.info("alert_sent", message=alert.message_id, kind=alert.kind, phase=alert.phase)
            sent += 1
    return sent


def _next(connection: psycopg.Connection, channel: str, after: int, voice: Voice) -> tuple[int, Alert] | None:
    row = connection.execute(_WAITING, (channel, after)).fetchone()
    if row is None:
        return None
    number, kind, subject, phase, facts, began_at, raised_at, said_at, resolved_at = row
    alert = compose(
        voice,
        message_id=f"oneshelf-alert-{number}",
        kind=kind,
        subject=subject,
        phase=phase,
        facts=facts,
        began_at=began_at,
        raised_at=raised_at,
        said_at=said_at,
        resolved_at=resolved_at,
    )
    return int(number), alert


@contextmanager
def _one_at_a_time(connection: psycopg.Connection) -> Iterator[bool]:
    """Yield whether this session is the one that sends."""
    mine = False
    with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (_WAIT,))
        connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        mine = True
    try:
        yield mine
    finally:
        if mine and not connection.closed:
            connection.execute(f"SELECT pg_advisory_unlock({_LOCK})")
