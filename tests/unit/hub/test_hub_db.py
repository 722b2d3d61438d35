"""The database: migrations, lent connections, and the embedded server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy import text
from sqlalchemy.engine import make_url

from hub.db.embedded import EmbeddedServer
from hub.db.migrate import current_revision, difference, head_revision, upgrade
from hub.db.session import Database, driver_url, plain_url
from hub.errors import ConfigError
from hub.settings import PROJECT_ROOT
from tests.locks import OUR_LOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator

# --- migrations


@pytest.fixture
def empty(server_url: str) -> Iterator[Database]:
    """Give a database without any schema."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    admin = plain_url(make_url(server_url).set(database="postgres").render_as_string(hide_password=False))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database = Database(make_url(server_url).set(database=name).render_as_string(hide_password=False))
        yield database
        database.close()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_tables_and_migrations_agree(database: Database) -> None:
    assert difference(database) == []
    assert current_revision(database) == head_revision()


def test_migrating_twice_is_migrating_once(empty: Database) -> None:
    assert current_revision(empty) is None
    assert difference(empty)
    upgrade(empty)
    with empty.driver() as connection:
        connection.execute("INSERT INTO barcode SELECT 'x', NULL, 1 WHERE false")
        connection.execute("INSERT INTO feed (source, stale_after_seconds) VALUES ('sap', 1)")
    upgrade(empty)
    with empty.driver() as connection:
        assert connection.execute("SELECT source FROM feed").fetchall() == [("sap",)]
    assert difference(empty) == []


def test_two_that_start_at_once_migrate_once(empty: Database) -> None:
    start, failures = threading.Barrier(2), []

    def migrate() -> None:
        try:
            start.wait(timeout=10)
            upgrade(empty)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert difference(empty) == []
    with empty.transaction() as connection:  # the lock is given back
        assert connection.execute(text(OUR_LOCKS)).scalar_one() == 0


# --- connections


@pytest.fixture
def narrow(database_url: str) -> Iterator[Database]:
    """Give a database whose pool lends the same connection again."""
    database = Database(database_url, pool_size=1)
    yield database
    database.close()


def assert_clean(database: Database, backend: int | None = None) -> None:
    with database.engine.connect() as connection:
        lent = connection.connection.driver_connection
        assert isinstance(lent, psycopg.Connection)
        assert lent.autocommit is False
        if backend is not None:
            assert lent.info.backend_pid == backend
        assert connection.execute(text("SELECT to_regclass('pg_temp.staged')")).scalar_one() is None
        assert connection.execute(text("SELECT count(*) FROM pg_listening_channels()")).scalar_one() == 0


def test_a_lent_connection_comes_back_clean(narrow: Database) -> None:
    with narrow.driver() as connection:
        backend = connection.info.backend_pid
        assert connection.autocommit
        connection.execute("CREATE TEMP TABLE staged (a int)")
        connection.execute("LISTEN oneshelf_test")
    assert_clean(narrow, backend)


@pytest.mark.parametrize("opening", ["BEGIN", "BEGIN; CREATE TEMP TABLE staged (a int)"])
def test_it_comes_back_clean_after_an_error_too(narrow: Database, opening: str) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), narrow.driver() as connection:  # noqa: PT012
        connection.execute(opening)  # type: ignore[arg-type]
        connection.execute("SELECT 1 / 0")
    assert_clean(narrow)
    with pytest.raises(KeyError), narrow.driver() as connection, connection.transaction():  # noqa: PT012
        connection.execute("CREATE TEMP TABLE staged (a int)")
        raise KeyError("staged")
    assert_clean(narrow)


def test_a_connection_left_in_the_middle_of_something_is_not_lent_again(narrow: Database) -> None:
    with pytest.raises(KeyError), narrow.driver() as connection:  # noqa: PT012
        backend = connection.info.backend_pid
        connection.pgconn.send_query(b"SELECT pg_sleep(0.1)")
        assert connection.info.transaction_status == TransactionStatus.ACTIVE
        raise KeyError("interrupted")
    assert_clean(narrow)
    with narrow.driver() as connection:
        assert connection.info.backend_pid != backend


