"""Fixtures: the sandbox with a small catalogue, served on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from sandbox.erp.sap.app import create_app
from tests.sandbox.sap.client import SECONDS, SapUser
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

ARTICLES = 400
PAGE_SIZE = 100


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SapUser]:
    """Give a sandbox that a whole module reads; nobody may change it."""
    with serve(
        create_app(tmp_path_factory.mktemp("sap") / "sap.sqlite", articles=ARTICLES, page_size=PAGE_SIZE)
    ) as url:
        user = SapUser(url)
        yield user
        user.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a sandbox that the tests of a module change one after the other."""
    with serve(
        create_app(tmp_path_factory.mktemp("sap") / "sap.sqlite", articles=ARTICLES, page_size=PAGE_SIZE)
    ) as url:
        yield url


@pytest.fixture
def sap(served: str) -> Iterator[SapUser]:
    """Give a sandbox with fresh books and no faults."""
    user = SapUser(served)
    requests.delete(f"{served}/__faults", timeout=SECONDS)
    user.world("reset", {})
    yield user
    user.close()
