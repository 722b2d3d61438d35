"""Fixtures for the whole suite: one real PostgreSQL, and a fresh database in it for each test that asks."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from hub.db.embedded import EmbeddedServer
from hub.db.migrate import upgrade
from hub.db.session import Database, plain_url

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Give the URL of a real PostgreSQL: `ONESHELF_TEST_DATABASE_URL`, or an embedded one for this session."""
    given = os.environ.pop("ONESHELF_TEST_DATABASE_URL", None)
    if given:
        yield given
        return
    # Not below pytest's own directory: the server runs as another user when the tests run as root.
    directory = Path(tempfile.mkdtemp(prefix="oneshelf-test-", dir="/var/tmp"))
    directory.chmod(0o755)
    server = EmbeddedServer(directory / "postgres")
    yield server.url
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def template_url(server_url: str) -> Iterator[str]:
    """Give a migrated, empty database that the others are copied from; other runs on the server have their own."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    yield _create(server_url, name)
    drop_database(server_url, name)


FreshDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def fresh_database(template_url: str) -> FreshDatabase:
    """Give a way to make a fresh, migrated database for the length of a `with` block; yields its URL."""

    @contextmanager
    def make() -> Iterator[str]:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield copy_database(template_url, name)
        drop_database(template_url, name)

    return make


@pytest.fixture
def database_url(fresh_database: FreshDatabase) -> Iterator[str]:
    """Give the URL of a fresh, migrated database, dropped after the test."""
    with fresh_database() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give a fresh, migrated database."""
    database = Database(database_url)
    yield database
    database.close()


def copy_database(template_url: str, name: str) -> str:
    """Make a copy of the template; return its URL."""
    copied = sql.Identifier(str(make_url(template_url).database))
    with psycopg.connect(_admin(template_url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), copied))
    return _with_database(template_url, name)


def drop_database(url: str, name: str) -> None:
    """Drop a database of the server, whoever is connected to it."""
    with psycopg.connect(_admin(url), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _create(url: str, name: str) -> str:
    with psycopg.connect(_admin(url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    database = Database(_with_database(url, name))
    upgrade(database)
    database.close()
    return _with_database(url, name)


def _with_database(url: str, name: str) -> str:
    return plain_url(make_url(url).set(database=name).render_as_string(hide_password=False))


def _admin(url: str) -> str:
    return _with_database(url, "postgres")
