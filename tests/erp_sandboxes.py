"""The ERPs' stand-ins on real sockets, what a test may do in them, and a hub that is connected to them.

A new ERP takes part in `tests/contracts/test_erp_contract.py` by an adapter class here, named in `ERPS`.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import tenacity.nap

import connectors.erp.kingdee.mapper
import connectors.erp.sap.mapper
from connectors.registry import create_erp
from flows.runtime import Runtime
from hub.contracts import StockKey
from hub.items.store import sync_items
from hub.locations import codes_of, load_locations
from hub.mapping import load_mapping
from hub.settings import PROJECT_ROOT, load_settings
from hub.sync.inventory import InventorySync
from hub.sync.quarantine import open_entries
from hub.sync.watch import load_feeds
from oneshelf.demo_check import DemoRules, differences, fetch_json, kingdee_totals, sap_totals
from oneshelf.sandboxes import connection_environment
from sandbox.erp.kingdee.app import create_app as create_kingdee
from sandbox.erp.sap.app import create_app as create_sap
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hub.contracts import ErpConnector
    from hub.db.session import Database
    from hub.settings import Settings
    from hub.sync.watch import FeedState
    from oneshelf.demo_check import Totals
    from sandbox.faults import Switchboard

ARTICLES = 60
LOCATIONS = tuple(load_locations(PROJECT_ROOT / "config" / "locations.yaml", ["sap", "kingdee"]))
UNLIMITED = {"requests_per_minute": 1_000_000}


class Recorded:
    """An ASGI app that remembers which paths were asked of it, the tests' own questions left out."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/__"):
            self.paths.append(scope["path"])
        await self.app(scope, receive, send)


class ErpSandbox(ABC):
    """One stand-in: its address, its faults, its books, and movements by the hub's own keys."""

    system: ClassVar[str]
    small_pages: ClassVar[dict[str, int]]
    """Settings by which a read of the few articles takes several pages."""
    wrong_secret: ClassVar[dict[str, str]]
    html_fault: ClassVar[str] = "html-200"
    totals: ClassVar[Callable[[str, DemoRules], Totals]]

    def __init__(self, url: str, app: Recorded, switchboard: Switchboard) -> None:
        self.url = url
        self.asked = app.paths
        self.faults = switchboard
        prefix = f"ONESHELF_SOURCES__{self.system.upper()}__CONNECTION__"
        environment = connection_environment({"sap": url, "kingdee": url})
        self.connection: dict[str, Any] = {
            name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)
        }
        self.locations = codes_of(LOCATIONS, self.system)

    @staticmethod
    @abstractmethod
    def create_app(database: Path) -> Any: ...

    @property
    @abstractmethod
    def secrets(self) -> tuple[str, ...]: ...

    @abstractmethod
    def address(self, url: str) -> dict[str, str]:
        """Return the settings that send the connector to another address."""

    def connect(self, **settings: Any) -> ErpConnector:
        connection = {**self.connection, **UNLIMITED, **settings}
        return create_erp(self.system, self.system, connection, self.locations, PROJECT_ROOT / "mappings")

    def post(self, path: str, **body: Any) -> Any:
        return fetch_json(f"{self.url}/__world/{path}", body=body)

    def reset(self) -> None:
        self.faults.turn_off()
        self.post("reset")
        self.asked.clear()

    @contextmanager
    def fault(self, fault_id: str, **options: Any) -> Iterator[None]:
        self.faults.turn_on(fault_id, **options)
        try:
            yield
        finally:
            self.faults.turn_off()

    def books(self) -> dict[StockKey, Decimal]:
        """Return own sellable stock at the configured locations as the ERP itself sums it up, zeros left out."""
        rows = fetch_json(f"{self.url}/__world/totals")["totals"]
        found = {StockKey(row["item"], row["location"]): Decimal(row["quantity"]) for row in rows}
        return {key: quantity for key, quantity in found.items() if quantity and key.location in self.locations}

    def moves(self, count: int) -> None:
        self.post("moves", count=count)

    @abstractmethod
    def key_names(self, key: StockKey) -> dict[str, str]:
        """Return the key in the words of the control endpoints."""

    @abstractmethod
    def target(self, location: str) -> dict[str, str]:
        """Return the destination of a transfer in the words of the control endpoints."""

    def move(self, kind: str, key: StockKey, quantity: Decimal | int, **more: Any) -> Any:
        """Post one movement (sale, receipt, count, transfer) and return what takes it back."""
        return self.post("movements", kind=kind, quantity=str(quantity), **self.key_names(key), **more)

    def transfer(self, key: StockKey, location: str, quantity: Decimal | int) -> Any:
        return self.move("transfer", key, quantity, **self.target(location))

    @abstractmethod
    def take_back(self, posted: Any) -> None:
        """Cancel or un-post a movement."""

    @abstractmethod
    def prepare(self, key: StockKey, quantity: Decimal | int) -> Any:
        """Enter a sale without posting it; None where the ERP knows no such state."""

    @abstractmethod
    def finish(self, prepared: Any) -> None:
        """Post what was prepared."""


