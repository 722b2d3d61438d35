"""What it costs to explain a number, and to read one, as the ledger grows.

A year of entries over 10,000 levels in the order of their time, one of them hot: half of the smallest ledger is of that
one level, and 100,000 entries of each larger one. Four in five entries are orders that are placed and, forty steps
later, covered by a base; sixteen stay open on each level, so that its demand is never zero. The hot level is explained
as it is now, with a hundred carts on it, and at random moments of the year, with all that is known today and as known
then; beside it ordinary levels at random moments. An explanation is what the API does, without HTTP: all statements in
one view of the database. The plain read is the statement behind `GET /v1/stock/{sku}` for the hot level's article, at
all 20 places. The index of the sums is what an explanation of the past reads; the ledger's size tells what it costs.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.hub import scratch_server
from benchmarks.measure import Figure, percentile
from hub.db.rows import one_value
from hub.db.session import Database
from hub.stock.answers import read_answers
from hub.stock.explain import explain, snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    import psycopg

_PLACES = 20
_DAYS = 365
_CARTS = 100
_AT_MOST_MS, _READ_AT_MOST = 200.0, 1.5
_HOT = ("SKU1", "PLACE1")
_SEED = """
INSERT INTO feed (source, read_at, full_read_at, stale_after_seconds)
VALUES ('sap', clock_timestamp(), clock_timestamp(), 600);
INSERT INTO location (code, name, kind, stock_source, sellable_online, pickup, time_zone, position)
SELECT 'PLACE' || n, '门店 ' || n, 'store', 'sap', true, true, 'Asia/Shanghai', n
FROM generate_series(1, {places}) AS n;
INSERT INTO stock_floor (location_id, read_began) SELECT id, 1 FROM location;
INSERT INTO item (sku, name, unit) SELECT 'SKU' || n, '青禾商品 ' || n, 'EA' FROM generate_series(1, {skus}) AS n;
INSERT INTO tick_time (tick) VALUES (1), (2);
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, 1000, 1, 2 FROM item, location;
CREATE UNLOGGED TABLE story AS
SELECT level.item_id, level.location_id,
       CASE WHEN (level.item_id, level.location_id) = (1, 1) THEN {hot} ELSE {others} END AS steps
FROM stock_level AS level;
"""
# Steps 1, 3, 5 and 7 of ten place an order, those behind them cover the one of forty steps before, the rest are reads.
_FILL = """
INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source, batch_id,
                          read_began, read_ended, effective_at, recorded_at)
SELECT item_id, location_id, CASE what WHEN 'read' THEN 'sellable' ELSE 'demand' END,
       CASE what WHEN 'read' THEN 1000 + step % 2 WHEN 'placed' THEN 16 ELSE 17 END,
       CASE what WHEN 'read' THEN 1001 - step % 2 WHEN 'placed' THEN 17 ELSE 16 END,
       CASE what WHEN 'read' THEN 'delta' WHEN 'placed' THEN 'order' ELSE 'order in base' END,
       CASE what WHEN 'read' THEN 'sap' WHEN 'placed' THEN 'SO' || step ELSE 'SO' || step - 41 END,
       CASE what WHEN 'placed' THEN NULL ELSE step END, CASE what WHEN 'read' THEN 1 END,
       CASE what WHEN 'read' THEN 2 END,
       moment - CASE what WHEN 'placed' THEN step % 50 ELSE 0 END * interval '1 minute', moment
FROM (SELECT story.*, step,
             CASE WHEN step % 10 IN (0, 9) THEN 'read' WHEN step % 2 = 1 THEN 'placed'
                  WHEN step > 41 THEN 'covered' ELSE 'read' END AS what,
             clock_timestamp() - (steps - step + 1) * (make_interval(days => {days}) / steps) AS moment
      FROM story CROSS JOIN generate_series(1, steps) AS step) AS entry
