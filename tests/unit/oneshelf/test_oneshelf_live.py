"""`oneshelf doctor --live`, as people use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from oneshelf.demo_check import fetch_json
from tests.unit.oneshelf.test_oneshelf_cli import sandboxes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.oneshelf.conftest import Run


def marks(output: str) -> set[str]:
    return {line.split(" ", 1)[0] for line in output.splitlines() if line.startswith(("ok ", "~ ", "!! "))}


def first_level(url: str) -> tuple[str, str]:
    """Return SKU and the ERP's own number of an article that the hub has at a place fed by SAP."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT item.sku, reference.external_id FROM stock_level AS level JOIN item ON item.id = level.item_id"
            " JOIN location ON location.id = level.location_id JOIN external_reference AS reference"
            " ON reference.our_id = item.id AND reference.kind = 'item' AND reference.system = 'sap'"
            " WHERE level.on_hand > 0 AND location.stock_source = 'sap' ORDER BY item.sku LIMIT 1"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_the_live_look_finds_nothing_at_our_own_stand_ins_and_the_hub_tells_the_same(
    run: Run, environment: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> None:
    with sandboxes(environment, tmp_path, articles=10) as urls:
        assert run("sync", "inventory", "--full").exit_code == 0
        sku, number = first_level(database_url)
        result = run("doctor", "--live", "--sku", sku, "sap")
        assert result.exit_code == 0, result.stdout
        assert marks(result.stdout) == {"ok"}
        assert f"article {number}" in result.stdout
        for words in ("spelling of quantities", "quota", "on hand", "status: InventoryStockType"):
            assert words in result.stdout

        result = run("doctor", "--live", "kingdee", "--json")
        assert result.exit_code == 0, result.stdout
        [report] = json.loads(result.stdout)
        assert report["well"]
        assert report["comparisons"]
        assert all(place["hub_on_hand"] == place["erp_on_hand"] for place in report["comparisons"])

        # goods that move behind the hub's back show as a difference
        storage = {"plant": "1010", "storage_location": "101A"}
        movement = {"kind": "receipt", "quantity": "7", "material": number, **storage}
        fetch_json(f"{urls['sap']}/__world/movements", body=movement)
        result = run("doctor", "--live", "sap", "--sku", number)
        assert result.exit_code == 1, result.stdout
        assert "!!" in marks(result.stdout)


def test_the_live_look_needs_no_database_and_leaves_nothing_behind(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for url in ("", "postgresql://hub:geheim@127.0.0.1:9/none"):
        environment.setenv("ONESHELF_DATABASE__URL", url)
        if not url:
            environment.delenv("ONESHELF_DATABASE__URL")
        with sandboxes(environment, tmp_path, articles=5):
            result = run("doctor", "--live")
        assert result.exit_code == 0, result.stdout
        assert "unknown" in result.stdout
        assert "geheim" not in result.output
        assert not (tmp_path / "state").exists()


def test_a_wrong_secret_is_tried_once_and_ends_the_look(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with sandboxes(environment, tmp_path, articles=5):
        environment.setenv("ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD", "geheim-und-falsch")
        environment.setenv("ONESHELF_SOURCES__KINGDEE__CONNECTION__APP_SECRET", "geheim-und-falsch")
        result = run("doctor", "--live")
    assert result.exit_code == 1
    assert result.stdout.count("not let in, so nothing else was asked") == 2
    assert "geheim" not in result.output


def test_a_source_that_does_not_exist_or_answer_is_named(run: Run, environment: pytest.MonkeyPatch) -> None:
    result = run("doctor", "--live", "oracle")
    assert result.exit_code == 1
    assert "no source oracle" in str(result.exception)
    environment.delenv("ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD")
    result = run("doctor", "--live", "sap")
    assert result.exit_code == 1
    assert "ONESHELF_SOURCES__SAP__CONNECTION" in result.stdout


def test_what_belongs_to_the_live_look_is_not_ignored_without_it(run: Run) -> None:
    for arguments in (["sap"], ["--sku", "1"], ["--json"]):
        result = run("doctor", *arguments)
        assert result.exit_code == 2
        assert "--live" in result.output


def test_the_json_of_a_look_names_what_alarms(run: Run, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with sandboxes(environment, tmp_path, articles=5) as urls:
        fetch_json(f"{urls['sap']}/__world/reset", body={})
        turn_on(urls["sap"], "empty-answer")
        result = run("doctor", "--live", "sap", "--json")
    [report] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert not report["well"]
    alarming = [seen["name"] for seen in report["observations"] if seen["numbers_at_risk"] and not seen["agrees"]]
    assert "stock rows" in alarming


def turn_on(url: str, fault: str, **options: Any) -> None:
    import requests

    requests.put(f"{url}/__faults/{fault}", json=options, timeout=5).raise_for_status()
