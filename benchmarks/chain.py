"""A chain with many shops, for the benchmarks of the whole path.

The ERPs' stand-ins, PostgreSQL, the near-real-time loop and the storefront adapter are processes of their own, as in
production. Three sources share the shops between them: SAP over OData, Kingdee, and SAP over RFC (`ecc`), whose books
are those of the first.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from benchmarks.hub import scratch_server
from hub.access import create_key, load_roles
from hub.db.session import Database
from hub.settings import PROJECT_ROOT
from oneshelf.processes import Child, Supervisor, answers, free_port
from oneshelf.sandboxes import connection_environment
from oneshelf.serving import arguments
from sandbox.erp.kingdee import stores as kingdee_stores
from sandbox.erp.sap import stores as sap_stores
from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

SOURCES: Final = ("sap", "kingdee", "ecc")
_START_SECONDS: Final = 300.0
_READ_SECONDS: Final = 3600.0
_UNLIMITED: Final = "10000000"
_SETTINGS: Final = """
[stock.expiring_days]
default = 0

[items]
sku_from = ["sap", "kingdee", "ecc"]

[sources.sap]
system = "sap"
[sources.sap.connection]
client = "100"

[sources.kingdee]
system = "kingdee"
poll_seconds = 2.25
[sources.kingdee.connection]
org_number = "100"

