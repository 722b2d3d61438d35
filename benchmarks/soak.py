"""An hour of steady work.

Goods move on both ERPs and over RFC, two a second, and the storefront, two processes at one port, is asked without end.
One near-real-time loop works nearly to the end, and hands over then, as it does each hour in production. Meanwhile the
resident memory of adapter and loops is looked at, and what PostgreSQL's processes have for themselves, and how long
movements take to show. A movement that never shows fails the run; so does memory that grows after the warm-up, or a lag
that does, by more than the limits beside the figures.

`make soak` takes an hour, `make soak SOAK_MINUTES=10` ten minutes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

import httpx
import psutil
import psycopg

from benchmarks.chain import Size, open_chain
from benchmarks.measure import Figure, percentile
from benchmarks.movements import Watcher, find_sales, post_all, run_while
from benchmarks.report import table
from hub.db.session import plain_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.chain import Chain

_MINUTES: Final = 60.0
_QUICK_MINUTES: Final = 0.5
_PER_SECOND: Final = 2.0
_WARM_UP_SECONDS: Final = 5.0
_ROUND_SECONDS: Final = 60.0
_HAND_OVER_AT: Final = 0.95
_ADAPTERS: Final = 2
_READ_PAUSE_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 15.0
_LEAST_MINUTES: Final = 5
"""A shorter run is mostly warm-up, and its limits are wide."""
_ADAPTER, _POSTGRES, _PROCESSES = "adapter", "PostgreSQL", "PostgreSQL's processes"
_MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much more the end may be than the beginning, as a ratio: memory after the warm-up, and p99 of the lag."""

    growth: float
    lag: float


@dataclass
class Samples:
    """What was seen: moments are shares of the whole time, from 0 to 1."""

    memory: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    lags: list[tuple[float, float]] = field(default_factory=list)
    reads: int = 0


def run(runs: int, *, quick: bool) -> Iterable[Figure]:
    """Work for as long as SOAK_MINUTES says, an hour if it says nothing; `runs` is not heeded.

    Raises:
        RuntimeError: a movement never showed, a process ended, or a limit is broken.
    """
    del runs
    minutes = _QUICK_MINUTES if quick else float(os.environ.get("SOAK_MINUTES", _MINUTES))
    limits = Limits(growth=2.0, lag=4.0) if minutes < _LEAST_MINUTES else Limits(growth=1.15, lag=1.5)
    with open_chain(Size(articles=500 if quick else 5000, stores=3)) as chain:
        chain.environment["ONESHELF_LIVE__HANDOVER_SECONDS"] = "2"
        chain.read_everything()
        adapter, key = chain.start_adapter(_ADAPTERS), chain.create_key()
        samples = Soak(chain, adapter, key, minutes * 60).work()
    figures = list(_figures(samples, minutes, limits))
    if any(figure.met is False for figure in figures):
        raise RuntimeError("\n".join(["not steady:", *table(figures)]))
    return figures


class Soak:
    """The work and the looks at it."""

    def __init__(self, chain: Chain, adapter: str, key: str, seconds: float) -> None:
        self._chain = chain
        self._adapter = adapter
        self._key = key
        self._seconds = seconds
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._samples = Samples()

    def work(self) -> Samples:
        """Let everything work until the time is over.

        Raises:
            RuntimeError: a movement never showed, or a process ended that should not.
        """
        self._chain.start_live("live-0")
        time.sleep(_WARM_UP_SECONDS)
        self._began = time.monotonic()
        sides = [threading.Thread(target=side) for side in (self._read, self._look)]
        for side in sides:
            side.start()
        try:
            run_while(self._sell, self._hand_over)
        finally:
            self._stopped.set()
            for side in sides:
                side.join()
        return self._samples

    @property
    def _passed(self) -> float:
        """The share of the time that has passed."""
        return (time.monotonic() - self._began) / self._seconds

    def _sell(self) -> None:
        """Sell round by round; each round's movements are waited for, and its lags kept with its moment."""
        round_seconds = min(_ROUND_SECONDS, self._seconds / 5)
        each = int(round_seconds * _PER_SECOND / len(self._chain.size.sources))
        while self._passed < 1:
            moment = self._passed
            watcher = Watcher(self._adapter, self._key)
            watcher.start()
            post_all(self._chain, find_sales(self._chain, each), watcher, per_second=_PER_SECOND)
            watcher.finish()
            self._samples.lags += [(moment, lag) for lags in watcher.lags.values() for lag in lags]

    def _hand_over(self) -> None:
        time.sleep(self._seconds * _HAND_OVER_AT)
        before = self._chain.children["live-0"]
        self._chain.start_live("live-1")
        if before.process is None or before.process.wait(60):
            raise RuntimeError("the loop did not hand over")
        self._chain.supervisor.children.remove(before)

    def _read(self) -> None:
        """Ask the storefront for one page after the other, as a shop's own pages do."""
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(base_url=self._adapter, headers=headers) as client:
            while not self._stopped.wait(_READ_PAUSE_SECONDS):
                client.get("/v1/stock", params={"limit": 50}).raise_for_status()
                self._samples.reads += 1

    def _look(self) -> None:
        """Note the memory of each process again and again."""
        pause = min(_LOOK_SECONDS, self._seconds / 40)
        with closing(psycopg.connect(plain_url(self._chain.database_url))) as connection:
            server = psutil.Process(connection.info.backend_pid).parent()
            while not self._stopped.wait(pause):
                for name, seen in _memory(self._chain, server).items():
                    self._samples.memory[name].append((self._passed, seen))


