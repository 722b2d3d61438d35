"""Ticks: the hub's own order of moments, drawn on either side of every read of an ERP.

A tick is a number of one PostgreSQL sequence. Comparing ticks needs no clock, so neither skew nor a leap of the hub's
or the ERP's clock can harm a rule. The time of drawing is kept beside it for copies that declare a lag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.db.rows import one_value

if TYPE_CHECKING:
    import psycopg

_LONG_AGO = """
SELECT COALESCE((SELECT tick FROM tick_time WHERE drawn_at <= clock_timestamp() - make_interval(secs => %s)
                 ORDER BY tick DESC LIMIT 1), 0)
"""
_DRAW = "INSERT INTO tick_time (tick) VALUES (nextval('tick')) RETURNING tick"


def draw_tick(connection: psycopg.Connection) -> int:
    """Draw the next tick. The connection must be in autocommit mode: a tick is drawn for good."""
    return int(one_value(connection.execute(_DRAW)))


def tick_of(connection: psycopg.Connection, seconds_ago: float) -> int:
    """Return the last tick that was drawn so long ago or longer, by the database's clock; 0 if there is none."""
    return int(one_value(connection.execute(_LONG_AGO, (seconds_ago,))))
