"""Fixtures: the stand-in with a small catalogue, and a connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.erp.sap_rfc.system import AbapSystem
from tests.sandbox.sap_rfc.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.erp.sap_rfc.connection import Connection

ARTICLES = 400


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Give a connection to a system that a whole module reads; nobody may change it."""
    system = AbapSystem(tmp_path_factory.mktemp("ecc") / "ecc.sqlite", articles=ARTICLES)
    connection = connect(system)
    yield connection
    connection.close()
    system.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AbapSystem]:
    """Give a system that the tests of a module change one after the other."""
    system = AbapSystem(tmp_path_factory.mktemp("ecc") / "ecc.sqlite", articles=ARTICLES)
    yield system
    system.close()


@pytest.fixture
def ecc(lasting: AbapSystem) -> Iterator[AbapSystem]:
    """Give a system without faults and locks; a test that counts starts from what it finds."""
    yield lasting
    lasting.faults.turn_off()
    lasting.unlock_user()
    lasting.latency = 0


@pytest.fixture
def connection(ecc: AbapSystem) -> Iterator[Connection]:
    """Give a connection to the changing system, and see that no test leaks another one."""
    before = ecc.conversations
    opened = connect(ecc)
    yield opened
    opened.close()
    assert ecc.conversations == before
