"""What a reservation costs: through the service, and over HTTP.

Reservations of one piece over 10,000 SKUs, or all of one SKU; each is the full write: key, reservation, line, bucket,
event, outbox, level. Beside them, in the same runs, stands pgbench with eight clients that do the same write as one
prepared statement without a function around it, and with eight that call our function for one request each, which shows
what a reservation alone costs without Python. "One at a time": eight workers that each wait for a statement of their
own. "Together": 256 waiters whose requests share statements, as in the adapter. Over HTTP 32 clients on kept
connections ask two processes of the adapter, with key, scope, idempotency and ledger on; clients, adapter and database
share the machine.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks.clients import UNIQUE, ask_for
from benchmarks.measure import Figure, percentile
from benchmarks.serving import cpu_seconds, postmaster_of, run_pgbench, served
from benchmarks.shop import empty, open_shop, wish
from hub.db.session import Database
from hub.stock.reservations import Held, Reserving, reserve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

_WORKERS, _WAITERS, _CLIENTS = 8, 256, 32
_HTTP_AT_LEAST, _P99_AT_MOST, _CARTS_AT_LEAST = 6000.0, 40.0, 2000.0
_CART_LINES = 5
_SCRIPT = """
\\set item random(1, {skus})
WITH kept AS (
    INSERT INTO idempotency_key (principal, key, route, digest, reservation_id)
    VALUES ('pgbench', gen_random_uuid()::text, 'POST /v1/reservations', '\\x00', gen_random_uuid())
    RETURNING reservation_id),
level AS (
    UPDATE stock_level SET held = held + 1, next_expiry = LEAST(next_expiry, EXTRACT(EPOCH FROM now())::bigint + 900)
    WHERE item_id = :item AND location_id = 1 AND room >= 1 RETURNING item_id, location_id, next_expiry),
made AS (
    INSERT INTO reservation (id, principal, channel, state, asked, created_at, first_expiry, expires_second)
    SELECT reservation_id, 'pgbench', 'online', 'active', '[]', now(), next_expiry, next_expiry FROM kept, level),
line AS (
    INSERT INTO reservation_line (reservation_id, item_id, location_id, quantity)
    SELECT reservation_id, item_id, location_id, 1 FROM kept, level),
told AS (
    INSERT INTO hold_event (recorded_at, item_id, location_id, channel, reservation_id, kind, quantity, effective_at)
    SELECT now(), item_id, location_id, 'online', reservation_id, 'held', 1, now() FROM kept, level),
bucketed AS (
    INSERT INTO hold_bucket AS bucket (item_id, location_id, expires_second, channel, quantity)
    SELECT item_id, location_id, EXTRACT(EPOCH FROM now())::bigint + 900, 'online', 1 FROM level
    ON CONFLICT (item_id, location_id, expires_second, channel) DO UPDATE SET quantity = bucket.quantity + 1)
INSERT INTO outbox (topic, key, payload) SELECT 'stock.held', 'SKU' || item_id, '{{}}' FROM level;
"""

_ALONE = """
\\set item random(1, {skus})
SELECT * FROM stock_reserve(json_build_array(json_build_object(
    'n', 0, 'principal', 'pgbench', 'key', gen_random_uuid(), 'route', 'POST /v1/reservations', 'digest', '00',
    'id', gen_random_uuid(), 'channel', 'online', 'everywhere', false, 'cart', '', 'ttl', 900,
    'lines', json_build_array(json_build_object('sku', 'SKU' || :item, 'location', 'DC', 'quantity', 1)))));
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    skus: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What one run over HTTP showed; CPU in ms per request."""

    rate: float
    p99: float
    errors: int
    cpu: float


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Measure pgbench, the service and HTTP in turns, over many SKUs and on one."""
    size = Size(skus=200, seconds=1.0) if quick else Size(skus=10_000, seconds=8.0)
    rates: dict[str, list[float]] = {}
    answered: dict[str, list[Answered]] = {}
    with open_shop(size.skus) as (url, key), ExitStack() as serving:
        folder = Path(serving.enter_context(tempfile.TemporaryDirectory()))
        processes, port = serving.enter_context(served("oneshelf.asgi", url, folder))
        for number in range(runs):
            for name, skus in (("uniform", size.skus), ("hot", 1)):
                empty(url)
                script = _SCRIPT.format(skus=skus)
                limit, _ = run_pgbench(url, script, clients=_WORKERS, seconds=size.seconds)
                rates.setdefault(f"{name}, pgbench", []).append(limit)
                empty(url)
                alone, _ = run_pgbench(url, _ALONE.format(skus=skus), clients=_WORKERS, seconds=size.seconds)
                rates.setdefault(f"{name}, the function", []).append(alone)
                for how, waiters in (("one at a time", _WORKERS), ("together", _WAITERS)):
                    empty(url)
                    rate = _in_process(url, skus, waiters, size.seconds, together=how == "together")
                    rates.setdefault(f"{name}, {how}", []).append(rate)
                empty(url)
                heard = _over_http(processes, port, url, _requests(key, skus, 1), size.seconds, number)
                answered.setdefault(name, []).append(heard)
            empty(url)
            carts = _requests(key, size.skus, _CART_LINES)
            answered.setdefault("carts", []).append(_over_http(processes, port, url, carts, size.seconds, number))
    yield from _figures(rates, answered)


