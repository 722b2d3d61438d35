"""The arithmetic of a level over HTTP and on the staff page: who may see it, in which form, and for which SKU."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest

from tests.api.conftest import no_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.api.conftest import Api
    from tests.api.seed import Seed

OIL = "/v1/stock/QH-OIL-500/explain"
HERE = {"location": "ST-SH01"}
PAGE = "/staff/explain?sku=QH-OIL-500&place=ST-SH01"


@pytest.fixture
def clerk(api: Api, make_key: Callable[[str], str]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {make_key('clerk')}", "Accept-Language": "en"}
    with httpx.Client(base_url=api.base, headers=headers, timeout=20, verify=no_certificates()) as client:
        yield client


@pytest.fixture
def sold(api: Api, clerk: httpx.Client, make_key: Callable[[str], str]) -> dict[str, Any]:
    """Give what is told of twelve oils of which five are held for a cart and two were sold an hour ago."""
    line = {"sku": "QH-OIL-500", "location": "ST-SH01", "quantity": "5"}
    made = api.client.post("/v1/reservations", json={"lines": [line]}, headers={"Idempotency-Key": uuid.uuid4().hex})
    sale = {
        "store": "ST-SH01",
        "receipt_no": "R-1",
        "sold_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "lines": [{"sku": "QH-OIL-500", "quantity": "2"}],
    }
    told = api.client.post("/v1/sales", json=sale, headers={"Authorization": f"Bearer {make_key('till')}"})
    assert (made.status_code, told.status_code) == (201, 201)
    answer = clerk.get(OIL, params=HERE)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


def test_the_terms_of_a_level(api: Api, sold: dict[str, Any]) -> None:
    assert (sold["sku"], sold["location"], sold["unit"]) == ("QH-OIL-500", "ST-SH01", "瓶")
    assert (sold["on_hand"], sold["available"], sold["stale"], sold["pools"]) == ("12", "5", False, [])
    told = [(term["kind"], term["quantity"], term["cause"], term["source"]) for term in sold["terms"]]
    assert told == [
        ("base", "12", None, None),
        ("demand", "-2", "sale", "online"),
        ("reservation", "-5", "cart", "online"),
    ]
    assert sold["terms"][1]["number"] == "ST-SH01/R-1"
    assert sold["terms"][1]["effective_at"] < sold["terms"][1]["recorded_at"] <= sold["at"] == sold["known_at"]
    assert sold["terms"][2]["expires_at"] > sold["at"]
    document = api.body("/openapi.json")
    schema = {"$ref": "#/components/schemas/StockExplanation", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(sold)


def test_a_moment_of_the_past_with_what_was_known_then(clerk: httpx.Client, sold: dict[str, Any]) -> None:
    half_an_hour_ago = (datetime.fromisoformat(sold["at"]) - timedelta(minutes=30)).isoformat()
    now_known = clerk.get(OIL, params={**HERE, "at": half_an_hour_ago}).json()
    assert [(term["kind"], term["quantity"]) for term in now_known["terms"]] == [("base", "0"), ("demand", "-2")]
    assert (now_known["available"], now_known["stale"], now_known["as_of"]) == ("-2", None, None)
    assert datetime.fromisoformat(now_known["at"]) == datetime.fromisoformat(half_an_hour_ago)
    then_known = clerk.get(OIL, params={**HERE, "known_at": half_an_hour_ago}).json()
    assert then_known["available"] == "0"
    assert then_known["known_at"] == then_known["at"] == now_known["at"]


def test_pools_are_told_as_numbers_in_text(clerk: httpx.Client, seed: Seed) -> None:
    seed.connection.execute("SELECT stock_set_pool('QH-OIL-500', 'ST-SH01', 'online', NULL, 12.50)")
    expected = [{"channel": "online", "ring_fenced": None, "percent": "12.5", "taken": "0"}]
    assert clerk.get(OIL, params=HERE).json()["pools"] == expected


def test_only_roles_with_the_scope_may_ask(api: Api, make_key: Callable[[str], str]) -> None:
    answer = api.client.get(OIL, params=HERE)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing-scope")
    for role in ("clerk", "it", "ops"):
        headers = {"Authorization": f"Bearer {make_key(role)}"}
        assert api.client.get(OIL, params=HERE, headers=headers).status_code == 200
    headers = {"Authorization": f"Bearer {make_key('till')}"}
    assert api.client.get(OIL, params=HERE, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("path", "place", "code"),
    [
        ("/v1/stock/NOPE/explain", "ST-SH01", "sku-not-found"),
        ("/v1/stock/%00/explain", "ST-SH01", "sku-not-found"),
        (OIL, "NOPE", "location-not-found"),
        (OIL, "\x00", "location-not-found"),
    ],
)
def test_what_is_unknown_is_a_problem(clerk: httpx.Client, path: str, place: str, code: str) -> None:
    answer = clerk.get(path, params={"location": place})
    assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "/query/location"),
        ({"location": ""}, "/query/location"),
        ({**HERE, "at": "yesterday"}, "/query/at"),
        ({**HERE, "at": "2026-11-11T10:00:00"}, "/query/at"),
        ({**HERE, "at": "9999-01-01T00:00:00Z"}, "/query/at"),
        ({**HERE, "at": "0001-01-01T00:00:00+08:00"}, "/query/at"),
        ({**HERE, "known_at": "2999-01-01T00:00:00Z"}, "/query/known_at"),
    ],
)
def test_what_is_wrong_is_pointed_at(clerk: httpx.Client, asked: dict[str, str], pointer: str) -> None:
    answer = clerk.get(OIL, params=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_skus_with_slashes_are_read_and_explained(clerk: httpx.Client, seed: Seed) -> None:
    for sku in ("QH/SLASH|1", "A/explain", "explain", "A/explain/explain"):
        if sku != "QH/SLASH|1":
            seed.items([sku], "ST-SH01")
        sent = sku.replace("/", "%2F")
        assert clerk.get(f"/v1/stock/{sent}").json()["sku"] == sku
        assert clerk.get(f"/v1/stock/{sent}/explain", params=HERE).json()["sku"] == sku
    assert clerk.get("/v1/stock/QH/SLASH%7C1/explain", params=HERE).json()["sku"] == "QH/SLASH|1"
    assert clerk.post("/v1/stock/QH-RICE/explain").status_code == 405


# --- the staff page


@pytest.fixture
def staff(open_staff: str, seed: Seed) -> Iterator[httpx.Client]:
    assert seed
    cookies = {"oneshelf_store": "ST-SH01"}
    with httpx.Client(base_url=open_staff, cookies=cookies, timeout=20, verify=no_certificates()) as client:
        yield client


def test_the_page_tells_the_sum_in_words_with_a_picture(staff: httpx.Client, sold: dict[str, Any]) -> None:
    page = staff.get(PAGE).text
    for text in ("为什么是这个数？", "上海南京西路店", "账面数", "占用（尚未入账）", "ST-SH01/R-1", "购物车锁定", "−5"):
        assert text in page
    assert sold["terms"][2]["number"] in page
    points = re.search(r'<polyline class="steps" points="([^"]+)"', page)
    assert points is not None
    assert len(points[1].split()) > 3
    assert re.search(r'<rect class="document"[^>]*><title>单据 ×1</title>', page)
    english = staff.get(PAGE, headers={"Accept-Language": "en"}).text
    for text in ("Why is this number what it is?", "Sold, not yet on the books", "Store sale", "told at"):
        assert text in english


def test_the_page_shows_a_moment_that_the_visitor_chooses(staff: httpx.Client, sold: dict[str, Any]) -> None:
    local = datetime.fromisoformat(sold["at"]) + timedelta(hours=8, minutes=-30)  # the page's zone is Shanghai
    page = staff.get(f"{PAGE}&at={local:%Y-%m-%dT%H:%M:%S}").text
    assert f'value="{local:%Y-%m-%dT%H:%M:%S}"' in page
    assert sold["terms"][2]["number"] not in page
    assert "ST-SH01/R-1" in page
    assert "ST-SH01/R-1" not in staff.get(f"{PAGE}&known_at={local:%Y-%m-%dT%H:%M:%S}").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{PAGE}&at=x", 422),
        (f"{PAGE}&at=2999-01-01T00:00", 422),
        (f"{PAGE}&at=0001-01-01T00:00", 422),
        ("/staff/explain?sku=NOPE&place=ST-SH01", 404),
        ("/staff/explain", 404),
    ],
)
def test_the_page_says_what_is_wrong(staff: httpx.Client, path: str, status: int) -> None:
    answer = staff.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


def test_frozen_levels_and_pools_are_told_on_the_page(staff: httpx.Client, seed: Seed) -> None:
    seed.connection.execute("SELECT stock_set_pool('QH-OIL-500', 'ST-SH01', 'online', 3, NULL)")
    seed.connection.execute("UPDATE stock_level SET frozen_at = now(), safety_stock = 2")
    page = staff.get(PAGE, headers={"Accept-Language": "en"}).text
    for text in ("Being counted", "Stocktake", "Safety stock", "Set apart for online: 3, taken 0"):
        assert text in page


def test_the_card_leads_there_for_those_who_may(api: Api, make_key: Callable[[str], str]) -> None:
    for role, may in (("clerk", True), ("storefront", False)):
        with httpx.Client(
            base_url=api.base, timeout=20, headers={"Accept": "text/html"}, verify=no_certificates()
        ) as client:
            client.post("/staff/sign-in", data={"key": make_key(role)})
            client.post("/staff/store", data={"code": "ST-SH01"})
            card = client.get("/staff?q=QH-OIL-500").text
            assert ('href="/staff/explain?sku=QH-OIL-500&amp;place=ST-SH01"' in card) is may
            assert ('href="/staff/explain?sku=QH-OIL-500&amp;place=DC-SH"' in card) is may
            assert client.get(PAGE).status_code == (200 if may else 403)
