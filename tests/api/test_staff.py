"""The staff page without a browser: access, languages, lists, files."""

from __future__ import annotations

import gzip
import io
import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import openpyxl
import pytest

from hub.access import revoke_key, split_key
from storefront_adapter.staff.visit import safe_next
from tests.api.conftest import no_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from tests.api.seed import Seed


@pytest.fixture
def staff(open_staff: str, seed: Seed) -> Iterator[httpx.Client]:
    """Give a clerk's client in the store of Nanjing Road."""
    assert seed
    with httpx.Client(
        base_url=open_staff, cookies={"oneshelf_store": "ST-SH01"}, timeout=20, verify=no_certificates()
    ) as client:
        yield client


@pytest.fixture
def closed(served: tuple[FastAPI, str], seed: Seed) -> Iterator[httpx.Client]:
    """Give a client of the page that asks for a key."""
    assert seed
    with httpx.Client(
        base_url=served[1], timeout=20, headers={"Accept": "text/html"}, verify=no_certificates()
    ) as client:
        yield client


def sign_in(client: httpx.Client, key: str, wish: str = "/staff", **headers: str) -> httpx.Response:
    return client.post("/staff/sign-in", data={"key": key, "next": wish}, headers=headers)


@pytest.mark.parametrize(
    "asked",
    [
        "QH-OIL-500",
        "qh-oil-500",
        "6901234567892",
        "06901234567892",
        "K-77001",
        "亚麻籽油 青禾",
        "６９０１２３４５６７８９２",
        " 6901234567892\r",
    ],
)
def test_one_field_finds_by_code_number_and_name(staff: httpx.Client, asked: str) -> None:
    page = staff.get("/staff", params={"q": asked}).text
    assert "<dd>QH-OIL-500</dd>" in page
    assert "箱装" not in page


def test_carton_barcode_tells_how_many_it_holds(staff: httpx.Client) -> None:
    assert "箱装 12 瓶" in staff.get("/staff?q=16901234567899").text


@pytest.mark.parametrize("asked", ["%", "_", "\\", "没有 青禾", "\x00", "'; DROP TABLE item; --"])
def test_what_means_nothing_finds_nothing(staff: httpx.Client, asked: str) -> None:
    page = staff.get("/staff", params={"q": asked})
    assert page.status_code == httpx.codes.OK
    assert 'id="card"' not in page.text
    assert "hits" not in page.text


def test_names_list_the_exact_name_first(staff: httpx.Client, seed: Seed) -> None:
    for number in range(30):
        seed.item(f"T-{number:02d}", f"毛巾 {number} 号")
    seed.item("T-EXACT", "毛巾")
    page = staff.get("/staff?q=毛巾").text
    found = re.findall(r'href="/staff\?sku=([\w-]+)"', page)
    assert found[0] == "T-EXACT"
    assert len(found) == 20


def test_card_shows_numbers_as_they_are(staff: httpx.Client) -> None:
    page = staff.get("/staff?q=QH-OIL-500").text
    assert "−3" in page
    for text in ("质检 <b>2</b>", "临期 <b>1</b>", "寄售 <b>4</b>", "1,200"):
        assert text in page
    assert "数据过期" not in page


def test_stale_data_is_said_in_words(staff: httpx.Client, seed: Seed) -> None:
    seed.feed("kingdee", age=600)
    assert "数据过期" in staff.get("/staff/card?sku=QH-OIL-500").text
    assert "10 分钟前" in staff.get("/staff/card?sku=QH-OIL-500").text


def test_names_from_an_erp_are_no_markup(staff: httpx.Client, seed: Seed) -> None:
    seed.item("XSS", "<script>alert(1)</script>")
    page = staff.get("/staff?q=XSS").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_language_is_chosen_kept_and_read_from_the_browser(staff: httpx.Client) -> None:
    assert '<html lang="zh-CN">' in staff.get("/staff").text
    assert '<html lang="en">' in staff.get("/staff", headers={"Accept-Language": "en-US,en;q=0.9"}).text
    assert '<html lang="en">' in staff.get("/staff?lang=en").text
    assert '<html lang="en">' in staff.get("/staff").text
    assert '<html lang="zh-CN">' in staff.get("/staff?lang=zh").text