[sources.ecc]
system = "sap"
[sources.ecc.connection]
transport = "rfc"
ashost = "ecchost"
pyrfc_module = "benchmarks.abap"
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a chain is: `stores` of each source, which carry one article of `every`.

    The clocks of the ERPs are `hours_behind` at first, so that hours may pass on them and none is still to come.
    """

    articles: int
    stores: int
    every: int = 1
    sources: tuple[str, ...] = SOURCES
    hours_behind: int = 0


@dataclass
class Calls:
    """What the calls of one source cost, by its own log lines."""

    count: int = 0
    seconds: float = 0.0
    budget_seconds: float = 0.0


@dataclass
class Chain:
    """The running processes, and where they are reached."""

    size: Size
    folder: Path
    database_url: str
    erps: Mapping[str, str]
    environment: dict[str, str]
    supervisor: Supervisor
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, **environment: str) -> Child:
        """Start a process of this environment under supervision."""
        child = Child(name, arguments, self.folder / f"{name}.log", {**self.environment, **environment})
        self.children[name] = self.supervisor.add(child)
        return child

    def run(self, name: str, *arguments: str, **environment: str) -> None:
        """Run `oneshelf` with arguments to its end.

        Raises:
            RuntimeError: it did not end well; what it said is in the message.
        """
        child = self.start(name, "-m", "oneshelf", *arguments, **environment)
        assert child.process is not None  # noqa: S101 - it was just started
        if child.process.wait(_READ_SECONDS):
            raise RuntimeError(f"{name} failed: {child.log_file.read_text(encoding='utf-8')[-2000:]}")
        self.supervisor.children.remove(child)

    def read_everything(self) -> None:
        """Read articles and stock of each source, with no budget to keep."""
        for source in self.size.sources:
            unlimited = {f"ONESHELF_SOURCES__{source.upper()}__CONNECTION__REQUESTS_PER_MINUTE": _UNLIMITED}
            self.run(f"full-{source}", "sync", "inventory", "--source", source, "--full", **unlimited)

    def slow_down(self, seconds: float) -> None:
        """Make each answer of the ERPs so much later; RFC's in processes that start from now on."""
        for url in self.erps.values():
            httpx.put(f"{url}/__faults/latency", json={"seconds": seconds}).raise_for_status()
        self.environment["BENCH_RFC_SECONDS"] = str(seconds)

    def start_live(self, name: str) -> Child:
        """Start a near-real-time loop; if one is at work already, it takes over from it as soon as that may be."""
        return self.start(name, "-m", "oneshelf", "live")

    def start_adapter(self, processes: int = 1) -> str:
        """Start the storefront adapter in so many processes at one port and return its address."""
        port = free_port(0)
        command = arguments("oneshelf.asgi:create_app", "127.0.0.1", port)
        adapter, *_ = [self.start(f"adapter-{number}", *command) for number in range(1, processes + 1)]
        url = f"http://127.0.0.1:{port}"
        adapter.wait_until(partial(answers, f"{url}/livez"), seconds=_START_SECONDS)
        return url

    def create_key(self) -> str:
        """Return a key of a storefront."""
        with closing(Database(self.database_url)) as database, database.driver() as connection:
            return create_key(connection, "benchmark", "storefront", load_roles(PROJECT_ROOT / "config" / "roles.yaml"))

    def log_of(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield what a process logged, line by line."""
        for line in self.children[name].log_file.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def calls(self, loops: Iterable[str], since: datetime, until: datetime) -> dict[str, Calls]:
        """Return what live loops called between two moments, by source."""
        found: dict[str, Calls] = defaultdict(Calls)
        first, last = since.isoformat(), until.isoformat()
        for name in loops:
            for line in self.log_of(name):
                if line.get("event") == "remote_call" and first <= line["timestamp"] < last:
                    # SAP's two doors carry one name; only HTTP has a method
                    calls = found["ecc" if "method" not in line else line["system"]]
                    calls.count += 1
                    calls.seconds += line["duration_ms"] / 1000
                    calls.budget_seconds += line["waited_ms"] / 1000
        return found


@contextmanager
def open_chain(size: Size) -> Iterator[Chain]:
    """Start the ERPs and an empty hub that knows the shops; everything is stopped and thrown away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="oneshelf-chain-", dir="/var/tmp"))
    systems = [system for system in ("sap", "kingdee") if system in size.sources or "ecc" in size.sources]
    urls = {system: f"http://127.0.0.1:{free_port(0)}" for system in ("sap", "kingdee")}
    supervisor = Supervisor(folder / "children")
    _write_config(folder / "config", size)
    try:
        with scratch_server() as database_url:
            environment = {
                "ONESHELF_STATE_DIR": str(folder),
                "ONESHELF_CONFIG_DIR": str(folder / "config"),
                "ONESHELF_DATABASE__URL": database_url,
                "ONESHELF_SOURCES__ECC__CONNECTION__USER": DEMO_USER,
                "ONESHELF_SOURCES__ECC__CONNECTION__PASSWORD": DEMO_PASSWORD,
                "BENCH_SAP_BOOKS": str(folder / "sap.db"),
                "NO_COLOR": "1",
                **connection_environment(urls),
            }
            chain = Chain(size, folder, database_url, urls, environment, supervisor)
            _start_erps(chain, systems)
            try:
                yield chain
            finally:
                supervisor.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_erps(chain: Chain, systems: list[str]) -> None:
    size = chain.size
    for system in systems:
        # both SAP sources have shops of their own in the same books
        stores = size.stores * (2 if system == "sap" else 1)
        numbers = (
            chain.erps[system].rpartition(":")[2],
            str(size.articles),
            str(stores),
            str(size.every),
            str(size.hours_behind),
        )
        chain.start(system, "-m", "benchmarks.erp_process", system, str(chain.folder / f"{system}.db"), *numbers)
    for system in systems:
        ready = partial(answers, f"{chain.erps[system]}/__faults")
        chain.children[system].wait_until(ready, seconds=_START_SECONDS)


def _write_config(folder: Path, size: Size) -> None:
    folder.mkdir(parents=True)
    shutil.copy(PROJECT_ROOT / "config" / "roles.yaml", folder)
    off = [f"\n[sources.{source}]\nenabled = false\n" for source in SOURCES if source not in size.sources]
    (folder / "base.toml").write_text(_SETTINGS, encoding="utf-8")
    (folder / "off.toml").write_text("".join(off), encoding="utf-8")
    lines = ["locations:"]
    for source in size.sources:
        for number in range(1, size.stores + 1):
            lines += _location(source, number, size)
    (folder / "locations.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _location(source: str, number: int, size: Size) -> list[str]:
    code = {
        "sap": sap_stores.store_code(number),
        "kingdee": kingdee_stores.store_code(number),
        "ecc": sap_stores.store_code(size.stores + number),
    }[source]
    return [
        f"  - code: {source.upper()}-{number:03}",
        f"    name: {source} {number}",
        "    kind: store",
        f"    stock_from: {source}",
        f"    erp_codes: {{{source}: {code}}}",
        "    sellable_online: true",
        "    pickup: true",
        "    time_zone: Asia/Shanghai",
    ]
