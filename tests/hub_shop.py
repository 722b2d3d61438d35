"""A hub that is connected to the ERPs' stand-ins, and questions about what it says and what is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.runtime import Runtime
from hub.items.store import sync_items
from hub.settings import PROJECT_ROOT, load_settings
from hub.sync.feed import ask_at_once
from hub.sync.inventory import InventorySync
from hub.sync.quarantine import open_entries
from hub.sync.watch import load_feeds
from oneshelf.demo_check import DemoRules, differences
from tests.erp_sandboxes import ARTICLES, LOCATIONS

if TYPE_CHECKING:
    from decimal import Decimal

    from hub.db.session import Database
    from hub.settings import Settings
    from hub.sync.watch import FeedState
    from oneshelf.demo_check import Totals
    from tests.erp_sandboxes import ErpSandbox


@dataclass
class Shop:
    """A hub that is connected to both stand-ins, and questions about what it says and what is true."""

    runtime: Runtime
    worlds: dict[str, ErpSandbox]

    @property
    def database(self) -> Database:
        return self.runtime.database

    def read_items(self) -> None:
        for system, world in self.worlds.items():
            sync_items(self.database, world.connect(), self.runtime.settings)
            assert self.feed(system).error is None

    def sync(self, system: str, **settings: Any) -> InventorySync:
        """Return the stock synchronization of a source, with other settings if wanted, as a new process has it."""
        with self.database.driver() as connection:
            ask_at_once(connection, [system])
        return InventorySync(self.database, self.worlds[system].connect(**settings), self.runtime.settings.stock)

    def levels(self, system: str) -> Totals:
        """Return what the hub says is on hand at the places of a source, zeros left out."""
        with self.database.driver() as connection:
            rows = connection.execute(
                "SELECT location.code, item.sku, level.on_hand FROM stock_level AS level"
                " JOIN item ON item.id = level.item_id JOIN location ON location.id = level.location_id"
                " WHERE location.stock_source = %s AND level.on_hand <> 0",
                (system,),
            ).fetchall()
        return {(str(place), str(sku)): quantity for place, sku, quantity in rows}

    def truth(self, system: str) -> Totals:
        """Return what the ERP's own books say, worked out with none of the hub's code."""
        places = {place.erp_codes[place.stock_from]: place.code for place in LOCATIONS}
        world = self.worlds[system]
        return world.totals(world.url, DemoRules(places, self.runtime.settings.stock.expiring_days, ARTICLES))

    def wrong(self, system: str) -> list[tuple[str, str, Decimal, Decimal]]:
        """Return where the hub and the ERP's own books disagree."""
        return differences(self.truth(system), self.levels(system))

    def feed(self, system: str) -> FeedState:
        with self.database.driver() as connection:
            return next(feed for feed in load_feeds(connection) if feed.source == system)

    def quarantined(self, system: str) -> set[tuple[str, str]]:
        """Return (kind, reason) of the open entries of a source."""
        with self.database.driver() as connection:
            return {(e["kind"], e["reason"]) for e in open_entries(connection) if e["source"] == system}

    def doubted(self, system: str) -> set[tuple[str, str]]:
        """Return (sku, location) of the levels that are called stale because they could not be understood."""
        return set(
            self._rows(
                "SELECT item.sku, location.code FROM stock_level AS level"
                " JOIN item ON item.id = level.item_id JOIN location ON location.id = level.location_id"
                " WHERE location.stock_source = %s AND level.doubted_at IS NOT NULL",
                system,
            )
        )

    def last_batch(self, system: str) -> tuple[str, str]:
        """Return state and reason of the source's newest read cycle."""
        [row] = self._rows("SELECT state, reason FROM stock_batch WHERE source = %s ORDER BY id DESC LIMIT 1", system)
        return row[0], row[1]

    def ticks(self) -> dict[tuple[Any, ...], int]:
        """Return when the read in force of each level began."""
        return {
            tuple(key): tick for *key, tick in self._rows("SELECT item_id, location_id, read_began FROM stock_level")
        }

    def ledger_gaps(self) -> list[tuple[Any, ...]]:
        """Return where the ledger does not lead, entry by entry and each change once, to the levels."""
        return self._rows(LEDGER_GAPS)

    def _rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.driver() as connection:
            return connection.execute(sql, parameters or None).fetchall()


LEDGER_GAPS = """
WITH entry AS (
    SELECT *, lag(quantity_after, 1, 0) OVER level AS reached, lag(batch_id) OVER level AS batch_before
    FROM stock_ledger WINDOW level AS (PARTITION BY item_id, location_id, status, owner ORDER BY id)
), held AS (
    SELECT item_id, location_id, 'sellable' AS status, '' AS owner, on_hand AS quantity FROM stock_level
    UNION ALL SELECT item_id, location_id, 'demand', '', demand FROM stock_level
    UNION ALL SELECT item_id, location_id, 'supply', '', supply FROM stock_level
    UNION ALL SELECT item_id, location_id, 'safety_stock', '', safety_stock FROM stock_level
    UNION ALL SELECT item_id, location_id, 'buffer', '', buffer FROM stock_level
    UNION ALL SELECT item_id, location_id, 'frozen', '', (frozen_at IS NOT NULL)::integer FROM stock_level
    UNION ALL SELECT item_id, location_id, status, owner, quantity FROM stock_unsellable
), told AS (
    SELECT item_id, location_id, status, owner, sum(quantity_after - quantity_before) AS quantity
    FROM stock_ledger GROUP BY 1, 2, 3, 4
)
SELECT 'begins elsewhere', item_id, location_id, status, owner FROM entry WHERE quantity_before <> reached
UNION ALL SELECT 'says nothing', item_id, location_id, status, owner FROM entry WHERE quantity_before = quantity_after
UNION ALL SELECT 'twice in a batch', item_id, location_id, status, owner FROM entry
WHERE batch_id = batch_before AND status NOT IN ('demand', 'supply')
UNION ALL SELECT 'another sum', item_id, location_id, status, owner
FROM held FULL JOIN told USING (item_id, location_id, status, owner)
WHERE COALESCE(held.quantity, 0) <> COALESCE(told.quantity, 0)
"""
"""Empty when the ledger is a chain of real changes, of stock one per level and batch, whose sums are the levels."""


def make_shop(database: Database, worlds: dict[str, ErpSandbox]) -> Shop:
    """Connect a fresh database to the stand-ins; nothing is read yet."""
    runtime = Runtime(_settings(), database, LOCATIONS)
    runtime.declare()
    return Shop(runtime, {system: worlds[system] for system in ("sap", "kingdee") if system in worlds})


def _settings() -> Settings:
    # Connections are made by the tests themselves, so that each can have its own time-outs and pages.
    return load_settings(PROJECT_ROOT / "config")
