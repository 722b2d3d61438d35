"""What a shop's read of one article costs.

`GET /v1/stock/{sku}` of random ones of 10,000 SKUs with 20 places each, asked by 32 clients on kept connections, with
everything on: key, tag, trace id, figures, headers, ages by the database's clock. Meanwhile 20 levels change and the
sources are read anew each second. Two processes of the adapter, the database and the clients share the machine. Beside
it stand, in the same runs, a bare Starlette route in two processes that sends the same statement for each request, and
PostgreSQL alone under pgbench (prepared, 32
clients) with that statement for one SKU. Reads that wait together share a statement in the adapter, which is why it can
pass both. CPU time per request is what stays comparable on a busy machine; it bounds what two idle cores can do.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from benchmarks.clients import Heard, ask_for
from benchmarks.hub import scratch_server
from benchmarks.measure import Figure, percentile
from benchmarks.serving import cpu_seconds, postmaster_of, run_pgbench, served
from hub.access import create_key, load_roles
from hub.db.session import Database, plain_url
from hub.settings import PROJECT_ROOT
from hub.stock.answers import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

_CLIENTS = 32
_PLACES = 20
_RATE_AT_LEAST, _P99_AT_MOST = 4000.0, 40.0
_SEED = """
INSERT INTO feed (source, read_at, full_read_at, stale_after_seconds)
SELECT name, clock_timestamp(), clock_timestamp(), 60 FROM unnest(ARRAY['sap', 'kingdee']) AS name;
INSERT INTO location (code, name, kind, stock_source, sellable_online, pickup, time_zone, position)
SELECT 'PLACE' || n, '门店 ' || n, 'store', CASE n % 2 WHEN 0 THEN 'sap' ELSE 'kingdee' END, true, true,
       'Asia/Shanghai', n
FROM generate_series(1, {places}) AS n;
INSERT INTO stock_floor (location_id, read_began) SELECT id, 1 FROM location;
INSERT INTO item (sku, gtin, name, unit)
SELECT 'SKU' || n, 6900000000000 + n, '青禾商品 ' || n, 'EA' FROM generate_series(1, {skus}) AS n;
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, (item.id * 7 + location.id * 13) % 500, 1, 2 FROM item, location;
INSERT INTO stock_unsellable (item_id, location_id, status, quantity)
SELECT item_id, location_id, 'quality', 3 FROM stock_level WHERE (item_id + location_id) % 10 = 0;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    skus: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of one server showed; CPU in ms per request."""

    heard: Heard
    server_cpu: float
    database_cpu: float

    @property
    def clients_cpu(self) -> float:
        """Return what the clients took, in ms per request."""
        return self.heard.cpu_seconds / len(self.heard.latencies) * 1000

    @property
    def bound(self) -> float:
        """Return how many requests per second two idle cores can do at this cost."""
        return 2000 / (self.server_cpu + self.database_cpu + self.clients_cpu)

    def milliseconds(self, percent: int) -> float:
        """Return a percentile of the times to an answer."""
        return percentile(self.heard.latencies, percent) * 1000


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Measure the adapter, the bare route and the database alone, in turns."""
    size = Size(skus=500, seconds=1.0) if quick else Size(skus=10_000, seconds=10.0)
    ours: list[Run] = []
    bare: list[Run] = []
    alone: list[tuple[float, float]] = []
    with _hub(size) as (url, key), ExitStack() as serving:
        postmaster = postmaster_of(url)
        folder = Path(serving.enter_context(tempfile.TemporaryDirectory()))
        servers = [serving.enter_context(served(app, url, folder)) for app in ("oneshelf.asgi", "benchmarks.bare")]
        requests = [_request(f"SKU{number}", key) for number in range(1, size.skus + 1)]
        for number in range(runs):
            for (processes, port), shown in zip(servers, (ours, bare), strict=True):
                shown.append(_measure(processes, port, postmaster, requests, seconds=size.seconds, seed=number))
            alone.append(_database_alone(url, size))
    yield from _figures(ours, bare, alone)


