"""Save, Submit, Audit and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.kingdee.client import outbound, response_status

if TYPE_CHECKING:
    from tests.sandbox.kingdee.client import Client

OUT = "SAL_OUTSTOCK"


def total(client: Client, row: dict[str, Any], stock: str = "") -> float:
    item = "|".join(filter(None, (row["material"], row["colour"], row["size"])))
    return float(client.totals().get((stock or row["stock"], item), "0"))


def saved(client: Client, model: dict[str, Any], form: str = OUT, **options: Any) -> dict[str, Any]:
    return client.call("Save", form, {"Model": model, **options})["Result"]


def sale_order(row: dict[str, Any]) -> dict[str, Any]:
    line = outbound(row, 0)["FEntity"][0]
    line |= {
        "FQty": 2,
        "FPriceUnitId": {"FNumber": "Pcs"},
        "FStockUnitID": {"FNumber": "Pcs"},
        "FSettleOrgIds": {"FNumber": "100"},
        "FDeliveryDate": "2026-11-23",
        "FTaxPrice": 9.9,
    }
    return {
        "FBillTypeID": {"FNUMBER": "XSDD01_SYS"},
        "FDate": "2026-11-22",
        "FSaleOrgId": {"FNumber": "100"},
        "FCustId": {"FNumber": "CUST0001"},
        "FSalerId": {"FNumber": "S001"},
        "FSaleOrderFinance": {"FSettleCurrId": {"FNumber": "PRE001"}},
        "FSaleOrderEntry": [line],
    }


def test_save_and_audit_in_one_call(client: Client) -> None:
    row = client.plain_row(skip=1)
    before = total(client, row)
    result = saved(client, outbound(row, 3), IsAutoSubmitAndAudit="true")
    assert result["ResponseStatus"]["IsSuccess"] is True
    assert total(client, row) == before - 3
    keys = "FBillNo,FDocumentStatus,FStockID.FNumber,FRealQty,FApproveDate,FModifyDate"
    [bill] = client.query(OUT, keys, f"FID = {result['Id']}")
    assert bill[:4] == [result["Number"], "C", row["stock"], 3.0]
    assert bill[4] == bill[5]


def test_a_direct_transfer_moves_stock_between_warehouses(client: Client) -> None:
    row = client.plain_row(skip=2)
    before = total(client, row), total(client, row, "CK103")
    line = outbound(row, 0)["FEntity"][0]
    line |= {"FQty": 4, "FSrcStockId": {"FNumber": row["stock"]}, "FDestStockId": {"FNumber": "CK103"}}
    model = {"FDate": "2026-11-22", "FStockOrgId": {"FNumber": "100"}, "FBillEntry": [line]}
    result = saved(client, model, "STK_TransferDirect", IsAutoSubmitAndAudit=True)
    assert (total(client, row), total(client, row, "CK103")) == (before[0] - 4, before[1] + 4)
    keys = "FSrcStockId.FNumber,FDestStockId.FNumber,FBillEntry_FEntryID,FQty"
    [[source, target, _, quantity]] = client.query("STK_TransferDirect", keys, f"FBillNo='{result['Number']}'")
    assert (source, target, quantity) == ("CK001", "CK103", 4.0)


def test_a_receipt_puts_goods_in(client: Client) -> None:
    row = client.plain_row(skip=3)
    before = total(client, row)
    model = outbound(row, 5) | {"FSupplierId": {"FNumber": "VEN00012"}}
    model["FInStockEntry"] = model.pop("FEntity")
    assert saved(client, model, "STK_InStock", IsAutoSubmitAndAudit=True)["ResponseStatus"]["IsSuccess"] is True
    assert total(client, row) == before + 5


def test_a_sale_order_moves_no_stock(client: Client) -> None:
    row = client.plain_row(skip=4)
    before = client.totals()
    result = saved(client, sale_order(row), "SAL_SaleOrder", IsAutoSubmitAndAudit=True)
    assert result["ResponseStatus"]["IsSuccess"] is True
    assert client.totals() == before
    [[status, quantity]] = client.query("SAL_SaleOrder", "FDocumentStatus,FQty", f"FID={result['Id']}")
    assert (status, quantity) == ("C", 2.0)


@pytest.mark.parametrize(
    "missing", ["FBillTypeID", "FDate", "FSaleOrgId", "FCustId", "FSalerId", "FSaleOrderFinance.FSettleCurrId"]
)
def test_a_required_field_is_named(client: Client, missing: str) -> None:
    model = sale_order(client.plain_row())
    del model[missing.split(".", maxsplit=1)[0]]
    status = saved(client, model, "SAL_SaleOrder")["ResponseStatus"]
    assert status["IsSuccess"] is False
    assert [error["FieldName"] for error in status["Errors"]] == [missing]
    assert "不能为空" in status["Errors"][0]["Message"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"FMaterialID": {"FNumber": "00.00000"}}, "FMaterialId"),
        ({"FStockID": {"FNumber": "CK777"}}, "FStockID"),
        ({"FRealQty": 0}, "FRealQty"),
        ({"FRealQty": "many"}, "FRealQty"),
        ({"FAuxPropID": {"FAUXPROPID__FF100001": {"FNumber": "C99"}}}, "FAuxPropId"),
    ],
)
def test_a_bad_line_is_refused(client: Client, change: dict[str, Any], field: str) -> None:
    model = outbound(client.plain_row(), 1)
    model["FEntity"][0] |= change
    status = saved(client, model)["ResponseStatus"]
    assert status["IsSuccess"] is False
    assert field in [error["FieldName"] for error in status["Errors"]]


def test_a_bill_number_is_taken_once(client: Client) -> None:
    model = outbound(client.plain_row(), 1, FBillNo="WEB-TWICE")
    assert saved(client, model)["ResponseStatus"]["IsSuccess"] is True
    again = saved(client, model)["ResponseStatus"]
    assert again["IsSuccess"] is False
    assert "已存在" in again["Errors"][0]["Message"]


def test_a_custom_head_field_can_be_asked_for(client: Client) -> None:
    result = saved(client, outbound(client.plain_row(), 1, F_WEB_OrderNo="SO-7'7"))
    assert client.query(OUT, "FBillNo,F_WEB_ORDERNO", "F_Web_OrderNo = 'SO-7''7'") == [[result["Number"], "SO-7'7"]]


def test_negative_stock_needs_the_flag(client: Client) -> None:
    row = client.plain_row(stock="CK102", least=1)
    before = total(client, row)
    result = saved(client, outbound(row, before + 2), IsAutoSubmitAndAudit="true")
    assert result["ResponseStatus"]["IsSuccess"] is False
    assert "负库存" in result["ResponseStatus"]["Errors"][0]["Message"]
    assert "STK_InvCheckResult" in result["ResponseStatus"]["Errors"][0]["Message"]
    assert total(client, row) == before
    assert client.query(OUT, "FDocumentStatus", f"FID={result['Id']}") == [["B"]]  # saved and submitted all the same
    audited = client.call("Audit", OUT, {"Numbers": [result["Number"]], "InterationFlags": "STK_InvCheckResult"})
    assert response_status(audited)["IsSuccess"] is True
    assert total(client, row) == -2


@pytest.mark.parametrize(("flag", "left"), [(None, 1), ("true", 1), ("false", 2)])
def test_an_update_deletes_unlisted_lines_by_default(client: Client, flag: str | None, left: int) -> None:
    first, second = client.plain_row(skip=5), client.plain_row(skip=6)
    model = outbound(first, 1)
    model["FEntity"] += outbound(second, 2)["FEntity"]
    result = saved(client, model)
    entries = client.query(OUT, "FEntity_FEntryID,FRealQty", f"FID={result['Id']}", "FEntity_FEntryID")
    assert [quantity for _, quantity in entries] == [1.0, 2.0]
    update = {"FID": result["Id"], "FEntity": [{"FEntryID": entries[0][0], "FRealQty": 7}]}
    options = {} if flag is None else {"IsDeleteEntry": flag}
    assert saved(client, update, **options)["ResponseStatus"]["IsSuccess"] is True
    after = client.query(OUT, "FEntity_FEntryID,FRealQty", f"FID={result['Id']}", "FEntity_FEntryID")
    assert after == [[entries[0][0], 7.0], *entries[1:]][:left]


def test_states_are_kept(client: Client) -> None:
    draft = client.call("Draft", OUT, {"Model": outbound(client.plain_row(), 1) | {"FDate": None}})["Result"]
    named = {"Numbers": [draft["Number"]]}
    assert response_status(client.call("Submit", OUT, named))["IsSuccess"] is False  # a draft is not saved yet
    complete = {"FID": draft["Id"], "FDate": "2026-11-22"}
    assert saved(client, complete)["ResponseStatus"]["IsSuccess"] is True
    assert response_status(client.call("Audit", OUT, named))["IsSuccess"] is False  # not submitted
    for method in ("Submit", "Audit"):
        assert response_status(client.call(method, OUT, named))["IsSuccess"] is True
    again = response_status(client.call("Audit", OUT, named))
    assert "已审核" in again["Errors"][0]["Message"]
    assert response_status(client.call("Delete", OUT, named))["IsSuccess"] is False
    assert saved(client, complete)["ResponseStatus"]["IsSuccess"] is False
    for spelling in ("ExcuteOperation", "ExecuteOperation"):
        operation = "UnAudit" if spelling == "ExcuteOperation" else "Delete"
        body = {"formid": OUT, "opNumber": operation, "data": named}
        assert response_status(client.post(spelling, body).json())["IsSuccess"] is True
    assert client.query(OUT, "FID", f"FID={draft['Id']}") == []


def test_a_batch_answers_for_each_bill(client: Client) -> None:
    row = client.plain_row()
    answer = client.call("BatchSave", OUT, {"Model": [outbound(row, 1), outbound(row, -1), outbound(row, 2)]})
    status = response_status(answer)
    assert [entity["DIndex"] for entity in status["SuccessEntitys"]] == [0, 2]
    assert [error["DIndex"] for error in status["Errors"]] == [1]
    ids = ",".join(str(entity["Id"]) for entity in status["SuccessEntitys"])
    submitted = response_status(client.call("Submit", OUT, {"Ids": ids}))
    assert len(submitted["SuccessEntitys"]) == 2


def test_an_unknown_bill_or_form(client: Client) -> None:
    assert response_status(client.call("Audit", OUT, {"Numbers": ["NONE"]}))["IsSuccess"] is False
    assert response_status(client.call("Save", "NO_FORM", {"Model": {}}))["MsgCode"] == 4
    assert response_status(client.call("View", OUT, {"Number": "NONE"}))["IsSuccess"] is False