ORDER BY moment
"""
_OPEN = """
INSERT INTO stock_demand (kind, number, reference, item_id, location_id, quantity, channel, effective_at)
SELECT 'order', 'SO' || step, 'SO' || step, item_id, location_id, 1, 'online', clock_timestamp()
FROM story CROSS JOIN generate_series(GREATEST(steps - 40, 1), steps) AS step WHERE step % 10 IN (1, 3, 5, 7);
UPDATE stock_level AS level SET demand = open.quantity
FROM (SELECT item_id, location_id, sum(quantity) AS quantity FROM stock_demand GROUP BY 1, 2) AS open
WHERE level.item_id = open.item_id AND level.location_id = open.location_id;
INSERT INTO reservation (id, principal, channel, state, asked, created_at, first_expiry, expires_second)
SELECT gen_random_uuid(), 'bench', 'online', 'active', '[]', clock_timestamp(), 9000000000 + n, 9000000000 + n
FROM generate_series(1, {carts}) AS n;
INSERT INTO reservation_line SELECT id, 1, 1, 1 FROM reservation;
INSERT INTO hold_bucket SELECT 1, 1, expires_second, 'online', 1 FROM reservation;
UPDATE stock_level SET held = {carts}, next_expiry = 9000000001 WHERE (item_id, location_id) = (1, 1);
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'stock_ledger' AND indexname <> 'pk_stock_ledger'
"""
_SIZE = "SELECT pg_total_relation_size('stock_ledger') / 1e9"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    entries: tuple[int, ...]
    skus: int
    hot: int
    asks: int


@dataclass
class Shown:
    """What was measured with one size of the ledger: milliseconds of each ask, in a list for each run, by question."""

    entries: int
    gigabytes: float
    milliseconds: dict[str, list[list[float]]] = field(default_factory=dict)


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Measure one size of the ledger after the other."""
    if quick:
        size = Size((10_000, 40_000), skus=10, hot=5_000, asks=10)
    else:
        size = Size((100_000, 1_000_000, 10_000_000), skus=500, hot=100_000, asks=100)
    shown = [_measure(entries, size, runs) for entries in size.entries]
    for one in shown:
        yield from _figures(one, largest=one is shown[-1])
    first, last = (_medians(one.milliseconds["plain read"]) for one in (shown[0], shown[-1]))
    ratios = tuple(now / before for before, now in zip(first, last, strict=True))
    name = f"plain read, {shown[-1].entries:,} to {shown[0].entries:,} entries"
    yield Figure(name, "×", ratios, at_most=_READ_AT_MOST)


def _figures(shown: Shown, *, largest: bool) -> Iterator[Figure]:
    entries = f"{shown.entries:,} entries"
    yield Figure(f"ledger of {entries} with its indexes", "GB", (shown.gigabytes,))
    for asked, seconds in shown.milliseconds.items():
        yield Figure(f"{asked}, {entries}, p50", "ms", _medians(seconds))
        limit = _AT_MOST_MS if largest and asked != "plain read" else None
        yield Figure(f"{asked}, {entries}, p99", "ms", tuple(percentile(one, 99) for one in seconds), at_most=limit)


def _medians(milliseconds: list[list[float]]) -> tuple[float, ...]:
    return tuple(median(one) for one in milliseconds)


def _measure(entries: int, size: Size, runs: int) -> Shown:
    hot = min(size.hot, entries // 2)
    with scratch_server() as url, closing(Database(url)) as database:
        with database.driver() as connection:
            _fill(connection, size.skus, hot, (entries - hot) // (size.skus * _PLACES - 1))
            shown = Shown(entries, float(one_value(connection.execute(_SIZE))))
        asyncio.run(_ask(database, size, runs, shown))
    return shown


def _fill(connection: psycopg.Connection, skus: int, hot: int, others: int) -> None:
    connection.execute(_SEED.format(places=_PLACES, skus=skus, hot=hot, others=others))
    indexes = connection.execute(_INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute(_FILL.format(days=_DAYS))
    for _, definition in indexes:
        connection.execute(definition)
    connection.execute(_OPEN.format(carts=_CARTS))
    connection.execute("VACUUM ANALYZE")


async def _ask(database: Database, size: Size, runs: int, shown: Shown) -> None:
    engine, answers = database.async_engine(), database.planned_engine()
    dice = random.Random(7)  # noqa: S311 - the same moments each time
    async with engine.connect() as connection:
        now: datetime = (await connection.exec_driver_sql("SELECT clock_timestamp()")).scalar_one()

    def moment() -> datetime:
        return now - timedelta(days=dice.random() * _DAYS)

    async def ask(sku: str, place: str, at: datetime | None = None, known_at: datetime | None = None) -> None:
        async with snapshot(engine) as connection:
            await explain(connection, sku, place, at=at, known_at=known_at)

    async def anywhere() -> None:
        sku, place = dice.randint(2, size.skus), dice.randint(1, _PLACES)
        await ask(f"SKU{sku}", f"PLACE{place}", moment())

    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "explain now, hot level": lambda: ask(*_HOT),
        "explain the past, hot level": lambda: ask(*_HOT, moment()),
        "explain the past as known then, hot level": lambda: ask(*_HOT, None, moment()),
        "explain the past, any level": anywhere,
        "plain read": lambda: read_answers(answers, [_HOT[0]], channel="online"),
    }
    for _ in range(runs):
        for name, question in asked.items():
            shown.milliseconds.setdefault(name, []).append(await _timed(question, size.asks))
    await engine.dispose()
    await answers.dispose()


async def _timed(question: Callable[[], Awaitable[object]], asks: int) -> list[float]:
    """Return the milliseconds of each ask, after one that does not count."""
    await question()
    milliseconds = []
    for _ in range(asks):
        began = time.perf_counter()
        await question()
        milliseconds.append((time.perf_counter() - began) * 1000)
    return milliseconds
