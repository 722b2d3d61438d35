"""What is sent to SAP, and how each kind of answer is understood."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses

from connectors.calls import RequestBudget
from connectors.erp.sap.auth import OAuthLogin
from connectors.erp.sap.client import STOCK_SERVICE, SapClient
from connectors.erp.sap.settings import SapSettings
from connectors.http import HttpClient
from hub.errors import (
    AuthFailed,
    Locked,
    ProtocolViolation,
    RateLimited,
    Rejected,
    RemoteError,
    Unavailable,
)

from .support import BASE, BASIC, OAUTH, ROOT, STOCK_URL, collection, error, make_client, query_of

ENTITY = "A_MatlStkInAcctMod"
HTML = "<!DOCTYPE html><html><body>Service nicht verfuegbar</body></html>"


def key_of(row: dict[str, Any]) -> str:
    return str(row["Material"])


def fetch(sap: responses.RequestsMock, **answer: Any) -> Any:
    sap.add(responses.GET, STOCK_URL, **answer)
    return make_client().fetch_rows(STOCK_SERVICE, ENTITY, {})


def fetch_failing(sap: responses.RequestsMock, **answer: Any) -> RemoteError:
    """Return the error that an answer means; a retryable one is asked for twice."""
    for _ in range(2):
        sap.add(responses.GET, STOCK_URL, **answer)
    sap.assert_all_requests_are_fired = False
    with pytest.raises(RemoteError) as caught:
        make_client().fetch_rows(STOCK_SERVICE, ENTITY, {})
    return caught.value


def test_request_has_exact_url_and_headers(sap: responses.RequestsMock) -> None:
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    make_client(client="200", language="EN").fetch_rows(
        STOCK_SERVICE, ENTITY, {"$filter": "Material eq 'A''B'", "$top": "2"}
    )
    request = sap.calls[0].request
    assert request.url == (
        f"{STOCK_URL}?$filter=Material%20eq%20'A''B'&$top=2&$format=json&sap-client=200&sap-language=EN"
    )
    assert request.headers["Accept"] == "application/json"
    # base64 of UTF-8, not Latin-1: a Chinese password must be possible
    assert request.headers["Authorization"] == requests.auth._basic_auth_str(b"HUB", "geheim-秘密".encode())


def test_numbers_come_as_text_or_as_json_numbers_and_are_never_floats(sap: responses.RequestsMock) -> None:
    body = '{"d":{"results":[{"q":"240.125"},{"q":240.125},{"q":1}],"__count":"3"}}'
    answer = fetch(sap, body=body)
    assert [row["q"] for row in answer.rows] == ["240.125", Decimal("240.125"), 1]
    assert isinstance(answer.rows[1]["q"], Decimal)
    assert answer.count == 3


@pytest.mark.parametrize(
    ("number", "meant"),
    [("0.30000000000000004", "0.3"), ("1234.3000000000002", "1234.3"), ("1.2e1", "12"), ("-7.5E-1", "-0.75")],
)
def test_the_noise_of_binary_floats_is_taken_off(sap: responses.RequestsMock, number: str, meant: str) -> None:
    assert fetch(sap, body=f'{{"d":{{"results":[{{"q":{number}}}]}}}}').rows[0]["q"] == Decimal(meant)


def test_a_number_that_no_decimal_can_hold_spoils_no_other_row(sap: responses.RequestsMock) -> None:
    first, second = fetch(sap, body='{"d":{"results":[{"q":1e9999999},{"q":1.5}]}}').rows
    assert not first["q"].is_finite()
    assert second["q"] == Decimal("1.5")


def test_what_an_answer_holds_decides_not_what_it_is_called(sap: responses.RequestsMock) -> None:
    body = collection([{"Material": "衬衫"}])
    for content_type in ("text/html", "text/plain;charset=gbk", "application/octet-stream"):
        assert fetch(sap, body=body.encode(), content_type=content_type).rows == [{"Material": "衬衫"}]
    assert fetch(sap, body=b"\xef\xbb\xbf" + body.encode()).rows == [{"Material": "衬衫"}]


def test_count_as_number_and_bare_list(sap: responses.RequestsMock) -> None:
    assert fetch(sap, body=collection([], count=7)).count == 7
    assert fetch(sap, body='{"d":[{"Material":"A"}]}').rows == [{"Material": "A"}]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ({"status": 401, "body": HTML, "content_type": "text/html"}, AuthFailed, None),
        ({"status": 401, "body": ""}, AuthFailed, None),
        ({"status": 403, "body": error("/IWFND/CM_COS/100", "no role")}, AuthFailed, "/IWFND/CM_COS/100"),
        ({"status": 403, "body": error("/IWFND/MED/170", "No service found")}, Rejected, "/IWFND/MED/170"),
        (
            {"status": 403, "body": "<error><code>/IWFND/MED/170</code><message>No service</message></error>"},
            Rejected,
            "/IWFND/MED/170",
        ),
        ({"status": 400, "body": error("56/393", "Data is blocked by user MEIER")}, Locked, "56/393"),
        (
            {"status": 400, "body": error("X/1", "failed", details=[{"code": "M3/682", "message": "locked"}])},
            Locked,
            "X/1",
        ),
        ({"status": 400, "body": error("/IWBEP/CM_MGW_RT/021", "bad filter")}, Rejected, "/IWBEP/CM_MGW_RT/021"),
        ({"status": 404, "body": error("/IWBEP/CM_MGW_RT/020", "not found")}, Rejected, "/IWBEP/CM_MGW_RT/020"),
        ({"status": 404, "body": HTML}, Rejected, None),
        ({"status": 500, "body": error("SY/530", "dump")}, Unavailable, "SY/530"),
        ({"status": 500, "body": HTML}, Unavailable, None),
        ({"status": 503, "body": HTML}, Unavailable, None),
        ({"status": 200, "body": HTML, "content_type": "text/html"}, Unavailable, None),
        ({"status": 200, "body": HTML}, Unavailable, None),
        ({"status": 200, "body": '{"d":{"results":[{"Material":"A"'}, Unavailable, None),
        ({"status": 200, "body": '{"d":{"results":[{"Material":"A"}'}, Unavailable, None),
        ({"status": 200, "body": ""}, Unavailable, None),
        ({"status": 200, "body": b'{"d":{"results":[{"Material":"A\xff"}]}}'}, Unavailable, None),
        ({"status": 200, "body": '{"d":{"results":[' + "[" * 100_000}, ProtocolViolation, None),
        ({"status": 200, "body": f'{{"d":{{"__count":{"9" * 5000}}}}}'}, ProtocolViolation, None),
        ({"status": 200, "body": "OK"}, ProtocolViolation, None),
        ({"status": 200, "body": "[1,]"}, ProtocolViolation, None),
        ({"status": 200, "body": '{"value":[]}'}, ProtocolViolation, None),
        ({"status": 200, "body": '{"d":{"Material":"A"}}'}, ProtocolViolation, None),
        ({"status": 200, "body": '{"d":{"results":["A"]}}'}, ProtocolViolation, None),
        ({"status": 429, "body": "", "headers": {"Retry-After": "0"}}, RateLimited, None),
        ({"body": requests.exceptions.ContentDecodingError("cut gzip")}, Unavailable, None),
        ({"body": requests.exceptions.ChunkedEncodingError("short body")}, Unavailable, None),
    ],
)
def test_errors_are_told_apart(
    sap: responses.RequestsMock, answer: dict[str, Any], kind: type[RemoteError], code: str | None
) -> None:
    caught = fetch_failing(sap, **answer)
    assert type(caught) is kind
    assert caught.remote_code == code
    assert caught.system == "sap"
    assert "geheim" not in str(caught)


def test_inactive_service_says_what_to_do_and_keeps_the_transaction(sap: responses.RequestsMock) -> None:
    caught = fetch_failing(sap, status=403, body=error("/IWFND/MED/170", "No service found"))
    assert "/IWFND/MAINT_SERVICE" in caught.message
    assert (caught.http_status, caught.request_id) == (403, "TX1")


def test_password_is_not_tried_again(sap: responses.RequestsMock) -> None:
    sap.add(responses.GET, STOCK_URL, status=401)
    with pytest.raises(AuthFailed):
        make_client().fetch_rows(STOCK_SERVICE, ENTITY, {})
    assert len(sap.calls) == 1


def test_next_links_are_followed_at_our_own_address(sap: responses.RequestsMock) -> None:
    inner = f"http://inner:8000/sap/opu/odata/sap/{STOCK_SERVICE}/{ENTITY}?$skiptoken=100&sap-client=100"
    sap.add(responses.GET, STOCK_URL, body=collection([{"Material": "A"}], count="2", link=inner))
    sap.add(responses.GET, STOCK_URL, body=collection([{"Material": "B"}], link=f"{ENTITY}?$skiptoken=200"))
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    answers = list(make_client().iter_answers(STOCK_SERVICE, ENTITY, {"$top": "9"}, key_of))
    assert [row["Material"] for answer in answers for row in answer.rows] == ["A", "B"]
    assert answers[0].count == 2
    assert sap.calls[1].request.url == (f"{STOCK_URL}?$skiptoken=100&sap-client=100&$format=json&sap-language=ZH")
    assert query_of(sap, 2)["$skiptoken"] == "200"


def test_base_url_with_a_proxy_path(sap: responses.RequestsMock) -> None:
    url = f"{BASE}/gw/prod/sap/opu/odata/sap/{STOCK_SERVICE}/{ENTITY}"
    link = f"/sap/opu/odata/sap/{STOCK_SERVICE}/{ENTITY}?$skiptoken=1"
    sap.add(responses.GET, url, body=collection([{"Material": "A"}], link=link))
    sap.add(responses.GET, url, body=collection([{"Material": "B"}]))
    client = make_client(base_url=f"{BASE}/gw/prod/")
    assert len(list(client.iter_answers(STOCK_SERVICE, ENTITY, {}, key_of))) == 2


@pytest.mark.parametrize("second", ["same-link", "first-page-again", "first-page-and-no-link"])
def test_next_loops_are_noticed(sap: responses.RequestsMock, second: str) -> None:
    link = f"{ENTITY}?$skiptoken=1"
    sap.add(responses.GET, STOCK_URL, body=collection([{"Material": "A"}], link=link))
    bodies = {
        "same-link": collection([{"Material": "B"}], link=link),
        "first-page-again": collection([{"Material": "A"}], link=f"{ENTITY}?$skiptoken=2"),
        "first-page-and-no-link": collection([{"Material": "A"}]),
    }
    sap.add(responses.GET, STOCK_URL, body=bodies[second])
    with pytest.raises(ProtocolViolation):
        list(make_client().iter_answers(STOCK_SERVICE, ENTITY, {}, key_of))


def test_rows_that_come_twice_count_once(sap: responses.RequestsMock) -> None:
    sap.add(responses.GET, STOCK_URL, body=collection([{"Material": "A"}], link=f"{ENTITY}?$skiptoken=1"))
    sap.add(responses.GET, STOCK_URL, body=collection([{"Material": "A"}, {"Material": "B"}]))
    answers = list(make_client().iter_answers(STOCK_SERVICE, ENTITY, {}, key_of))
    assert [row["Material"] for answer in answers for row in answer.rows] == ["A", "B"]


@pytest.mark.parametrize("link", ["https://evil.example.com/steal?x=1", "/other/path"])
def test_links_out_of_the_service_are_refused(sap: responses.RequestsMock, link: str) -> None:
    sap.add(responses.GET, STOCK_URL, body=collection([{"Material": "A"}], link=link))
    with pytest.raises(ProtocolViolation, match="leads out"):
        list(make_client().iter_answers(STOCK_SERVICE, ENTITY, {}, key_of))


def test_expanded_rows_cut_deferred_or_missing(sap: responses.RequestsMock) -> None:
    client = make_client()
    url = f"{ROOT}/{STOCK_SERVICE}/A_Head('1')/to_Items"
    link = f"{BASE}/sap/opu/odata/sap/{STOCK_SERVICE}/A_Head('1')/to_Items"
    sap.add(responses.GET, url, body=collection([{"Material": "B"}]))
    sap.add(responses.GET, url, body=collection([{"Material": "C"}]))
    cut = {"to_Items": {"results": [{"Material": "A"}], "__next": f"{link}?$skiptoken=1"}}
    deferred = {"to_Items": {"__deferred": {"uri": link}}}
    assert [row["Material"] for row in client.fetch_expanded(STOCK_SERVICE, cut, "to_Items", key_of)] == ["A", "B"]
    assert [row["Material"] for row in client.fetch_expanded(STOCK_SERVICE, deferred, "to_Items", key_of)] == ["C"]
    with pytest.raises(ProtocolViolation):
        client.fetch_expanded(STOCK_SERVICE, {}, "to_Items", key_of)
    with pytest.raises(ProtocolViolation):
        client.fetch_expanded(STOCK_SERVICE, {"to_Items": {"__deferred": {}}}, "to_Items", key_of)


def test_token_is_fetched_once_and_sent(sap: responses.RequestsMock) -> None:
    sap.add(responses.POST, OAUTH["token_url"], json={"access_token": "T1", "expires_in": 3600})
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    client = make_client(**OAUTH)
    client.fetch_rows(STOCK_SERVICE, ENTITY, {})
    client.fetch_rows(STOCK_SERVICE, ENTITY, {})
    assert sap.calls[0].request.body == "grant_type=client_credentials"
    assert sap.calls[0].request.headers["Authorization"] == requests.auth._basic_auth_str("hub", "s3cret-value")
    assert [call.request.headers["Authorization"] for call in list(sap.calls)[1:]] == ["Bearer T1", "Bearer T1"]


def test_refused_token_is_renewed_once(sap: responses.RequestsMock) -> None:
    sap.add(responses.POST, OAUTH["token_url"], json={"access_token": "T1", "expires_in": "3600"})
    sap.add(responses.GET, STOCK_URL, status=401)
    sap.add(responses.POST, OAUTH["token_url"], json={"access_token": "T2"})
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    make_client(**OAUTH).fetch_rows(STOCK_SERVICE, ENTITY, {})
    assert sap.calls[3].request.headers["Authorization"] == "Bearer T2"


def test_second_refusal_is_final(sap: responses.RequestsMock) -> None:
    for token in ("T1", "T2"):
        sap.add(responses.POST, OAUTH["token_url"], json={"access_token": token})
        sap.add(responses.GET, STOCK_URL, status=401)
    with pytest.raises(AuthFailed):
        make_client(**OAUTH).fetch_rows(STOCK_SERVICE, ENTITY, {})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": 401, "json": {"error": "invalid_client"}}, AuthFailed),
        ({"status": 400, "json": {"error": "unauthorized_client"}}, AuthFailed),
        ({"status": 500, "body": ""}, Unavailable),
        ({"status": 200, "body": "<html>"}, ProtocolViolation),
        ({"status": 200, "json": {"access_token": ""}}, ProtocolViolation),
        ({"status": 200, "json": ["s3cret-value"]}, ProtocolViolation),
    ],
)
def test_token_service_failures(sap: responses.RequestsMock, answer: dict[str, Any], kind: type[RemoteError]) -> None:
    for _ in range(2):
        sap.add(responses.POST, OAUTH["token_url"], **answer)
    sap.assert_all_requests_are_fired = False
    with pytest.raises(kind) as caught:
        make_client(**OAUTH).fetch_rows(STOCK_SERVICE, ENTITY, {})
    assert "s3cret-value" not in str(caught.value)


def test_token_is_renewed_before_it_expires_and_by_one_thread_only() -> None:
    clock = [0.0]
    http = HttpClient("sap", budget=RequestBudget(600))
    login = OAuthLogin(http, token_url=OAUTH["token_url"], client_id="a", client_secret="b", monotonic=lambda: clock[0])
    with responses.RequestsMock() as sap:
        sap.add(responses.POST, OAUTH["token_url"], json={"access_token": "T", "expires_in": 600})
        threads = [threading.Thread(target=login.current) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first = login.current()
        assert len(sap.calls) == 1
        clock[0] = 541.0
        assert login.current() is not first
        assert len(sap.calls) == 2
        # a late report on the first token does not throw away the second
        login.renew(first)
        login.current()
        assert len(sap.calls) == 2


def test_secrets_do_not_show() -> None:
    settings = make_client()._settings
    assert BASIC["password"] not in repr(settings)
    assert BASIC["password"] not in str(settings.model_dump())


def test_client_that_was_served(sap: responses.RequestsMock) -> None:
    client = make_client()
    assert client.served_client() is None
    sap.add(
        responses.GET, STOCK_URL, body=collection([]), headers={"Set-Cookie": "sap-usercontext=sap-client=300; path=/"}
    )
    client.fetch_rows(STOCK_SERVICE, ENTITY, {})
    assert client.served_client() == "300"


@pytest.mark.parametrize("verify", [False, "/etc/ssl/own.pem"])
def test_certificate_setting_wins_over_the_environment(
    sap: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, verify: object
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/other.pem")
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    SapClient(SapSettings.model_validate({**BASIC, "verify_tls": verify})).fetch_rows(STOCK_SERVICE, ENTITY, {})
    assert vars(sap.calls[0].request)["req_kwargs"]["verify"] == verify
