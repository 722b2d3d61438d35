from __future__ import annotations

import base64
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses
from pydantic import ValidationError

from connectors.erp.kingdee.answers import SessionLost
from connectors.erp.kingdee.client import Query
from hub.errors import (
    AuthFailed,
    Locked,
    ProtocolViolation,
    RateLimited,
    Rejected,
    RemoteError,
    Unavailable,
)
from tests.unit.connectors.kingdee.conftest import APP_ID, SECRET, SERVICE, Server, failure, make_client, make_settings

QUESTION = Query("STK_Inventory", ("FID", "FBaseQty"), "FID ASC", "FStockId.FNumber = 'CK001'", 2000)
LOST = failure("会话信息已丢失，请重新登录", 1)
LOGIN_OK = {"LoginResultType": 1, "KDSVCSessionId": "sid-1", "IsSuccessByAPI": True, "Context": {"UserName": "hub"}}


def test_bill_query_sends_one_signed_json_post(server: Server) -> None:
    server.answers([{"FID": 1, "FBaseQty": 3.10}])
    rows = make_client().query(QUESTION)
    assert rows == [{"FID": 1, "FBaseQty": Decimal("3.1")}]
    assert isinstance(rows[0]["FBaseQty"], Decimal)
    assert server.asked == [
        {
            "FormId": "STK_Inventory",
            "FieldKeys": "FID,FBaseQty",
            "FilterString": "FStockId.FNumber = 'CK001'",
            "OrderString": "FID ASC",
            "TopRowCount": 0,
            "StartRow": 0,
            "Limit": 2000,
            "SubSystemId": "",
        }
    ]
    headers = server.requests[0].headers
    assert headers["x-api-timestamp"] == "1795000000"
    assert headers["X-Kd-Appkey"] == APP_ID
    assert base64.b64decode(headers["X-Kd-Appdata"]) == b"6a1b2c3d4e5f,hub,2052,100"


def test_execute_bill_query_names_the_columns(server: Server) -> None:
    server.answers([[1, 2.5], [2, -1]], service="ExecuteBillQuery")
    rows = make_client(query_service="ExecuteBillQuery").query(QUESTION)
    assert rows == [{"FID": 1, "FBaseQty": Decimal("2.5")}, {"FID": 2, "FBaseQty": -1}]


@pytest.mark.parametrize("answer", [[[1]], [[1, 2, 3]], [1], {"a": 1}, "text", [{"FID": 1}], [[{"Strange": 1}]]])
def test_an_answer_of_another_shape_is_a_violation(server: Server, answer: Any) -> None:
    server.answer(lambda _: answer)
    with pytest.raises((ProtocolViolation, Unavailable)):
        make_client().query(QUESTION)


def test_names_are_found_without_regard_to_case(server: Server) -> None:
    server.answers([{"Fid": 1, "FBASEQTY": 2, "FExtra": 3}])
    assert make_client().query(QUESTION) == [{"FID": 1, "FBaseQty": 2}]


def test_json_inside_a_string_is_read(server: Server) -> None:
    server.answers(json.dumps([{"FID": 1, "FBaseQty": 0.1}]), json.dumps(failure("没有字段", "9")))
    assert make_client().query(QUESTION) == [{"FID": 1, "FBaseQty": Decimal("0.1")}]
    with pytest.raises(Rejected, match="没有字段"):
        make_client().query(QUESTION)


def test_nan_stays_a_text_that_no_field_takes(server: Server) -> None:
    server.answers((200, '[{"FID": 1, "FBaseQty": NaN}]'))
    assert make_client().query(QUESTION)[0]["FBaseQty"] == "NaN"


@pytest.mark.parametrize(
    "wrap", [lambda f: [[f]], lambda f: f, lambda f: [f], json.dumps], ids=["cell", "bare", "row", "string"]
)
@pytest.mark.parametrize("code", [4, "4", 8, "9"], ids=repr)
@pytest.mark.parametrize("success", [False, "false", "False"], ids=repr)
def test_a_business_error_is_rejected_in_every_form(server: Server, wrap: Any, code: Any, success: Any) -> None:
    server.answer(lambda _: wrap(failure("字段不存在", code, success=success)))
    with pytest.raises(Rejected, match="字段不存在") as caught:
        make_client().query(QUESTION)
    assert caught.value.remote_code == str(code)
    assert caught.value.system == "kingdee"
    assert len(server.asked) == 1


def test_a_missing_field_says_what_to_mend(server: Server) -> None:
    server.answers(failure("字段FAVBQty不存在", 9))
    with pytest.raises(Rejected, match="correct the file"):
        make_client().query(QUESTION)


