"""The commands `oneshelf stock freeze`, `oneshelf stock thaw` and `oneshelf stock count`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import open_runtime
from hub.stock.stocktake import CountedLine, Stocktake, freeze, load_stocktake, load_stocktakes, thaw, write_csv
from oneshelf.console import console, plain, writing

stocktake_app = typer.Typer(no_args_is_help=True)
Place = Annotated[str, typer.Argument(help="The place's own code, for instance ST-SH01")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the lines to this file")]


@stocktake_app.command("freeze")
def stock_freeze(place: Place) -> None:
    """Freeze a place for counting: nothing of it is promised until it is thawed; what is reserved stays so."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        number = freeze(connection, place)
    console.print(f"{place} is frozen for stocktake {number}", markup=False, highlight=False)


@stocktake_app.command("thaw")
def stock_thaw(place: Place, csv_file: Csv = None) -> None:
    """Promise a place's stock again, and show what its levels changed by meanwhile and why.

    Thaw it when the ERP's people have posted the count and the hub has read it since.
    """
    with open_runtime() as runtime, runtime.database.driver() as connection:
        number = thaw(connection, place)
        stocktake, lines = load_stocktake(connection, number)
    _show(stocktake, lines, csv_file)


@stocktake_app.command("count")
def stock_count(
    number: Annotated[int | None, typer.Argument(help="A stocktake; without it the newest are listed")] = None,
    csv_file: Csv = None,
) -> None:
    """Show stocktakes, or what became of one."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        if number is not None:
            _show(*load_stocktake(connection, number), csv_file)
            return
        stocktakes = load_stocktakes(connection)
    table = Table("number", "place", "frozen", "thawed", "levels", box=None, pad_edge=False)
    for stocktake in stocktakes:
        thawed = stocktake.thawed_at.isoformat(timespec="seconds") if stocktake.thawed_at else "being counted"
        levels = "" if stocktake.levels is None else str(stocktake.levels)
        cells = (str(stocktake.number), stocktake.location, stocktake.frozen_at.isoformat(timespec="seconds"))
        table.add_row(*map(escape, (*cells, thawed, levels)))
    console.print(table if stocktakes else "no stocktake")


def _show(stocktake: Stocktake, lines: list[CountedLine], csv_file: Path | None) -> None:
    if csv_file:
        with writing(csv_file) as file:
            write_csv(file, lines)
    place, read_at = stocktake.location, stocktake.read_at
    if stocktake.thawed_at is None:
        console.print(f"{place} is being counted since {stocktake.frozen_at:%Y-%m-%d %H:%M} UTC", markup=False)
        return
    differing = sum(line.difference != 0 for line in lines)
    told = f"stocktake {stocktake.number} of {place}: {stocktake.levels} levels, {differing} differ"
    console.print(told, markup=False, highlight=False)
    if read_at is None or read_at < stocktake.frozen_at:
        console.print("[red]its stock was not read since it was frozen: the count is not in these numbers[/]")
    table = Table(
        *("SKU", "name", "before", "after", "explained", "difference", "sold, not in base", "came, not in base"),
        box=None,
        pad_edge=False,
    )
    for line in lines:
        numbers = (line.base_before, line.base_after, line.explained, line.difference, line.demand, line.supply)
        table.add_row(*map(escape, (line.sku, line.name)), *map(plain, numbers))
    if lines:
        console.print(table)
