"""The ERPs' stand-ins on real sockets, and what a test may do in them.

A new ERP takes part in `tests/contracts` by an adapter class here, named in `ERPS`.
"""

from __future__ import annotations

import base64
import sys
from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
import tenacity.nap

import connectors.erp.kingdee.mapper
import connectors.erp.sap.mapper
import connectors.erp.sap.rfc.mapper
from connectors.registry import create_erp
from hub.contracts import StockKey
from hub.locations import codes_of, load_locations
from hub.mapping import load_mapping
from hub.settings import PROJECT_ROOT
from oneshelf.demo_check import DemoRules, fetch_json, kingdee_totals, sap_totals
from oneshelf.sandboxes import connection_environment
from sandbox.catalogue import articles
from sandbox.erp.kingdee.app import create_app as create_kingdee
from sandbox.erp.sap.app import create_app as create_sap
from sandbox.erp.sap_rfc.system import AbapSystem
from sandbox.faults import Switchboard
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hub.contracts import ErpConnector
    from oneshelf.demo_check import Totals

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
    """What stands where data is due: a page for people; over a protocol that knows none, a torn connection."""
    deletes: ClassVar[bool]
    """Whether a document can vanish; where it can't, one that was taken back stays and says so."""
    totals: ClassVar[Callable[[str, DemoRules], Totals]]

    def __init__(self, url: str, app: Recorded, switchboard: Switchboard) -> None:
        self.url = url
        self.asked = app.paths
        self.faults = switchboard
        self.people = switchboard
        """The faults of those who post, which are those of the door that they use."""
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
        self.people.turn_off()
        self.post("reset")
        self.asked.clear()

    def close(self) -> None:
        """End what does not end with the served app."""
        self.asked.clear()

    @contextmanager
    def fault(self, fault_id: str, **options: Any) -> Iterator[None]:
        self.faults.turn_on(fault_id, **options)
        try:
            yield
        finally:
            self.faults.turn_off()

    @contextmanager
    def late_documents(self, seconds: int) -> Iterator[None]:
        """Let what is posted carry a time so long before it shows."""
        self.people.turn_on("late-commit", seconds=seconds)
        try:
            yield
        finally:
            self.people.turn_off("late-commit")

    @contextmanager
    def repeated_numbers(self) -> Iterator[None]:
        """Let the ERP take a number of ours a second time, as some do anyway."""
        yield

    @abstractmethod
    def packed(self) -> tuple[StockKey, str, int]:
        """Return a key whose article is sold in cartons too, their unit, and how many pieces are in one."""

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

    def sell(self, key: StockKey, quantity: Decimal | int, reference: str, **more: Any) -> Any:
        """Post a sale under a number of ours; return its document."""
        return self.move("sale", key, quantity, reference=reference, **more)

    def settle(self, sold: Sequence[tuple[StockKey, Decimal | int]], reference: str, **more: Any) -> Any:
        """Post sales as one document under a number of ours, as a shop does at the end of a day; return it."""
        lines = [{**self.key_names(key), "quantity": str(quantity)} for key, quantity in sold]
        return self.post("movements", kind="sale", lines=lines, reference=reference, **more)

    @abstractmethod
    def take_back(self, posted: Any) -> None:
        """Cancel or un-post a movement."""

    @abstractmethod
    def post_again(self, posted: Any) -> Any:
        """Post a document again that was taken back; return the document that stands now."""

    @abstractmethod
    def delete(self, posted: Any) -> None:
        """Take a document back and delete it in one step."""

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
    deletes: ClassVar = False
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

    def post_again(self, posted: Any) -> Any:
        return self.post("post-again", **posted, allow_negative=True)

    def delete(self, posted: Any) -> None:
        raise AssertionError(f"SAP deletes nothing, so not {posted} either")

    def packed(self) -> tuple[StockKey, str, int]:
        packed = {article.sap_material: article.carton_pieces for article in articles(ARTICLES)}
        key, pieces = next((key, pieces) for key in sorted(self.books(), key=str) if (pieces := packed[key.item]))
        return key, "CAR", pieces

    def prepare(self, key: StockKey, quantity: Decimal | int) -> Any:  # noqa: ARG002 - a document is posted at once
        return None

    def finish(self, prepared: Any) -> None:
        raise AssertionError(f"SAP prepares nothing, so not {prepared} either")


