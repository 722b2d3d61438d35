"""The commands `oneshelf stock …`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import Runtime, open_runtime
from hub.clock import utc_now
from hub.errors import ConfigError
from hub.settings import load_settings
from hub.stock.explain import Explanation, explain, snapshot
from hub.stock.pools import set_pool
from hub.stock.promise import ask_promise
from hub.stock.reading import read_stock
from oneshelf.cli_reconcile import stock_differences, stock_rebuild, stock_reconcile
from oneshelf.cli_stocktake import stocktake_app
from oneshelf.cli_withheld import safety_app, withheld_app
from oneshelf.console import console, quantity_of

stock_app = typer.Typer(no_args_is_help=True, help="Look at stock, set parts of it apart, count it, compare it.")
stock_app.add_typer(safety_app, name="safety")
stock_app.add_typer(withheld_app)
stock_app.add_typer(stocktake_app)
stock_app.command("reconcile")(stock_reconcile)
stock_app.command("differences")(stock_differences)
stock_app.command("rebuild")(stock_rebuild)


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
    table = Table(
        "place",
        "",
        "on hand",
        "available",
        "reserved",
        "not sellable",
        "consigned",
        "as of",
        "",
        box=None,
        pad_edge=False,
    )
    for level in item.levels:
        apart = ", ".join(f"{status} {quantity:f}" for status, quantity in level.unsellable.items())
        numbers = (level.on_hand, level.available, level.reserved)
        as_of = level.as_of.isoformat(timespec="seconds") if level.as_of else "never"
        stale = "[red]stale[/]" if level.stale else ""
        table.add_row(
            *(level.location, escape(level.name), *(f"{number:f}" for number in numbers), apart),
            *(f"{level.consigned:f}", as_of, stale),
        )
    console.print(table)


@stock_app.command("explain")
def stock_explain(
    sku: str,
    place: Annotated[str, typer.Argument(help="The place's own code, for instance DC-SH")],
    at: Annotated[str | None, typer.Option(help="At this moment, for instance 2026-11-11T10:30")] = None,
    known_at: Annotated[str | None, typer.Option(help="As known at this moment")] = None,
) -> None:
    """Show why the number of a SKU at a place is what it is; times without an offset are the place's own."""
    with open_runtime() as runtime:
        zone = next((ZoneInfo(known.time_zone) for known in runtime.locations if known.code == place), ZoneInfo("UTC"))
        moments = [None if text is None else _moment(text, zone) for text in (at, known_at)]
        found = asyncio.run(_explain(runtime, sku, place, *moments))
    told = f"{found.sku} {found.name} at {found.location}: {found.available:f} {found.unit} available"
    console.print(f"[bold]{escape(told)}[/]", highlight=False)
    console.print(f"at {_time(found.at, zone)}, as known at {_time(found.known_at, zone)}", highlight=False)
    headings = ("", "quantity", "cause", "source", "number", "effective", "recorded", "read or end")
    table = Table(*headings, box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for term in found.terms:
        words = (term.cause, term.source, term.number)
        times = (term.effective_at, term.recorded_at, term.read_began_at or term.expires_at)
        table.add_row(
            *(term.kind, f"{term.quantity:+f}", *(escape(word or "") for word in words)),
            *(_time(time, zone) for time in times),
        )
    table.add_row("available", f"{found.available:f}", style="bold")
    console.print(table)
    for pool in found.pools:
        size = f"{pool.ring_fenced:f}" if pool.ring_fenced is not None else f"{pool.percent:f} %"
        console.print(f"set apart for {pool.channel}: {size}, taken {pool.taken:f}", markup=False, highlight=False)


async def _explain(
    runtime: Runtime, sku: str, place: str, at: datetime | None, known_at: datetime | None
) -> Explanation:
    engine = runtime.database.async_engine()
    try:
        async with snapshot(engine) as connection:
            return await explain(connection, sku, place, at=at, known_at=known_at)
    finally:
        await engine.dispose()


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write it as 2026-11-11T10:30") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _time(moment: datetime | None, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat(" ", timespec="seconds") if moment else ""


@stock_app.command("pool")
def stock_pool(
    sku: str,
    place: Annotated[str, typer.Argument(help="The place's own code, for instance DC-SH")],
    channel: Annotated[str, typer.Argument(help="Of config/*.toml, for instance online")],
    quantity: Annotated[str | None, typer.Option(help="So much is set apart for the channel")] = None,
    percent: Annotated[str | None, typer.Option(help="So much of the base less safety stock is, rounded down")] = None,
) -> None:
    """Set part of a level apart for a sales channel; with neither option, nothing any more."""
    settings = load_settings()
    if channel not in settings.channels:
        raise ConfigError(f"no channel {channel}; there is {', '.join(settings.channels)}")
    if quantity is not None and percent is not None:
        raise ConfigError("a pool is a quantity or a percentage, not both")
    numbers = [None if text is None else quantity_of(text) for text in (quantity, percent)]
    with open_runtime(settings) as runtime, runtime.database.driver() as connection:
        found = set_pool(connection, sku, place, channel, *numbers)
    console.print("done" if found else f"{sku} has no level at {place}", markup=False)
    raise typer.Exit(0 if found else 1)


@stock_app.command("promise")
def stock_promise(
    sku: str,
    place: Annotated[str, typer.Argument(help="The place's own code, for instance DC-SH")],
    quantity: str,
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day; without it today")] = None,
) -> None:
    """Ask the place's ERP what it would confirm of a quantity; nothing is reserved."""
    with open_runtime() as runtime:
        location = next((known for known in runtime.locations if known.code == place), None)
        if location is None:
            raise typer.BadParameter(f"there is {', '.join(known.code for known in runtime.locations)}")
        wanted = quantity_of(quantity)
        day = on.date() if on else utc_now().astimezone(ZoneInfo(location.time_zone)).date()
        connector = runtime.connector(location.stock_from)
        with runtime.database.driver() as connection:
            promise = ask_promise(connection, connector, location, sku, wanted, day)
    if not promise.checked:
        console.print("the ERP does not check this article, so it promises nothing")
    console.print(f"{promise.confirmed:f} of {promise.wanted:f} on {day}, {promise.available:f} free", highlight=False)
    for part_day, part in promise.schedule:
        console.print(f"{part_day}  {part:f}", highlight=False)
    raise typer.Exit(0 if promise.checked and promise.confirmed >= promise.wanted else 1)
