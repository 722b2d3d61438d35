"""Logging on, and the CSRF token that every modifying request needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from sandbox.erp.sap.auth import DEMO_OAUTH_CLIENT, DEMO_OAUTH_SECRET, DEMO_PASSWORD, DEMO_USER
from tests.sandbox.sap.client import DOCUMENTS, ROOT, SECONDS, STOCK

if TYPE_CHECKING:
    from tests.sandbox.sap.client import SapUser

SET = f"{STOCK}/A_MatlStkInAcctMod"
JSON = {"Accept": "application/json"}


@pytest.mark.parametrize("auth", [None, (DEMO_USER, "wrong"), ("SOMEBODY", DEMO_PASSWORD)])
def test_a_wrong_logon_gets_the_html_page_of_a_gateway(reading: SapUser, auth: tuple[str, str] | None) -> None:
    answer = requests.get(f"{reading.url}{ROOT}/{SET}", auth=auth, headers=JSON, timeout=SECONDS)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.headers["content-type"].startswith("text/html")


def test_another_sap_client_refuses_the_logon(reading: SapUser) -> None:
    assert reading.get(SET, sap_client="100", top="1").status_code == 200
    assert reading.get(SET, sap_client="200", top="1").status_code == 401


def test_a_bearer_token_logs_on(reading: SapUser) -> None:
    answer = requests.post(
        f"{reading.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(DEMO_OAUTH_CLIENT, DEMO_OAUTH_SECRET),
        timeout=SECONDS,
    ).json()
    headers = {**JSON, "Authorization": f"Bearer {answer['access_token']}"}

    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] > 0
    assert requests.get(f"{reading.url}{ROOT}/{SET}?$top=1", headers=headers, timeout=SECONDS).status_code == 200
    headers["Authorization"] += "x"
    assert requests.get(f"{reading.url}{ROOT}/{SET}?$top=1", headers=headers, timeout=SECONDS).status_code == 401


@pytest.mark.parametrize(
    ("auth", "grant", "status", "error"),
    [
        ((DEMO_OAUTH_CLIENT, "wrong"), "client_credentials", 401, "invalid_client"),
        ((DEMO_OAUTH_CLIENT, DEMO_OAUTH_SECRET), "password", 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_token_request(reading: SapUser, auth: tuple[str, str], grant: str, status: int, error: str) -> None:
    answer = requests.post(
        f"{reading.url}/oauth/token", data={"grant_type": grant}, auth=auth, timeout=SECONDS,
    )  # fmt: skip

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_post_without_token_says_required(sap: SapUser) -> None:
    before = sap.totals()

    answer = sap.post(f"{DOCUMENTS}/A_MaterialDocumentHeader", {}, token="")

    assert (answer.status_code, answer.headers["x-csrf-token"]) == (403, "Required")
    assert answer.text == "CSRF token validation failed"
    assert sap.totals() == before


def test_token_without_its_cookies_is_refused(sap: SapUser) -> None:
    token = sap.token()
    sap.session.cookies.clear()

    assert sap.post(f"{DOCUMENTS}/A_MaterialDocumentHeader", {}, token=token).status_code == 403


def test_head_fetches_a_token_too(sap: SapUser) -> None:
    answer = sap.session.head(
        f"{sap.url}{ROOT}/{DOCUMENTS}/", headers={"X-CSRF-Token": "Fetch"}, timeout=SECONDS,
    )  # fmt: skip

    assert answer.headers["x-csrf-token"]
    assert {cookie.name for cookie in sap.session.cookies} == {"SAP_SESSIONID_S4H_100", "sap-usercontext"}
    assert sap.token() == answer.headers["x-csrf-token"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "MERGE", "DELETE"])
def test_stock_can_only_be_read(sap: SapUser, method: str) -> None:
    headers = {"X-CSRF-Token": sap.token(STOCK)}

    answer = sap.session.request(method, f"{sap.url}{ROOT}/{SET}", json={}, headers=headers, timeout=SECONDS)

    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "/IWBEP/CM_MGW_RT/021"


def test_messages_follow_the_logon_language(reading: SapUser) -> None:
    chinese = reading.get(f"{STOCK}/A_Nothing", sap_language="ZH").json()["error"]["message"]
    english = reading.get(f"{STOCK}/A_Nothing", sap_language="EN").json()["error"]["message"]

    assert (chinese["lang"], english["lang"]) == ("zh", "en")
    assert chinese["value"] != english["value"]
