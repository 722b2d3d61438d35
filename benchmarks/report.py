"""Keeping results as JSON, and writing docs/benchmarks.md from them."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Figure
from hub.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Written by `make bench` from `benchmarks/results/*.json`; change the code in `benchmarks/`, not this page. Each figure
is the median of its runs with the smallest and the largest value; where a limit stands beside it, the median must keep
it. The machine is small and shared: compare the figures of one section, which are of one run, not those of two days.
"""


def describe_machine() -> dict[str, str]:
    """Return what a reader must know of the machine to compare figures."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "psycopg": version("psycopg"),
    }


def keep(name: str, title: str, text: str, figures: Iterable[Figure], seconds: float) -> None:
    """Store the results of one benchmark."""
    stored = {
        "title": title,
        "text": text,
        "measured_at": utc_now().isoformat(timespec="minutes"),
        "seconds": round(seconds),
        "machine": describe_machine(),
        "figures": [figure.as_json() for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_document(order: Iterable[str]) -> None:
    """Write docs/benchmarks.md from all stored results, in the given order."""
    stored = [
        json.loads(path.read_text(encoding="utf-8")) for name in order if (path := RESULTS / f"{name}.json").exists()
    ]
    DOCUMENT.write_text("\n".join([_HEAD, *map(_section, stored)]), encoding="utf-8")


def table(figures: Iterable[Figure]) -> list[str]:
    """Return the figures as the lines of a Markdown table."""
    lines = ["| figure | median | min – max | runs | limit | kept |", "|---|---|---|---|---|---|"]
    for figure in figures:
        spread = f"{_number(min(figure.values))} – {_number(max(figure.values))}"
        kept = {True: "yes", False: "**no**", None: ""}[figure.met]
        note = f"<br>{figure.note}" if figure.note else ""
        middle = f"{_number(figure.median)} {figure.unit}"
        lines.append(
            f"| {figure.name}{note} | {middle} | {spread} | {len(figure.values)} | {_limit(figure)} | {kept} |"
        )
    return lines


def _section(stored: Mapping[str, Any]) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in stored["machine"].items())
    figures = [Figure.from_json(figure) for figure in stored["figures"]]
    measured = f"Measured {stored['measured_at'][:16].replace('T', ' ')} UTC in {stored['seconds']} s: {machine}."
    return "\n".join([f"## {stored['title']}", "", stored["text"], "", *table(figures), "", measured, ""])


def _limit(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"≤ {_number(figure.at_most)}"
    return "" if figure.at_least is None else f"≥ {_number(figure.at_least)}"


def _number(value: float) -> str:
    if abs(value) >= 100:  # noqa: PLR2004 - beyond, a fraction tells nothing
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
