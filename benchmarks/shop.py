"""A shop with much stock of many articles at one place, for benchmarks of reservations."""

from __future__ import annotations

import uuid
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from benchmarks.hub import scratch_server
from hub.access import create_key, load_roles
from hub.db.session import Database, plain_url
from hub.idempotency import RequestKey
from hub.settings import PROJECT_ROOT
from hub.stock.reservations import Line, Wish

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEED = """
INSERT INTO feed (source, read_at, full_read_at, stale_after_seconds) VALUES ('sap', now(), now(), 60);
INSERT INTO location (code, name, kind, stock_source, sellable_online, pickup, time_zone)
VALUES ('DC', 'DC', 'warehouse', 'sap', true, false, 'Asia/Shanghai');
INSERT INTO item (sku, name, unit) SELECT 'SKU' || n, 'Article ' || n, 'EA' FROM generate_series(1, {skus}) AS n;
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, 1000000000, 1, 2 FROM item, location;
"""


@contextmanager
def open_shop(skus: int) -> Iterator[tuple[str, str]]:
    """Yield the URL of a hub with so many articles, SKU1 and up, and a shop's key."""
    with scratch_server() as url, closing(Database(url)) as database:
        with database.driver() as connection:
            connection.execute(_SEED.format(skus=skus))
            connection.execute("VACUUM ANALYZE")
            key = create_key(connection, "benchmark", "storefront", load_roles(PROJECT_ROOT / "config" / "roles.yaml"))
        yield plain_url(url), key


def empty(url: str) -> None:
    """Begin each measurement with the same tables."""
    with closing(Database(url)) as database, database.driver() as connection:
        connection.execute("TRUNCATE idempotency_key, reservation, reservation_line, hold_event, hold_bucket, outbox")
        connection.execute("UPDATE stock_level SET held = 0, next_expiry = NULL WHERE held <> 0")
        connection.execute("VACUUM ANALYZE stock_level")


def wish(sku: str) -> Wish:
    """Return a request for one piece, under a key of its own."""
    key = RequestKey("benchmark", uuid.uuid4().hex, "POST /v1/reservations", "00")
    return Wish(key, "online", (Line(sku, "DC", Decimal(1)),), 900)