def _figures(ours: list[Run], bare: list[Run], alone: list[tuple[float, float]]) -> Iterator[Figure]:
    def of(name: str, unit: str, runs: list[Run], value: Callable[[Run], float]) -> Figure:
        return Figure(name, unit, tuple(value(one) for one in runs))

    rates = tuple(one.heard.rate for one in ours)
    yield Figure("stock read", "requests/s", rates, at_least=_RATE_AT_LEAST)
    yield of("stock read, p50", "ms", ours, lambda one: one.milliseconds(50))
    yield Figure("stock read, p99", "ms", tuple(one.milliseconds(99) for one in ours), at_most=_P99_AT_MOST)
    yield Figure("stock read, answers that were no success", "", tuple(one.heard.errors for one in ours), at_most=0)
    yield of("bare route", "requests/s", bare, lambda one: one.heard.rate)
    yield of("bare route, p99", "ms", bare, lambda one: one.milliseconds(99))
    yield Figure("PostgreSQL alone", "statements/s", tuple(rate for rate, _ in alone))
    ratios = [one.heard.rate / other.heard.rate for one, other in zip(ours, bare, strict=True)]
    yield Figure("stock read to bare route", "×", tuple(ratios))
    ratios = [one.heard.rate / rate for one, (rate, _) in zip(ours, alone, strict=True)]
    yield Figure("stock read to PostgreSQL alone", "×", tuple(ratios))
    for name, runs in (("stock read", ours), ("bare route", bare)):
        yield of(f"{name}, CPU of the server", "ms/request", runs, lambda one: one.server_cpu)
        yield of(f"{name}, CPU of PostgreSQL", "ms/request", runs, lambda one: one.database_cpu)
        yield of(f"{name}, CPU of the clients", "ms/request", runs, lambda one: one.clients_cpu)
        yield of(f"{name}, bound by CPU on two idle cores", "requests/s", runs, lambda one: one.bound)
    yield Figure("PostgreSQL alone, CPU of PostgreSQL", "ms/statement", tuple(cpu for _, cpu in alone))


@contextmanager
def _hub(size: Size) -> Iterator[tuple[str, str]]:
    """Yield the URL of a hub with stock that changes, and a shop's key."""
    with scratch_server() as url, closing(Database(url)) as database:
        with database.driver() as connection:
            connection.execute(_SEED.format(places=_PLACES, skus=size.skus))
            connection.execute("VACUUM ANALYZE")
            key = create_key(connection, "benchmark", "storefront", load_roles(PROJECT_ROOT / "config" / "roles.yaml"))
        with _changing(url, size):
            yield plain_url(url), key


@contextmanager
def _changing(url: str, size: Size) -> Iterator[None]:
    """Change 20 levels and read the sources anew each second for the length of the block."""
    ended = threading.Event()

    def work() -> None:
        step = 0
        with psycopg.connect(plain_url(url), autocommit=True) as connection:
            while not ended.wait(0.05):
                step += 1
                connection.execute(
                    "UPDATE stock_level SET on_hand = on_hand + 1, changed_at = clock_timestamp()"
                    " WHERE item_id = %s AND location_id = %s",
                    (step % size.skus + 1, step % _PLACES + 1),
                )
                if step % 20 == 0:
                    connection.execute("UPDATE feed SET read_at = clock_timestamp()")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _request(sku: str, key: str) -> bytes:
    return f"GET /v1/stock/{sku} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def _measure(
    processes: list[psutil.Process],
    port: int,
    postmaster: psutil.Process,
    requests: list[bytes],
    *,
    seconds: float,
    seed: int,
) -> Run:
    """Ask from a process of its own, after a second that does not count."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(ask_for, (port, requests), {"clients": _CLIENTS, "seconds": 1.0, "seed": -seed - 1})
        before = cpu_seconds(*processes), cpu_seconds(postmaster)
        heard = pool.apply(ask_for, (port, requests), {"clients": _CLIENTS, "seconds": seconds, "seed": seed})
        after = cpu_seconds(*processes), cpu_seconds(postmaster)
    each = 1000 / len(heard.latencies)
    return Run(heard, (after[0] - before[0]) * each, (after[1] - before[1]) * each)


def _database_alone(url: str, size: Size) -> tuple[float, float]:
    """Return statements per second of pgbench, and PostgreSQL's CPU time for each in ms."""
    statement = ANSWERS.replace("%(skus)s", "ARRAY['SKU' || :number]").replace("%(locations)s", "NULL")
    statement = statement.replace(":MI:SS", '":"MI":"SS')  # pgbench would take them for variables
    script = f"\\set number random(1, {size.skus})\n{statement.strip()};\n"
    return run_pgbench(url, script, clients=_CLIENTS, seconds=size.seconds)
