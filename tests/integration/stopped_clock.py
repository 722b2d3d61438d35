"""A clock of the database that stands still until a test moves it, forth or back.

What the hub's functions and statements ask for, `clock_timestamp()`, is found in a schema of its own, before the
built-in function; so are the defaults of columns. It begins on a fixed day: no result depends on when the test runs.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from hub.db.session import plain_url

BEGINNING = datetime(2026, 11, 26, 4, tzinfo=UTC)
_MAKE = """
CREATE SCHEMA stopped;
CREATE TABLE stopped.clock (stands timestamptz NOT NULL);
CREATE FUNCTION stopped.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT stands FROM stopped.clock';
DO $$
DECLARE
    of record;
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = stopped, public, pg_catalog', current_database());
    -- The server is not killed in these tests: they need not wait for its disk.
    EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
    FOR of IN SELECT adrelid::regclass AS relation, attname FROM pg_attrdef
              JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
              WHERE pg_get_expr(adbin, adrelid) = 'clock_timestamp()' LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I SET DEFAULT stopped.clock_timestamp()', of.relation, of.attname);
    END LOOP;
END
$$;
"""


def stop_clock(url: str) -> None:
    """Let the clock of a database stand still from its next connections on."""
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        connection.execute(_MAKE)
        connection.execute("INSERT INTO stopped.clock VALUES (%s)", (BEGINNING,))


def set_clock(connection: psycopg.Connection, moment: datetime) -> None:
    """Set the clock, forth or back. The connection must be in autocommit mode."""
    connection.execute("UPDATE stopped.clock SET stands = %s", (moment,))
