"""The command line `oneshelf`."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from connectors.registry import create_channel
from flows.alerting import keep_looking, look_and_tell
from flows.runtime import Runtime, open_runtime
from hub.access import DEFAULT_CHANNEL, create_key, list_keys, load_roles, revoke_key
from hub.alerts.book import load_open_alerts
from hub.alerts.sights import LOOP
from hub.alerts.texts import Voice, compose_test
from hub.clock import utc_now
from hub.db.migrate import current_revision, upgrade
from hub.errors import ConfigError, OneshelfError
from hub.items.store import sync_items
from hub.settings import load_settings
from hub.sync.inbox import replay_quarantined
from hub.sync.live import LiveLoop
from hub.sync.quarantine import open_entries
from hub.sync.watch import never_read
from hub.telemetry import configure_logging
from oneshelf.cli_kits import kits_app
from oneshelf.cli_mappings import mappings_app
from oneshelf.cli_stock import stock_app
from oneshelf.cli_suppliers import suppliers_app
from oneshelf.console import console
from oneshelf.demo import run_demo
from oneshelf.doctor import examine
from oneshelf.live_report import run_live_check
from oneshelf.recording import Extent, run_record
from oneshelf.sandboxes import ALL_PORTS, run_sandbox
from oneshelf.up import naming_order, run_up

app = typer.Typer(no_args_is_help=True, add_completion=False, help="One stock ledger for every shop and store.")
sync_app = typer.Typer(no_args_is_help=True, help="Read an ERP now, without Prefect.")
keys_app = typer.Typer(no_args_is_help=True, help="API keys of machine clients.")
db_app = typer.Typer(no_args_is_help=True, help="The database's schema.")
ops_app = typer.Typer(no_args_is_help=True, help="What a fleet's Prefect server needs.")
quarantine_app = typer.Typer(no_args_is_help=True, help="Records that could not be used.")
alerts_app = typer.Typer(no_args_is_help=True, help="What is wrong, and whom it is told.")
for name, group in (
    ("sync", sync_app),
    ("stock", stock_app),
    ("kits", kits_app),
    ("suppliers", suppliers_app),
    ("mappings", mappings_app),
    ("keys", keys_app),
    ("db", db_app),
    ("ops", ops_app),
    ("quarantine", quarantine_app),
    ("alerts", alerts_app),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; errors made on purpose are shown as one line."""
    try:
        app()
    except OneshelfError as error:
        _complain(type(error).__name__, str(error))
        raise SystemExit(1) from None
    except (psycopg.Error, SQLAlchemyError) as error:
        _complain("database", f"{next(iter(str(error).splitlines()), '')}; run oneshelf db upgrade, or oneshelf doctor")
        raise SystemExit(1) from None


def _complain(kind: str, text: str) -> None:
    console.print(f"[bold red]{kind}[/]: {escape(text)}", highlight=False, soft_wrap=True)


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option(help="Run the main job, check the result, exit 0 or 1.")] = False,
    reset: Annotated[bool, typer.Option(help="Forget the demo's data and start over.")] = False,
    articles: Annotated[int, typer.Option(help="How many articles the demo's retailer sells.", min=1)] = 2000,
) -> None:
    """See it all run: sandboxes of SAP and Kingdee, the flows, the storefront API and the staff page."""
    raise typer.Exit(run_demo(console, once=once, reset=reset, articles=articles))


@app.command()
def up() -> None:
    """Run everything on this machine against the configured ERPs: Prefect, worker, flows and adapter."""
    raise typer.Exit(run_up(console, load_settings()))


