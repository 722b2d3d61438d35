"""Body shapes, sessions and logins, spoken raw."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.erp.kingdee import credentials
from tests.sandbox.kingdee.client import AUTH, login_by_sign, response_status, signed_headers

if TYPE_CHECKING:
    from tests.sandbox.kingdee.client import Client

STOCKS = {"FormId": "BD_STOCK", "FieldKeys": "FNumber", "OrderString": "FNumber", "Limit": 1}


def login(client: Client, method: str, parameters: list[Any]) -> requests.Response:
    return requests.post(client.url(method, AUTH), json={"parameters": parameters}, timeout=10)


def with_sid(client: Client, sid: str, *, cookie: bool = False) -> Any:
    headers = {"Cookie": f"Theme=standard;kdservice-sessionid={sid}"} if cookie else {"kdservice-sessionid": sid}
    return requests.post(client.url("ExecuteBillQuery"), json={"data": STOCKS}, headers=headers, timeout=10).json()


def test_the_java_shape_with_its_misspelt_content_type(client: Client) -> None:
    url = client.url("ExecuteBillQuery")
    headers = signed_headers(url, org="null", ts=int(time.time() * 1000)) | {"Content-Type": "applicatin/json"}
    body = json.dumps({"parameters": [json.dumps(STOCKS)]})
    assert requests.post(url, data=body, headers=headers, timeout=10).json() == [["CK001"]]
    url = client.url("View")
    body = json.dumps({"parameters": ["BD_STOCK", json.dumps({"Number": "CK101"})]})
    headers = signed_headers(url) | {"Content-Type": "applicatin/json"}
    seen = requests.post(url, data=body, headers=headers, timeout=10).json()
    assert seen["Result"]["Result"]["Name"] == "上海南京西路店"


def test_the_form_urlencoded_shape_and_data_as_text(client: Client) -> None:
    url = client.url("ExecuteBillQuery")
    form = {"data": json.dumps(STOCKS)}
    assert requests.post(url, data=form, headers=signed_headers(url), timeout=10).json() == [["CK001"]]
    assert client.post("View", {"formid": "BD_STOCK", "data": json.dumps({"Number": "CK001"})}).status_code == 200


def test_the_path_prefix_is_case_insensitive(client: Client) -> None:
    url = client.url("ExecuteBillQuery").replace("/k3cloud/", "/K3Cloud/")
    answer = requests.post(url, json={"data": STOCKS}, headers=signed_headers(url), timeout=10)
    assert answer.json() == [["CK001"]]


def test_a_signature_covers_the_path(client: Client) -> None:
    headers = signed_headers(client.url("BillQuery"))
    answer = requests.post(client.url("ExecuteBillQuery"), json={"data": STOCKS}, headers=headers, timeout=10)
    assert response_status(answer.json())["MsgCode"] == 1


def test_replays_and_old_timestamps_are_accepted(client: Client) -> None:
    headers = signed_headers(client.url("ExecuteBillQuery"), ts=int(time.time()) - 86_000, org=999)
    for _ in range(2):
        answer = requests.post(client.url("ExecuteBillQuery"), json={"data": STOCKS}, headers=headers, timeout=10)
        assert answer.json() == [["CK001"]]


def test_a_failure_is_bare_outside_queries_and_sets_a_hollow_session(client: Client) -> None:
    answer = client.post("View", {"formid": "BD_STOCK", "data": {"Number": "CK001"}}, secret="wrong")
    assert answer.status_code == 200
    assert answer.json()["Result"]["ResponseStatus"]["MsgCode"] == 1
    hollow = answer.cookies["kdservice-sessionid"]
    assert response_status(with_sid(client, hollow))["MsgCode"] == 1


def test_a_signed_call_opens_a_session_that_needs_no_signature(client: Client) -> None:
    sid = client.post("ExecuteBillQuery", {"data": STOCKS}).cookies["kdservice-sessionid"]
    assert with_sid(client, sid) == [["CK001"]]
    assert with_sid(client, sid, cookie=True) == [["CK001"]]


def test_login_by_sign(client: Client) -> None:
    answer = login(client, "LoginBySign", login_by_sign()).json()
    assert (answer["LoginResultType"], answer["IsSuccessByAPI"]) == (1, True)
    assert with_sid(client, answer["KDSVCSessionId"]) == [["CK001"]]
    refused = login(client, "LoginBySign", login_by_sign(secret="wrong")).json()
    assert refused["LoginResultType"] != 1
    assert not refused["KDSVCSessionId"]


def test_validate_user_by_position_by_name_and_as_form(client: Client) -> None:
    parts = [credentials.ACCT_ID, credentials.USER, credentials.PASSWORD, 2052]
    assert login(client, "ValidateUser", parts).json()["LoginResultType"] == 1
    named = dict(zip(("acctID", "username", "password", "lcid"), parts, strict=True))
    url = client.url("ValidateUser", AUTH)
    assert requests.post(url, json=named, timeout=10).json()["LoginResultType"] == 1
    assert requests.post(url, data=named, timeout=10).json()["LoginResultType"] == 1
    parts[2] = "wrong"
    assert login(client, "ValidateUser", parts).json()["LoginResultType"] == 0


def test_login_by_app_secret_and_its_refusal(client: Client) -> None:
    parts = [credentials.ACCT_ID, credentials.USER, credentials.APP_ID, credentials.APP_SECRET, 2052]
    assert login(client, "LoginByAppSecret", parts).json()["LoginResultType"] == 1
    client.fault("password-login-refused")
    assert login(client, "LoginByAppSecret", parts).json()["LoginResultType"] == -1
    assert login(client, "LoginBySign", login_by_sign()).json()["LoginResultType"] == 1


@pytest.mark.parametrize("body", ["", "[1", '"text"', '{"parameters": ["not json"]}', '{"data": 7}'])
def test_a_body_of_no_known_shape_is_an_escaped_exception(client: Client, body: str) -> None:
    url = client.url("ExecuteBillQuery")
    answer = requests.post(url, data=body.encode(), headers=signed_headers(url), timeout=10)
    assert answer.status_code == 200
    assert answer.text.startswith("response_error:") or response_status(answer.json())["MsgCode"] == 4


def test_an_unknown_method_is_an_escaped_exception(client: Client) -> None:
    assert client.post("NoSuchMethod", {"data": {}}).text.startswith("response_error:")
