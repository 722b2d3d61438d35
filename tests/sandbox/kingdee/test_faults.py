"""Every fault switch shows on the wire or in the books."""

from __future__ import annotations

import ast
import itertools
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.erp.kingdee.faults import FAULTS
from tests.sandbox.kingdee.client import AUTH, login_by_sign, outbound, response_status, signed_headers

if TYPE_CHECKING:
    from tests.sandbox.kingdee.client import Client

OUT = "SAL_OUTSTOCK"
STOCKS = {"FormId": "BD_STOCK", "FieldKeys": "FNumber", "OrderString": "FNumber"}


def ask(client: Client, **headers: str) -> requests.Response:
    url = client.url("ExecuteBillQuery")
    return requests.post(url, json={"data": STOCKS}, headers=signed_headers(url) | headers, timeout=10)


def unsigned(client: Client, sid: str) -> Any:
    url = client.url("ExecuteBillQuery")
    return requests.post(url, json={"data": STOCKS}, headers={"kdservice-sessionid": sid}, timeout=10).json()


def fids(client: Client, **more: Any) -> list[str]:
    return [row[0] for row in client.every("FID", **more)]


def is_answer(answer: Any) -> bool:
    return answer[0] == ["CK001"]


def test_every_switch_is_tested_here() -> None:
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(FAULTS) <= texts


def test_auth_lost(client: Client) -> None:
    client.fault("auth-lost", times=2)
    answer = ask(client)
    assert answer.status_code == 200
    assert response_status(answer.json())["MsgCode"] == 1
    assert client.call("View", "BD_STOCK", {"Number": "CK001"})["Result"]["ResponseStatus"]["MsgCode"] == 1
    assert is_answer(ask(client).json())


def test_thirty_passport(client: Client) -> None:
    client.fault("thirty-passport", times=1)
    answer = ask(client)
    assert (answer.status_code, answer.text) == (500, "Fail to verify thirty passport")


def test_login_result(client: Client) -> None:
    client.fault("login-result", times=1, type=-5)
    body = {"parameters": login_by_sign()}
    answer = requests.post(client.url("LoginBySign", AUTH), json=body, timeout=10).json()
    assert (answer["LoginResultType"], answer["KDSVCSessionId"]) == (-5, None)


def test_password_login_refused(client: Client) -> None:
    client.fault("password-login-refused", times=1)
    answer = requests.post(client.url("ValidateUser", AUTH), json={"parameters": []}, timeout=10).json()
    assert "不支持" in answer["Message"]


def test_sid_hides_secret(client: Client) -> None:
    assert response_status(unsigned(client, "anything"))["MsgCode"] == 1
    client.fault("sid-hides-secret")
    assert is_answer(unsigned(client, "anything"))


def test_sid_rotation(client: Client) -> None:
    old = ask(client).cookies["kdservice-sessionid"]
    client.fault("sid-rotation", times=1)
    new = ask(client, **{"kdservice-sessionid": old}).cookies["kdservice-sessionid"]
    assert new != old
    assert is_answer(unsigned(client, new))
    assert response_status(unsigned(client, old))["MsgCode"] == 1


def test_hollow_sid(client: Client) -> None:
    client.fault("hollow-sid", times=1)
    answer = ask(client)
    assert is_answer(answer.json())
    assert response_status(unsigned(client, answer.cookies["kdservice-sessionid"]))["MsgCode"] == 1


def test_set_cookie_comma(client: Client) -> None:
    client.fault("set-cookie-comma")
    answer = ask(client)
    lines = answer.raw.headers.getlist("Set-Cookie")
    assert len(lines) == 2
    assert all("expires=Wed, " in line for line in lines)
    sid = answer.cookies["kdservice-sessionid"]
    assert len(ask(client, **{"kdservice-sessionid": sid}).raw.headers.getlist("Set-Cookie")) == 2


