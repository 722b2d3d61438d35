"""The commands `oneshelf stock reconcile` and `oneshelf stock differences`."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.runtime import open_runtime
from hub.errors import DomainError, OneshelfError
from hub.reconcile.book import Difference, load_differences, resolve
from hub.reconcile.check import CheckReport, Reconciler
from hub.reconcile.kinds import KINDS
from hub.reconcile.mend import LONGEST_DOCUMENT, rebuild, resolve_not_sold, resolve_posted
from oneshelf.console import console

if TYPE_CHECKING:
    import psycopg


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
    posted_by: Annotated[
        str | None, typer.Option(help="With --resolve: the ERP's document that has posted it without its number")
    ] = None,
    not_sold: Annotated[bool, typer.Option("--not-sold", help="With --resolve: the till told it by mistake")] = False,
) -> None:
    """Show what differs and waits for a person, or note that one was dealt with."""
    if (resolve_id is None) != (text is None or not text.strip()):
        raise typer.BadParameter("--resolve and --as belong together")
    if (posted_by is not None or not_sold) and (resolve_id is None or (posted_by is not None and not_sold)):
        raise typer.BadParameter("--posted-by and --not-sold belong to --resolve, one of them")
    if posted_by is not None and not 0 < len(posted_by.strip()) <= LONGEST_DOCUMENT:
        raise typer.BadParameter(f"--posted-by takes the number of a document, {LONGEST_DOCUMENT} characters at most")
    with open_runtime() as runtime, runtime.database.driver() as connection:
        if resolve_id is not None and text is not None:
            _resolve(connection, resolve_id, text.strip(), posted_by, not_sold=not_sold)
        found = load_differences(connection, source=source, hours=hours)
    console.print(f"{len(found)} differences", highlight=False)
    _show(found)


def _resolve(
    connection: psycopg.Connection, resolve_id: int, text: str, posted_by: str | None, *, not_sold: bool
) -> None:
    by = getpass.getuser()
    try:
        if posted_by is not None:
            done = resolve_posted(connection, resolve_id, text, by, posted_by.strip())
        elif not_sold:
            done = resolve_not_sold(connection, resolve_id, text, by)
        else:
            done = resolve(connection, resolve_id, text, by) is not None
        console.print("done" if done else f"there is no open difference {resolve_id}", markup=False)
    except DomainError as error:
        done = False
        console.print(f"nothing was changed: {error}", markup=False)
    raise typer.Exit(0 if done else 1)


def stock_rebuild(
    sku: str, place: Annotated[str, typer.Argument(help="The place's own code, for instance DC-SH")]
) -> None:
    """Make what is held, sold and expected of a level anew from its rows, where the hub's own sums disagree."""
    with open_runtime() as runtime, runtime.database.driver() as connection:
        changed = rebuild(connection, sku, place, getpass.getuser())
    if changed is None:
        console.print(f"{sku} has no level at {place}", markup=False)
        raise typer.Exit(1)
    for name, (before, after) in changed.items():
        console.print(f"{name}: {before} -> {after}", markup=False, highlight=False)
    if not changed:
        console.print("all sums were right")


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