def _figures(rates: dict[str, list[float]], answered: dict[str, list[Answered]]) -> Iterator[Figure]:
    for name, together_at_least in (("uniform", 2.0), ("hot", 8.0)):
        limit = rates[f"{name}, pgbench"]
        yield Figure(f"{name}: pgbench, the same write", "reservations/s", tuple(limit))
        alone = tuple(rates[f"{name}, the function"])
        yield Figure(f"{name}: pgbench, our function for one request each", "reservations/s", alone)
        for how, least in (("one at a time", 0.6 if name == "uniform" else None), ("together", together_at_least)):
            ours = rates[f"{name}, {how}"]
            yield Figure(f"{name}: service, {how}", "reservations/s", tuple(ours))
            ratios = tuple(one / other for one, other in zip(ours, limit, strict=True))
            yield Figure(f"{name}: service, {how}, to pgbench", "×", ratios, at_least=least)
    for name, least, p99 in (
        ("uniform", _HTTP_AT_LEAST, _P99_AT_MOST),
        ("hot", _HTTP_AT_LEAST, _P99_AT_MOST),
        ("carts", _CARTS_AT_LEAST, None),
    ):
        heard = answered[name]
        what = f"HTTP, {name}" if name != "carts" else f"HTTP, carts of {_CART_LINES} lines"
        yield Figure(what, "reservations/s", tuple(one.rate for one in heard), at_least=least)
        yield Figure(f"{what}, p99", "ms", tuple(one.p99 for one in heard), at_most=p99)
        yield Figure(f"{what}, answers that were no success", "", tuple(one.errors for one in heard), at_most=0)
        yield Figure(f"{what}, CPU of adapter, database and clients", "ms/request", tuple(one.cpu for one in heard))


def _in_process(url: str, skus: int, waiters: int, seconds: float, *, together: bool) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_serve_for, (url, skus, waiters, seconds), {"together": together}))


def _serve_for(url: str, skus: int, waiters: int, seconds: float, *, together: bool) -> float:
    """Return how many reservations per second `waiters` get from the service, in this process."""
    return uvloop.run(_ask_for(url, skus, waiters, seconds, together=together))


async def _ask_for(url: str, skus: int, waiters: int, seconds: float, *, together: bool) -> float:
    source = random.Random(skus)  # noqa: S311 - which article is asked for is no secret
    database = Database(url, pool_size=waiters if not together else 5)
    reserving = Reserving(database)
    engine = database.planned_engine()
    made = 0

    async def work() -> None:
        nonlocal made
        while time.perf_counter() < ends_at:
            asked = wish(f"SKU{source.randint(1, skus)}")
            [outcome] = [await reserving.ask(asked)] if together else await reserve(engine, [asked])
            if not isinstance(outcome, Held):
                raise RuntimeError(f"no reservation: {outcome}")  # noqa: TRY004 - it was refused
            made += 1

    began = time.perf_counter()
    ends_at = began + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(waiters):
            group.create_task(work())
    took = time.perf_counter() - began
    await reserving.close()
    await engine.dispose()
    database.close()
    return made / took


def _requests(key: str, skus: int, lines: int) -> list[bytes]:
    """Return requests for reservations, each of `lines` different SKUs."""
    return [_request(key, [(first + line * 7) % skus + 1 for line in range(lines)]) for first in range(skus)]


def _request(key: str, numbers: Sequence[int]) -> bytes:
    lines = [{"sku": f"SKU{number}", "location": "DC", "quantity": "1"} for number in numbers]
    body = json.dumps({"lines": lines}).encode()
    head = (
        f"POST /v1/reservations HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {UNIQUE.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _over_http(
    processes: list[psutil.Process], port: int, url: str, requests: list[bytes], seconds: float, seed: int
) -> Answered:
    """Ask from a process of its own, after a second that does not count."""
    postmaster = postmaster_of(url)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(ask_for, (port, requests), {"clients": _CLIENTS, "seconds": 1.0, "seed": -seed - 1})
        before = cpu_seconds(*processes, postmaster)
        heard = pool.apply(ask_for, (port, requests), {"clients": _CLIENTS, "seconds": seconds, "seed": seed})
        cpu = cpu_seconds(*processes, postmaster) - before + heard.cpu_seconds
    return Answered(heard.rate, percentile(heard.latencies, 99) * 1000, heard.errors, cpu / len(heard.latencies) * 1000)
