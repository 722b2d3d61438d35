"""What a clerk does with a scanner, a keyboard and a flaky network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.api.seed import LONG_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.api.seed import Seed

    OpenPage = Callable[..., Page]

NUMBER = ".big .number"
SMALL_TARGETS = """() => [...document.querySelectorAll("a:not(.skip), button, input, select")]
  .filter((element) => element.getClientRects().length && !element.closest("p"))
  .map((element) => [element.textContent.trim() || element.id, element.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44)
  .map(([name, box]) => `${name} ${box.width}×${box.height}`)"""
# WCAG's relative luminance and contrast of every piece of text against the first opaque ground behind it
WEAK_TEXTS = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (value) => value <= 10 ? value / 255 / 12.92 : ((value / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = parts(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const contrast = (element) => {
    const pair = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    return (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("body *")].filter(hasText)
    .map((element) => [element.textContent.trim().slice(0, 20), contrast(element)])
    .filter(([, value]) => value < 4.5);
}"""
SCREENS = (
    "/staff",
    "/staff?q=QH-OIL-500",
    "/staff?q=VERY",
    f"/staff?q={LONG_NAME}",
    "/staff/explain?sku=QH-OIL-500&place=ST-SH01",
    "/staff/stock",
    "/staff/ops",
    "/staff/store",
    "/docs",
    "/problems",
)


def scan(page: Page, code: str) -> None:
    """Type as a keyboard-wedge scanner does: fast, with Enter at its end, into whatever has the focus."""
    page.keyboard.type(code)
    page.keyboard.press("Enter")


def count_searches(page: Page) -> list[str]:
    searches: list[str] = []
    page.on("request", lambda request: searches.append(request.url) if "/staff?q=" in request.url else None)
    return searches


@pytest.mark.parametrize("asked", ["QH-OIL-500", "6901234567892", "亚麻籽油"])
def test_one_hit_becomes_a_card(open_page: OpenPage, asked: str) -> None:
    page = open_page()
    page.get_by_label("SKU、条码或品名").fill(asked)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text(LONG_NAME)
    expect(page.locator(NUMBER)).to_have_text("12")
    expect(page.locator("#say")).to_contain_text("可售 12 瓶")


def test_scans_follow_each_other_without_a_touch(open_page: OpenPage) -> None:
    page = open_page()
    scan(page, "16901234567899")
    expect(page.locator(".pack")).to_contain_text("箱装 12 瓶")
    scan(page, "QH-RICE")
    expect(page.locator(NUMBER)).to_have_text("3.25")
    expect(page.locator("#q")).to_be_focused()
    assert page.evaluate("document.getElementById('q').selectionEnd") == len("QH-RICE")
    assert page.url.endswith("q=QH-RICE")
    page.go_back()
    expect(page.locator(".pack")).to_be_visible()


def test_a_double_scan_asks_once_and_two_items_ask_twice(open_page: OpenPage) -> None:
    page = open_page()
    searches = count_searches(page)
    page.evaluate(
        """() => { const form = document.getElementById("find"), field = document.getElementById("q");
        for (const code of ["QH-OIL-500", "QH-OIL-500", "QH-RICE"]) { field.value = code; form.requestSubmit(); } }"""
    )
    expect(page.locator(NUMBER)).to_have_text("3.25")
    assert [url.rpartition("=")[2] for url in searches] == ["QH-OIL-500", "QH-RICE"]
    page.wait_for_timeout(350)
    scan(page, "QH-RICE")
    page.wait_for_timeout(200)
    assert len(searches) == 3  # meant, since it came later


def test_names_give_a_list_that_leads_to_the_card(open_page: OpenPage) -> None:
    page = open_page()
    scan(page, "青禾")
    expect(page.locator(".hits li")).to_have_count(3)
    page.get_by_role("link", name="青禾五常大米").click()
    expect(page.locator(NUMBER)).to_have_text("3.25")


def test_nothing_found_says_what_to_do(open_page: OpenPage) -> None:
    page = open_page()
    scan(page, "9999999999999")
    expect(page.get_by_role("heading", level=2)).to_have_text("没有找到“9999999999999”")
    expect(page.locator("#q")).to_be_focused()


def test_the_open_card_follows_the_database_without_stealing_the_focus(open_page: OpenPage, seed: Seed) -> None:
    page = open_page("/staff?q=QH-OIL-500")
    page.locator("#q").fill("half a na")
    seed.level("QH-OIL-500", "ST-SH01", -4)
    expect(page.locator(NUMBER)).to_have_text("−4", timeout=5000)
    expect(page.locator("#say")).to_contain_text("可售 −4 瓶")
    expect(page.locator("#q")).to_be_focused()
    expect(page.locator("#q")).to_have_value("half a na")
    assert page.evaluate("document.getElementById('q').selectionStart") == len("half a na")


def test_out_of_reach_keeps_the_numbers_and_says_how_old_they_are(open_page: OpenPage) -> None:
    page = open_page("/staff?q=QH-OIL-500")
    page.context.set_offline(True)
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("离线 · 数据截至", timeout=5000)
    expect(banner).to_contain_text("秒前")
    scan(page, "QH-RICE")
    page.wait_for_timeout(200)
    expect(page.locator(NUMBER)).to_have_text("12")
    page.context.set_offline(False)
    expect(banner).to_be_hidden(timeout=5000)


def test_a_failing_server_keeps_the_numbers_too(open_page: OpenPage) -> None:
    page = open_page("/staff?q=QH-OIL-500")
    page.route("**/staff/card**", lambda route: route.fulfill(status=503, body="down"))
    expect(page.get_by_role("alert")).to_contain_text("离线", timeout=5000)
    expect(page.locator(NUMBER)).to_have_text("12")


def test_scanner_mode_keeps_the_keyboard_closed_and_is_remembered(open_page: OpenPage) -> None:
    page = open_page()
    toggle = page.get_by_role("button", name="扫码模式")
    expect(page.locator("#q")).to_have_attribute("inputmode", "search")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#q")).to_have_attribute("inputmode", "none")
    expect(page.locator("#q")).to_be_focused()
    page.reload()
    expect(page.locator("#q")).to_have_attribute("inputmode", "none")


def test_everything_works_without_scripts(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False, store=None)
    page.get_by_role("link", name="选择门店").click()
    page.get_by_role("button", name="上海南京西路店").click()
    page.get_by_label("SKU、条码或品名").fill("QH-OIL-500")
    page.get_by_role("button", name="查询").click()
    expect(page.locator(NUMBER)).to_have_text("12")
    page.get_by_role("link", name="EN").click()
    expect(page.get_by_text("Other stores")).to_be_visible()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_page_scrolls_sideways_on_a_small_screen(open_page: OpenPage, seed: Seed, language: str) -> None:
    seed.item("VERY-LONG-SKU-" + "X" * 60, LONG_NAME * 2)
    seed.level("VERY-LONG-SKU-" + "X" * 60, "ST-SH01", "-123456.789")
    seed.connection.execute(
        "INSERT INTO quarantine (source, kind, key, reason, detail, digest, raw)"
        " VALUES ('sap', 'stock', repeat('K', 90), 'r', 'd', 'x', '{}')"
    )
    page = open_page(f"/staff?lang={language}")
    for path in SCREENS:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], path  # type: ignore[index]
        assert page.evaluate("document.documentElement.lang.slice(0, 2)") == language