@app.command()
def sandbox(
    system: Annotated[str, typer.Argument(help=f"One of {', '.join(ALL_PORTS)}")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes the sandbox's own")] = 0,
    articles: Annotated[int, typer.Option(min=1)] = 2000,
    moves_per_minute: Annotated[float, typer.Option(help="Random goods movements while it runs", min=0)] = 0,
    database: Annotated[Path | None, typer.Option(help="Its SQLite file")] = None,
) -> None:
    """Serve a vendor's stand-in on 127.0.0.1, with its own little world and a fault switchboard."""
    if system not in ALL_PORTS:
        raise typer.BadParameter(f"there is {', '.join(ALL_PORTS)}")
    file = database or load_settings().state_dir / "sandbox" / f"{system}.db"
    run_sandbox(system, file, port=port or ALL_PORTS[system], articles=articles, moves_per_minute=moves_per_minute)


@app.command()
def live() -> None:
    """Run the near-real-time loop as a plain service, where Prefect is not wanted; it looks for alerts too."""

    async def nobody(_: object) -> None:
        """Take published changes: without Prefect nobody reacts on them."""

    async def run(runtime: Runtime) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        syncs = [runtime.inventory(source) for source in runtime.settings.enabled_sources()]
        watch = asyncio.create_task(keep_looking(runtime, LOOP, stop))
        try:
            settings = runtime.settings
            posted_after = settings.stock.posted_after_hours
            loop = LiveLoop(runtime.database, syncs, settings.live, nobody, posted_after_hours=posted_after)
            await loop.run(stop)
        finally:
            stop.set()
            await watch

    with open_runtime() as runtime:
        runtime.declare()
        asyncio.run(run(runtime))


@app.command()
def doctor(
    source: Annotated[str | None, typer.Argument(help="With --live: one source; without it all")] = None,
    *,
    live: Annotated[
        bool, typer.Option(help="Look at the real ERPs, read-only: what differs from what is assumed")
    ] = False,
    sku: Annotated[str | None, typer.Option(help="With --live: the article to show row by row")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --live: for machines")] = False,
) -> None:
    """Check everything Oneshelf stands on, and say what to do about what is not well."""
    settings = load_settings()
    configure_logging(level="WARNING", as_json=settings.log.as_json)
    if live:
        raise typer.Exit(run_live_check(console, settings, source, sku, as_json=as_json))
    if source or sku or as_json:
        raise typer.BadParameter("a source, --sku and --json go with --live")
    table = Table("", "area", "check", "found", "what to do", box=None, pad_edge=False)
    well = True
    for finding in examine(settings):
        result = finding.result
        well = well and result.ok
        mark = "[green]ok[/]" if result.ok else "[red]!![/]"
        words = (finding.area, result.name, result.detail, "" if result.ok else result.advice)
        table.add_row(mark, *map(escape, words))
    console.print(table)
    raise typer.Exit(0 if well else 1)


@app.command()
def record(
    source: Annotated[str, typer.Argument(help="Which source")],
    folder: Annotated[Path, typer.Argument(help="Where to; must be empty or not there")],
    *,
    pages: Annotated[int, typer.Option(help="Of stock, and of articles, at most", min=1)] = 1,
    page_rows: Annotated[int, typer.Option(help="Rows of a page, at most", min=2)] = 500,
    places: Annotated[int, typer.Option(help="How many of the configured places are read", min=1)] = 3,
    items: Annotated[bool, typer.Option(help="Read articles too")] = True,
    look_back: Annotated[int, typer.Option(help="How far the look for changes goes back, in seconds", min=0)] = 3600,
) -> None:
    """Store real answers as test samples, with everything in them made up but their form."""
    settings = load_settings()
    configure_logging(level="WARNING", as_json=settings.log.as_json)
    extent = Extent(pages=pages, page_rows=page_rows, places=places, items=items, look_back=look_back)
    raise typer.Exit(run_record(console, settings, source, folder, extent))


@sync_app.command("inventory")
def sync_inventory(
    source: Annotated[str | None, typer.Option(help="One source; without it all")] = None,
    *,
    full: Annotated[bool, typer.Option(help="Everything, articles too; else what changed since")] = False,
    accept_shrink: Annotated[bool, typer.Option(help="Apply an empty or sharply smaller full read")] = False,
) -> None:
    """Bring an ERP's stock into the hub."""
    refused = False
    with open_runtime() as runtime:
        upgrade(runtime.database)
        runtime.declare()
        for name in [source] if source else naming_order(runtime.settings):
            started = time.monotonic()
            sync = runtime.inventory(name)
            everything = full or _never_read(runtime, name)
            if everything:
                articles = sync_items(runtime.database, sync.connector, runtime.settings)
                console.print(f"{name}: {articles.read} articles, {articles.created} new, {articles.rejected} rejected")
            report = sync.snapshot(accept_shrink=accept_shrink) if everything else sync.delta()
            seconds = time.monotonic() - started
            if report is None:
                console.print(f"{name}: nothing changed ({seconds:.1f} s)")
                continue
            refused = refused or report.state != "applied"
            changed = f"{report.rows} rows, {report.changed_count} levels changed, {report.rejected} rejected"
            console.print(f"{name}: {report.state}, {changed} ({seconds:.1f} s) {escape(report.reason)}")
    raise typer.Exit(1 if refused else 0)


def _never_read(runtime: Runtime, source: str) -> bool:
    with runtime.database.driver() as connection:
        return never_read(connection, source)


@keys_app.command("create")
def keys_create(
    role: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()] = "",
    channel: Annotated[str, typer.Option(help="The sales channel that its holder reserves for")] = DEFAULT_CHANNEL,
) -> None:
    """Create an API key and print it once; it is kept nowhere."""
    settings = load_settings()
    if channel not in settings.channels:
        raise ConfigError(f"no channel {channel}; there is {', '.join(settings.channels)}")
    with open_runtime(settings) as runtime:
        roles = load_roles(settings.config_dir / "roles.yaml")
        with runtime.database.driver() as connection:
            typer.echo(create_key(connection, name or role, role, roles, channel=channel))


@keys_app.command("list")
def keys_list() -> None:
    """Show the keys that are in force."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        keys = list_keys(connection)
    table = Table("id", "name", "role", "created", box=None, pad_edge=False)
    for key in keys:
        table.add_row(key.id, escape(key.name), key.role, key.created_at.isoformat(timespec="seconds"))
    console.print(table if keys else "no key")


@keys_app.command("revoke")
def keys_revoke(key_id: str) -> None:
    """Take a key out of force for good."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        revoked = revoke_key(connection, key_id)
    console.print(f"{key_id} is revoked" if revoked else f"no key {key_id} in force", markup=False)
    raise typer.Exit(0 if revoked else 1)


@db_app.command("init")
@db_app.command("upgrade")
def db_upgrade() -> None:
    """Create the schema, or bring it up to date, with the configured places."""
    with open_runtime() as runtime:
        upgrade(runtime.database)
        runtime.declare()
        console.print(f"database at {current_revision(runtime.database)}")


@ops_app.command("install")
def ops_install() -> None:
    """Create the automations on the Prefect server at PREFECT_API_URL; `prefect deploy --all` makes the deployments."""
    from flows.automations import install_automations  # noqa: PLC0415 - Prefect takes a second to load

    for automation in install_automations():
        console.print(f"installed {automation}", markup=False)


@quarantine_app.command("list")
def quarantine_list() -> None:
    """Show what waits in quarantine."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        entries = open_entries(connection)
    table = Table("source", "kind", "key", "reason", "detail", "times", "last seen", box=None, pad_edge=False)
    for entry in entries:
        values = (entry[name] for name in ("source", "kind", "key", "reason", "detail", "times", "last_seen_at"))
        table.add_row(*(escape(str(value)) for value in values))
    console.print(table if entries else "nothing in quarantine")


@quarantine_app.command("replay")
def quarantine_replay(source: str) -> None:
    """Work the quarantined pushes of a source once more."""
    with open_runtime() as runtime, runtime.database.driver() as connection, connection.transaction():
        console.print(f"{replay_quarantined(connection, source)} pushes are due again")


@alerts_app.command("list")
def alerts_list() -> None:
    """Show what is wrong now, and what could not be told."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        alerts = load_open_alerts(connection)
        voice = Voice.of(runtime.settings.adapter)
    table = Table("", "since", "what", "what to do", "not told", box=None, pad_edge=False)
    for alert in alerts:
        words = voice.words(alert.kind, alert.subject, alert.facts)
        untold = f"{alert.untold}: {alert.error or 'waits'}" if alert.untold else ""
        cells = (alert.kind, voice.time(alert.began_at), words.summary, words.advice, untold)
        table.add_row(*map(escape, cells))
    console.print(table if alerts else "no alert")


@alerts_app.command("check")
def alerts_check() -> None:
    """Look once and send what waits, for a cron job apart from Prefect; exit 1 if something is wrong."""
    with open_runtime() as runtime:
        for told in look_and_tell(runtime, "check"):
            console.print(f"{told.phase}: {told.kind} {told.subject}", markup=False)
        with runtime.database.driver() as connection:
            alerts = load_open_alerts(connection)
    console.print(f"{len(alerts)} open; see oneshelf alerts list" if alerts else "no alert")
    raise typer.Exit(1 if alerts else 0)


@alerts_app.command("test")
def alerts_test(channel: Annotated[str, typer.Argument(help="Its name in the settings")]) -> None:
    """Send a message that is marked as a test, and say what the channel answered."""
    settings = load_settings()
    channels = settings.alerts.channels
    if channel not in channels:
        raise ConfigError(f"no channel {channel}; there is {', '.join(channels) or 'none'} (see docs/alerts.md)")
    now = utc_now()
    test = compose_test(Voice.of(settings.adapter), f"oneshelf-test-{now:%Y%m%d%H%M%S%f}", now)
    create_channel(channel, channels[channel]).send(test)
    console.print(f"{channel} took the message", markup=False)


__all__ = ["app", "main"]
