"""From a goods movement in an ERP to an open staff page: the whole path, within five seconds."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.runtime import Runtime
from hub.access import create_key, load_roles
from hub.db.session import Database
from hub.items.store import sync_items
from hub.locations import load_locations
from hub.settings import PROJECT_ROOT, AdapterSettings, load_settings
from hub.sync.live import LiveLoop
from oneshelf.sandboxes import connection_environment, create_sandbox
from storefront_adapter.app import create_app
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser

    from hub.sync.outbox import Published
    from tests.conftest import FreshDatabase

PROMISED_SECONDS = 5.0
SKU, KINGDEE = "100001", ("01.00001", "C01", "S01")


async def nobody(_: Sequence[Published]) -> None:
    """Take what the loop publishes."""


@dataclass
class Shop:
    """Everything running: two ERPs, the live loop, the adapter."""

    adapter: str
    key: str
    erps: dict[str, str]

    def sell(self, erp: str, quantity: str) -> None:
        material, colour, size = KINGDEE
        movement: dict[str, Any] = {
            "sap": {"kind": "sale", "material": SKU, "plant": "1010", "storage_location": "101A"},
            "kingdee": {"kind": "sale", "material": material, "colour": colour, "size": size, "stock": "CK001"},
        }[erp]
        answer = httpx.post(f"{self.erps[erp]}/__world/movements", json={**movement, "quantity": quantity})
        assert answer.status_code == httpx.codes.CREATED, answer.text

    def on_hand(self, place: str) -> Decimal:
        answer = httpx.get(f"{self.adapter}/v1/stock/{SKU}", headers={"Authorization": f"Bearer {self.key}"})
        body = answer.raise_for_status().json()
        assert body["stale"] is False
        return next(Decimal(level["on_hand"]) for level in body["locations"] if level["location"] == place)


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    state = tmp_path_factory.mktemp("shop")
    apps = {
        name: create_sandbox(name, state / f"{name}.db", articles=40, moves_per_minute=0) for name in ("sap", "kingdee")
    }
    with fresh_database() as url, serve(apps["sap"]) as sap, serve(apps["kingdee"]) as kingdee:
        erps = {"sap": sap, "kingdee": kingdee}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in connection_environment(erps).items():
                patch.setenv(name, value)
            settings = load_settings()
        settings = settings.model_copy(update={"adapter": AdapterSettings(staff_open=True)})
        database = Database(url, pool_size=8)
        runtime = Runtime(settings, database, tuple(load_locations(settings.config_dir / "locations.yaml", list(erps))))
        runtime.declare()
        for source in erps:
            sync_items(database, runtime.connector(source), settings)
            assert runtime.inventory(source).snapshot().state == "applied"
        with database.driver() as connection:
            key = create_key(connection, "test", "storefront", load_roles(PROJECT_ROOT / "config" / "roles.yaml"))
        with following(runtime), serve(create_app(settings, url, {})) as adapter:
            yield Shop(adapter, key, erps)
        database.close()


@contextmanager
def following(runtime: Runtime) -> Iterator[None]:
    """Run the live loop in a thread of its own for the length of a block."""
    syncs = [runtime.inventory(source) for source in runtime.settings.enabled_sources()]
    live = LiveLoop(runtime.database, syncs, runtime.settings.live, nobody, posted_after_hours=72)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(live.run(stop),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(15)
        loop.close()


@pytest.mark.parametrize(("erp", "place"), [("sap", "DC-SH"), ("kingdee", "EC-SH")])
def test_a_sale_shows_on_the_storefront_and_on_an_open_staff_page(
    shop: Shop, browser: Browser, erp: str, place: str
) -> None:
    context = browser.new_context(base_url=shop.adapter, locale="zh-CN", viewport={"width": 360, "height": 640})
    context.add_cookies([{"name": "oneshelf_store", "value": place, "url": shop.adapter}])
    page = context.new_page()
    page.goto(f"/staff?q={SKU}")
    before = shop.on_hand(place)
    page.get_by_text(f"{before:f}", exact=True).first.wait_for()

    shop.sell(erp, "2")
    sold_at = time.monotonic()
    after = before - 2
    while shop.on_hand(place) != after:
        assert time.monotonic() - sold_at < PROMISED_SECONDS, "not on the storefront in time"
        time.sleep(0.1)
    left = PROMISED_SECONDS - (time.monotonic() - sold_at)
    page.get_by_text(f"{after:f}", exact=True).first.wait_for(timeout=left * 1000)
    context.close()
