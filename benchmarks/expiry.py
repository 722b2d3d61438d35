"""A hundred thousand holds that expire in one second.

They were made beforehand, ten on each of 10,000 levels, or all on one. 32 waiters reserve without a pause from before
that second until long after it, of the same articles, through the service's group commit; a sweep works beside them as
in the near-real-time loop, each in a process of its own. The p99 of each second is compared with the median of those
before: a reserve that had to clear away what has expired would show there. All that was held must be given back, once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import psycopg
import uvloop

from benchmarks.measure import Figure, percentile
from benchmarks.shop import empty, open_shop, wish
from hub.db.rows import one_value
from hub.db.session import Database
from hub.stock.expiry import sweep_expired
from hub.stock.reservations import Held, Reserving, reserve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event

_WAITERS, _TOGETHER = 32, 500
_AT_MOST = 2.0
_ALL_IN_ONE_SECOND = """
UPDATE reservation SET expires_second = %(second)s;
DELETE FROM hold_bucket;
INSERT INTO hold_bucket (item_id, location_id, expires_second, channel, quantity)
SELECT item_id, location_id, %(second)s, 'online', sum(quantity) FROM reservation_line GROUP BY 1, 2;
UPDATE stock_level SET next_expiry = %(second)s WHERE held > 0;
"""
_UNMARKED = "SELECT count(*) FROM reservation WHERE expires_second <= %s AND state = 'active'"
_EXPIRED = "SELECT COALESCE(-sum(quantity), 0) FROM hold_event WHERE kind = 'expired'"


@dataclass(frozen=True, slots=True)
class Size:
    """How many hold how much, and how many seconds are looked at before and after their end."""

    holds: int
    skus: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Seen:
    """p99 of the waits in ms: in the seconds before, in the worst second after; the longest of all; seconds to mark."""

    normal: float
    worst: float
    longest: float
    marked_after: float


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Let holds expire over many levels and on one."""
    size = Size(2_000, 200, 2, 4) if quick else Size(100_000, 10_000, 8, 15)
    with open_shop(size.skus) as (url, _):
        for name, skus in ((f"over {size.skus:,} levels", size.skus), ("on one level", 1)):
            seen = [_expire(url, size, skus) for _ in range(runs)]
            yield Figure(f"{name}: p99 of a reserve before", "ms", tuple(one.normal for one in seen))
            yield Figure(f"{name}: p99 in the worst second after", "ms", tuple(one.worst for one in seen))
            ratios = tuple(one.worst / one.normal for one in seen)
            yield Figure(f"{name}: worst second to those before", "×", ratios, at_most=_AT_MOST)
            yield Figure(f"{name}: longest wait of all", "ms", tuple(one.longest for one in seen))
            yield Figure(f"{name}: until all are marked", "s", tuple(one.marked_after for one in seen))


def _expire(url: str, size: Size, skus: int) -> Seen:
    """Let the holds end while others reserve.

    Raises:
        RuntimeError: something that was held is not given back.
    """
    empty(url)
    asyncio.run(_hold(url, size.holds, skus))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        second = int(time.time()) + size.before + 3  # processes take a moment to start
        with connection.transaction(), psycopg.ClientCursor(connection) as cursor:
            cursor.execute(_ALL_IN_ONE_SECOND, {"second": second})
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        sweeping = context.Process(target=_sweep, args=(url, stop))
        sweeping.start()
        with context.Pool(1) as pool:
            asking = pool.apply_async(_serve_until, (url, skus, second + size.after))
            marked_after = _wait_until_marked(connection, second)
            waits: dict[int, list[float]] = asking.get()
        stop.set()
        sweeping.join()
        if (given_back := one_value(connection.execute(_EXPIRED))) != size.holds:
            raise RuntimeError(f"{given_back} of {size.holds} expired")
    return _seen(waits, second, size, marked_after)


def _seen(waits: dict[int, list[float]], second: int, size: Size, marked_after: float) -> Seen:
    p99 = {moment: percentile(some, 99) * 1000 for moment, some in waits.items()}
    before = [p99[moment] for moment in range(second - size.before, second) if moment in p99]
    after = range(second, second + size.after)
    longest = max(wait for moment in after for wait in waits.get(moment, [0.0])) * 1000
    return Seen(median(before), max(p99[moment] for moment in after if moment in p99), longest, marked_after)


async def _hold(url: str, holds: int, skus: int) -> None:
    with closing(Database(url)) as database:
        engine = database.planned_engine()
        for first in range(0, holds, _TOGETHER):
            wishes = [wish(f"SKU{number % skus + 1}") for number in range(first, min(first + _TOGETHER, holds))]
            outcomes = await reserve(engine, wishes)
            if not all(isinstance(outcome, Held) for outcome in outcomes):
                raise RuntimeError("not everything could be held")
        await engine.dispose()


def _wait_until_marked(connection: psycopg.Connection, second: int) -> float:
    """Return after how many seconds all that ended in a second was marked as expired."""
    time.sleep(max(second - time.time(), 0))
    while one_value(connection.execute(_UNMARKED, (second,))):
        time.sleep(0.1)
    return time.time() - second


def _sweep(url: str, stop: Event) -> None:
    """Sweep as the near-real-time loop does: at once again while there is something, else after a second."""
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.is_set():
            if not sweep_expired(connection):
                stop.wait(1.0)


def _serve_until(url: str, skus: int, end: float) -> dict[int, list[float]]:
    """Reserve until a moment (Unix time); return the waits in seconds, by the second in which they began."""
    return uvloop.run(_ask_until(url, skus, end))


async def _ask_until(url: str, skus: int, end: float) -> dict[int, list[float]]:
    source = random.Random(skus)  # noqa: S311 - which article is asked for is no secret
    waits: dict[int, list[float]] = defaultdict(list)
    with closing(Database(url)) as database:
        reserving = Reserving(database)

        async def work() -> None:
            while (asked_at := time.time()) < end:
                outcome = await reserving.ask(wish(f"SKU{source.randint(1, skus)}"))
                if not isinstance(outcome, Held):
                    raise RuntimeError(f"no reservation: {outcome}")  # noqa: TRY004 - it was refused
                waits[int(asked_at)].append(time.time() - asked_at)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WAITERS):
                group.create_task(work())
        await reserving.close()
    return dict(waits)
