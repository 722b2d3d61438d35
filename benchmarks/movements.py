"""Goods movements posted at random moments, and how long each takes until the storefront answers with it."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from hub.db.session import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.chain import Chain

_LOOK_SECONDS: Final = 0.02
_LOST_SECONDS: Final = 60.0
_POSTERS: Final = 8
_CREATED: Final = 201
# So many of each source; an article is sold once, so that no two movements meet.
_SELLABLE: Final = """
WITH found AS (
    SELECT location.stock_source AS source, item.sku, location.code AS place, article.external_id AS article,
           spot.external_id AS code, level.on_hand,
           row_number() OVER (PARTITION BY level.item_id ORDER BY random()) AS nth
    FROM stock_level AS level
    JOIN item ON item.id = level.item_id
    JOIN location ON location.id = level.location_id
    JOIN external_reference AS article
      ON article.our_id = level.item_id AND article.kind = 'item' AND article.system = location.stock_source
    JOIN external_reference AS spot
      ON spot.our_id = level.location_id AND spot.kind = 'location' AND spot.system = location.stock_source
    WHERE level.on_hand >= 5),
numbered AS (SELECT *, row_number() OVER (PARTITION BY source) AS number FROM found WHERE nth = 1)
SELECT source, sku, place, article, code, on_hand FROM numbered WHERE number <= %s ORDER BY random()
"""


@dataclass(frozen=True, slots=True)
class Sale:
    """One article that can be sold at a place, in the hub's words and in the ERP's, and what is there before."""

    source: str
    sku: str
    place: str
    article: str
    code: str
    on_hand: Decimal

    def order(self) -> tuple[str, dict[str, str]]:
        """Return the ERP that the sale is posted in, and the movement of one unit as it takes it."""
        if self.source == "kingdee":
            material, colour, size = ([*self.article.split("|"), "", ""])[:3]
            names = {"material": material, "colour": colour, "size": size, "stock": self.code}
            return "kingdee", {"kind": "sale", "quantity": "1", **names}
        plant, _, storage = self.code.partition("/")
        names = {"material": self.article, "plant": plant, "storage_location": storage}
        return "sap", {"kind": "sale", "quantity": "1", **names}


def find_sales(chain: Chain, each: int) -> list[Sale]:
    """Return so many sales of each source, of different articles, in random order.

    Raises:
        RuntimeError: there are not as many.
    """
    with closing(Database(chain.database_url)) as database, database.driver() as connection:
        sales = [Sale(*row) for row in connection.execute(_SELLABLE, (each,))]
    if len(sales) < each * len(chain.size.sources):
        raise RuntimeError(f"only {len(sales)} articles have stock enough to be sold")
    return sales


class Watcher(threading.Thread):
    """Asks the storefront for each sale that is under way, every 20 ms, over one connection that is kept."""

    def __init__(self, adapter: str, key: str) -> None:
        super().__init__(name="watcher", daemon=True)
        self.lags: dict[str, list[float]] = {}
        self._connection = http.client.HTTPConnection(urlsplit(adapter).netloc, timeout=10)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._waiting: dict[Sale, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._failure: Exception | None = None

    def expect(self, sale: Sale, posted_at: float) -> None:
        """Wait for a sale to show; `posted_at` is just before it was posted."""
        with self._lock:
            self._waiting[sale] = posted_at

    def run(self) -> None:
        """Look until stopped."""
        try:
            while not self._stopped.is_set():
                began = time.perf_counter()
                with self._lock:
                    waiting = list(self._waiting.items())
                for sale, posted_at in waiting:
                    self._look(sale, posted_at)
                self._stopped.wait(max(_LOOK_SECONDS - (time.perf_counter() - began), 0.001))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            self._failure = error

    def finish(self) -> None:
        """Wait until every sale has shown, and stop.

        Raises:
            RuntimeError: one never did, or the storefront could not be asked.
        """
        deadline = time.monotonic() + _LOST_SECONDS
        while self._waiting and self._failure is None and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        self._stopped.set()
        self.join()
        self._connection.close()
        if self._failure is not None:
            raise RuntimeError("the storefront could not be asked") from self._failure
        if self._waiting:
            raise RuntimeError(f"{len(self._waiting)} movements never showed: {sorted(map(str, self._waiting))[:3]}")

    def _look(self, sale: Sale, posted_at: float) -> None:
        body = json.loads(self._get(f"/v1/stock/{quote(sale.sku)}?location={sale.place}"))
        if Decimal(body["locations"][0]["on_hand"]) == sale.on_hand - 1:
            shown_at = time.perf_counter()
            with self._lock:
                del self._waiting[sale]
            self.lags.setdefault(sale.source, []).append(shown_at - posted_at)

    def _get(self, path: str) -> bytes:
        """Ask the storefront, over a new connection when it has closed the one that was idle for seconds."""
        try:
            return self._ask(path)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            return self._ask(path)

    def _ask(self, path: str) -> bytes:
        self._connection.request("GET", path, headers=self._headers)
        return self._connection.getresponse().read()


def post_all(chain: Chain, sales: Sequence[Sale], watcher: Watcher, *, per_second: float) -> None:
    """Post sales at random moments, so many a second on average.

    Raises:
        RuntimeError: an ERP refused one.
    """
    rng = random.Random()  # noqa: S311 - no secret; a seed would make every run wait at the same moments

    def post(sale: Sale) -> None:
        system, order = sale.order()
        with closing(http.client.HTTPConnection(urlsplit(chain.erps[system]).netloc, timeout=30)) as connection:
            posted_at = time.perf_counter()
            connection.request("POST", "/__world/movements", json.dumps(order), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        if answer.status != _CREATED:
            raise RuntimeError(f"{system} refused {order}: {said[:300]!r}")
        watcher.expect(sale, posted_at)

    due = time.monotonic()
    with ThreadPoolExecutor(_POSTERS) as pool:
        posts = []
        for sale in sales:
            due += rng.expovariate(per_second)
            time.sleep(max(due - time.monotonic(), 0))
            posts.append(pool.submit(post, sale))
        for done in posts:
            done.result()


def run_while(work: Callable[[], None], at_the_same_time: Callable[[], None]) -> None:
    """Run both side by side, and raise what either raises."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(at_the_same_time)
        work()
        other.result()