def test_a_connection_that_the_server_ended_is_replaced(narrow: Database, database: Database) -> None:
    with pytest.raises(psycopg.OperationalError), narrow.driver() as connection:  # noqa: PT012
        with database.driver() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("SELECT 1")
    assert_clean(narrow)


def test_a_unit_of_work_is_one_transaction(database: Database) -> None:
    insert = text("INSERT INTO feed (source, stale_after_seconds) VALUES (:source, 1)")
    with database.transaction() as connection:
        connection.execute(insert, {"source": "kept"})
    with pytest.raises(KeyError), database.transaction() as connection:  # noqa: PT012
        connection.execute(insert, {"source": "undone"})
        raise KeyError
    with database.driver() as lent:
        assert lent.execute("SELECT source FROM feed").fetchall() == [("kept",)]


async def test_the_asynchronous_engine_sees_the_same_database(database: Database) -> None:
    engine = database.async_engine()
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM feed"))).scalar_one() == 0
    await engine.dispose()


async def test_settings_of_an_engine_stand_beside_those_of_the_url(database: Database) -> None:
    mark = "&" if "?" in database.url else "?"
    owned = Database(f"{database.url}{mark}options=-c%20application_name%3Dours")
    with owned.driver() as connection:
        settings = "SELECT current_setting('application_name'), current_setting('temp_buffers')"
        assert connection.execute(settings).fetchone() == ("ours", "1MB")
    owned.close()
    for engine in (owned.async_engine(lock_timeout="3s"), owned.planned_engine(lock_timeout="3s")):
        async with engine.connect() as connection:
            shown = text("SELECT current_setting('application_name'), current_setting('lock_timeout')")
            assert tuple((await connection.execute(shown)).one()) == ("ours", "3s")
        await engine.dispose()


def test_the_servers_version_is_told(database: Database) -> None:
    assert int(database.ping().split(".")[0]) >= 15


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_any_spelling_of_a_postgresql_url_is_taken(scheme: str) -> None:
    given = f"{scheme}://hub:p%40ss@db:5432/oneshelf?sslmode=require"
    assert driver_url(given) == "postgresql+psycopg://hub:p%40ss@db:5432/oneshelf?sslmode=require"
    assert plain_url(given) == "postgresql://hub:p%40ss@db:5432/oneshelf?sslmode=require"


@pytest.mark.parametrize("url", ["mysql://hub:geheim@db/x", "sqlite:///x.db", "no url", ""])
def test_another_database_is_refused_without_telling_the_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url must start with postgresql://") as caught:
        Database(url)
    assert "geheim" not in str(caught.value)


# --- the embedded server

OTHER_PROCESS = """
import sys
from pathlib import Path
from hub.db.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.url, flush=True)
if sys.argv[2] == "wait":
    sys.stdin.read()
    server.stop()
else:
    import os
    os._exit(0)
"""


def backend(url: str) -> int:
    """Return when the server was started, as a number."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT EXTRACT(epoch FROM pg_postmaster_start_time()) * 1000000").fetchone()
    assert row is not None
    return int(row[0])


def test_the_embedded_server_is_shared_and_finds_its_data_again() -> None:
    folder = Path(tempfile.mkdtemp(prefix="oneshelf-embedded-", dir="/var/tmp"))
    folder.chmod(0o755)
    data = folder / "state" / "postgres"
    try:
        first = EmbeddedServer(data)
        second = EmbeddedServer(data)
        assert first.url == second.url
        started = backend(first.url)
        with psycopg.connect(first.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (a int)")
            assert connection.execute("SHOW max_connections").fetchone() == ("120",)
        first.stop()
        first.stop()  # letting go twice is letting go once
        assert backend(second.url) == started

        command = [sys.executable, "-W", "ignore", "-c", OTHER_PROCESS, str(data)]
        # a process that was killed does not hold the server for ever
        done = subprocess.run([*command, "die"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == second.url
        with subprocess.Popen(
            [*command, "wait"], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline().strip() == second.url
            second.stop()
            assert backend(second.url) == started  # the other process still holds it
            other.communicate(input="", timeout=30)
        with pytest.raises(psycopg.OperationalError):
            backend(second.url)

        again = EmbeddedServer(data)
        with psycopg.connect(again.url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        again.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
