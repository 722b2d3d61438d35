"""`oneshelf stock promise`, against the stand-in's ABAP side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.settings import PROJECT_ROOT
from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER
from sandbox.erp.sap_rfc.system import AbapSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.oneshelf.conftest import Run

SETTINGS = """
[items]
sku_from = ["sap"]

[sources.sap]
system = "sap"

[sources.sap.connection]
transport = "rfc"
pyrfc_module = "pyrfc_of_the_promise"
"""


@pytest.fixture
def abap(environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AbapSystem]:
    """Point the settings at an ECC system in this process."""
    for name in ("locations.yaml", "roles.yaml"):
        (tmp_path / name).write_bytes((PROJECT_ROOT / "config" / name).read_bytes())
    kingdee = '[sources.kingdee]\nsystem = "kingdee"\nenabled = false\n'
    (tmp_path / "base.toml").write_text(SETTINGS + kingdee, encoding="utf-8")
    environment.setenv("ONESHELF_CONFIG_DIR", str(tmp_path))
    prefix = "ONESHELF_SOURCES__SAP__CONNECTION__"
    environment.delenv(f"{prefix}BASE_URL")
    system = AbapSystem(tmp_path / "ecc.db", articles=30)
    for name, value in (("ASHOST", system.host), ("USER", DEMO_USER), ("PASSWORD", DEMO_PASSWORD)):
        environment.setenv(prefix + name, value)
    environment.setitem(sys.modules, "pyrfc_of_the_promise", system.pyrfc)
    yield system
    system.close()


def test_what_an_erp_would_confirm(run: Run, abap: AbapSystem, database_url: str) -> None:
    assert run("sync", "inventory", "--full").exit_code == 0
    [item, held] = next(
        (row["item"], row["quantity"])
        for row in abap.world.totals()["totals"]
        if row["location"] == "1010/101A" and float(row["quantity"]) > 1
    )
    with psycopg.connect(database_url) as connection:
        [sku] = connection.execute(
            "SELECT sku FROM item JOIN external_reference AS reference ON reference.our_id = item.id"
            " WHERE reference.kind = 'item' AND reference.external_id = %s",
            (item,),
        ).fetchone() or [""]
    done = run("stock", "promise", sku, "DC-SH", "1")
    assert done.exit_code == 0, done.output
    assert "1.000 of 1 on " in done.output
    short = run("stock", "promise", sku, "DC-SH", "999999", "--on", "2099-01-01")
    assert short.exit_code == 1
    assert f"{held}.000 of 999999 on 2099-01-01" in short.output


def test_what_can_not_be_asked(run: Run, abap: AbapSystem) -> None:
    assert abap.conversations == 0
    for arguments, says in (
        (("A", "NOWHERE", "1"), "there is DC-SH"),
        (("A", "DC-SH", "many"), "is no number"),
        (("A", "DC-SH", "nan"), "is no number"),
    ):
        done = run("stock", "promise", *arguments)
        assert done.exit_code == 2
        assert says in done.output
    assert "no SKU A" in str(run("stock", "promise", "A", "DC-SH", "1").exception)


def test_an_erp_without_the_check_says_so(run: Run) -> None:
    done = run("stock", "promise", "A", "DC-SH", "1")
    assert "has no availability check" in str(done.exception)
