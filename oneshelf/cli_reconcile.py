"""The commands `oneshelf stock reconcile` and `oneshelf stock differences`."""

from __future__ import annotations

import getpass
import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import open_runtime
from hub.errors import OneshelfError
from hub.reconcile.book import Difference, load_differences, resolve
from hub.reconcile.check import CheckReport, Reconciler
from hub.reconcile.kinds import KINDS
from oneshelf.console import console


def stock_reconcile(
    source: Annotated[str | None, typer.Option(help="Name of the source; without it all")] = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="Check all levels by one full read")] = False,
) -> None:
    """Compare levels with their ERP now, name what differs and correct what is safe to correct.

    Ends with 1 when something differs that nobody had found before, a full read was not believed, or a source could not
    be asked.
    """
    clean = True
    with open_runtime() as runtime:
        for name in [source] if source else list(runtime.settings.enabled_sources()):
            reconciler = Reconciler(runtime.inventory(name), runtime.settings.stock)
            try:
                report = reconciler.check_all() if full else reconciler.check_slice()
            except OneshelfError as error:
                report = CheckReport(name, "full" if full else "slice", "unreachable", reason=str(error))
            told = f"{name}: {report.state}, {report.checked} levels, {len(report.found)} new differences"
            console.print(f"{told}{f': {report.reason}' if report.reason else ''}", markup=False, highlight=False)
            _show(report.found)
            clean = clean and report.state == "checked" and not report.found
    raise typer.Exit(0 if clean else 1)


def stock_differences(
    *,
    source: Annotated[str | None, typer.Option(help="Name of the source; without it all")] = None,
    hours: Annotated[float, typer.Option(help="Those too that were found and closed within so many hours")] = 0,
    resolve_id: Annotated[int | None, typer.Option("--resolve", help="The difference that was dealt with")] = None,
    text: Annotated[str | None, typer.Option("--as", help="With --resolve: what it was")] = None,
) -> None:
    """Show what differs and waits for a person, or note that one was dealt with."""
    if (resolve_id is None) != (text is None or not text.strip()):
        raise typer.BadParameter("--resolve and --as belong together")
    with open_runtime() as runtime, runtime.database.driver() as connection:
        if resolve_id is not None and text is not None:
            done = resolve(connection, resolve_id, text.strip(), getpass.getuser())
            console.print("done" if done else f"there is no open difference {resolve_id}", markup=False)
            raise typer.Exit(0 if done else 1)
        found = load_differences(connection, source=source, hours=hours)
    console.print(f"{len(found)} differences", highlight=False)
    _show(found)


def _show(differences: list[Difference] | tuple[Difference, ...]) -> None:
    if not differences:
        return
    table = Table("id", "state", "class", "sku", "place", "number", "since", "evidence", box=None, pad_edge=False)
    for one in differences:
        evidence = json.dumps(one.evidence, ensure_ascii=False)
        names = (str(one.id), one.state, str(one.kind), one.sku, one.location, one.subject)
        table.add_row(*map(escape, (*names, one.found_at.isoformat(timespec="seconds"), evidence)))
    console.print(table)
    for kind in sorted({one.kind for one in differences}):
        console.print(f"{kind}: {KINDS[kind].english}", markup=False, highlight=False)
