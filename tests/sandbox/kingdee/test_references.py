"""Bills under a number that somebody gave them: audited, taken back, audited again, deleted; and what they then say."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.erp.kingdee.movement import movements_from
from sandbox.erp.kingdee.stirring import move_or_take_back
from sandbox.erp.kingdee.world import World
from tests.sandbox.kingdee.client import response_status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.kingdee.client import Client

OUT = "SAL_OUTSTOCK"
BASE_QUANTITIES = {
    "SAL_OUTSTOCK": ("FRealQty", "FBaseUnitQty"),
    "SAL_RETURNSTOCK": ("FRealQty", "FBaseUnitQty"),
    "STK_InStock": ("FRealQty", "FBaseUnitQty"),
    "STK_TransferDirect": ("FQty", "FBaseQty"),
    "STK_StockCountGain": ("FGainQty", "FBaseGainQty"),
    "STK_StockCountLoss": ("FLossQty", "FBaseLossQty"),
}


def item(row: dict[str, Any]) -> tuple[str, str]:
    return row["stock"], "|".join(filter(None, (row["material"], row["colour"], row["size"])))


def parts_of(row: dict[str, Any]) -> dict[str, str]:
    return {name: row[name] for name in ("material", "colour", "size", "stock")}


def total(client: Client, row: dict[str, Any]) -> Decimal:
    return Decimal(client.totals().get(item(row), "0"))


def refused(client: Client, path: str, **body: Any) -> int:
    return requests.post(f"{client.base}/__world/{path}", json=body, timeout=10).status_code


def sell(client: Client, row: dict[str, Any], quantity: str, reference: str, **more: Any) -> dict[str, Any]:
    answer = client.move("sale", row, quantity, reference=reference, **more)
    assert answer.status_code == 201, answer.text
    posted: dict[str, Any] = answer.json()
    return posted


def bill(client: Client, number: str) -> list[list[Any]]:
    keys = "FID,FEntity_FEntryID,FDocumentStatus,FApproveDate,FModifyDate,FBaseUnitQty"
    return client.query(OUT, keys, f"FBillNo = '{number}'", "FEntity_FEntryID ASC")


def test_a_sale_is_taken_back_audited_again_and_deleted(client: Client) -> None:
    row = client.plain_row()
    before = total(client, row)

    sold = sell(client, row, "2", "WEB-1")
    assert (sold["form"], sold["bill_no"]) == (OUT, "WEB-1")
    [[fid, entry, status, approved, modified, quantity]] = bill(client, "WEB-1")
    assert (fid, status, quantity) == (sold["id"], "C", 2.0)
    assert approved == modified

    client.world("unaudit", **sold)
    assert total(client, row) == before
    [taken_back] = bill(client, "WEB-1")
    assert taken_back[:4] == [fid, entry, "D", None]
    assert taken_back[4] > modified

    client.world("audit", **sold)
    assert total(client, row) == before - 2
    [again] = bill(client, "WEB-1")
    assert again[:3] == [fid, entry, "C"]
    assert again[3] == again[4] > taken_back[4] > approved

    assert client.world("delete", **sold) == sold
    assert total(client, row) == before
    assert bill(client, "WEB-1") == []
    for path in ("unaudit", "audit", "delete"):
        assert refused(client, path, **sold) == 404


def test_a_bill_that_was_taken_back_is_deleted_without_another_effect(client: Client) -> None:
    row = client.plain_row(skip=1)
    before = total(client, row)
    sold = sell(client, row, "2", "WEB-2")
    client.world("unaudit", **sold)
    client.world("delete", **sold)
    assert total(client, row) == before
    anew = sell(client, row, "1", "WEB-2")
    assert anew["id"] > sold["id"]
    assert total(client, row) == before - 1


def test_a_number_is_taken_once_in_a_form(client: Client) -> None:
    row = client.plain_row(skip=2)
    sell(client, row, "1", "WEB-3")
    before = client.totals()
    assert client.move("sale", row, "1", reference="WEB-3").status_code == 409
    assert client.move("sale", row, "1", reference="web-3").status_code == 409
    assert client.totals() == before
    assert client.move("return", row, "1", reference="WEB-3").json()["form"] == "SAL_RETURNSTOCK"


def test_a_day_is_settled_by_one_bill(client: Client) -> None:
    first, second = client.plain_row(skip=3), client.plain_row(skip=4)
    before = total(client, first), total(client, second)
    sold = ((first, "1"), (second, "3"), (first, "2"))
    lines = [parts_of(row) | {"quantity": quantity} for row, quantity in sold]

    day = client.world("movements", kind="sale", reference="Z-1", lines=lines)

    assert [row[-1] for row in bill(client, "Z-1")] == [1.0, 3.0, 2.0]
    assert (total(client, first), total(client, second)) == (before[0] - 3, before[1] - 3)
    client.world("unaudit", **day)
    assert (total(client, first), total(client, second)) == before


def test_lines_of_one_article_share_its_lots(client: Client) -> None:
    lots: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in client.stock():
        if row["lot"] and row["status"] == "KCZT01_SYS" and row["owner"] == "100":
            lots[item(row)].append(row)
    chosen = next(rows for rows in lots.values() if len(rows) > 1 and all(Decimal(r["quantity"]) >= 1 for r in rows))
    row = chosen[0]
    whole = total(client, row)
    lines = [{"quantity": str(whole - 1)}, {"quantity": "1"}]

    client.world("movements", kind="sale", reference="Z-2", **parts_of(row), lines=lines)

    assert total(client, row) == 0
    sold = client.query(OUT, "FLot.FNumber,FBaseUnitQty", "FBillNo = 'Z-2'")
    assert sum(Decimal(str(quantity)) for _, quantity in sold) == whole
    assert {lot for lot, _ in sold} == {row["lot"] for row in chosen}


def test_one_impossible_line_refuses_the_whole_bill(client: Client) -> None:
    row = client.plain_row(skip=5)
    before = client.totals()
    parts = parts_of(row)
    for lines in (
        "WEB",
        [7],
        [{"quantity": "1"}, {"quantity": "0"}],
        [{"quantity": "1"}, {"quantity": "1", "stock": "X"}],
    ):
        assert refused(client, "movements", kind="sale", reference="Z-3", **parts, lines=lines) == 422
    assert refused(client, "movements", kind="count", **parts, lines=[{"quantity": "1"}, {"quantity": "2"}]) == 422
    assert client.totals() == before
    assert bill(client, "Z-3") == []


def test_a_line_in_cartons_has_its_pieces_in_the_base_unit(client: Client) -> None:
    [[unit, material, *_]] = client.query(
        "BD_BarCodeMaster", "FUnitId.FNumber,FMaterialId.FNumber", "FUnitId.FNumber LIKE 'XIANG%'", "FID ASC", Limit=1
    )
    pieces = int(unit.removeprefix("XIANG"))
    [[colour, size]] = client.query(
        "BD_BarCodeMaster",
        "FAuxPropId.FF100001.FNumber,FAuxPropId.FF100002.FNumber",
        f"FMaterialId.FNumber = '{material}' AND FUnitId.FNumber = '{unit}'",
        "FID ASC",
        Limit=1,
    )
    row = {"material": material, "colour": colour or "", "size": size or "", "stock": "CK001"}
    client.move("receipt", row, "5", unit=unit)
    before = total(client, row)

    sell(client, row, "2", "WEB-4", unit=unit)

    assert total(client, row) == before - 2 * pieces
    lines = client.query(OUT, "FRealQty,FBaseUnitQty,FUnitID.FNumber,FBaseUnitID.FNumber", "FBillNo = 'WEB-4'")
    assert sum(line[1] for line in lines) == 2 * pieces
    assert sum(line[0] for line in lines) == pytest.approx(2)
    assert {(line[2], line[3]) for line in lines} == {(unit, "Pcs")}
    assert client.move("sale", client.plain_row(), "1", unit="XIANG999").status_code == 422
    assert client.move("sale", client.plain_row(), "1", unit="PAL").status_code == 422


@pytest.mark.parametrize("form", BASE_QUANTITIES)
def test_each_form_has_its_own_names_for_the_quantity(client: Client, form: str) -> None:
    described = client.call("QueryBusinessInfo", form, {"FormId": form})["Result"]["NeedReturnData"]
    fields = {field["Key"]: field["ElementType"] for entry in described["Entrys"] for field in entry["Fields"]}
    own = {name.upper() for name in BASE_QUANTITIES[form]}
    others = {name.upper() for names in BASE_QUANTITIES.values() for name in names} - own
    assert {fields.get(name) for name in own} == {2}
    assert not others & fields.keys()
    for name in others:
        assert response_status(client.query(form, name))["MsgCode"] == 9
    head = ("FBILLNO", "FDOCUMENTSTATUS", "FAPPROVEDATE", "FMODIFYDATE")
    assert [fields[name] for name in head] == [1, 1, 4, 4]


def test_a_count_says_what_was_found_and_what_is_missing(client: Client) -> None:
    row = client.plain_row(skip=6)
    before = total(client, row)
    found = client.move("count", row, str(before + 3)).json()["bill_no"]
    missing = client.move("count", row, str(before)).json()["bill_no"]
    assert client.query("STK_StockCountGain", "FBaseGainQty", f"FBillNo='{found}'") == [[3.0]]
    assert client.query("STK_StockCountLoss", "FBaseLossQty", f"FBillNo='{missing}'") == [[3.0]]


def test_people_take_back_and_audit_again_what_has_a_number_of_ours(tmp_path: Path) -> None:
    world = World(tmp_path / "kingdee.db", articles=60, seed=1)
    with closing(world.database) as database:
        rows = [row for row in world.stock_rows() if row["status"] == "KCZT01_SYS" and row["owner"] == "100"][:5]
        lines = [parts_of(row) | {"quantity": "1"} for row in rows]
        for reference, sold in (("DAY", lines[:4]), ("ONE", lines[4:])):
            world.move(*movements_from({"kind": "sale", "reference": reference, "lines": sold, "allow_negative": True}))
        seen = set()
        for _ in range(60):
            move_or_take_back(world)
            states = database.rows("SELECT status FROM bill WHERE number IN ('DAY', 'ONE') ORDER BY number")
            seen.add("".join(row["status"] for row in states))
        assert seen == {"CC", "CD", "DC", "DD"}
        assert database.rows("SELECT count(*) FROM bill")[0][0] > 5
