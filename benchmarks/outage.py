"""Two hours of outage, and the way back.

One ERP after the other answers every call with a proxy's error page while two hours pass on its clock and goods move
in all shops (5 movements/s, 36,000 in all; 10 shops with 2,000 articles). The hub must say that its numbers are old.
Then the ERP answers again, and the near-real-time loop alone brings everything in: from that moment on it is measured
until the source is fresh and no level is due any more. All levels are then compared with the ERP's own books. The
loop's wait after a failure (5 s) and the budgets of calls (SAP 600, Kingdee 300 a minute) are the ordinary ones; the
ERP answers without latency.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from benchmarks.chain import Chain, Size, open_chain
from benchmarks.measure import Figure
from hub.clock import utc_now
from hub.db.session import Database
from oneshelf.demo_check import DemoRules, differences, kingdee_totals, sap_totals
from sandbox.erp.kingdee.stores import store_code as kingdee_store
from sandbox.erp.sap.stores import store_code as sap_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TWO_HOURS: Final = 7200
_AT_ONCE: Final = 5000
_PATIENCE_SECONDS: Final = 1800.0
_STALE_AFTER_SECONDS: Final = 5
_FAULTS: Final = {"sap": "html-503", "kingdee": "html-502"}
_READERS: Final = {"sap": sap_totals, "kingdee": kingdee_totals}
_STORES: Final = {"sap": sap_store, "kingdee": kingdee_store}
_STALE: Final = """
SELECT read_at < clock_timestamp() - make_interval(secs => stale_after_seconds), read_at,
       (SELECT count(*) FROM stock_due WHERE source = feed.source)
FROM feed WHERE source = %s
"""
_LEVELS: Final = """
SELECT location.code, item.sku, level.on_hand FROM stock_level AS level
JOIN item ON item.id = level.item_id JOIN location ON location.id = level.location_id
WHERE location.stock_source = %s AND level.on_hand <> 0
"""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How one outage was made up for: seconds, calls to the ERP, and levels that were wrong when it was back."""

    seconds: float
    calls: int
    levels: int


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Measure the way back from an outage of each ERP."""
    articles, stores = (300, 3) if quick else (2000, 10)
    size = Size(articles, stores, sources=tuple(_FAULTS), hours_behind=2 * runs)
    movements = 2000 if quick else 36_000
    with open_chain(size) as chain:
        for source in size.sources:
            chain.environment[f"ONESHELF_SOURCES__{source.upper()}__STALE_AFTER_SECONDS"] = str(_STALE_AFTER_SECONDS)
        chain.read_everything()
        chain.start_live("live")
        for source in size.sources:
            done = [_interrupt(chain, source, movements) for _ in range(runs)]
            yield from _figures(source, movements, done)


def _figures(source: str, movements: int, done: list[CatchUp]) -> Iterator[Figure]:
    name = {"sap": "SAP OData", "kingdee": "Kingdee"}[source]
    levels = f"{movements:,} movements; {min(run.levels for run in done):,} levels wrong at its return, none in the end"
    yield Figure(
        f"{name}: from its return until every level is right", "s", tuple(r.seconds for r in done), note=levels
    )
    yield Figure(f"{name}: calls for it", "calls", tuple(float(run.calls) for run in done))


def _interrupt(chain: Chain, source: str, movements: int) -> CatchUp:
    """Let an ERP be away while goods move; return how the hub made up for it.

    Raises:
        RuntimeError: the hub did not say that it was behind, or did not catch up.
    """
    with closing(Database(chain.database_url)) as database, database.driver() as connection:

        def ask(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql, (source,)).fetchall()

        def state() -> tuple[Any, ...]:
            return ask(_STALE)[0]

        def wrong() -> int:
            found = {(str(place), str(sku)): on_hand for place, sku, on_hand in ask(_LEVELS)}
            return len(differences(_books(chain, source), found))

        _wait(lambda: not state()[0], "is not fresh")
        fault = f"{chain.erps[source]}/__faults/{_FAULTS[source]}"
        httpx.put(fault, json={}).raise_for_status()
        _move(chain.erps[source], movements)
        _wait(lambda: state()[0], "is not called stale")
        levels = wrong()

        since, began = utc_now(), time.perf_counter()
        [(returned,)] = connection.execute("SELECT clock_timestamp()").fetchall()
        httpx.delete(fault).raise_for_status()
        _wait(lambda: (now := state())[1] > returned and not now[2], "has not caught up")
        seconds = time.perf_counter() - began
        calls = chain.calls(iter(["live"]), since, utc_now())[source].count
        if left := wrong():
            raise RuntimeError(f"{left} levels of {source} are wrong after the catch-up")
    return CatchUp(seconds, calls, levels)


def _move(erp: str, movements: int) -> None:
    for first in range(0, movements, _AT_ONCE):
        count = min(_AT_ONCE, movements - first)
        order = {"count": count, "over_seconds": _TWO_HOURS * count / movements, "everywhere": True}
        httpx.post(f"{erp}/__world/moves", json=order, timeout=600).raise_for_status()


def _books(chain: Chain, source: str) -> dict[tuple[str, str], Any]:
    """Return what the ERP's own books say may be sold at the chain's places."""
    codes = {_STORES[source](number): f"{source.upper()}-{number:03}" for number in range(1, chain.size.stores + 1)}
    return dict(_READERS[source](chain.erps[source], DemoRules(codes, {"default": 0}, chain.size.articles)))


def _wait(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {_PATIENCE_SECONDS:.0f} s the source {what}")
        time.sleep(0.05)
