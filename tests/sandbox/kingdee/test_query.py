"""FieldKeys, paging, order, the stock forms and the error forms."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from sandbox.catalogue import articles
from sandbox.erp.kingdee.app import create_app
from tests.sandbox.kingdee.client import STOCK, Client, response_status
from tests.serving import serve

if TYPE_CHECKING:
    from pathlib import Path

COLOUR = "FAuxPropId.FF100001.FNumber"
SIZE = "FAuxPropId.FF100002.FNumber"


def test_every_row_of_the_books_comes_once_over_pages(client: Client) -> None:
    rows = client.every("FID,FBaseQty", page=97)
    assert sorted(row[0] for row in rows) == sorted(row["fid"] for row in client.stock())


def test_the_answer_adds_up_to_the_books(client: Client) -> None:
    keys = (
        f"FStockId.FNumber,FMaterialId.FNumber,{COLOUR},{SIZE},FBaseQty,FOwnerId.FNumber,FOwnerTypeId,"
        "FStockStatusId.FNumber,FID"
    )
    sums: dict[tuple[str, str], Decimal] = {}
    for stock, material, colour, size, quantity, owner, owner_type, status, _ in client.every(keys):
        if (owner, owner_type, status) == ("100", "BD_OwnerOrg", "KCZT01_SYS"):
            item = "|".join(filter(None, (material, colour, size)))
            sums[stock, item] = sums.get((stock, item), Decimal(0)) + Decimal(str(quantity))
    assert sums == {key: Decimal(quantity) for key, quantity in client.totals().items()}


def test_the_world_holds_what_makes_stock_hard(client: Client) -> None:
    rows = client.stock()
    assert any(row["owner"].startswith("VEN") for row in rows)
    assert any(row["status"] == "KCZT02_SYS" for row in rows)
    assert any(row["lot"] and row["expires"] for row in rows)
    assert any("." in row["quantity"] for row in rows)
    assert any(row["locked"] != "0" for row in rows)


def test_field_names_in_any_case_and_all_columns_of_the_stock_form(client: Client) -> None:
    keys = (
        "FID,FStockOrgId.FNumber,FOwnerTypeId,FOwnerId.FNumber,FKeeperId.FNumber,FStockId.FNumber,FStockId.FName,"
        "FStockLocId,FMaterialId.FNumber,FMaterialId.FName,FAuxPropId.FF100001.FNumber,FAuxPropId.FF100001.FName,"
        "FAuxPropId.FF100002.FNumber,FAuxPropId.FF100002.FName,FLot.FNumber,FProduceDate,FExpiryDate,"
        "FStockStatusId.FNumber,FBaseUnitId.FNumber,FBaseUnitId.FName,FBaseQty,FQty,FSecQty,FBaseLockQty,FLockQty,"
        "FBaseAVBQty,FAVBQty,FUpdateTime"
    )
    [row] = client.query("STK_Inventory", keys.upper(), Limit=1)
    assert len(row) == len(keys.split(","))
    described = client.call("QueryBusinessInfo", "", {"FormId": "STK_Inventory"})
    known = {field["Key"] for entry in described["Result"]["NeedReturnData"]["Entrys"] for field in entry["Fields"]}
    # elements by their keys alone; the members of the auxiliary property have keys of their own
    assert {key.split(".")[0].upper() for key in keys.split(",")} - {"FID"} <= known
    assert {"FAUXPROPID__FF100001", "FAUXPROPID__FF100002"} <= known
    assert not any("." in key for key in known)


def test_a_quantity_is_a_float_and_a_time_has_no_zone(client: Client) -> None:
    data = {"FormId": "STK_Inventory", "FieldKeys": "FBaseQty,FUpdateTime,FExpiryDate", "Limit": 1}
    text = client.post("ExecuteBillQuery", {"data": data | {"FilterString": "FExpiryDate IS NOT NULL"}}).text
    quantity, updated, expires = json.loads(text, parse_float=lambda number: f"float {number}")[0]
    assert quantity.startswith("float ")
    assert updated[10] == "T"
    assert "+" not in updated
    assert expires.endswith("T00:00:00")


@pytest.mark.parametrize(
    ("form", "keys", "where", "code"),
    [
        ("NO_SUCH_FORM", "FID", "", 4),
        ("STK_Inventory", "", "", 8),
        ("STK_Inventory", "FID,FNoSuch", "", 9),
        ("STK_Inventory", "FAuxPropId", "", 9),
        ("BD_MATERIAL", "FID", "", 9),
        ("STK_Inventory", "FID", "FNoSuch = 1", 9),
        ("STK_Inventory", "FID", "FBaseQty >", 4),
        ("STK_Inventory", "FID", "FStockId.FNumber = 'CK001", 4),
        ("STK_Inventory", "FID", "FStockId.FNumber = 'x'; DROP TABLE bill", 4),
        ("STK_Inventory", "FID", "FUpdateTime > 'yesterday'", 4),
    ],
)
def test_errors_in_the_vendors_form(client: Client, form: str, keys: str, where: str, code: int) -> None:
    answer = client.query(form, keys, where)
    assert list(answer[0][0]) == ["Result"]
    status = response_status(answer)
    assert (status["ErrorCode"], status["IsSuccess"], status["MsgCode"]) == (500, False, code)
    bare = client.post("BillQuery", {"data": {"FormId": form, "FieldKeys": keys, "FilterString": where}}).json()
    assert bare["Result"]["ResponseStatus"]["MsgCode"] == code


def test_absurd_paging_is_an_escaped_exception(client: Client) -> None:
    data = {"FormId": "BD_STOCK", "FieldKeys": "FNumber", "StartRow": 10**30}
    assert client.post("ExecuteBillQuery", {"data": data}).text.startswith("response_error:")


def test_parallel_sessions_read_whole_pages(client: Client) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.query("BD_STOCK", "FNumber", order="FNumber"), range(60)))
    assert all(answer == answers[0] and len(answer) == 8 for answer in answers)


def test_no_rows_are_an_empty_list(client: Client) -> None:
    assert client.query("STK_Inventory", "FID", "FStockId.FNumber = 'CK999'") == []


def test_top_row_count_is_an_absolute_end_row(client: Client) -> None:
    first = client.query("STK_Inventory", "FID", order="FID", TopRowCount=10, Limit=10)
    assert len(first) == 10
    assert client.query("STK_Inventory", "FID", order="FID", TopRowCount=10, StartRow=10, Limit=10) == []
    assert len(client.query("STK_Inventory", "FID", order="FID", TopRowCount=15, StartRow=10, Limit=10)) == 5


def test_a_limit_above_the_maximum_is_cut_silently(tmp_path: Path) -> None:
    with serve(create_app(tmp_path / "k.db", articles=30, max_rows=25)) as base:
        client = Client(base)
        assert len(client.query("STK_Inventory", "FID", order="FID", Limit=10_000)) == 25
        assert len(client.query("STK_Inventory", "FID", order="FID", Limit=0)) == 25


def test_without_a_unique_order_the_order_changes_between_calls(client: Client) -> None:
    first, second = (client.query("STK_Inventory", "FID") for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second)
    tied = [client.query("STK_Inventory", "FID,FStockId.FNumber", order="FStockId.FNumber ASC") for _ in range(2)]
    assert tied[0] != tied[1]
    assert [row[1] for row in tied[0]] == [row[1] for row in tied[1]]
    keyed = [client.query("STK_Inventory", "FID", order="FStockId.FNumber DESC, FID ASC") for _ in range(2)]
    assert keyed[0] == keyed[1]


def test_base_data_is_the_catalogues(client: Client) -> None:
    known = articles(150)
    order = "FNumber ASC"
    materials = client.query("BD_MATERIAL", "FNumber,FName,FBaseUnitId.FNumber,FBARCODE", "FForbidStatus = 'A'", order)
    assert {row[0] for row in materials} == {article.kingdee_material for article in known}
    by_number = {row[0]: row for row in materials}
    for article in known:
        expected = "kg" if article.unit == "KG" else "Pcs"
        assert by_number[article.kingdee_material][1:3] == [article.style_name, expected]
        assert by_number[article.kingdee_material][3] == (None if article.colour else article.gtin)
    keys = f"FNumber,FMaterialId.FNumber,{COLOUR},{SIZE},FUnitId.FNumber,FDocumentStatus"
    codes = {row[0]: row[1:] for row in client.query("BD_BarCodeMaster", keys, order=order)}
    for article in known:
        unit = "kg" if article.unit == "KG" else "Pcs"
        assert codes[article.gtin] == [article.kingdee_material, article.colour, article.size, unit, "C"]
        if article.carton_gtin:
            assert codes[article.carton_gtin][3] == f"XIANG{article.carton_pieces}"
    assert len(codes) == len(known) + sum(article.carton_gtin is not None for article in known)


def test_get_inventory_data_pages_from_one(client: Client) -> None:
    asked = {"fstocknumbers": "CK101", "isshowauxprop": True, "pagerows": 7}
    pages = []
    while not pages or len(pages[-1]["data"]) == 7:
        body = {"parameters": [json.dumps(asked | {"pageindex": len(pages) + 1})]}
        pages.append(client.post("GetInventoryData", body, service=STOCK).json())
    rows = [row for page in pages for row in page["data"]]
    assert pages[0]["success"] is True
    assert pages[0]["rowcount"] == len(rows) == len({row["FId"] for row in rows})
    assert {row["FId"] for row in rows} == {row["fid"] for row in client.stock() if row["stock"] == "CK101"}
