"""From a goods movement to the storefront.

Goods movements are posted in the ERPs' stand-ins at random moments; each is timed from just before it is posted until
`GET /v1/stock/{sku}` first answers with it, which is asked every 20 ms. Everything is a process of its own: PostgreSQL,
the ERPs, the near-real-time loop (`oneshelf live`: what the flow wraps, without Prefect), the storefront adapter. The
loop polls SAP once a second and Kingdee every 2.25 seconds, and it is handed over to another process in the middle, as
happens each hour. SAP over RFC is read from a
stand-in inside the loop's process, over the books that the OData stand-in serves as well.

The first part is a calm ERP: 2,000 articles, 5 shops on each source. The second is a chain of 60 shops, 20 on each
source, and 100,000 articles, of which a shop carries 10,000; 5 movements a second, a third of them on each source; and
each answer of each ERP is 300 ms late. Its calls per minute are those of the loop while goods move. All of it, the work
of the ERPs too, runs on the same two cores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chain import SOURCES, Size, open_chain
from benchmarks.measure import Figure, percentile
from benchmarks.movements import Watcher, find_sales, post_all, run_while
from hub.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.chain import Calls, Chain

_P50_AT_MOST: Final = 2.0
_P99_AT_MOST: Final = 5.0
_BUDGETS: Final = {"sap": 600, "kingdee": 300, "ecc": 600}
_NAMES: Final = {"sap": "SAP, OData", "kingdee": "Kingdee", "ecc": "SAP, RFC"}
_HAND_OVER_AFTER: Final = "3"
"""Seconds of work after which a loop hands over when another waits; an hour in production."""
_SETTLE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How large, how slow, how many movements of each source, and how many a second of all together."""

    name: str
    size: Size
    latency: float
    each: int
    per_second: float


@dataclass
class Run:
    """What one run gave: the lags of each source, and what the loop called meanwhile."""

    lags: dict[str, list[float]]
    calls: dict[str, Calls]
    minutes: float


def scenarios(*, quick: bool) -> tuple[Scenario, Scenario]:
    """Return the two scenarios, or small ones that take seconds."""
    if quick:
        small = Size(articles=200, stores=2)
        return Scenario("calm", small, 0, 10, 6), Scenario("slow", small, 0.3, 15, 5)
    return (
        Scenario("calm", Size(articles=2000, stores=5), 0, 210, 4.5),
        Scenario("60 shops, answers 300 ms late", Size(articles=100_000, stores=20, every=10), 0.3, 210, 5),
    )


def run(runs: int, *, quick: bool) -> Iterable[Figure]:
    """Measure both scenarios."""
    for scenario in scenarios(quick=quick):
        with open_chain(scenario.size) as chain:
            chain.environment["ONESHELF_LIVE__HANDOVER_SECONDS"] = _HAND_OVER_AFTER
            chain.read_everything()
            chain.slow_down(scenario.latency)
            adapter, key = chain.start_adapter(), chain.create_key()
            measured = [_measure(chain, scenario, number, adapter, key) for number in range(runs)]
        yield from _figures(scenario, measured)


def _measure(chain: Chain, scenario: Scenario, number: int, adapter: str, key: str) -> Run:
    first, second = f"live-{number}-a", f"live-{number}-b"
    started = chain.start_live(first)
    time.sleep(_SETTLE_SECONDS)
    sales = find_sales(chain, scenario.each)
    watcher = Watcher(adapter, key)
    watcher.start()

    def hand_over() -> None:
        time.sleep(len(sales) / scenario.per_second / 2)
        chain.start_live(second)
        if started.process is None or started.process.wait(60):
            raise RuntimeError(f"{first} did not hand over")

    since = utc_now()
    run_while(lambda: post_all(chain, sales, watcher, per_second=scenario.per_second), hand_over)
    until = utc_now()
    watcher.finish()
    worked = [line for line in chain.log_of(second) if line.get("event") == "live_started"]
    if not worked or not since.isoformat() < worked[0]["timestamp"] < until.isoformat():
        raise RuntimeError(f"{second} did not take over while goods moved")
    for name in (first, second):
        chain.children[name].stop()
        chain.supervisor.children.remove(chain.children[name])
    return Run(watcher.lags, chain.calls([first, second], since, until), (until - since).total_seconds() / 60)


def _figures(scenario: Scenario, measured: list[Run]) -> Iterator[Figure]:
    for source in SOURCES:
        name = f"{scenario.name}: {_NAMES[source]}"
        lags = [run.lags[source] for run in measured]
        count = min(map(len, lags))
        for percent, limit in ((50, _P50_AT_MOST), (95, None), (99, _P99_AT_MOST)):
            values = tuple(percentile(some, percent) for some in lags)
            note = f"of {count} movements in each run" if percent == 50 else ""  # noqa: PLR2004 - the median
            yield Figure(f"{name}, p{percent}", "s", values, at_most=limit, note=note)
        yield Figure(f"{name}, longest", "s", tuple(map(max, lags)))
        if scenario.latency:
            calls = tuple(run.calls[source].count / run.minutes for run in measured)
            yield Figure(f"{name}, calls", "per minute", calls, at_most=_BUDGETS[source])
            waited = tuple(run.calls[source].budget_seconds / run.minutes for run in measured)
            yield Figure(f"{name}, waited for the budget", "s per minute", waited)