@pytest.mark.parametrize("code", [1, "1"], ids=repr)
@pytest.mark.parametrize("wrap", [lambda f: [[f]], lambda f: f], ids=["cell", "bare"])
def test_msg_code_1_means_the_signature_was_refused_and_is_not_repeated(server: Server, code: Any, wrap: Any) -> None:
    server.answer(lambda _: wrap(failure("会话信息已丢失，请重新登录", code)))
    with pytest.raises(AuthFailed, match="app_secret") as caught:
        make_client().query(QUESTION)
    assert len(server.asked) == 1
    assert type(pickle.loads(pickle.dumps(caught.value))) is SessionLost


@pytest.mark.parametrize(
    ("answer", "kind", "attempts"),
    [
        ((200, "response_error: 未将对象引用设置到对象的实例"), Unavailable, 4),
        ((200, "response_error: ctx == null"), AuthFailed, 1),
        ((200, "response_error: 列名 'FID' 无效。"), Rejected, 1),
        ((200, "response_error: 单据已被其他用户修改"), Locked, 4),
        ((200, '"response_error: inside a string"'), Unavailable, 4),
        ((200, "<!DOCTYPE html><html>登录</html>"), Unavailable, 4),
        ((200, ""), Unavailable, 4),
        ((200, '[{"FID": 1, "FBa'), Unavailable, 4),
        ((200, "\ufeff[]"), None, 1),
        ((500, "Fail to verify thirty passport"), AuthFailed, 1),
        ((400, "Fail to verify thirty passport"), AuthFailed, 1),
        ((200, "Fail to verify thirty passport"), AuthFailed, 1),
        ((401, "no"), AuthFailed, 1),
        ((404, "<html>"), Rejected, 1),
        ((500, "<html>"), Unavailable, 4),
        ((502, "<html>"), Unavailable, 4),
        ((429, ""), RateLimited, 4),
        ((302, "", {"Location": "https://elsewhere.example.com/"}), Unavailable, 4),
        (failure("单据存在网控冲突，请稍后再使用", 4), Locked, 4),
        (failure("单据已被其他用户修改", 0), Locked, 4),
        (failure("请求过于频繁", 4), RateLimited, 4),
        (failure("没有查询权限", 0), AuthFailed, 1),
        (failure("负库存", 0), Rejected, 1),
        (failure("未登录", ""), AuthFailed, 1),
        ({"Result": {"ResponseStatus": {"ErrorCode": -10001, "IsSuccess": False, "Errors": []}}}, AuthFailed, 1),
        ({"Result": {"ResponseStatus": {"Errors": [{"Message": "oops"}]}}}, Rejected, 1),
    ],
)
def test_each_failure_has_its_class_and_only_what_may_pass_is_repeated(
    server: Server, answer: Any, kind: type[RemoteError] | None, attempts: int
) -> None:
    server.answer(lambda _: answer)
    if kind is None:
        assert make_client().query(QUESTION) == []
    else:
        with pytest.raises(kind) as caught:
            make_client().query(QUESTION)
        assert type(caught.value) in {kind, SessionLost}
    assert len(server.asked) == attempts


def test_a_broken_connection_is_unavailable(server: Server) -> None:
    def break_off(_: Any) -> Any:
        raise requests.ReadTimeout

    server.answer(break_off)
    with pytest.raises(Unavailable):
        make_client().query(QUESTION)


def test_each_attempt_is_signed_anew(server: Server) -> None:
    server.answers((500, "x"), [])
    make_client().query(QUESTION)
    first, second = (request.headers for request in server.requests)
    assert first["x-api-nonce"] != second["x-api-nonce"]
    assert first["X-Api-Signature"] != second["X-Api-Signature"]


def test_a_signed_connection_never_sends_a_session(server: Server) -> None:
    cookie = {"Set-Cookie": "kdservice-sessionid=hollow; path=/"}
    server.answers((200, json.dumps([[LOST]]), cookie), (200, "[]", cookie), (200, "[]", cookie))
    client = make_client()
    with pytest.raises(AuthFailed):
        client.query(QUESTION)
    client.query(QUESTION)
    client.query(QUESTION)
    for request in server.requests:
        assert "Cookie" not in request.headers
        assert "kdservice-sessionid" not in request.headers


def test_secrets_are_in_no_error_and_no_repr(server: Server) -> None:
    server.answer(lambda _: failure(f"bad {SECRET} of {APP_ID}", 4))
    client = make_client()
    with pytest.raises(Rejected) as caught:
        client.query(QUESTION)
    for text in (str(caught.value), repr(caught.value), repr(make_settings()), repr(client._identity)):
        assert SECRET not in text
    assert APP_ID not in str(caught.value)


def test_a_redirect_is_not_followed_with_signed_headers() -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocks:
        elsewhere = mocks.add("GET", "https://elsewhere.example.com/", body="[]")
        url = f"{SERVICE}DynamicFormService.BillQuery.common.kdsvc"
        mocks.add("POST", url, status=302, headers={"Location": "https://elsewhere.example.com/"})
        with pytest.raises(Unavailable):
            make_client().query(QUESTION)
        assert elsewhere.call_count == 0


# --- login_by_sign


def login_client() -> Any:
    return make_client(auth="login_by_sign")