@pytest.mark.parametrize("path", ["/staff?q=QH-OIL-500", "/staff/explain?sku=QH-OIL-500&place=ST-SH01"])
def test_targets_are_large_enough_for_fingers(open_page: OpenPage, path: str) -> None:
    page = open_page(path)
    assert page.evaluate(SMALL_TARGETS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: OpenPage, seed: Seed, scheme: str) -> None:
    seed.feed("kingdee", age=999)
    for path in ("/staff?q=QH-OIL-500", "/staff/explain?sku=QH-OIL-500&place=ST-SH01"):
        page = open_page(path, color_scheme=scheme)
        assert page.evaluate(WEAK_TEXTS) == []


def test_the_list_is_exported_from_the_page(open_page: OpenPage) -> None:
    page = open_page("/staff/stock")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="导出 Excel").click()
    assert waiting.value.suggested_filename.startswith("ST-SH01-")


def test_sign_in_with_a_key_leads_back_to_the_page(
    open_page: OpenPage, served: tuple[object, str], make_key: Callable[[str], str]
) -> None:
    page = open_page("/staff?q=QH-OIL-500", base=served[1])
    page.get_by_label("API 密钥").fill("osk_wrong_key")
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("alert").filter(has_text="密钥错误")).to_be_visible()
    page.get_by_label("API 密钥").fill(make_key("clerk"))
    page.keyboard.press("Enter")
    expect(page.locator(NUMBER)).to_have_text("12")
    expect(page.get_by_role("link", name="运维")).to_have_count(0)
    page.get_by_role("button", name="退出").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("登录")