def test_session_expires_until_a_new_login(client: Client) -> None:
    sid = ask(client).cookies["kdservice-sessionid"]
    client.fault("session-expires", times=1)
    for _ in range(2):  # a good signature beside a dead session does not help in this model
        assert response_status(ask(client, **{"kdservice-sessionid": sid}).json())["MsgCode"] == 1
    assert is_answer(ask(client).json())
    body = {"parameters": login_by_sign()}
    again = requests.post(client.url("LoginBySign", AUTH), json=body, timeout=10).json()["KDSVCSessionId"]
    assert is_answer(unsigned(client, again))


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("html-200", 200, "<html"),
        ("html-502", 502, "502 Bad Gateway"),
        ("rate-429", 429, "频繁"),
        ("busy-text", 200, "繁忙"),
        ("response-error-text", 200, "response_error: "),
    ],
)
def test_answers_that_are_no_json(client: Client, fault: str, status: int, text: str) -> None:
    client.fault(fault, times=1)
    answer = ask(client)
    assert answer.status_code == status
    assert text in answer.text
    assert ("Retry-After" in answer.headers) is (fault == "rate-429")
    assert is_answer(ask(client).json())


@pytest.mark.parametrize("fault", ["slow", "latency"])
def test_answers_that_come_late(client: Client, fault: str) -> None:
    client.fault(fault, times=1, seconds=0.3)
    began = time.monotonic()
    assert is_answer(ask(client).json())
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("stage", ["before", "after"])
def test_connection_cut(client: Client, stage: str) -> None:
    number = f"CUT-{stage}"
    client.fault("connection-cut", times=1, stage=stage)
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.call("Save", OUT, {"Model": outbound(client.plain_row(), 1, FBillNo=number)})
    done = client.query(OUT, "FBillNo", f"FBillNo='{number}'")
    assert bool(done) is (stage == "after")


def test_drip(client: Client) -> None:
    client.fault("drip", times=1, seconds=0.001)
    url = client.url("ExecuteBillQuery")
    with requests.post(url, json={"data": STOCKS}, headers=signed_headers(url), timeout=10, stream=True) as answer:
        received = b"".join(itertools.islice(answer.iter_content(1), 1000))
    assert is_answer(json.loads(received))
    assert received.endswith(b"  ")


def test_an_answer_that_is_damaged(client: Client) -> None:
    client.fault("bad-utf8", times=1)
    with pytest.raises(UnicodeDecodeError):
        ask(client).content.decode()
    client.fault("deep-json", times=1)
    with pytest.raises(RecursionError):
        json.loads(ask(client).content)
    client.fault("wrong-type", times=1)
    answer = ask(client)
    assert answer.headers["content-type"] == "text/html; charset=gbk"
    assert is_answer(json.loads(answer.content))


def test_limit_truncated(client: Client) -> None:
    client.fault("limit-truncated", rows=7, form="STK_Inventory")
    assert len(client.query("STK_Inventory", "FID", order="FID", Limit=100)) == 7
    assert len(client.query("BD_MATERIAL", "FNumber", order="FNumber", Limit=20)) == 20


def test_toprow_end_row(client: Client) -> None:
    client.fault("toprow-end-row", rows=30)
    assert len(client.query("STK_Inventory", "FID", order="FID", Limit=100)) == 30
    assert client.query("STK_Inventory", "FID", order="FID", StartRow=30, Limit=100) == []


def test_unstable_order(client: Client) -> None:
    assert len(set(fids(client, page=50))) == len(client.stock())
    client.fault("unstable-order")
    seen = fids(client, page=50)
    assert len(set(seen)) < len(seen)


def test_rows_move_between_pages(client: Client) -> None:
    before = {row["fid"] for row in client.stock()}
    client.fault("rows-move-between-pages", times=1)
    seen = fids(client, page=200)
    still = {row["fid"] for row in client.stock()}
    assert len(before - still) == 1
    assert still - set(seen)  # a row that never left was skipped


