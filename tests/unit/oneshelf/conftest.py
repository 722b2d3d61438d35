"""The command line on a real database, in an environment of its own."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest
import structlog
from psycopg import sql
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from hub.db.session import plain_url
from oneshelf import cli
from oneshelf.console import console
from oneshelf.sandboxes import connection_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Give an environment whose settings are the repository's, with nothing of the shell's."""
    for variable in [name for name in os.environ if name.upper().startswith(("ONESHELF_", "PREFECT_API"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("ONESHELF_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    for name, value in connection_environment({"sap": NOWHERE, "kingdee": NOWHERE}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(console, "width", 300)
    yield monkeypatch
    structlog.reset_defaults()


@pytest.fixture
def run(environment: pytest.MonkeyPatch, database_url: str) -> Run:
    """Return what runs a command on a fresh, migrated database."""
    environment.setenv("ONESHELF_DATABASE__URL", database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, list(arguments))

    return invoke


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """Give the URL of a database without any schema."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    address = make_url(server_url)
    admin = plain_url(address.set(database="postgres").render_as_string(hide_password=False))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield plain_url(address.set(database=name).render_as_string(hide_password=False))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
