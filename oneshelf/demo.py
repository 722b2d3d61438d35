"""The demo: two ERPs' stand-ins, the whole of Oneshelf in front of them, and the proof that the numbers agree."""

from __future__ import annotations

import os
import random
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from rich.table import Table

from hub.access import create_key, list_keys, load_roles, revoke_key
from hub.settings import load_settings
from hub.sync.feed import database_time
from hub.sync.watch import load_feeds
from oneshelf.demo_check import (
    DemoRules,
    Totals,
    differences,
    fetch_json,
    kingdee_totals,
    sap_totals,
    storefront_totals,
)
from oneshelf.processes import StartError, answers, free_port
from oneshelf.sandboxes import PORTS, connection_environment
from oneshelf.stack import open_stack
from oneshelf.up import INTERRUPTED, Steps, first_sync, keep_up, naming_order, start_services, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rich.console import Console

    from flows.runtime import Runtime
    from oneshelf.processes import Child
    from oneshelf.stack import Stack

_STATE = "demo"
_KEY_NAME = "demo"
_START_SECONDS = 60.0
_CATCH_UP_SECONDS = 30.0
_MOVES_IN_CHECK = 25
_IDLE_MOVE_SECONDS = 4.0
_READERS = {"sap": sap_totals, "kingdee": kingdee_totals}


@dataclass
class Demo:
    """A running demo: its processes, the sandboxes' addresses, and a key of the storefront's."""

    stack: Stack
    sandboxes: dict[str, str]
    rules: DemoRules
    api_key: str = ""

    def expected(self) -> Totals:
        """Ask the ERPs themselves."""
        found: Totals = {}
        for name, url in self.sandboxes.items():
            found |= _READERS[name](url, self.rules)
        return found

    def found(self) -> Totals:
        """Ask the storefront."""
        return storefront_totals(self.stack.adapter_url, self.api_key)


def run_demo(console: Console, *, once: bool, reset: bool, articles: int) -> int:
    """Run the demo; with `once` check the result and return 0 or 1, else stay until Ctrl-C."""
    # The demo is a world of its own: it must not write into a database or a Prefect that somebody uses.
    for variable in ("ONESHELF_DATABASE__URL", "PREFECT_API_URL"):
        os.environ.pop(variable, None)
    state_dir = load_settings().state_dir / _STATE
    if reset:
        shutil.rmtree(state_dir, ignore_errors=True)
    urls = {name: f"http://127.0.0.1:{free_port(port)}" for name, port in PORTS.items()}
    environment = {
        "ONESHELF_STATE_DIR": str(state_dir),
        "ONESHELF_ADAPTER__STAFF_OPEN": "true",
        "ONESHELF_ADAPTER__PROCESSES": "1",  # a second one would make everything else start later
        **connection_environment(urls),
    }
    os.environ |= environment
    settings = load_settings()
    started = time.monotonic()
    try:
        with stoppable(), open_stack(settings) as (stack, runtime):
            demo = Demo(stack, urls, _rules(runtime, articles))
            _start(console, demo, runtime, articles)
            console.print(f"\nready after {time.monotonic() - started:.0f} s", highlight=False)
            agreed = _check(console, demo) if once else True
            _show(console, demo)
            if not once:
                console.print("The shops sell a little all the time. Ctrl-C stops everything.", highlight=False)
                keep_up(stack, console, idle=_mover(demo))
            return 0 if agreed else 1
    except StartError as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _rules(runtime: Runtime, articles: int) -> DemoRules:
    places = {location.erp_codes[location.stock_from]: location.code for location in runtime.locations}
    return DemoRules(places, runtime.settings.stock.expiring_days, articles)


def _start(console: Console, demo: Demo, runtime: Runtime, articles: int) -> None:
    stack = demo.stack
    steps = Steps(console, 7 + len(demo.sandboxes))
    with steps.shown():
        server = stack.start_prefect_server()
        steps.run("PostgreSQL, embedded", runtime.database.ping)
        children = {name: _start_sandbox(stack, name, url, articles) for name, url in demo.sandboxes.items()}
        steps.run("sandboxes of SAP and Kingdee", lambda: _wait_for_sandboxes(demo, children))
        start_services(stack, steps, server)
        demo.api_key = _create_key(runtime, stack)
        first_sync(steps, naming_order(stack.settings))
        with runtime.database.driver() as connection:
            since = database_time(connection)
        steps.run("near-real-time loop", lambda: _wait_until_followed(runtime, since))