def test_pages_carry_a_strict_policy_and_no_inline_code(staff: httpx.Client) -> None:
    for path in (
        "/staff",
        "/staff?q=QH-OIL-500",
        "/staff?q=青禾",
        "/staff/explain?sku=QH-OIL-500&place=ST-SH01",
        "/staff/stock",
        "/staff/ops",
        "/staff/store",
        "/docs",
    ):
        page = staff.get(path)
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", page.text)
        assert len(re.findall(r"<h1\b", page.text)) == 1


def test_find_page_is_light(staff: httpx.Client) -> None:
    page = staff.get("/staff").text
    files = re.findall(r'(?:href|src)="(/staff/static/[^"]+)"', page)
    answers = [staff.get(file) for file in files]
    assert all("immutable" in answer.headers["cache-control"] for answer in answers)
    weight = sum(len(gzip.compress(content)) for content in [page.encode(), *(answer.content for answer in answers)])
    assert weight <= 30_000


def test_the_store_is_remembered(open_staff: str, seed: Seed) -> None:
    assert seed
    with httpx.Client(base_url=open_staff, verify=no_certificates()) as client:
        assert client.get("/staff/stock").headers["location"].startswith("/staff/store?next=")
        chosen = client.post("/staff/store", data={"code": "ST-HZ01", "next": "/staff?q=QH-OIL-500"})
        assert (chosen.status_code, chosen.headers["location"]) == (303, "/staff?q=QH-OIL-500")
        assert "<h3>杭州湖滨店</h3>" in client.get("/staff?q=QH-OIL-500").text
        client.post("/staff/store", data={"code": "NOPE"})
        assert "杭州湖滨店" in client.get("/staff").text


@pytest.mark.parametrize(
    ("show", "found"),
    [("stocked", {"A", "G"}), ("empty", {"Z"}), ("negative", {"N"}), ("unsellable", {"A"}), ("x", set("AGNZ"))],
)
def test_list_is_filtered(staff: httpx.Client, seed: Seed, show: str, found: set[str]) -> None:
    seed.connection.execute("DELETE FROM stock_unsellable; DELETE FROM stock_level")
    for sku, on_hand in (("A", 1), ("G", 2), ("N", -1), ("Z", 0)):
        seed.item(sku)
        seed.level(sku, "ST-SH01", on_hand)
    seed.unsellable("A", "ST-SH01", "quality", 1)
    page = staff.get("/staff/stock", params={"show": show}).text
    assert set(re.findall(r'href="/staff\?sku=(\w+)"', page)) == found


def test_list_is_paged(staff: httpx.Client, seed: Seed) -> None:
    seed.items([f"P-{number:03d}" for number in range(120)], "ST-SH01")
    pages = [
        re.findall(r'href="/staff\?sku=(P-\d+)"', staff.get(f"/staff/stock?q=测试&page={page}").text)
        for page in (1, 2, 3)
    ]
    assert [len(page) for page in pages] == [50, 50, 20]
    walked = [sku for page in pages for sku in page]
    assert walked == sorted(walked)
    assert staff.get("/staff/stock?page=999999999999").status_code == httpx.codes.OK


def test_export_keeps_codes_as_text_and_disarms_formulas(staff: httpx.Client, seed: Seed) -> None:
    seed.level("0012345", "ST-SH01", "2.5")
    for number, name in enumerate(("=1+1", "+1", "-1", "@SUM(A1)", "\t=1")):
        seed.item(f"F-{number}", name)
        seed.level(f"F-{number}", "ST-SH01", 1)
    answer = staff.get("/staff/export.xlsx")
    assert "ST-SH01" in answer.headers["content-disposition"]
    sheet: Any = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    rows = {row[0].value: row for row in sheet.iter_rows(min_row=2)}
    towel = rows["0012345"]
    assert (towel[0].data_type, towel[0].number_format) == ("s", "@")
    assert Decimal(str(towel[4].value)) == Decimal("2.5")
    for number in range(5):
        assert rows[f"F-{number}"][2].value.startswith("'")
        assert rows[f"F-{number}"][2].data_type == "s"
    only = staff.get("/staff/export.xlsx", params={"q": "毛巾"})
    assert openpyxl.load_workbook(io.BytesIO(only.content)).active.max_row == 2  # type: ignore[union-attr]


