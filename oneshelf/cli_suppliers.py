"""The commands `oneshelf suppliers …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import open_runtime
from hub.purchasing.lists import read_offers, write_offers
from hub.purchasing.suppliers import (
    Offer,
    drop_offer,
    load_offers,
    load_suppliers,
    mark_supplier,
    replace_lists,
    save_offer,
    save_supplier,
)
from oneshelf.console import console, plain, quantity_of, writing

suppliers_app = typer.Typer(no_args_is_help=True, help="Whom articles are bought from, and who stands in for whom.")


@suppliers_app.command("list")
def suppliers_list(
    sku: Annotated[str | None, typer.Argument(help="An article: who is asked in which order; without it all")] = None,
) -> None:
    """Show the suppliers, or those of an article."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        suppliers = {supplier.code: supplier for supplier in load_suppliers(connection)}
        offers = load_offers(connection, sku) if sku else []
    if sku is None:
        table = Table("code", "name", "", "articles", box=None, pad_edge=False)
        for supplier in suppliers.values():
            cells = (supplier.code, supplier.name, _state(available=supplier.available), str(supplier.articles))
            table.add_row(*map(escape, cells))
        console.print(table if suppliers else "no supplier")
        return
    table = Table(
        "position", "code", "name", "", "days", "their number", "minimum", "multiple", box=None, pad_edge=False
    )
    for offer in offers:
        supplier = suppliers[offer.supplier]
        days = "" if offer.lead_time_days is None else str(offer.lead_time_days)
        named = (str(offer.position), supplier.code, supplier.name, _state(available=supplier.available), days)
        table.add_row(*map(escape, (*named, offer.article_no, plain(offer.minimum), plain(offer.multiple))))
    console.print(table if offers else f"{escape(sku)} has no supplier")


@suppliers_app.command("set")
def suppliers_set(code: str, name: str) -> None:
    """Make a supplier known, or name it anew."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        save_supplier(connection, code, name)
    console.print(f"{code} is {name}", markup=False, highlight=False)


@suppliers_app.command("available")
def suppliers_available(code: str) -> None:
    """Say that a supplier can deliver again."""
    _mark(code, available=True)


@suppliers_app.command("unavailable")
def suppliers_unavailable(code: str) -> None:
    """Say that a supplier can't deliver: from now on the next in the list is named."""
    _mark(code, available=False)


@suppliers_app.command("offer")
def suppliers_offer(
    sku: str,
    supplier: Annotated[str, typer.Argument(help="Its code")],
    position: Annotated[int, typer.Option(help="Smaller ones are asked first")] = 1,
    days: Annotated[int | None, typer.Option(help="From the order to the goods", min=0)] = None,
    article_no: Annotated[str, typer.Option(help="The supplier's own number of the article")] = "",
    minimum: Annotated[str, typer.Option(help="They deliver so much or more, in base units")] = "0",
    multiple: Annotated[str | None, typer.Option(help="In multiples of this; without it any quantity")] = None,
) -> None:
    """Put a supplier into an article's list, or change what is said of it there."""
    largest = None if multiple is None else quantity_of(multiple)
    offer = Offer(sku, supplier, position, days, article_no, quantity_of(minimum), largest)
    with open_runtime() as runtime, runtime.database.driver() as connection:
        save_offer(connection, offer)
    console.print("done")


@suppliers_app.command("drop")
def suppliers_drop(sku: str, supplier: Annotated[str, typer.Argument(help="Its code")]) -> None:
    """Take a supplier out of an article's list."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        found = drop_offer(connection, sku, supplier)
    console.print("done" if found else f"{supplier} is not in the list of {sku}", markup=False)
    raise typer.Exit(0 if found else 1)


@suppliers_app.command("import")
def suppliers_import(file: Path) -> None:
    """Replace the lists of the articles that a CSV file names, all or nothing; its columns are those of the export."""
    offers = read_offers(file)
    with open_runtime() as runtime, runtime.database.driver() as connection, connection.transaction():
        articles = replace_lists(connection, offers)
    console.print(f"lists of {articles} articles", highlight=False)


@suppliers_app.command("export")
def suppliers_export(file: Path) -> None:
    """Write the lists of all articles as CSV."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        offers = load_offers(connection)
    with writing(file) as out:
        write_offers(out, offers)
    console.print(f"{len(offers)} lines", highlight=False)


def _mark(code: str, *, available: bool) -> None:
    with open_runtime() as runtime, runtime.database.driver() as connection:
        mark_supplier(connection, code, available=available)
    console.print(f"{code} is {_state(available=available)}", markup=False, highlight=False)


def _state(*, available: bool) -> str:
    return "available" if available else "not available"
