"""A hub with three places and a few articles, fed by fake ERPs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from hub.items.store import sync_items
from hub.locations import Location, store_locations
from hub.settings import ItemSettings, Settings, SourceSettings, StockSettings
from hub.sync.feed import declare_feed
from hub.sync.inventory import InventorySync
from tests.erp_sandboxes import run_sandbox
from tests.fake_erp import FakeErp, article, carton, row
from tests.integration.compared import Counter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from hub.db.session import Database
    from tests.erp_sandboxes import ErpSandbox


def place(code: str, source: str, erp_code: str) -> Location:
    return Location(
        code=code,
        name=code,
        kind="warehouse",
        stock_from=source,
        erp_codes={source: erp_code},
        sellable_online=True,
        pickup=False,
        time_zone="Asia/Shanghai",
    )


@dataclass
class Hub:
    """A database with places and articles, and questions about it."""

    database: Database
    settings: Settings
    erp: FakeErp
    syncs: dict[str, InventorySync] = field(default_factory=dict)

    @property
    def sync(self) -> InventorySync:
        return self.inventory(self.erp)

    def inventory(self, erp: FakeErp) -> InventorySync:
        return InventorySync(self.database, erp, self.settings.stock)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.driver() as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def levels(self) -> dict[tuple[str, str], Decimal]:
        """Return all levels that are not zero."""
        rows = self.query(
            "SELECT item.sku, location.code, level.on_hand FROM stock_level AS level"
            " JOIN item ON item.id = level.item_id JOIN location ON location.id = level.location_id"
            " WHERE level.on_hand <> 0"
        )
        return {(sku, code): quantity for sku, code, quantity in rows}

    def unsellable(self) -> dict[tuple[str, str, str, str], Decimal]:
        rows = self.query(
            "SELECT item.sku, location.code, apart.status, apart.owner, apart.quantity FROM stock_unsellable AS apart"
            " JOIN item ON item.id = apart.item_id JOIN location ON location.id = apart.location_id"
        )
        return {(sku, code, status, owner): quantity for sku, code, status, owner, quantity in rows}

    def ledger_sums(self) -> dict[tuple[int, int, str, str], Decimal]:
        rows = self.query(
            "SELECT item_id, location_id, status, owner, sum(quantity_after - quantity_before) FROM stock_ledger"
            " GROUP BY 1, 2, 3, 4 HAVING sum(quantity_after - quantity_before) <> 0"
        )
        return {tuple(row[:4]): row[4] for row in rows}  # type: ignore[misc]

    def quarantined(self) -> set[tuple[str, str, str]]:
        return set(self.query("SELECT kind, key, reason FROM quarantine WHERE resolved_at IS NULL"))


def open_hub(database: Database, erp: FakeErp) -> Hub:
    """Return a hub that knows articles A, B, C and D of source `sap`, at places W1 and W2 (ERP codes P/1 and P/2)."""
    settings = Settings(
        sources={"sap": SourceSettings(system="sap"), "kingdee": SourceSettings(system="kingdee")},
        items=ItemSettings(sku_from=["sap", "kingdee"]),
        stock=StockSettings(shrink_floor=3, expiring_days={"default": 0, "food": 30}),
    )
    erp.articles = [article("A"), article("B"), article("C", category="food"), article("D", unit="KG")]
    places = [place("W1", "sap", "P/1"), place("W2", "sap", "P/2"), place("S1", "kingdee", "CK1")]
    with database.driver() as connection, connection.transaction():
        store_locations(connection, places)
        for source in settings.sources:
            declare_feed(connection, source, stale_after_seconds=60)
    sync_items(database, erp, settings)
    return Hub(database, settings, erp)


@pytest.fixture
def hub(database: Database) -> Hub:
    """Give a hub with a fake ERP of its own."""
    return open_hub(database, FakeErp("sap"))


@pytest.fixture
def counter(hub: Hub) -> Counter:
    """Give a hub that has read A and B at W1 and C at W2 from `sap`, to be compared with it."""
    hub.erp.rows = [row("A", "P/1", 20), row("B", "P/1", 8), row("C", "P/2", 5)]
    hub.erp.articles[0] = article("A", barcodes=(carton("06901234567892", 12),))
    sync_items(hub.database, hub.erp, hub.settings)
    assert hub.sync.snapshot().state == "applied"
    return Counter(hub)


@pytest.fixture(scope="module", params=["sap", "sap-rfc", "kingdee"])
def worlds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ErpSandbox]]:
    """Serve the ERP that a test names last, and before it the one that names the articles."""
    folder = tmp_path_factory.mktemp("erps")
    with run_sandbox("sap" if request.param == "kingdee" else request.param, folder) as sap:
        if request.param != "kingdee":
            yield {"sap": sap}
            return
        with run_sandbox("kingdee", folder) as kingdee:
            yield {"sap": sap, "kingdee": kingdee}