def test_one_login_serves_many_calls(server: Server) -> None:
    server.answers(LOGIN_OK, service="LoginBySign")
    server.answer(lambda _: [])
    client = login_client()
    client.query(QUESTION)
    client.query(QUESTION)
    login, first, second = server.requests
    assert json.loads(login.body or b"")["parameters"][:4] == ["6a1b2c3d4e5f", "hub", APP_ID, 1_795_000_000]
    for request in (first, second):
        assert request.headers["kdservice-sessionid"] == "sid-1"
        assert "kdservice-sessionid=sid-1" in request.headers["Cookie"]
        assert "X-Kd-Signature" not in request.headers


def test_a_lost_session_is_renewed_once(server: Server) -> None:
    server.answers(LOGIN_OK, {**LOGIN_OK, "KDSVCSessionId": "sid-2"}, service="LoginBySign")
    server.answers(LOST, [{"FID": 1, "FBaseQty": 1}])
    assert login_client().query(QUESTION) == [{"FID": 1, "FBaseQty": 1}]
    sids = [request.headers.get("kdservice-sessionid") for request in server.requests]
    assert sids == [None, "sid-1", None, "sid-2"]


def test_a_session_lost_again_is_an_authentication_failure(server: Server) -> None:
    server.answer(lambda _: LOGIN_OK, service="LoginBySign")
    server.answer(lambda _: LOST)
    with pytest.raises(AuthFailed):
        login_client().query(QUESTION)
    assert len(server.requests) == 4


def test_cookies_with_commas_are_kept_and_a_silent_new_session_is_taken_over(server: Server) -> None:
    expires = "expires=Wed, 25-Nov-2099 10:00:00 GMT; path=/"
    server.answers(LOGIN_OK, service="LoginBySign")
    server.answers((200, "[]", {"Set-Cookie": f"kdservice-sessionid=sid-2; {expires}"}), [])
    client = login_client()
    client.query(QUESTION)
    client.query(QUESTION)
    assert server.requests[2].headers["kdservice-sessionid"] == "sid-2"


def test_the_hollow_session_of_a_failing_answer_is_not_kept(server: Server) -> None:
    server.answers(LOGIN_OK, service="LoginBySign")
    hollow = {"Set-Cookie": "kdservice-sessionid=hollow; path=/"}
    server.answers((200, json.dumps(failure("过滤条件错误", 4)), hollow), [])
    client = login_client()
    with pytest.raises(Rejected):
        client.query(QUESTION)
    client.query(QUESTION)
    assert server.requests[2].headers["kdservice-sessionid"] == "sid-1"
    assert "hollow" not in server.requests[2].headers["Cookie"]


def test_a_session_id_may_come_as_a_cookie_alone(server: Server) -> None:
    cookie = {"Set-Cookie": "kdservice-sessionid=from-cookie; path=/; HttpOnly"}
    server.answers((200, json.dumps({"LoginResultType": -5, "KDSVCSessionId": None}), cookie), service="LoginBySign")
    server.answers([])
    login_client().query(QUESTION)
    assert server.requests[1].headers["kdservice-sessionid"] == "from-cookie"


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (0, "user or secret"),
        (-1, "failed"),
        ("-2", "policy"),
        (-4, "warning"),
        (-6, "bound"),
        (-7, "activated"),
        (99, "failed"),
    ],
)
def test_a_refused_login_says_why(server: Server, number: Any, meaning: str) -> None:
    server.answers(
        {"LoginResultType": number, "Message": "用户名或密码错误", "KDSVCSessionId": ""}, service="LoginBySign"
    )
    with pytest.raises(AuthFailed, match=meaning) as caught:
        login_client().login()
    assert "用户名或密码错误" in str(caught.value)
    assert caught.value.remote_code == str(number)


@pytest.mark.parametrize("answer", [{"LoginResultType": 1}, {"Other": 1}, []])
def test_a_login_without_session_is_a_violation(server: Server, answer: Any) -> None:
    server.answers(answer, service="LoginBySign")
    with pytest.raises(ProtocolViolation):
        login_client().login()


# --- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_url": "erp.example.com"},
        {"user": "a,b"},
        {"app_secret": ""},
        {"secret_xor_key": "short"},
        {"page_rows": 0},
        {"time_zone": "Moon/Base"},
        {"unknown": 1},
        {"movement_forms": [{"form": "F;x", "mappings": ["m"], "row_id": ["FID"]}]},
        {"movement_forms": [{"form": "F", "mappings": ["../m"], "row_id": ["FID"]}]},
        {"movement_forms": [{"form": "F", "mappings": ["m"], "brings": ["n"], "row_id": ["FID"]}]},
        {"movement_forms": [{"form": "F", "mappings": ["m"], "row_id": ["FID"]}] * 2},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_settings(**wrong)


def test_the_address_always_ends_with_a_slash() -> None:
    assert make_settings(server_url="http://x:8080/K3Cloud").server_url == "http://x:8080/K3Cloud/"
