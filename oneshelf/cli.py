"""The command line `oneshelf`."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from flows.runtime import Runtime, open_runtime
from hub.access import create_key, list_keys, load_roles, revoke_key
from hub.db.migrate import current_revision, upgrade
from hub.errors import ConfigError, OneshelfError
from hub.items.store import sync_items
from hub.mapping import MappingErrors, diff_mappings, load_mapping, load_tree, mapping_schema
from hub.settings import Settings, load_settings
from hub.stock.reading import read_stock
from hub.sync.inbox import replay_quarantined
from hub.sync.live import LiveLoop
from hub.sync.quarantine import open_entries
from hub.sync.watch import never_read
from hub.telemetry import configure_logging
from oneshelf.demo import run_demo
from oneshelf.doctor import examine
from oneshelf.sandboxes import PORTS, run_sandbox
from oneshelf.up import naming_order, run_up

app = typer.Typer(no_args_is_help=True, add_completion=False, help="One stock ledger for every shop and store.")
sync_app = typer.Typer(no_args_is_help=True, help="Read an ERP now, without Prefect.")
stock_app = typer.Typer(no_args_is_help=True, help="Look at stock.")
mappings_app = typer.Typer(no_args_is_help=True, help="Check and try mapping files.")
keys_app = typer.Typer(no_args_is_help=True, help="API keys of machine clients.")
db_app = typer.Typer(no_args_is_help=True, help="The database's schema.")
quarantine_app = typer.Typer(no_args_is_help=True, help="Records that could not be used.")
for name, group in (
    ("sync", sync_app),
    ("stock", stock_app),
    ("mappings", mappings_app),
    ("keys", keys_app),
    ("db", db_app),
    ("quarantine", quarantine_app),
):
    app.add_typer(group, name=name)

console = Console()


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
    raise typer.Exit(run_up(console, _settings()))


@app.command()
def sandbox(
    system: Annotated[str, typer.Argument(help=f"One of {', '.join(PORTS)}")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes the sandbox's own")] = 0,
    articles: Annotated[int, typer.Option(min=1)] = 2000,
    moves_per_minute: Annotated[float, typer.Option(help="Random goods movements while it runs", min=0)] = 0,
    database: Annotated[Path | None, typer.Option(help="Its SQLite file")] = None,
) -> None:
    """Serve a vendor's stand-in on 127.0.0.1, with its own little world and a fault switchboard."""
    if system not in PORTS:
        raise typer.BadParameter(f"there is {', '.join(PORTS)}")
    file = database or _settings().state_dir / "sandbox" / f"{system}.db"
    run_sandbox(system, file, port=port or PORTS[system], articles=articles, moves_per_minute=moves_per_minute)


@app.command()
def live() -> None:
    """Run the near-real-time loop as a plain service, where Prefect is not wanted."""

    async def nobody(_: object) -> None:
        """Take published changes: without Prefect nobody reacts on them."""

    async def run(runtime: Runtime) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        syncs = [runtime.inventory(source) for source in runtime.settings.enabled_sources()]
        await LiveLoop(runtime.database, syncs, runtime.settings.live, nobody).run(stop)

    with open_runtime() as runtime:
        runtime.declare()
        asyncio.run(run(runtime))


@app.command()
def doctor() -> None:
    """Check everything Oneshelf stands on, and say what to do about what is not well."""
    settings = _settings()
    configure_logging(level="WARNING", as_json=settings.log.as_json)
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
            changed = f"{report.rows} rows, {len(report.changed)} levels changed, {report.rejected} rejected"
            console.print(f"{name}: {report.state}, {changed} ({seconds:.1f} s) {escape(report.reason)}")
    raise typer.Exit(1 if refused else 0)


def _never_read(runtime: Runtime, source: str) -> bool:
    with runtime.database.driver() as connection:
        return never_read(connection, source)


