"""A million stock rows into the ledger.

20,000 articles at 50 places, from a file of the ERP's raw pages (HTTP apart) through the real connector, mapping,
staging and the rules into levels and ledger; then a second full read in which 1 % of the rows have changed. Beside it
stands the database's own time for the same rows when they are in the hub's form already: COPY into a temporary table,
and INSERT … ON CONFLICT DO UPDATE of what changed, with no ledger. Each load runs in a process of its own, whose peak
memory is told; the database is another process.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.erp_pages import SYSTEMS, Books, replaying_connector, write_pages
from benchmarks.hub import scratch_hub
from benchmarks.measure import Figure
from hub.contracts import Changes
from hub.db.session import Database
from hub.memory import collect_cycles_rarely
from hub.settings import StockSettings
from hub.sync.inventory import InventorySync
from hub.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.contracts import Cursor

_FIRST_AT_MOST, _SECOND_AT_MOST, _MEMORY_AT_MOST = 40.0, 15.0, 600.0
_SIZES = {False: Books("", articles=20_000, places=50), True: Books("", articles=4000, places=50)}


@dataclass(frozen=True, slots=True)
class Load:
    """One load: seconds, and the peak memory of its process in MB."""

    seconds: float
    megabytes: float
    changed: int


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Measure both ERPs' pages."""
    with tempfile.TemporaryDirectory(prefix="oneshelf-bench-", dir="/var/tmp") as folder:
        for system in SYSTEMS:
            books = replace(_SIZES[quick], system=system)
            yield from _measure(books, Path(folder), runs)


def _measure(books: Books, folder: Path, runs: int) -> Iterator[Figure]:
    files = [folder / f"{books.system}-{state}.jsonl" for state in (0, 1)]
    for state, file in enumerate(files):
        write_pages(books, state, file)
    first: list[Load] = []
    second: list[Load] = []
    limits: list[tuple[float, float]] = []
    for _ in range(runs):
        with scratch_hub(books) as url:
            limits.append(_database_alone(url, books))
            first.append(_load(url, books, files[0]))
            second.append(_load(url, books, files[1]))
    for file in files:
        file.unlink()
    name = f"{books.system}: {books.rows:,} rows"
    yield Figure(f"{name}, first load", "s", tuple(load.seconds for load in first), at_most=_FIRST_AT_MOST)
    yield Figure(f"{name}, the database alone", "s", tuple(limit for limit, _ in limits))
    yield Figure(
        f"{name}, second load",
        "s",
        tuple(load.seconds for load in second),
        at_most=_SECOND_AT_MOST,
        note=f"{second[0].changed:,} levels changed",
    )
    yield Figure(f"{name}, second load, the database alone", "s", tuple(limit for _, limit in limits))
    ratios = [load.seconds / limit for load, (limit, _) in zip(first, limits, strict=True)]
    yield Figure(f"{name}, first load to the database alone", "×", tuple(ratios))
    ratios = [load.seconds / limit for load, (_, limit) in zip(second, limits, strict=True)]
    yield Figure(f"{name}, second load to the database alone", "×", tuple(ratios))
    peaks = tuple(max(one.megabytes, two.megabytes) for one, two in zip(first, second, strict=True))
    yield Figure(f"{name}, peak memory", "MB", peaks, at_most=_MEMORY_AT_MOST)


def _load(url: str, books: Books, file: Path) -> Load:
    """Run one full read in a new process: its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(load_file, (url, books, file))


def load_file(url: str, books: Books, file: Path) -> Load:
    """Read all pages of a file into the hub's levels; runs in a process of its own."""
    configure_logging(level="WARNING", as_json=True)
    collect_cycles_rarely()  # as every process that reads an ERP does
    with closing(Database(url)) as database:
        connector = replaying_connector(books, file)
        # The file holds stock alone: where the stream of changes stands is no part of this.
        connector.changed_keys = _no_changes  # type: ignore[method-assign]
        began = time.perf_counter()
        report = InventorySync(database, connector, StockSettings()).snapshot()
        seconds = time.perf_counter() - began
    if report.state != "applied" or report.rejected or report.rows != books.rows:
        raise RuntimeError(f"the load went wrong: {report}")
    return Load(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, report.changed_count)


def _no_changes(cursor: Cursor | None) -> Changes:
    del cursor
    return Changes(frozenset(), {})


def _database_alone(url: str, books: Books) -> tuple[float, float]:
    """Return the seconds of COPY + upsert for the first and the second state, into a copy of the table of levels."""
    seconds = []
    with closing(Database(url)) as database, database.driver() as connection:
        connection.execute("CREATE TABLE plain_level (LIKE stock_level INCLUDING ALL)")
        for state in (0, 1):
            lines = "".join(
                f"{number // books.places + 1}\t{number % books.places + 1}\t{books.quantity(number, state)}\t1\t2\n"
                for number in range(books.rows)
            )
            began = time.perf_counter()
            with connection.transaction():
                connection.execute(
                    "CREATE TEMP TABLE plain (item_id bigint, location_id bigint, on_hand numeric,"
                    " read_began bigint, read_ended bigint) ON COMMIT DROP"
                )
                with connection.cursor() as cursor, cursor.copy("COPY plain FROM STDIN") as copy:
                    copy.write(lines)
                connection.execute(
                    "INSERT INTO plain_level (item_id, location_id, on_hand, read_began, read_ended)"
                    " SELECT item_id, location_id, on_hand, read_began, read_ended FROM plain"
                    " ON CONFLICT (item_id, location_id) DO UPDATE SET on_hand = excluded.on_hand,"
                    " read_began = excluded.read_began, read_ended = excluded.read_ended"
                    " WHERE plain_level.on_hand <> excluded.on_hand"
                )
            seconds.append(time.perf_counter() - began)
        connection.execute("DROP TABLE plain_level")
    return seconds[0], seconds[1]
