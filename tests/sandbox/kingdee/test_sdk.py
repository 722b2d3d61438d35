"""The vendor's own Python SDK, unchanged, works against the sandbox."""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("NO_PROXY", "127.0.0.1")
from k3cloud_webapi_sdk.main import K3CloudApiSdk

from sandbox.erp.kingdee import credentials
from tests.sandbox.kingdee.client import outbound, response_status

if TYPE_CHECKING:
    from tests.sandbox.kingdee.client import Client


def sdk(base: str, **changes: Any) -> Any:
    wanted = {
        "acct_id": credentials.ACCT_ID,
        "user_name": credentials.USER,
        "app_id": credentials.APP_ID,
        "app_secret": credentials.APP_SECRET,
    } | changes
    url = f"{base}/k3cloud/"
    made = K3CloudApiSdk(url)
    made.InitConfig(server_url=url, **wanted)
    return made


def test_the_sdk_signs_and_queries(server: str) -> None:
    data = {"FormId": "BD_STOCK", "FieldKeys": "FNumber,FName", "OrderString": "FNumber ASC"}
    rows = json.loads(sdk(server).ExecuteBillQuery(data))
    assert rows[:2] == [["CK001", "电商仓"], ["CK101", "上海南京西路店"]]
    named = json.loads(sdk(server).BillQuery(data | {"FieldKeys": "fnumber,FNAME", "Limit": 1}))
    assert named == [{"fnumber": "CK001", "FNAME": "电商仓"}]


def test_the_sdk_saves_submits_audits_and_views(server: str, client: Client) -> None:
    row = client.plain_row()
    item = "|".join(filter(None, (row["material"], row["colour"], row["size"])))
    before = float(client.totals()["CK001", item])
    api = sdk(server)
    number = f"WEB-{uuid.uuid4().hex[:8]}"
    saved = json.loads(api.Save("SAL_OUTSTOCK", {"Model": outbound(row, 2, FBillNo=number, FNote="订单 42")}))
    assert response_status(saved)["IsSuccess"] is True
    assert saved["Result"]["Number"] == number
    assert float(client.totals()["CK001", item]) == before  # a saved bill moves nothing
    assert response_status(json.loads(api.Submit("SAL_OUTSTOCK", {"Numbers": [number]})))["IsSuccess"] is True
    audited = json.loads(api.Audit("SAL_OUTSTOCK", {"Ids": str(saved["Result"]["Id"])}))
    assert response_status(audited)["SuccessEntitys"] == [{"Id": saved["Result"]["Id"], "Number": number, "DIndex": 0}]
    assert float(client.totals()["CK001", item]) == before - 2
    seen = json.loads(api.View("SAL_OUTSTOCK", {"Number": number}))["Result"]["Result"]
    assert (seen["DocumentStatus"], seen["FNOTE"], seen["FEntity"][0]["RealQty"]) == ("C", "订单 42", 2.0)
    taken_back = json.loads(api.UnAudit("SAL_OUTSTOCK", {"Numbers": [number]}))
    assert response_status(taken_back)["IsSuccess"] is True
    assert float(client.totals()["CK001", item]) == before
    gone = json.loads(api.ExcuteOperation("SAL_OUTSTOCK", "Delete", {"Numbers": [number]}))
    assert response_status(gone)["IsSuccess"] is True
    assert client.query("SAL_OUTSTOCK", "FID", f"FBillNo = '{number}'") == []


def test_the_sdk_polls_a_batch(server: str, client: Client) -> None:
    models = [outbound(client.plain_row(), 1), outbound(client.plain_row(), 0)]
    answer = json.loads(sdk(server).BatchSaveQuery("SAL_OUTSTOCK", {"Model": models}))
    status = answer["Result"]["ResponseStatus"]
    assert [entity["DIndex"] for entity in status["SuccessEntitys"]] == [0]
    assert [(error["FieldName"], error["DIndex"]) for error in status["Errors"]] == [("FRealQty", 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_secret": "not-the-secret"},
        {"user_name": "nobody"},
        {"app_id": "288301_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"lcid": 1033},
    ],
)
def test_wrong_credentials_are_refused_as_a_lost_session(server: str, wrong: dict[str, Any]) -> None:
    answer = json.loads(sdk(server, **wrong).ExecuteBillQuery({"FormId": "BD_STOCK", "FieldKeys": "FNumber"}))
    assert isinstance(answer[0][0], dict)
    assert response_status(answer)["MsgCode"] == 1
    assert response_status(answer)["Errors"][0]["Message"] == "会话信息已丢失，请重新登录"


def test_a_wrong_tenant_is_not_http_200(server: str) -> None:
    with pytest.raises(RuntimeError, match="thirty passport"):
        sdk(server, acct_id="0000").ExecuteBillQuery({"FormId": "BD_STOCK", "FieldKeys": "FNumber"})


def test_a_valid_session_hides_a_bad_secret(server: str) -> None:
    api = sdk(server)
    data = {"FormId": "BD_STOCK", "FieldKeys": "FNumber", "OrderString": "FNumber", "Limit": 1}
    assert json.loads(api.ExecuteBillQuery(data)) == [["CK001"]]
    api.identify.AppSecret = "changed-meanwhile"
    assert json.loads(api.ExecuteBillQuery(data)) == [["CK001"]]


def test_the_sdk_raises_on_an_escaped_exception(server: str, client: Client) -> None:
    client.fault("response-error-text", times=1, message="boom")
    with pytest.raises(RuntimeError):
        sdk(server).ExecuteBillQuery({"FormId": "BD_STOCK", "FieldKeys": "FNumber"})
