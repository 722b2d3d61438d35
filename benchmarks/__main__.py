"""Run benchmarks by name and write docs/benchmarks.md: `python -m benchmarks [NAME …] [--runs N] [--quick]`.

Each module of this package with a function `run(runs, quick=…)` is a benchmark; the first line of its docstring is the
section's title, the rest its text. `--quick` takes small data, to see that it works; its figures are not kept.
"""

from __future__ import annotations

import argparse
import inspect
import time
from importlib import import_module

from rich.console import Console

from benchmarks.report import keep, table, write_document

BENCHMARKS = ("load", "pages", "lag", "read", "explain", "reserve", "expiry", "race", "outage", "soak")
"""In the order of the report."""


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all but soak and race when none is given"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    console = Console(width=160)
    for name in options.names or [name for name in BENCHMARKS if name not in {"soak", "race"}]:
        module = import_module(f"benchmarks.{name}")
        title, _, text = inspect.cleandoc(module.__doc__ or name).partition("\n")
        console.rule(title)
        began = time.perf_counter()
        figures = list(module.run(options.runs, quick=options.quick))
        console.print("\n".join(table(figures)), markup=False)
        if not options.quick:
            keep(name, title.rstrip("."), text.strip(), figures, time.perf_counter() - began)
            write_document(BENCHMARKS)


if __name__ == "__main__":
    main()