class SapSandbox(ErpSandbox):
    system = "sap"
    small_pages: ClassVar = {"page_rows": 20, "product_page_rows": 25, "document_page_rows": 5}
    wrong_secret: ClassVar = {"password": "no-such-password"}
    totals = staticmethod(sap_totals)

    @staticmethod
    def create_app(database: Path) -> Any:
        return create_sap(database, articles=ARTICLES, page_size=25)

    @property
    def secrets(self) -> tuple[str, ...]:
        user, password = self.connection["user"], self.connection["password"]
        return password, base64.b64encode(f"{user}:{password}".encode()).decode()

    def address(self, url: str) -> dict[str, str]:
        return {"base_url": url}

    def key_names(self, key: StockKey) -> dict[str, str]:
        plant, storage = key.location.split("/")
        return {"material": key.item, "plant": plant, "storage_location": storage}

    def target(self, location: str) -> dict[str, str]:
        plant, storage = location.split("/")
        return {"to_plant": plant, "to_storage_location": storage}

    def take_back(self, posted: Any) -> None:
        self.post("cancel", **posted, allow_negative=True)

    def prepare(self, key: StockKey, quantity: Decimal | int) -> Any:  # noqa: ARG002 - a document is posted at once
        return None

    def finish(self, prepared: Any) -> None:
        raise AssertionError(f"SAP prepares nothing, so not {prepared} either")


class KingdeeSandbox(ErpSandbox):
    system = "kingdee"
    small_pages: ClassVar = {"page_rows": 60}
    wrong_secret: ClassVar = {"app_secret": "no-such-secret"}
    totals = staticmethod(kingdee_totals)

    @staticmethod
    def create_app(database: Path) -> Any:
        return create_kingdee(database, articles=ARTICLES)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.connection["app_secret"], self.connection["app_id"].partition("_")[2]

    def address(self, url: str) -> dict[str, str]:
        return {"server_url": f"{url}/k3cloud/"}

    def key_names(self, key: StockKey) -> dict[str, str]:
        material, colour, size = (*key.item.split("|"), "", "")[:3]
        return {"material": material, "colour": colour, "size": size, "stock": key.location}

    def target(self, location: str) -> dict[str, str]:
        return {"to_stock": location}

    def take_back(self, posted: Any) -> None:
        self.post("unaudit", **posted)

    def prepare(self, key: StockKey, quantity: Decimal | int) -> Any:
        return self.move("sale", key, quantity, document_status="B")

    def finish(self, prepared: Any) -> None:
        self.post("audit", **prepared)


_load_mapping = cache(load_mapping)

ERPS: dict[str, type[ErpSandbox]] = {"sap": SapSandbox, "kingdee": KingdeeSandbox}


@contextmanager
def run_sandbox(system: str, folder: Path) -> Iterator[ErpSandbox]:
    """Serve one stand-in with few articles until the block ends."""
    kind = ERPS[system]
    app = kind.create_app(folder / f"{system}.sqlite")
    switchboard = getattr(app.state, "faults", None) or app.state.switchboard
    recorded = Recorded(app)
    with serve(recorded) as url, pytest.MonkeyPatch.context() as patch:
        # Tests connect many times, and reading the mapping files takes longer than most of what they do then.
        for mapper in (connectors.erp.kingdee.mapper, connectors.erp.sap.mapper):
            patch.setattr(mapper, "load_mapping", _load_mapping)
        yield kind(url, recorded, switchboard)


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let repeated calls be repeated at once; returns the seconds they would have waited."""
    waits: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=waits.append))
    return waits


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
        """Return the stock synchronization of a source, with other connection settings if wanted."""
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
        return type(world).totals(world.url, DemoRules(places, self.runtime.settings.stock.expiring_days, ARTICLES))

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


def make_shop(database: Database, worlds: dict[str, ErpSandbox]) -> Shop:
    """Connect a fresh database to the stand-ins; nothing is read yet."""
    runtime = Runtime(_settings(), database, LOCATIONS)
    runtime.declare()
    return Shop(runtime, {system: worlds[system] for system in ("sap", "kingdee")})


def _settings() -> Settings:
    # Connections are made by the tests themselves, so that each can have its own time-outs and pages.
    return load_settings(PROJECT_ROOT / "config")
