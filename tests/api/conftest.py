"""Fixtures: the adapter on a real socket, over a small shop in a real database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from hub.access import create_key, load_roles
from hub.db.session import plain_url
from hub.settings import PROJECT_ROOT, AdapterSettings, Settings
from storefront_adapter.app import create_app
from tests.api.receiver import StubReceiver
from tests.api.seed import Seed
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

    def body(self, path: str) -> dict[str, object]:
        """GET what must succeed."""
        answer = self.client.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return dict(answer.json())


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """Give a connection in autocommit mode."""
    with psycopg.connect(plain_url(database_url), autocommit=True) as connection:
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


@pytest.fixture
def app(database_url: str, seed: Seed) -> FastAPI:
    """Give the app, closed to staff without a key."""
    assert seed.connection
    settings = Settings(adapter=AdapterSettings(staff_open=False, default_language="zh"))
    return create_app(settings, database_url, {("sap", "main"): StubReceiver("main")})


@pytest.fixture
def api(app: FastAPI, make_key: Callable[[str], str]) -> Iterator[Api]:
    """Give the served app and a client with a key of the shop."""
    headers = {"Authorization": f"Bearer {make_key('storefront')}", "Accept-Language": "en"}
    with serve(app) as base, httpx.Client(base_url=base, headers=headers, timeout=20) as client:
        yield Api(client, app, base)
