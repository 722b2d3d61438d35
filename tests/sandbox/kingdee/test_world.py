"""The world's own interface: movements as audited bills, taking back, persistence, random life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.erp.kingdee.app import create_app
from tests.sandbox.kingdee.client import Client
from tests.serving import serve

FORMS = {
    "sale": "SAL_OUTSTOCK",
    "receipt": "STK_InStock",
    "transfer": "STK_TransferDirect",
    "return": "SAL_RETURNSTOCK",
    "status": "STK_StatusConvert",
}
ROOT = Path(__file__).parents[3]


def key(row: dict[str, Any], stock: str = "") -> tuple[str, str]:
    return stock or row["stock"], "|".join(filter(None, (row["material"], row["colour"], row["size"])))


def beijing_now() -> str:
    return (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("kind", "change"), [("sale", -2), ("receipt", 2), ("transfer", -2), ("return", 2), ("status", -2)]
)
def test_each_movement_is_an_audited_bill(client: Client, kind: str, change: int) -> None:
    row = client.plain_row()
    before, began = client.totals(), beijing_now()
    more = {"to_stock": "CK105"} if kind == "transfer" else {}
    answer = client.move(kind, row, "2", **more)
    assert answer.status_code == 201
    posted = answer.json()
    assert posted["form"] == FORMS[kind]
    after = client.totals()
    changed = {
        name: (before.get(name), after.get(name)) for name in before | after if before.get(name) != after.get(name)
    }
    assert float(after[key(row)]) - float(before[key(row)]) == change
    assert len(changed) == (2 if kind == "transfer" else 1)
    keys = "FID,FBillNo,FDocumentStatus,FModifyDate,FApproveDate,FMaterialID.FNumber"
    [bill] = client.query(posted["form"], keys, f"FBillNo='{posted['bill_no']}'")
    assert bill[:3] == [posted["id"], posted["bill_no"], "C"]
    assert bill[3] == bill[4] >= began
    touched = client.query("STK_Inventory", "FMaterialId.FNumber", f"FUpdateTime >= '{bill[3]}'")
    assert [row["material"]] in touched


def test_a_status_change_keeps_the_goods_under_another_status(client: Client) -> None:
    row = client.plain_row(skip=1)
    client.move("status", row, "3", status="KCZT08_SYS")
    found = [r for r in client.stock() if key(r) == key(row) and r["status"] == "KCZT08_SYS" and r["owner"] == "100"]
    assert sum(float(r["quantity"]) for r in found) >= 3


def test_a_count_sets_the_sellable_own_quantity(client: Client) -> None:
    row = client.plain_row(skip=2)
    assert client.move("count", row, "1000").json()["form"] == "STK_StockCountGain"
    assert client.totals()[key(row)] == "1000"
    assert client.move("count", row, "7").json()["form"] == "STK_StockCountLoss"
    assert client.totals()[key(row)] == "7"
    same = client.move("count", row, "7")
    assert (same.status_code, same.json()["form"]) == (200, None)


def test_a_sale_takes_the_earliest_lot_first_and_a_row_at_zero_disappears(client: Client) -> None:
    rows = [r for r in client.stock() if r["lot"] and r["status"] == "KCZT01_SYS" and r["owner"] == "100"]
    first = next(r for r in rows if sum(key(o) == key(r) for o in rows) > 1 and float(r["quantity"]) > 0)
    lots = sorted((r for r in rows if key(r) == key(first)), key=lambda r: r["expires"])
    posted = client.move("sale", first, lots[0]["quantity"]).json()
    assert lots[0]["fid"] not in {r["fid"] for r in client.stock()}
    [[lot]] = client.query("SAL_OUTSTOCK", "FLot.FNumber", f"FID={posted['id']}")
    assert lot == lots[0]["lot"]


def test_zero_rows_can_be_kept(client: Client) -> None:
    row = client.plain_row(least=1, stock="CK104")
    client.world("options", keep_zero_rows=True)
    try:
        client.move("count", row, "0")
        assert client.query("STK_Inventory", "FBaseQty", f"FID='{row['fid']}'") == [[0.0]]
    finally:
        client.world("options", keep_zero_rows=False)


def test_unaudit_takes_the_effect_back_and_audit_gives_it_again(client: Client) -> None:
    row = client.plain_row(skip=3)
    before = client.totals()
    bill = client.move("transfer", row, "2", to_stock="CK101").json()
    moved = client.totals()
    named = {"form": bill["form"], "bill_no": bill["bill_no"]}
    [[first]] = client.query(bill["form"], "FModifyDate", f"FID={bill['id']}")
    time.sleep(0.002)
    assert client.world("unaudit", **named)["status"] == "D"
    assert client.totals() == before
    [[status, approved, second]] = client.query(
        bill["form"], "FDocumentStatus,FApproveDate,FModifyDate", f"FID={bill['id']}"
    )
    assert (status, approved) == ("D", None)
    assert second > first
    assert requests.post(f"{client.base}/__world/unaudit", json=named, timeout=10).status_code == 409
    assert client.world("audit", **named)["status"] == "C"
    assert client.totals() == moved
    missing = requests.post(f"{client.base}/__world/audit", json={"form": "X", "bill_no": "Y"}, timeout=10)
    assert missing.status_code == 404


def test_an_unaudited_movement_has_no_effect_until_audited(client: Client) -> None:
    row = client.plain_row(skip=4)
    before = client.totals()
    bill = client.move("sale", row, "1", document_status="B").json()
    assert client.totals() == before
    client.world("audit", form=bill["form"], bill_no=bill["bill_no"])
    assert float(client.totals()[key(row)]) == float(before[key(row)]) - 1


def test_refused_movements(client: Client) -> None:
    row = client.plain_row(stock="CK103", least=1)
    before = client.totals()
    too_many = str(float(before[key(row)]) + 1)
    assert client.move("sale", row, too_many).status_code == 409
    assert client.move("sale", row | {"material": "nothing"}, "1").status_code == 422
    assert client.move("sale", row | {"stock": "CK777"}, "1").status_code == 422
    assert client.move("sale", row, "-1").status_code == 422
    assert client.move("sale", row, "lots").status_code == 422
    assert client.move("theft", row, "1").status_code == 422
    assert client.move("transfer", row, "1").status_code == 422
    assert client.totals() == before
    assert client.move("sale", row, too_many, allow_negative=True).status_code == 201
    assert client.totals()[key(row)] == "-1"


def test_random_moves_are_bills(client: Client) -> None:
    bills = client.world("moves", count=30)["bills"]
    assert len(bills) > 20
    assert {bill["form"] for bill in bills} <= {*FORMS.values(), "STK_StockCountGain", "STK_StockCountLoss"}
    assert requests.get(f"{client.base}/__world/info", timeout=10).json()["counts"]["bill"] >= len(bills)


def test_hours_pass_on_the_servers_clock_while_bills_are_posted(client: Client) -> None:
    def clock() -> datetime:
        shown = requests.get(f"{client.base}/__world/info", timeout=10).json()["beijing_time"]
        return datetime.fromisoformat(shown)

    began = clock()
    client.world("moves", count=4, over_seconds=7200)
    assert timedelta(hours=2) <= clock() - began < timedelta(hours=2, minutes=1)
    client.world("reset")
    assert clock() - began < timedelta(minutes=1)


def test_locations_are_the_totals_added_up(client: Client) -> None:
    answer = requests.get(f"{client.base}/__world/totals", timeout=10).json()
    for location, quantity in answer["locations"].items():
        parts = [float(row["quantity"]) for row in answer["totals"] if row["location"] == location]
        assert sum(parts) == pytest.approx(float(quantity))


def test_state_survives_a_restart_and_a_reset_forgets_it(tmp_path: Path) -> None:
    database = tmp_path / "k.db"
    with serve(create_app(database, articles=30)) as base:
        client = Client(base)
        fresh = client.totals()
        bill = client.move("sale", client.plain_row(), "2").json()
        left = client.totals()
    with serve(create_app(database, articles=999)) as base:
        client = Client(base)
        assert client.totals() == left
        assert client.query("SAL_OUTSTOCK", "FBillNo", f"FID={bill['id']}") == [[bill["bill_no"]]]
        assert client.move("sale", client.plain_row(), "1").json()["id"] > bill["id"]
    with serve(create_app(database, articles=30)) as base:
        client = Client(base)
        client.world("reset")
        assert client.totals() == fresh
        assert client.query("SAL_OUTSTOCK", "FBillNo") == []


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, int]:
    """A database whose process was killed while it was posting; with how many bills it had said were posted."""
    database = tmp_path / "k.db"
    script = (
        "import sys\nfrom sandbox.erp.kingdee.world import World\n"
        "world = World(sys.argv[1], articles=20)\nposted = 0\n"
        "while True:\n    posted += world.random_move() is not None\n    sys.stdout.write(f'{posted}\\n')\n"
        "    sys.stdout.flush()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(database)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    told = 0
    while told < 20:
        told = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split(b"\n")[:-1]
    child.wait()
    child.stdout.close()
    return database, int(rest[-1]) if rest else told


def test_what_was_posted_survives_a_kill(killed: tuple[Path, int]) -> None:
    database, told = killed
    with serve(create_app(database)) as base:
        assert requests.get(f"{base}/__world/info", timeout=10).json()["counts"]["bill"] in {told, told + 1}


def test_a_background_life_posts_by_itself(tmp_path: Path) -> None:
    with serve(create_app(tmp_path / "k.db", articles=20, moves_per_minute=3000)) as base:
        deadline = time.monotonic() + 10
        while requests.get(f"{base}/__world/info", timeout=10).json()["counts"]["bill"] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