def test_rows_move_between_pages_by_key_too(client: Client) -> None:
    where = "FMaterialId.FNumber > '01'"
    before = len(client.stock())
    client.fault("rows-move-between-pages", times=1)
    client.query("STK_Inventory", "FID", where, order="FMaterialId.FNumber")
    assert len(client.stock()) == before - 1


def test_bills_taken_back(client: Client) -> None:
    def books() -> dict[str, str]:
        return {row["fid"]: row["quantity"] for row in client.stock()}

    seen = [books()]
    client.fault("bills-taken-back", times=3)
    for _ in range(3):
        client.query("BD_STOCK", "FNumber")
        seen.append(books())
    assert sorted(seen[2].values()) == sorted(seen[0].values())
    assert sorted(seen[3].values()) == sorted(seen[1].values()) != sorted(seen[0].values())


def test_snapshot_truncated(client: Client) -> None:
    client.fault("snapshot-truncated", share=0.5)
    assert len(fids(client, page=50)) == len(client.stock()) // 2


def test_empty_answer(client: Client) -> None:
    client.fault("empty-answer")
    assert client.query("STK_Inventory", "FID") == []


def test_shrunk_answer(client: Client) -> None:
    client.fault("shrunk-answer", share=0.25)
    seen = fids(client, page=50)
    assert len(seen) == len(set(seen)) == pytest.approx(len(client.stock()) / 4, abs=1)


def test_error_row(client: Client) -> None:
    client.fault("error-row", times=1, message="SQL错误", msg_code=9)
    status = response_status(client.query("BD_STOCK", "FNumber"))
    assert (status["MsgCode"], status["Errors"][0]["Message"]) == (9, "SQL错误")


@pytest.mark.parametrize(("fault", "spelt"), [("is-success-string", ("false", 9)), ("msgcode-string", (False, "9"))])
def test_spelling_of_a_status(client: Client, fault: str, spelt: tuple[Any, Any]) -> None:
    client.fault(fault, times=1)
    status = response_status(client.query("BD_STOCK", "FNoSuch"))
    assert (status["IsSuccess"], status["MsgCode"]) == spelt
    client.fault(fault, times=1)
    answer = client.call("Save", OUT, {"Model": outbound(client.plain_row(), 1)})
    assert response_status(answer)["IsSuccess"] == ("true" if fault == "is-success-string" else True)


def test_float_noise(client: Client) -> None:
    client.fault("float-noise")
    [[quantity]] = client.query("STK_Inventory", "FBaseQty", "FBaseUnitId.FNumber='Pcs'", Limit=1)
    assert quantity != round(quantity)
    assert abs(quantity - round(quantity)) < 1e-8


def test_json_in_string(client: Client) -> None:
    client.fault("json-in-string", times=1)
    text = ask(client).json()
    assert isinstance(text, str)
    assert is_answer(json.loads(text))


def test_duplicate_fid(client: Client) -> None:
    client.fault("duplicate-fid")
    seen = fids(client, page=50)
    assert len(seen) > len(set(seen)) == len(client.stock())


def test_duplicate_fid_with_two_contents(client: Client) -> None:
    client.fault("duplicate-fid", conflict=True)
    rows = client.query("STK_Inventory", "FID,FBaseQty", order="FID", Limit=60)
    assert rows[0][0] == rows[1][0]
    assert rows[1][1] == rows[0][1] + 1


def test_exponent(client: Client) -> None:
    client.fault("exponent", times=1)
    url = client.url("ExecuteBillQuery")
    question = {"FormId": "STK_Inventory", "FieldKeys": "FID,FBaseQty", "Limit": 3}
    answer = requests.post(url, json={"data": question}, headers=signed_headers(url), timeout=10)
    assert len(re.findall(r",-?\d\.?\d*E[+-]\d+\]", answer.text)) == 3
    assert all(isinstance(quantity, float) for _, quantity in answer.json())


