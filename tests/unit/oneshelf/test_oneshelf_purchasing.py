"""Safety stock, stocktakes and suppliers on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.db.session import Database
from hub.locations import load_locations, store_locations
from hub.purchasing.crossings import note_crossings
from hub.settings import PROJECT_ROOT
from hub.sync.feed import declare_feed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.oneshelf.conftest import Run


@pytest.fixture
def shop(run: Run, database_url: str) -> Run:
    """Give the command line of a hub that has ten of A1 and of B2 at ST-SH01."""
    with psycopg.connect(database_url) as connection:
        store_locations(connection, load_locations(PROJECT_ROOT / "config" / "locations.yaml", ["sap", "kingdee"]))
        declare_feed(connection, "kingdee", stale_after_seconds=60)
        connection.execute("INSERT INTO item (sku, name, unit) VALUES ('A1', '茶', 'EA'), ('B2', '[b]', 'EA')")
        connection.execute(
            "INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)"
            " SELECT item.id, location.id, 10, 1, 2 FROM item, location WHERE code = 'ST-SH01'"
        )
    return run


def said(shop: Run, *arguments: str, code: int = 0) -> str:
    """Return what a command says, each run of blanks as one."""
    result = shop(*arguments)
    assert result.exit_code == code, result.output
    return " ".join(result.stdout.split())


def refusal(shop: Run, *arguments: str) -> str:
    result = shop(*arguments)
    assert result.exit_code == 1
    return str(result.exception)


def test_rules_are_set_listed_and_removed(shop: Run, database_url: str) -> None:
    assert said(shop, "stock", "safety", "list") == "no rule"
    assert said(shop, "stock", "safety", "set", "2", "--buffer", "1") == "2 levels changed"
    rule = ("--sku", "A1", "--place", "ST-SH01")
    assert (
        said(shop, "stock", "safety", "set", "4", *rule, "--target", "12", "--lag-factor", "1.5") == "1 levels changed"
    )
    listed = said(shop, "stock", "safety", "list")
    assert "A1 all ST-SH01 4 0 1.5 12" in listed
    assert "all all all 2 1 0" in listed
    with psycopg.connect(database_url) as connection:
        rooms = connection.execute("SELECT room FROM stock_level ORDER BY item_id").fetchall()
    assert rooms == [(6,), (7,)]
    assert said(shop, "stock", "safety", "remove", *rule) == "1 levels changed"
    assert said(shop, "stock", "safety", "remove", *rule, code=1) == "no such rule"
    assert "there is no SKU C3" in refusal(shop, "stock", "safety", "set", "1", "--sku", "C3")
    assert shop("stock", "safety", "set", "many").exit_code == 2


def test_what_is_low_names_whom_to_buy_from(shop: Run, database_url: str) -> None:
    assert said(shop, "stock", "low") == "nothing is below its safety stock"
    said(shop, "stock", "safety", "set", "11", "--sku", "A1")
    for code, name in (("S1", "青禾"), ("S2", "Bee")):
        assert said(shop, "suppliers", "set", code, name) == f"{code} is {name}"
    said(shop, "suppliers", "offer", "A1", "S1", "--days", "3", "--multiple", "5")
    said(shop, "suppliers", "offer", "A1", "S2", "--position", "2", "--article-no", "B-1")
    database = Database(database_url)
    with database.driver() as connection:
        note_crossings(connection)
    database.close()
    assert "10 11 15 S1 青禾 3 not yet" in said(shop, "stock", "low")
    assert said(shop, "suppliers", "unavailable", "S1") == "S1 is not available"
    assert "10 11 12 S2 Bee B-1 not yet" in said(shop, "stock", "low")
    listed = said(shop, "suppliers", "list", "A1")
    assert "1 S1 青禾 not available 3 0 5 2 S2 Bee available B-1 0" in listed
    assert said(shop, "suppliers", "available", "S1") == "S1 is available"
    assert "S1 青禾 available 1" in said(shop, "suppliers", "list")
    assert "there is no supplier S3" in refusal(shop, "suppliers", "available", "S3")
    assert "no supplier S3" in refusal(shop, "suppliers", "offer", "A1", "S3")
    assert said(shop, "suppliers", "drop", "A1", "S2") == "done"
    assert said(shop, "suppliers", "drop", "A1", "S2", code=1) == "S2 is not in the list of A1"


def test_lists_of_suppliers_are_exported_and_imported(shop: Run, tmp_path: Path) -> None:
    said(shop, "suppliers", "set", "S1", "青禾")
    said(shop, "suppliers", "offer", "A1", "S1", "--minimum", "12.50")
    path = tmp_path / "lists.csv"
    assert said(shop, "suppliers", "export", str(path)) == "1 lines"
    assert path.read_text(encoding="utf-8-sig").splitlines()[1] == "A1,S1,1,,,12.5,"
    path.write_text("sku,supplier,position\nA1,S1,4\nB2,S1,1\n", encoding="utf-8")
    assert said(shop, "suppliers", "import", str(path)) == "lists of 2 articles"
    assert "4 S1" in said(shop, "suppliers", "list", "A1")
    path.write_text("sku,supplier,position\nA1,S1,5\nB2,S9,1\n", encoding="utf-8")
    assert "no supplier S9" in refusal(shop, "suppliers", "import", str(path))
    assert "4 S1" in said(shop, "suppliers", "list", "A1")


def test_a_place_is_frozen_and_thawed_with_its_difference(shop: Run, database_url: str, tmp_path: Path) -> None:
    assert said(shop, "stock", "count") == "no stocktake"
    assert said(shop, "stock", "freeze", "ST-SH01") == "ST-SH01 is frozen for stocktake 1"
    assert "is being counted already" in refusal(shop, "stock", "freeze", "ST-SH01")
    assert "1 ST-SH01" in said(shop, "stock", "count")
    assert "being counted" in said(shop, "stock", "count")
    assert said(shop, "stock", "count", "1").startswith("ST-SH01 is being counted since")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO stock_ledger (item_id, location_id, quantity_before, quantity_after, cause, source, batch_id,"
            " effective_at) SELECT item_id, location_id, 10, 7, 'delta', 'kingdee', 1, now() FROM stock_level"
            " JOIN item ON item.id = item_id WHERE sku = 'B2'"
        )
        connection.execute("UPDATE stock_level SET on_hand = 7 FROM item WHERE item.id = item_id AND sku = 'B2'")
    path = tmp_path / "count.csv"
    told = said(shop, "stock", "thaw", "ST-SH01", "--csv", str(path))
    assert "stocktake 1 of ST-SH01: 2 levels, 1 differ" in told
    assert "its stock was not read since it was frozen" in told
    assert "B2 [b] 10 7 0 -3 0 0" in told
    assert path.read_text(encoding="utf-8-sig").splitlines()[1] == "B2,[b],EA,10,7,0,-3,0,0"
    assert "is not being counted" in refusal(shop, "stock", "thaw", "ST-SH01")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE feed SET read_at = now()")
    assert "not read since" not in said(shop, "stock", "count", "1")


def test_the_risk_of_what_sells_without_us(shop: Run, database_url: str) -> None:
    assert said(shop, "stock", "risk") == "nothing has fallen without us"
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE feed SET read_at = now() - interval '1 hour'")
        connection.execute(
            "INSERT INTO stock_rate (item_id, location_id, fallen, per_second)"
            " SELECT item_id, location_id, 48, 48 / 86400.0 FROM stock_level JOIN item ON item.id = item_id"
            " WHERE sku = 'A1'"
        )
    told = said(shop, "stock", "risk", "A1")
    assert "A1 ST-SH01 48 48.00 36" in told
    assert " 2.00" in told
    assert "units in all that are shown" in told
    assert said(shop, "stock", "risk", "B2") == "nothing has fallen without us"