class SapRfcSandbox(SapSandbox):
    """SAP through its other door, RFC, in this process; the OData stand-in has the same books and posts into them."""

    small_pages: ClassVar = {"page_rows": 25, "names_per_call": 7}
    html_fault: ClassVar = "closed-in-call"

    def __init__(self, url: str, app: Recorded, switchboard: Switchboard) -> None:
        super().__init__(url, app, switchboard)
        self.abap: AbapSystem = app.app.state.abap
        self.faults = self.abap.faults
        self.asked = []
        module = f"pyrfc_stand_in_{id(self)}"
        sys.modules[module] = self.abap.pyrfc
        self.abap.pyrfc.Connection = _remember(self.abap.pyrfc.Connection, self.asked)
        login = {name: self.connection[name] for name in ("user", "password")}
        self.connection = {
            "transport": "rfc",
            "ashost": self.abap.host,
            "sysnr": self.abap.sysnr,
            "client": self.abap.client,
            "pyrfc_module": module,
            "idle_timeout": 2.0,
            **login,
        }

    @staticmethod
    def create_app(database: Path) -> Any:
        app = SapSandbox.create_app(database)
        app.state.abap = AbapSystem(database, articles=ARTICLES)
        return app

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.connection["password"],)

    def address(self, url: str) -> dict[str, str]:  # noqa: ARG002 - nothing listens at another instance number
        return {"sysnr": "98"}

    def reset(self) -> None:
        super().reset()
        self.abap.unlock_user()

    def close(self) -> None:
        del sys.modules[self.connection["pyrfc_module"]]
        self.abap.close()

    def totals(self, url: str, rules: DemoRules) -> Totals:
        """Return what may be sold: RFC tells the batches' expiry dates, which the OData service does not."""
        expiry = {
            (row["MATNR"].lstrip("0"), row["CHARG"]): row["VFDAT"]
            for row in self._read_table("MCH1", "MATNR", "CHARG", "VFDAT")
            if row["VFDAT"].strip("0")
        }
        groups = {row["MATNR"].lstrip("0"): row["MATKL"] for row in self._read_table("MARA", "MATNR", "MATKL")}
        today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
        totals = sap_totals(url, rules)
        for row in fetch_json(f"{url}/__world/stock")["rows"]:
            place = rules.places.get(f"{row['plant']}/{row['storage_location']}")
            expires = expiry.get((row["material"].lstrip("0"), row["batch"]))
            days = rules.expiring_days.get(groups[row["material"].lstrip("0")], rules.expiring_days.get("default", 0))
            own = row["stock_type"] == "01" and not row["special_stock"]
            if place and own and expires and expires < f"{today + timedelta(days=days):%Y%m%d}":
                totals[place, row["material"]] -= Decimal(row["quantity"])
        return {key: quantity for key, quantity in totals.items() if quantity}

    def _read_table(self, table: str, *fields: str) -> list[dict[str, str]]:
        """Return rows as they are, whatever faults are on: they are the reader's."""
        faults, self.abap.faults = self.abap.faults, Switchboard(self.abap.faults.declared)
        try:
            return self._read_well(table, *fields)
        finally:
            self.abap.faults = faults

    def _read_well(self, table: str, *fields: str) -> list[dict[str, str]]:
        connection = self.abap.pyrfc.Connection(
            ashost=self.abap.host, client=self.abap.client, user=self.connection["user"], passwd=self.secrets[0]
        )
        try:
            names = [{"FIELDNAME": name} for name in fields]
            answer = connection.call("RFC_READ_TABLE", QUERY_TABLE=table, DELIMITER="|", FIELDS=names)
            return [dict(zip(fields, (t.strip() for t in r["WA"].split("|")), strict=True)) for r in answer["DATA"]]
        finally:
            connection.close()


def _remember(connection: Any, asked: list[str]) -> Any:
    """Return a connection class that keeps the names of what it is asked: log-ons and function modules."""

    class Remembering(connection):
        def __init__(self, *args: Any, **parameters: Any) -> None:
            asked.append("log-on")
            super().__init__(*args, **parameters)

        def call(self, func_name: str, *args: Any, **parameters: Any) -> Any:
            asked.append(func_name)
            return super().call(func_name, *args, **parameters)

    return Remembering


class KingdeeSandbox(ErpSandbox):
    system = "kingdee"
    small_pages: ClassVar = {"page_rows": 60}
    wrong_secret: ClassVar = {"app_secret": "no-such-secret"}
    deletes: ClassVar = True
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

    def post_again(self, posted: Any) -> Any:
        return self.post("audit", **posted, allow_negative=True)

    def delete(self, posted: Any) -> None:
        self.post("delete", **posted)

    @contextmanager
    def repeated_numbers(self) -> Iterator[None]:
        self.people.turn_on("number-repeated")
        try:
            yield
        finally:
            self.people.turn_off("number-repeated")

    def packed(self) -> tuple[StockKey, str, int]:
        packed = {article.kingdee_material: article.carton_pieces for article in articles(ARTICLES)}
        key, pieces = next((key, pieces) for key in sorted(self.books(), key=str) if (pieces := packed.get(key.item)))
        return key, f"XIANG{pieces}", pieces

    def prepare(self, key: StockKey, quantity: Decimal | int) -> Any:
        return self.move("sale", key, quantity, document_status="B")

    def finish(self, prepared: Any) -> None:
        self.post("audit", **prepared)


_load_mapping = cache(load_mapping)

ERPS: dict[str, type[ErpSandbox]] = {"sap": SapSandbox, "sap-rfc": SapRfcSandbox, "kingdee": KingdeeSandbox}


@contextmanager
def run_sandbox(system: str, folder: Path) -> Iterator[ErpSandbox]:
    """Serve one stand-in with few articles until the block ends."""
    kind = ERPS[system]
    app = kind.create_app(folder / f"{system}.sqlite")
    switchboard = getattr(app.state, "faults", None) or app.state.switchboard
    recorded = Recorded(app)
    with serve(recorded) as url, pytest.MonkeyPatch.context() as patch:
        # Tests connect many times, and reading the mapping files takes longer than most of what they do then.
        for mapper in (connectors.erp.kingdee.mapper, connectors.erp.sap.mapper, connectors.erp.sap.rfc.mapper):
            patch.setattr(mapper, "load_mapping", _load_mapping)
        sandbox = kind(url, recorded, switchboard)
        try:
            yield sandbox
        finally:
            sandbox.close()


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let repeated calls be repeated at once; returns the seconds they would have waited."""
    waits: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=waits.append))
    return waits