@stock_app.command("show")
def stock_show(sku: str) -> None:
    """Show one SKU at every place."""

    async def read(runtime: Runtime) -> Any:  # noqa: ANN401 - one item's stock or None
        engine = runtime.database.async_engine()
        async with engine.connect() as connection:
            found = await read_stock(connection, [sku])
        await engine.dispose()
        return found.get(sku)

    with open_runtime() as runtime:
        item = asyncio.run(read(runtime))
    if item is None:
        console.print(f"no SKU {escape(sku)}")
        raise typer.Exit(1)
    console.print(f"[bold]{escape(item.sku)}[/] {escape(item.name)} ({escape(item.unit)})", highlight=False)
    table = Table("place", "", "on hand", "not sellable", "consigned", "as of", "", box=None, pad_edge=False)
    for level in item.levels:
        apart = ", ".join(f"{status} {quantity:f}" for status, quantity in level.unsellable.items())
        as_of = level.as_of.isoformat(timespec="seconds") if level.as_of else "never"
        stale = "[red]stale[/]" if level.stale else ""
        table.add_row(
            level.location, escape(level.name), f"{level.on_hand:f}", apart, f"{level.consigned:f}", as_of, stale
        )
    console.print(table)


@mappings_app.command("check")
def mappings_check() -> None:
    """Load every mapping file and run its examples."""
    try:
        files = load_tree(_settings().mappings_dir)
    except MappingErrors as error:
        console.print(str(error), style="red", highlight=False, soft_wrap=True, markup=False)
        raise typer.Exit(1) from None
    for path, mapping in files.items():
        console.print(f"ok  {path}  {mapping.version}", highlight=False)


@mappings_app.command("test")
def mappings_test(file: Path, sample: Annotated[Path, typer.Argument(help="JSON: one raw record or a list")]) -> None:
    """Map the records of a sample file and show what comes out."""
    mapping, failed = _load(file), 0
    for number, raw in enumerate(_samples(sample), start=1):
        try:
            record = mapping.apply(raw)
            console.print(
                f"{number}: {'skipped' if record is None else escape(str(record))}", highlight=False, soft_wrap=True
            )
        except OneshelfError as error:
            failed += 1
            console.print(f"{number}: [red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@mappings_app.command("explain")
def mappings_explain(
    file: Path, record: Annotated[Path, typer.Argument(help="JSON: one raw record or a list")]
) -> None:
    """Show step by step how a record is mapped."""
    mapping = _load(file)
    for raw in _samples(record):
        table = Table("field", "read", "steps", "value", box=None, pad_edge=False)
        for step in mapping.explain(raw):
            read = ", ".join(f"{path}={value!r}" for path, value in step.inputs)
            steps = " → ".join(f"{name}: {value!r}" for name, value in step.results)
            value = f"[red]{escape(str(step.error))}[/]" if step.error else escape(repr(step.value))
            table.add_row(step.field, escape(read), escape(steps), value)
        console.print(table)


@mappings_app.command("diff")
def mappings_diff(old: Path, new: Path, sample: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Show what differs between two versions of a mapping file, and which samples come out differently."""
    differences = diff_mappings(old, new, _samples(sample) if sample else (), tables=_tables(old) | _tables(new))
    table = Table("kind", "what", "old", "new", box=None, pad_edge=False)
    for difference in differences:
        table.add_row(difference.kind, *map(escape, (difference.name, difference.old, difference.new)))
    console.print(table if differences else "no difference")


@mappings_app.command("schema")
def mappings_schema() -> None:
    """Print the JSON Schema of mapping files, for editors."""
    console.print_json(json.dumps(mapping_schema(), ensure_ascii=False))


@keys_app.command("create")
def keys_create(role: Annotated[str, typer.Option()], name: Annotated[str, typer.Option()] = "") -> None:
    """Create an API key and print it once; it is kept nowhere."""
    settings = _settings()
    with open_runtime(settings) as runtime:
        roles = load_roles(settings.config_dir / "roles.yaml")
        with runtime.database.driver() as connection:
            typer.echo(create_key(connection, name or role, role, roles))


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


def _settings() -> Settings:
    return load_settings()


def _load(file: Path) -> Any:  # noqa: ANN401 - a mapping
    return load_mapping(file).with_tables(_tables(file))


def _tables(file: Path) -> dict[str, dict[str, str]]:
    """Return the file's own `example_tables`, which stand in for the tables that a connector hands over."""
    mapping = load_mapping(file)
    return {name: dict(table.entries) for name, table in mapping.spec.example_tables.items()}


def _samples(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=str)
    except (OSError, ValueError) as error:
        raise ConfigError(f"not readable as JSON: {error}", file=str(path)) from error
    return content if isinstance(content, list) else [content]


__all__ = ["app", "main"]
