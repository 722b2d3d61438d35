"""The commands `oneshelf kits …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import open_runtime
from hub.items.kits import drop_kit, load_kits, set_kit
from oneshelf.console import console, plain, quantity_of

if TYPE_CHECKING:
    from decimal import Decimal

kits_app = typer.Typer(no_args_is_help=True, help="Articles that are sold as one and consist of others (套装).")


@kits_app.command("list")
def kits_list() -> None:
    """Show all kits and what they consist of."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        kits = load_kits(connection)
    table = Table("kit", "name", "components", box=None, pad_edge=False)
    for kit in kits:
        components = "  ".join(f"{sku}={plain(quantity)}" for sku, quantity in kit.components.items())
        table.add_row(*map(escape, (kit.sku, kit.name, components)))
    console.print(table if kits else "no kit")


@kits_app.command("set")
def kits_set(
    kit: str,
    components: Annotated[list[str], typer.Argument(help="SKU=QUANTITY in the component's base unit, for each")],
) -> None:
    """Say what a kit consists of; what it consisted of before is forgotten."""
    named = dict(map(_component, components))
    if len(named) < len(components):
        raise typer.BadParameter("a component is named twice")
    with open_runtime() as runtime, runtime.database.driver() as connection:
        set_kit(connection, kit, named)
    console.print("done")


@kits_app.command("remove")
def kits_remove(kit: str) -> None:
    """Make a kit an ordinary article."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        found = drop_kit(connection, kit)
    console.print("done" if found else f"{kit} is no kit", markup=False)
    raise typer.Exit(0 if found else 1)


def _component(text: str) -> tuple[str, Decimal]:
    sku, _, quantity = text.rpartition("=")
    if not sku:
        raise typer.BadParameter(f"{text!r} must be SKU=QUANTITY")
    return sku, quantity_of(quantity)
