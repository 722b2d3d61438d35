"""Fixtures: the adapter on a real socket, over a small shop in a real database."""

from __future__ import annotations

import ssl
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from psycopg import sql

from hub.access import create_key, load_roles
from hub.db.tables import metadata
from hub.settings import PROJECT_ROOT, AdapterSettings, Settings
from storefront_adapter.app import create_app
from tests.api.receiver import StubReceiver
from tests.api.seed import Seed
from tests.conftest import copy_database, drop_database
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI


@dataclass
class Api:
    """A client that holds a key, and what a test may look behind."""

    client: httpx.Client
    app: FastAPI
    base: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET with headers whose names are given with underscores."""
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def body(self, path: str) -> dict[str, Any]:
        """GET what must succeed."""
        answer = self.client.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return dict(answer.json())


def no_certificates() -> ssl.SSLContext:
    """Return a context that trusts nobody: nothing here speaks TLS, and reading the real list takes long."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(scope="session")
def shop_url(template_url: str) -> Iterator[str]:
    """Give one migrated database for the whole directory: each test empties it instead of making a new one."""
    name = f"shop_{uuid.uuid4().hex[:12]}"
    yield copy_database(template_url, name)
    drop_database(template_url, name)


@pytest.fixture
def connection(shop_url: str) -> Iterator[psycopg.Connection]:
    """Give a connection in autocommit mode to an empty database."""
    with psycopg.connect(shop_url, autocommit=True, options="-c synchronous_commit=off") as connection:
        with connection.transaction():  # few rows: deleting them is faster than truncating the tables
            for table in reversed(metadata.sorted_tables):
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        yield connection


@pytest.fixture
def seed(connection: psycopg.Connection) -> Seed:
    """Give the small shop."""
    seed = Seed(connection)
    seed.shop()
    return seed


@pytest.fixture
def make_key(connection: psycopg.Connection) -> Callable[[str], str]:
    """Give a maker of keys by role."""
    roles = load_roles(PROJECT_ROOT / "config" / "roles.yaml")
    return lambda role: create_key(connection, f"test {role}", role, roles)


def build_app(url: str, *, staff_open: bool) -> FastAPI:
    """Build the app with one connection that takes pushes."""
    settings = Settings(adapter=AdapterSettings(staff_open=staff_open))
    return create_app(settings, url, {("sap", "main"): StubReceiver("main")})


@pytest.fixture(scope="session")
def served(shop_url: str) -> Iterator[tuple[FastAPI, str]]:
    """Give the app, closed to staff without a key, and where it is served."""
    app = build_app(shop_url, staff_open=False)
    with serve(app) as base:
        yield app, base


@pytest.fixture(scope="session")
def open_staff(shop_url: str) -> Iterator[str]:
    """Give the address of the app whose staff page is open."""
    with serve(build_app(shop_url, staff_open=True)) as base:
        yield base


@pytest.fixture
def api(served: tuple[FastAPI, str], seed: Seed, make_key: Callable[[str], str]) -> Iterator[Api]:
    """Give a client with a key of the shop."""
    assert seed.connection
    app, base = served
    headers = {"Authorization": f"Bearer {make_key('storefront')}", "Accept-Language": "en"}
    with httpx.Client(base_url=base, headers=headers, timeout=20, verify=no_certificates()) as client:
        yield Api(client, app, base)
