"""A million stock rows over slow HTTP.

20,000 articles in 50 shops are read in full from the stand-ins of SAP and Kingdee, which are processes of their own,
through the real connectors into an empty ledger. Each answer is 300 ms late, beside the work it is; pages have the
ERP's real size (5,000 rows at SAP, 2,000 at Kingdee), and the budget of calls per minute is the default of each
connector. Where the stream of changes begins is asked first, as in each first read. Pages are asked for one after the
other, each between two ticks.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import psycopg
import structlog

from benchmarks.chain import Size, open_chain
from benchmarks.measure import Figure
from flows.runtime import open_runtime
from hub.db.session import plain_url
from hub.items.store import sync_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.chain import Chain
    from flows.runtime import Runtime

T = TypeVar("T")

_SOURCES: Final = ("sap", "kingdee")
_NAMES: Final = {"sap": "SAP", "kingdee": "Kingdee"}
_BUDGETS: Final = {"sap": 600, "kingdee": 300}
_LATENCY: Final = 0.3


@dataclass(frozen=True, slots=True)
class FullRead:
    """What one full read took. `waiting`: seconds from each request to the end of its answer."""

    seconds: float
    rows: int
    calls: int
    waiting: float
    budget_seconds: float
    megabytes: float


def run(runs: int, *, quick: bool) -> Iterable[Figure]:
    """Read all rows of each ERP, each time into an empty ledger."""
    size = Size(500, 4, sources=_SOURCES) if quick else Size(20_000, 50, sources=_SOURCES)
    with open_chain(size) as chain:
        for source in _SOURCES:
            _apart(read_articles, chain.environment, source)
        chain.slow_down(_LATENCY)
        for source in _SOURCES:
            yield from _figures(source, [_measure(chain, source) for _ in range(runs)])


def _measure(chain: Chain, source: str) -> FullRead:
    with _copied(chain.database_url) as url:
        return _apart(read_stock, {**chain.environment, "ONESHELF_DATABASE__URL": url}, source)


@contextmanager
def _copied(url: str) -> Iterator[str]:
    """Yield the URL of a copy of a database, which is dropped afterwards."""
    name = urlsplit(url).path.removeprefix("/")
    copy = f"{name}_copy"
    with closing(psycopg.connect(plain_url(url.replace(f"/{name}?", "/postgres?")), autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
        try:
            yield url.replace(f"/{name}?", f"/{copy}?")
        finally:
            admin.execute(f"DROP DATABASE {copy} WITH (FORCE)")


def _apart(work: Callable[[Runtime, str], T], environment: Mapping[str, str], source: str) -> T:
    """Do some work in a new process: its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: T = pool.apply(_in_runtime, (work, environment, source))
    return result


def _in_runtime(work: Callable[[Runtime, str], T], environment: Mapping[str, str], source: str) -> T:
    os.environ.update(environment)
    with open_runtime() as runtime:
        runtime.declare()
        return work(runtime, source)


def read_articles(runtime: Runtime, source: str) -> None:
    """Read the articles of a source."""
    structlog.configure(processors=[_drop])
    sync_items(runtime.database, runtime.connector(source), runtime.settings)


def read_stock(runtime: Runtime, source: str) -> FullRead:
    """Read the stock of a source in full.

    Raises:
        RuntimeError: it was not applied, or not all of it.
    """
    sync = runtime.inventory(source)
    with structlog.testing.capture_logs() as logs:
        began = time.perf_counter()
        report = sync.snapshot()
        seconds = time.perf_counter() - began
    if report.state != "applied" or report.rejected:
        raise RuntimeError(f"the read went wrong: {report}")
    calls = [line for line in logs if line["event"] == "remote_call"]
    return FullRead(
        seconds,
        report.rows,
        len(calls),
        sum(line["duration_ms"] for line in calls) / 1000,
        sum(line["waited_ms"] for line in calls) / 1000,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _drop(*_: object) -> str:
    raise structlog.DropEvent


def _figures(source: str, reads: list[FullRead]) -> Iterator[Figure]:
    name = f"{_NAMES[source]}: {reads[0].rows:,} rows"
    yield Figure(name, "s", tuple(read.seconds for read in reads), note=f"{reads[0].calls} calls")
    yield Figure(f"{name}, waiting for answers", "s", tuple(read.waiting for read in reads))
    late = tuple(read.calls * _LATENCY for read in reads)
    yield Figure(f"{name}, of it the 300 ms", "s", late)
    yield Figure(f"{name}, waiting for the budget", "s", tuple(read.budget_seconds for read in reads))
    rates = tuple(read.calls * 60 / read.seconds for read in reads)
    yield Figure(f"{name}, calls", "per minute", rates, at_most=_BUDGETS[source])
    yield Figure(f"{name}, speed", "rows/s", tuple(read.rows / read.seconds for read in reads))
    yield Figure(f"{name}, peak memory", "MB", tuple(read.megabytes for read in reads))
