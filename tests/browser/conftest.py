"""Fixtures: a real browser on the staff page, over a small shop in a real database."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.api.conftest import connection, make_key, open_staff, seed, served, shop_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from tests.api.seed import Seed

__all__ = ["connection", "make_key", "open_staff", "seed", "served", "shop_url"]
PDA = {"width": 360, "height": 640}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, so that it can be left out by `-m 'not browser'`."""
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a headless Chromium; without one the tests are skipped, in CI they fail.

    For a module at a time: as long as Playwright is open it keeps an event loop running, and others need theirs.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = "no Chromium found: install one, or name it in the environment variable CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox for Chromium to run in.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, open_staff: str, seed: Seed) -> Iterator[Callable[..., Page]]:
    """Give a maker of pages on a PDA in the store of Nanjing Road; scripts that fail, fail the test."""
    assert seed.connection
    contexts = []
    failures: list[str] = []

    def make(path: str = "/staff", *, base: str = open_staff, store: str | None = "ST-SH01", **options: object) -> Page:
        context = browser.new_context(**{"viewport": PDA, "locale": "zh-CN", "base_url": base, **options})  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(8000)
        if store:
            context.add_cookies([{"name": "oneshelf_store", "value": store, "url": base}])
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda said: failures.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert failures == []