def _start_sandbox(stack: Stack, name: str, url: str, articles: int) -> Child:
    database = stack.settings.state_dir / "sandbox" / f"{name}.db"
    options = ("--port", url.rpartition(":")[2], "--articles", str(articles), "--database", str(database))
    return stack.child(f"sandbox-{name}", "-m", "oneshelf", "sandbox", name, *options)


def _wait_for_sandboxes(demo: Demo, children: dict[str, Child]) -> None:
    for name, child in children.items():
        child.wait_until(partial(answers, f"{demo.sandboxes[name]}/__world/info"), seconds=_START_SECONDS)


def _create_key(runtime: Runtime, stack: Stack) -> str:
    roles = load_roles(stack.settings.config_dir / "roles.yaml")
    with runtime.database.driver() as connection:
        for key in list_keys(connection):
            if key.name == _KEY_NAME:
                revoke_key(connection, key.id)
        return create_key(connection, _KEY_NAME, "storefront", roles)


def _wait_until_followed(runtime: Runtime, since: datetime) -> None:
    """Wait until the live loop has looked at every source after `since` (database time)."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with runtime.database.driver() as connection:
            feeds = load_feeds(connection)
        if all(feed.read_at and feed.read_at > since and not feed.stale for feed in feeds):
            return
        time.sleep(0.3)
    raise StartError("a source is still stale; see the live run in the Prefect UI")


def _check(console: Console, demo: Demo) -> bool:
    """Move goods in both ERPs, then compare storefront and ERPs until they agree or the time is over."""
    for url in demo.sandboxes.values():
        fetch_json(f"{url}/__world/moves", body={"count": _MOVES_IN_CHECK})
    started = time.monotonic()
    expected = demo.expected()
    while True:
        differing = differences(expected, demo.found())
        waited = time.monotonic() - started
        if not differing or waited > _CATCH_UP_SECONDS:
            break
        time.sleep(0.5)
    if not expected:
        console.print("[red]the ERPs hold no stock: nothing was proved[/]", highlight=False)
        return False
    if differing:
        for place, sku, wanted, got in differing[:20]:
            console.print(f"[red]{place} {sku}: the ERP says {wanted}, the storefront {got}[/]", highlight=False)
        console.print(
            f"[red]{len(differing)} of {len(expected)} levels differ after {waited:.0f} s[/]", highlight=False
        )
        return False
    moves = f"{_MOVES_IN_CHECK * len(demo.sandboxes)} goods movements"
    console.print(
        f"[green]{len(expected)} levels agree with the ERPs' own books, {waited:.1f} s after {moves}[/]",
        highlight=False,
    )
    return True


def _show(console: Console, demo: Demo) -> None:
    found = demo.found()
    table = Table("place", "SKUs in stock", "on hand", box=None, pad_edge=False)
    for place in demo.rules.places.values():
        quantities = [quantity for (where, _), quantity in found.items() if where == place]
        table.add_row(place, str(len(quantities)), f"{sum(quantities, Decimal(0)):,f}")
    console.print(table)
    url = demo.stack.adapter_url
    console.print(
        f"\n  staff page   {url}/staff"
        f"\n  API docs     {url}/docs"
        f"\n  Prefect UI   {demo.stack.prefect_url}"
        + "".join(f"\n  {name:<12} {address}" for name, address in demo.sandboxes.items())
        + f"\n  API key      {demo.api_key}   (role storefront, this demo only)"
        + f"\n  command line ONESHELF_STATE_DIR={demo.stack.settings.state_dir} .venv/bin/oneshelf stock show 100001\n",
        highlight=False,
        soft_wrap=True,
    )


def _mover(demo: Demo) -> Callable[[], None]:
    """Return what moves a little stock now and then, so that the numbers live."""
    due = [time.monotonic()]

    def move() -> None:
        if time.monotonic() < due[0]:
            return
        due[0] = time.monotonic() + _IDLE_MOVE_SECONDS
        url = random.choice(list(demo.sandboxes.values()))  # noqa: S311 - which shop sells next is no secret
        with suppress(OSError):  # the sandbox may be starting again
            fetch_json(f"{url}/__world/moves", body={"count": 1})

    return move
