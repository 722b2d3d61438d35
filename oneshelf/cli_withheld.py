"""The commands `oneshelf stock safety …`, `oneshelf stock low` and `oneshelf stock risk`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import open_runtime
from hub.purchasing.crossings import load_crossings
from hub.stock.withheld import (
    RATE_DAYS,
    Rule,
    Scope,
    apply_rules,
    load_risks,
    load_rules,
    measure_rates_if_due,
    remove_rule,
    save_rule,
)
from oneshelf.console import console, plain, quantity_of

safety_app = typer.Typer(no_args_is_help=True, help="Rules of what is withheld of levels: safety stock and buffer.")
withheld_app = typer.Typer(no_args_is_help=True)

Sku = Annotated[str | None, typer.Option(help="Of this article")]
Category = Annotated[str | None, typer.Option(help="Of the articles of this category; with neither, of all")]
Place = Annotated[str | None, typer.Option(help="At this place; without it everywhere")]


@safety_app.command("set")
def safety_set(
    quantity: Annotated[str, typer.Argument(help="The safety stock, in base units")],
    sku: Sku = None,
    category: Category = None,
    place: Place = None,
    buffer: Annotated[str, typer.Option(help="Withheld for what sells without us")] = "0",
    lag_factor: Annotated[
        str, typer.Option(help="The buffer grows by this, times what sells without us while the numbers are as old")
    ] = "0",
    target: Annotated[str | None, typer.Option(help="What is filled up to; without it twice the safety stock")] = None,
) -> None:
    """Set the rule of some levels as a whole, and bring them to it. The most specific rule of a level holds."""
    rule = Rule(
        Scope(sku, category, place),
        quantity_of(quantity),
        quantity_of(buffer),
        quantity_of(lag_factor),
        None if target is None else quantity_of(target),
    )
    with open_runtime() as runtime, runtime.database.driver() as connection:
        save_rule(connection, rule)
        changed = apply_rules(connection)
    console.print(f"{changed} levels changed")


@safety_app.command("remove")
def safety_remove(sku: Sku = None, category: Category = None, place: Place = None) -> None:
    """Take a rule away; the next specific one of its levels holds then."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        found = remove_rule(connection, Scope(sku, category, place))
        changed = apply_rules(connection)
    console.print(f"{changed} levels changed" if found else "no such rule")
    raise typer.Exit(0 if found else 1)


@safety_app.command("list")
def safety_list() -> None:
    """Show all rules, the most specific first."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        rules = load_rules(connection)
    table = Table(
        *("article", "category", "place", "safety stock", "buffer", "× lag", "target"), box=None, pad_edge=False
    )
    for rule in rules:
        scope = rule.scope
        numbers = (rule.safety_stock, rule.buffer, rule.lag_factor, rule.target)
        table.add_row(
            *(escape(name or "all") for name in (scope.sku, scope.category, scope.location)), *map(plain, numbers)
        )
    console.print(table if rules else "no rule")


@withheld_app.command("low")
def stock_low() -> None:
    """Show what is below its safety stock, and whom to buy it from now."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        crossings = load_crossings(connection)
    table = Table(
        *("SKU", "place", "since", "stock then", "safety stock", "buy", "from", "their number", "days", "told"),
        box=None,
        pad_edge=False,
    )
    for crossing in crossings:
        supplier = f"{crossing.supplier} {crossing.supplier_name}" if crossing.supplier else "no supplier is available"
        numbers = (crossing.stock, crossing.safety_stock, crossing.quantity)
        days = "" if crossing.lead_time_days is None else str(crossing.lead_time_days)
        cells = (crossing.sku, crossing.location, crossing.began_at.isoformat(timespec="seconds"), *map(plain, numbers))
        told = "yes" if crossing.told_at else "not yet"
        table.add_row(*map(escape, (*cells, supplier, crossing.article_no or "", days, told)))
    console.print(table if crossings else "nothing is below its safety stock")


@withheld_app.command("risk")
def stock_risk(
    sku: Annotated[str | None, typer.Argument(help="One article; without it those with the largest risk")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
) -> None:
    """Show what may have been sold without us and is not known yet: how fast levels fall times how old they are."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        measure_rates_if_due(connection)
        risks = load_risks(connection, sku=sku, limit=limit)
    columns = ("SKU", "place", f"fallen in {RATE_DAYS} days", "a day", "seconds old", "risk", "buffer")
    table = Table(*columns, box=None, pad_edge=False)
    for risk in risks:
        age = "never read" if risk.lag_seconds is None else f"{risk.lag_seconds:.1f}"
        units = "" if risk.units is None else f"{risk.units:.4f}"
        a_day = f"{risk.per_second * 86_400:.2f}"
        cells = (risk.sku, risk.location, plain(risk.fallen), a_day, age, units, plain(risk.buffer))
        table.add_row(*map(escape, cells))
    total = sum((risk.units for risk in risks if risk.units is not None), Decimal(0))
    console.print(table if risks else "nothing has fallen without us")
    if risks:
        console.print(f"{total:.4f} units in all that are shown", highlight=False)
