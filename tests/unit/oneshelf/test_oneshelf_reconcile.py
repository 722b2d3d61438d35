"""`oneshelf stock reconcile` and `oneshelf stock differences`, as people use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.unit.oneshelf.test_oneshelf_cli import sandboxes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.oneshelf.conftest import Run

_SPOIL = """
UPDATE stock_level SET held = held + 1
WHERE (item_id, location_id) = (SELECT item_id, location_id FROM stock_level
                                JOIN location ON location.id = location_id AND stock_source = 'sap' LIMIT 1)
"""
_SPOILED = """
SELECT item.sku, location.code FROM stock_difference
JOIN item ON item.id = item_id JOIN location ON location.id = location_id
"""


def test_a_difference_from_first_to_last(
    run: Run, environment: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> None:
    with sandboxes(environment, tmp_path):
        assert run("db", "init").exit_code == 0
        never = run("stock", "reconcile")
        assert never.exit_code == 1
        assert "sap: never read" in never.stdout
        assert run("sync", "inventory", "--full").exit_code == 0
        well = run("stock", "reconcile", "--source", "sap")
        assert (well.exit_code, "0 new differences" in well.stdout) == (0, True), well.output
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(_SPOIL)
        assert run("stock", "reconcile", "--source", "sap").exit_code == 1
        shown = run("stock", "differences")
        assert "our_bug" in shown.stdout
        assert "1 differences" in shown.stdout
        assert run("stock", "reconcile", "--full").exit_code == 0, "nothing new"
    down = run("stock", "reconcile", "--full")
    assert down.exit_code == 1
    assert all(f"{source}: unreachable" in down.stdout for source in ("sap", "kingdee")), "one does not stop the other"
    assert run("stock", "differences", "--resolve", "1").exit_code == 2
    told = ("stock", "differences", "--resolve", "1", "--as", "repaired")
    assert run(*told, "--posted-by", "D1", "--not-sold").exit_code == 2
    assert run("stock", "differences", "--not-sold").exit_code == 2
    assert run(*told, "--posted-by", " ").exit_code == 2
    for way in (("--posted-by", "D1"), ("--not-sold",)):
        refused = run(*told, *way)
        assert (refused.exit_code, "nothing was changed" in refused.stdout) == (1, True), refused.output
    with psycopg.connect(database_url, autocommit=True) as connection:
        [(sku, place)] = connection.execute(_SPOILED).fetchall()
    mended = run("stock", "rebuild", sku, place)
    assert (mended.exit_code, "held: 1 -> 0" in mended.stdout) == (0, True), mended.output
    assert "all sums were right" in run("stock", "rebuild", sku, place).stdout
    assert run("stock", "rebuild", sku, "nowhere").exit_code == 1
    assert run("stock", "differences", "--resolve", "1", "--as", "repaired").exit_code == 0
    assert run("stock", "differences", "--resolve", "1", "--as", "repaired").exit_code == 1
    assert "0 differences" in run("stock", "differences").stdout
    assert "closed" in run("stock", "differences", "--hours", "1").stdout
