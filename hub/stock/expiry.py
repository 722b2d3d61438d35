"""Marking what has expired. Nothing waits for it: an expired reservation is free at its second, marked or not.

Whoever reserves or reads takes what has expired into account by itself. Marking keeps those sums short, tells
followers that stock is free again, and gives reservations their last state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.db.rows import one_value

if TYPE_CHECKING:
    import psycopg

_LEVELS, _RESERVATIONS = 500, 2000
_CLOSE = "SELECT stock_sweep(%s)"
# Only what all of its levels have closed, so that no clock that is set back can open it again.
_MARK = """
UPDATE reservation AS held SET state = 'expired', ended_at = to_timestamp(held.expires_second)
FROM (SELECT id FROM reservation AS ended
      WHERE state = 'active' AND expires_second <= EXTRACT(EPOCH FROM clock_timestamp())
        AND NOT EXISTS (SELECT FROM reservation_line AS line JOIN stock_level AS level USING (item_id, location_id)
                        WHERE line.reservation_id = ended.id AND level.closed_through < ended.expires_second)
      ORDER BY expires_second LIMIT %s FOR UPDATE SKIP LOCKED) AS due
WHERE held.id = due.id
"""


def sweep_expired(connection: psycopg.Connection) -> int:
    """Close what has expired, some of it, each step in a short transaction of its own; return how much was found.

    The connection must be in autocommit mode. Call it again at once while it returns something.
    """
    closed = int(one_value(connection.execute(_CLOSE, (_LEVELS,))))
    return closed + connection.execute(_MARK, (_RESERVATIONS,)).rowcount