def _memory(chain: Chain, server: psutil.Process | None) -> dict[str, float]:
    """Return the resident memory of each loop and of all adapters in MB, PostgreSQL's own, and its number of processes.

    PostgreSQL's own is what is mapped from no file and shared with nobody. Its buffers fill up with the data, and would
    count as one process' own while no other has touched them.
    """
    found: dict[str, float] = defaultdict(float)
    for name, child in list(chain.children.items()):
        kind = _ADAPTER if name.startswith(_ADAPTER) else name
        if kind.startswith(("live", _ADAPTER)) and child.alive and child.process is not None:
            with suppress(psutil.NoSuchProcess):
                found[kind] += psutil.Process(child.process.pid).memory_info().rss / _MEGABYTE
    private = 0
    processes = server.children() if server else []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            memory = process.memory_info()
            private += memory.rss - memory.shared
    return {**found, _POSTGRES: private / _MEGABYTE, _PROCESSES: len(processes)}


def _figures(samples: Samples, minutes: float, limits: Limits) -> Iterator[Figure]:
    note = f"{samples.reads:,} reads, {len(samples.lags):,} movements"
    yield Figure("length", "minutes", (minutes,), note=note)
    for name in (_ADAPTER, _POSTGRES):
        looks = samples.memory[name]
        yield Figure(f"{name}, memory at the end", "MB", (_middle(looks, 0.75, 1.1),))
        growth = _middle(looks, 0.75, 1.1) / _middle(looks, 0.25, 0.5)
        yield Figure(f"{name}, memory, last quarter to second", "×", (growth,), at_most=limits.growth)
    for quarter, low in (("second", 0.25), ("last", 0.75)):
        yield Figure(
            f"{_PROCESSES} in the {quarter} quarter", "", (_middle(samples.memory[_PROCESSES], low, low + 0.25),)
        )
    seen = [value for _, value in samples.memory["live-0"]]
    third = len(seen) // 3
    yield Figure("near-real-time loop, memory at its end", "MB", (seen[-1],))
    growth = median(seen[-third:]) / median(seen[third:-third])
    name = "near-real-time loop, memory, last third of its life to second"
    yield Figure(name, "×", (growth,), at_most=limits.growth)
    # On a busy machine a round of a short run may last longer than a quarter, so that one has none.
    quarters = {
        number: lags
        for number, low in enumerate((0, 0.25, 0.5, 0.75), start=1)
        if len(lags := [lag for moment, lag in samples.lags if low <= moment < low + 0.25]) > 1
    }
    for number, lags in quarters.items():
        yield Figure(f"lag in quarter {number}, p50", "s", (percentile(lags, 50),))
        yield Figure(f"lag in quarter {number}, p99", "s", (percentile(lags, 99),))
    p99 = [percentile(lags, 99) for lags in quarters.values()]
    ratio = p99[-1] / p99[0]
    yield Figure("lag p99, last quarter to first", "×", (ratio,), at_most=limits.lag)


def _middle(seen: list[tuple[float, float]], low: float, high: float) -> float:
    return median(value for moment, value in seen if low <= moment < high)
