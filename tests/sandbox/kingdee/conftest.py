"""A running Kingdee sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.erp.kingdee.app import create_app
from tests.sandbox.kingdee.client import Client
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database: Path = tmp_path_factory.mktemp("kingdee") / "kingdee.db"
    with serve(create_app(database, articles=150)) as base:
        yield base


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    found = Client(server)
    yield found
    found.calm()
