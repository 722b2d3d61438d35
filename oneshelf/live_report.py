"""Print what a look at real systems found: for people as tables, for machines as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from oneshelf.live_check import look_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from typing import Any

    from rich.console import Console

    from hub.probe import Observation
    from hub.settings import Settings
    from oneshelf.live_check import SourceReport

_OK, _DIFFERENT, _WRONG = "[green]ok[/]", "[yellow]~[/]", "[red]!![/]"


def run_live_check(console: Console, settings: Settings, source: str | None, sku: str | None, *, as_json: bool) -> int:
    """Look at one or all sources and print what was seen; returns 0, or 1 when numbers would be wrong.

    Raises:
        ConfigError: no such source, or the locations file is wrong.
    """
    reports = []
    for report in look_at(settings, source, sku):
        reports.append(report)
        if not as_json:
            _print(console, report)
    if as_json:
        found = [report.to_json() for report in reports]
        console.print_json(json.dumps(found, ensure_ascii=False, default=str))
    return 0 if all(report.well for report in reports) else 1


def _print(console: Console, report: SourceReport) -> None:
    console.rule(report.source, align="left")
    table = Table("", "looked at", "seen", "assumed", "what to do", box=None, pad_edge=False)
    for check in report.checks:
        words = (check.name, check.detail, "well", "" if check.ok else check.advice)
        table.add_row(_OK if check.ok else _WRONG, *map(escape, words))
    for seen in report.observations:
        table.add_row(_mark(seen), *map(escape, (seen.name, seen.seen, seen.assumed, seen.advice)))
    console.print(table)
    if report.failure:
        console.print(f"{_WRONG} {escape(report.failure)}", soft_wrap=True)
    if report.rows:
        _print_article(console, report)


def _mark(seen: Observation) -> str:
    if seen.agrees:
        return _OK
    return _WRONG if seen.alarming else _DIFFERENT


def _print_article(console: Console, report: SourceReport) -> None:
    console.print(f"\narticle [bold]{escape(report.item)}[/], row by row", highlight=False)
    table = Table("place", "quantity", "goes", "the ERP's words", "the mapping", box=None, pad_edge=False)
    for traced in report.rows:
        quantity = "" if traced.row is None else f"{traced.row.quantity:f}"
        words = (traced.location, quantity, traced.reason, _words(traced.raw), "; ".join(traced.steps))
        table.add_row(*map(escape, words))
    console.print(table)
    table = Table("", "place", "ERP: on hand", "apart", "hub: on hand", "apart", box=None, pad_edge=False)
    for place in report.comparisons:
        numbers = (place.erp_on_hand, place.erp_apart, place.hub_on_hand, place.hub_apart)
        mark = _WRONG if place.differs else _OK
        table.add_row(mark, escape(place.place), *map(_number, numbers))
    console.print(table)


def _words(raw: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in raw.items() if value not in (None, ""))


def _number(quantity: Decimal | None) -> str:
    return "unknown" if quantity is None else f"{quantity:f}"
