from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k3cloud_webapi_sdk.main import K3CloudApiSdk

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.signature import (
    Identity,
    api_secret,
    client_id,
    hides_secret,
    login_parameters,
    login_sign,
    request_headers,
)
from tests.unit.connectors.kingdee.conftest import APP_ID, SECRET, SERVER, SERVICE, Server, make_client

SIGNING = [
    "X-Api-ClientID",
    "X-Api-Auth-Version",
    "x-api-timestamp",
    "x-api-nonce",
    "x-api-signheaders",
    "X-Api-Signature",
    "X-Kd-Appkey",
    "X-Kd-Appdata",
    "X-Kd-Signature",
]
IDENTITY = Identity("6a1b2c3d4e5f", "hub", APP_ID, SECRET, 2052, "100")
URL = f"{SERVICE}DynamicFormService.BillQuery.common.kdsvc"


def official(identity: Identity, server_url: str = SERVER) -> K3CloudApiSdk:
    sdk = K3CloudApiSdk(server_url)
    sdk.InitConfig(
        identity.acct_id,
        identity.user,
        identity.app_id,
        identity.app_secret,
        server_url,
        identity.lcid,
        int(identity.org_number),  # its type in that client
    )
    return sdk


def assert_signs_alike(identity: Identity, url: str) -> None:
    theirs = official(identity).BuildHeader(url)
    ours = request_headers(identity, url, timestamp=int(theirs["x-api-timestamp"]), nonce=theirs["x-api-nonce"])
    assert ours == {name: theirs[name] for name in SIGNING}


@pytest.mark.parametrize(
    "url",
    [URL, "http://10.0.0.8:8080/K3Cloud/A.B.common.kdsvc", "https://erp.example.com/a b/k3cloud/\u4e91.common.kdsvc"],
)
def test_signs_as_the_official_client(url: str) -> None:
    assert_signs_alike(IDENTITY, url)


@given(
    secret=st.binary(min_size=24, max_size=24), number=st.integers(1, 999_999), user=st.text("abc集成 用户", min_size=1)
)
def test_signs_as_the_official_client_for_any_application(secret: bytes, number: int, user: str) -> None:
    app_id = f"{number}_{base64.b64encode(secret).decode()}"
    assert_signs_alike(Identity("6a", user, app_id, "s" * 20, 1033, "101"), URL)


def test_an_application_id_of_another_form_signs_with_a_blank_key_as_the_official_client_does() -> None:
    for app_id in ("300123", "300123_short"):
        assert not hides_secret(app_id)
        assert api_secret(app_id) == ""
        assert client_id(app_id) == "300123"
    assert_signs_alike(Identity("6a", "hub", "300123_short", SECRET), URL)
    assert api_secret("1_" + "!" * 32) == ""


def test_a_key_of_the_servers_own_changes_the_hidden_secret() -> None:
    assert api_secret(APP_ID, "0054f397c6234378b09ca7d3e5debce7") == api_secret(APP_ID)
    assert api_secret(APP_ID, "k" * 24) != api_secret(APP_ID)


def test_login_sign_is_the_hash_of_the_sorted_texts() -> None:
    expected = hashlib.sha256(f"1795000000{APP_ID}6a1b2c3d4e5f{SECRET}hub".encode()).hexdigest()
    assert login_sign(IDENTITY, timestamp=1_795_000_000) == expected
    parameters = login_parameters(IDENTITY, timestamp=1_795_000_000)
    assert parameters == ["6a1b2c3d4e5f", "hub", APP_ID, 1_795_000_000, expected, 2052]


def test_secrets_stay_out_of_repr() -> None:
    text = repr(Identity("a", "u", "i", "top-secret", xor_key="own-key"))
    assert "top-secret" not in text
    assert "own-key" not in text


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_sends_the_body_that_the_official_client_sends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer(lambda _: [])
    question = Query("STK_Inventory", ("FID", "FBaseQty"), "FID ASC", "FStockId.FNumber = 'CK''1'", 10, 20)
    make_client().bill_query(question)
    monkeypatch.setattr(time, "time", lambda: 1_795_000_000.5)
    official(IDENTITY).BillQuery(question.to_json())
    ours, theirs = server.requests
    assert ours.url == theirs.url
    assert _json(ours) == _json(theirs) == {"data": question.to_json()}
    assert ours.headers["Content-Type"] == theirs.headers["Content-Type"] == "application/json"
    assert ours.headers["X-Kd-Signature"] == theirs.headers["X-Kd-Signature"]


def _json(request: Any) -> Any:
    return json.loads(request.body)


def test_the_official_client_describes_forms_with_the_same_body(server: Server) -> None:
    server.answer(lambda _: {"Result": {}}, "QueryBusinessInfo")
    make_client().query_business_info("STK_Inventory")
    assert _json(server.requests[0]) == {"data": {"FormId": "STK_Inventory"}}