def test_ops_page_shows_what_is_wrong(staff: httpx.Client, seed: Seed) -> None:
    seed.connection.execute("UPDATE feed SET failures = 3, error = '503 <b>', failed_at = now() WHERE source = 'sap'")
    seed.connection.execute(
        "INSERT INTO quarantine (source, kind, key, reason, detail, digest, raw)"
        " VALUES ('sap', 'stock', 'M1@X', 'unknown_unit', 'unit KAR', 'd', '{\"a\": \"<i>\"}')"
    )
    page = staff.get("/staff/ops").text
    for text in ("503 &lt;b&gt;", "unknown_unit", "M1@X", "unit KAR", "&lt;i&gt;", "<details>"):
        assert text in page


def test_ops_page_shows_alerts_in_the_visitors_language(staff: httpx.Client, seed: Seed) -> None:
    assert "没有告警。" in staff.get("/staff/ops", headers={"Accept-Language": "zh"}).text
    seed.alert("feed_stale", "sap", untold="ops send_alert: <busy>")
    seed.look(age=5)
    page = staff.get("/staff/ops", headers={"Accept-Language": "zh"}).text
    for text in (
        "库存数据过期：sap",
        "2026-11-11 10:03",
        "请在运维页查看",
        "严重",
        "未送达的消息：1 · ops send_alert: &lt;busy&gt;",
    ):
        assert text in page
    page = staff.get("/staff/ops", headers={"Accept-Language": "en"}).text
    for text in ("stock of sap is out of date", "Critical", "1 h ago"):
        assert text in page


def test_closed_pages_ask_for_a_key(closed: httpx.Client, make_key: Callable[[str], str]) -> None:
    asked = closed.get("/staff?q=QH-RICE")
    assert (asked.status_code, asked.headers["location"]) == (303, "/staff/sign-in?next=%2Fstaff%3Fq%3DQH-RICE")
    assert (
        closed.get("/staff/card?sku=QH-RICE", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/staff/sign-in"
    )
    assert sign_in(closed, "osk_wrong_key").status_code == 403
    entered = sign_in(closed, make_key("clerk"), "/staff?q=QH-RICE")
    assert (entered.status_code, entered.headers["location"]) == (303, "/staff?q=QH-RICE")
    assert re.search(r"HttpOnly.*SameSite=lax", entered.headers["set-cookie"])
    assert closed.get("/staff?q=QH-RICE").status_code == httpx.codes.OK
    refused = closed.get("/staff/ops")
    assert (refused.status_code, refused.headers["content-type"]) == (403, "text/html; charset=utf-8")
    closed.post("/staff/sign-out")
    assert closed.get("/staff").status_code == 303


def test_the_session_holds_no_key_and_ends_with_it(
    closed: httpx.Client, seed: Seed, make_key: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key("ops")
    key_id, secret = split_key(key) or ("", "")
    sign_in(closed, key)
    assert secret not in closed.cookies["oneshelf_session"]
    assert closed.get("/staff/ops").status_code == httpx.codes.OK
    revoke_key(seed.connection, key_id)
    later = time.monotonic() + 5.1
    monkeypatch.setattr("hub.access.time.monotonic", lambda: later)
    assert closed.get("/staff/ops").status_code == 303


@pytest.mark.parametrize("change", ["later", "signature", "id", "junk"])
def test_a_forged_session_is_none(closed: httpx.Client, make_key: Callable[[str], str], change: str) -> None:
    sign_in(closed, make_key("clerk"))
    key_id, ends, signature = closed.cookies["oneshelf_session"].split(".")
    forged = {
        "later": f"{key_id}.{int(ends) + 1}.{signature}",
        "signature": f"{key_id}.{ends}.{'0' * 64}",
        "id": f"{(split_key(make_key('ops')) or ('', ''))[0]}.{ends}.{signature}",
        "junk": "a.b.c.d",
    }[change]
    closed.cookies.clear()
    closed.cookies.set("oneshelf_session", forged)
    assert closed.get("/staff").status_code == 303


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_forms_of_other_sites_are_refused(
    closed: httpx.Client, make_key: Callable[[str], str], headers: dict[str, str]
) -> None:
    answer = closed.post("/staff/sign-in", data={"key": make_key("clerk")}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert closed.post("/staff/store", data={"code": "ST-HZ01"}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "address",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/staffx", "/v1/stock", "", None, "/staff\n/x"],
)
def test_nobody_is_led_elsewhere(address: str | None) -> None:
    assert safe_next(address) == "/staff"