def test_negative_quantity(client: Client) -> None:
    where = "FStockId.FNumber = 'CK106' AND FBaseQty < 0"
    before = client.query("STK_Inventory", "FID", where)
    client.fault("negative-quantity", times=1)
    client.query("STK_Inventory", "FID", "FStockId.FNumber = 'CK106'")
    assert len(client.query("STK_Inventory", "FID", where)) == len(before) + 1


def test_partial_batch(client: Client) -> None:
    client.fault("partial-batch", times=1)
    models = [outbound(client.plain_row(), 1) for _ in range(3)]
    status = response_status(client.call("BatchSave", OUT, {"Model": models}))
    assert status["IsSuccess"] is True
    assert len(status["SuccessEntitys"]) == 2


def submitted(client: Client) -> str:
    number = client.call("Save", OUT, {"Model": outbound(client.plain_row(), 1)})["Result"]["Number"]
    client.call("Submit", OUT, {"Numbers": [number]})
    return str(number)


def test_already_audited(client: Client) -> None:
    number = submitted(client)
    client.fault("already-audited", times=1)
    status = response_status(client.call("Audit", OUT, {"Numbers": [number]}))
    assert status["IsSuccess"] is False
    assert "已审核" in status["Errors"][0]["Message"]
    assert client.query(OUT, "FDocumentStatus", f"FBillNo='{number}'") == [["C"]]


def test_required_field(client: Client) -> None:
    client.fault("required-field", times=1, field="FTaxPrice")
    status = response_status(client.call("Save", OUT, {"Model": outbound(client.plain_row(), 1)}))
    assert status["Errors"][0]["FieldName"] == "FTaxPrice"


def test_submit_fails(client: Client) -> None:
    client.fault("submit-fails", times=1)
    data = {"Model": outbound(client.plain_row(), 1), "IsAutoSubmitAndAudit": True}
    answer = client.call("Save", OUT, data)["Result"]
    assert answer["ResponseStatus"]["IsSuccess"] is False
    assert client.query(OUT, "FDocumentStatus", f"FID={answer['Id']}") == [["A"]]


def test_delete_entry(client: Client) -> None:
    model = outbound(client.plain_row(), 1)
    model["FEntity"] *= 2
    bill = client.call("Save", OUT, {"Model": model})["Result"]["Id"]
    [first, _] = client.query(OUT, "FEntity_FEntryID", f"FID={bill}")
    client.fault("delete-entry", times=1)
    update = {"FID": bill, "FEntity": [{"FEntryID": first[0], "FRealQty": 2}]}
    client.call("Save", OUT, {"Model": update, "IsDeleteEntry": "false"})
    assert len(client.query(OUT, "FEntity_FEntryID", f"FID={bill}")) == 1


def test_locked(client: Client) -> None:
    number = submitted(client)
    client.fault("locked", times=1)
    status = response_status(client.call("Audit", OUT, {"Numbers": [number]}))
    assert "网控" in status["Errors"][0]["Message"]
    assert client.query(OUT, "FDocumentStatus", f"FBillNo='{number}'") == [["B"]]


def test_number_repeated(client: Client) -> None:
    model = outbound(client.plain_row(), 1) | {"FBillNo": "R-1"}
    client.call("Save", OUT, {"Model": model})
    client.fault("number-repeated", times=1)
    assert response_status(client.call("Save", OUT, {"Model": model}))["IsSuccess"]
    assert not response_status(client.call("Save", OUT, {"Model": model}))["IsSuccess"]
    assert client.query(OUT, "FBillNo", "FBillNo='R-1'") == [["R-1"], ["R-1"]]


def test_late_commit(client: Client) -> None:
    earlier = submitted(client)
    client.fault("late-commit", seconds=60)
    later = submitted(client)
    [[first]], [[second]] = (client.query(OUT, "FModifyDate", f"FBillNo='{number}'") for number in (earlier, later))
    assert second < first


def test_unknown_switch(client: Client) -> None:
    assert requests.put(f"{client.base}/__faults/no-such", json={}, timeout=10).status_code == 404
