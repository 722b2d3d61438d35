"""A small shop for tests of reservations: three articles and a kit at two places, and questions about them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.idempotency import RequestKey
from hub.stock.reservations import (
    Held,
    Line,
    Refused,
    Reservation,
    Wish,
    read_reservation,
    reserve,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from hub.db.session import Database

SKUS, PLACES = ("A", "B", "C", "KIT"), ("W1", "W2")
KIT = {"A": Decimal(2), "B": Decimal("0.5")}


@dataclass
class Shop:
    """Three articles and a kit at two places."""

    database: Database
    count: int = 0

    def __post_init__(self) -> None:
        with self.database.driver() as connection:
            for sku in SKUS:
                connection.execute("INSERT INTO item (sku, name, unit) VALUES (%s, %s, 'EA')", (sku, sku))
            for place in PLACES:
                connection.execute(
                    "INSERT INTO location (code, name, kind, sellable_online, pickup, time_zone)"
                    " VALUES (%s, %s, 'store', true, true, 'UTC')",
                    (place, place),
                )
            for part, quantity in KIT.items():
                connection.execute(
                    "INSERT INTO kit_component SELECT kit.id, part.id, %s FROM item AS kit, item AS part"
                    " WHERE kit.sku = 'KIT' AND part.sku = %s",
                    (quantity, part),
                )

    def set(self, sku: str, place: str, **columns: object) -> None:
        values = {"on_hand": 0, **columns}
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        with self.database.driver() as connection:
            connection.execute(
                f"INSERT INTO stock_level (item_id, location_id, read_began, read_ended, {names})"
                f" SELECT item.id, location.id, 1, 2, {marks} FROM item, location"
                " WHERE item.sku = %s AND location.code = %s",
                [*values.values(), sku, place],
            )

    def wish(self, *lines: tuple[str, str, str | int], key: str | None = None, **rest: Any) -> Wish:
        self.count += 1
        digest = f"{abs(hash(lines)):016x}"
        name = key or f"key-{self.count}"
        channel, ttl = rest.get("channel", "online"), rest.get("ttl", 900)
        asked = tuple(Line(sku, place, Decimal(quantity)) for sku, place, quantity in lines)
        return Wish(RequestKey("shop", name, "POST /v1/reservations", digest), channel, asked, ttl)

    def run(self, work: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            engine = self.database.planned_engine()
            try:
                return await work(engine)
            finally:
                await engine.dispose()

        return asyncio.run(inside())

    def reserve(self, *wishes: Wish) -> list[Held | Refused | Exception]:
        return list(self.run(lambda engine: reserve(engine, wishes)))

    def change(self, action: Callable[..., Awaitable[str | None]], *arguments: Any) -> str | None:
        async def work(engine: AsyncEngine) -> str | None:
            async with engine.connect() as connection:
                return await action(connection, *arguments)

        state: str | None = self.run(work)
        return state

    def read(self, wanted: UUID) -> Reservation:
        async def work(engine: AsyncEngine) -> Reservation | None:
            async with engine.connect() as connection:
                return await read_reservation(connection, wanted)

        return self.run(work)  # type: ignore[no-any-return]

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.database.driver() as connection:
            return list(connection.execute(statement, values))

    def set_pool(self, sku: str, channel: str, fence: int | None = None, percent: int | None = None) -> bool:
        values = (sku, "W1", channel, fence, percent)
        [(there,)] = self.rows("SELECT stock_set_pool(%s, %s, %s, %s::int, %s::int)", *values)
        return bool(there)

    def room(self, sku: str, place: str = "W1") -> Decimal:
        [(room,)] = self.rows(
            "SELECT level.room FROM stock_level AS level JOIN item ON item.id = level.item_id"
            " JOIN location ON location.id = level.location_id WHERE item.sku = %s AND location.code = %s",
            *(sku, place),
        )
        return Decimal(room)

    def check(self) -> None:
        """Counters are the sums of their rows, and no level has promised more than it has."""
        assert self.rows(WRONG_HELD) == []
        assert self.rows(WRONG_BUCKETS) == []
        assert self.rows(WRONG_EVENTS) == []
        assert self.rows(WRONG_POOLS) == []
        assert self.rows(WRONG_DEMAND) == []
        assert self.rows("SELECT * FROM stock_level AS level WHERE frozen_at IS NULL AND level.room < 0") == []


WRONG_HELD = """
SELECT level.item_id, level.location_id, level.held, bucket.quantity
FROM stock_level AS level
LEFT JOIN (SELECT item_id, location_id, sum(quantity) AS quantity FROM hold_bucket GROUP BY 1, 2) AS bucket
  USING (item_id, location_id)
WHERE level.held <> COALESCE(bucket.quantity, 0)
"""
WRONG_BUCKETS = """
SELECT * FROM (
    SELECT line.item_id, line.location_id, held.expires_second, held.channel, sum(line.quantity) AS quantity
    FROM reservation AS held JOIN reservation_line AS line ON line.reservation_id = held.id
    JOIN stock_level AS level USING (item_id, location_id)
    WHERE held.state NOT IN ('released', 'committed') AND held.expires_second > level.closed_through
    GROUP BY 1, 2, 3, 4) AS sums
FULL JOIN (SELECT * FROM hold_bucket WHERE quantity <> 0) AS bucket
  USING (item_id, location_id, expires_second, channel)
WHERE sums.quantity IS DISTINCT FROM bucket.quantity
"""
WRONG_POOLS = """
SELECT pool.item_id, pool.location_id, pool.channel, pool.held, taken.quantity
FROM stock_pool AS pool
LEFT JOIN (SELECT item_id, location_id, channel, sum(quantity) AS quantity
           FROM (SELECT item_id, location_id, channel, quantity FROM hold_bucket
                 UNION ALL
                 SELECT item_id, location_id, channel, quantity - COALESCE(covered, 0) FROM stock_demand
                 WHERE state IN ('open', 'cancel_pending')) AS part
           GROUP BY 1, 2, 3) AS taken
  USING (item_id, location_id, channel)
WHERE pool.held <> COALESCE(taken.quantity, 0)
"""
WRONG_DEMAND = """
SELECT level.item_id, level.location_id, level.demand, sums.quantity
FROM stock_level AS level
LEFT JOIN (SELECT item_id, location_id, sum(quantity - COALESCE(covered, 0)) AS quantity FROM stock_demand
           WHERE state IN ('open', 'cancel_pending') GROUP BY 1, 2) AS sums
  USING (item_id, location_id)
WHERE level.demand <> COALESCE(sums.quantity, 0)
"""
WRONG_EVENTS = """
SELECT level.item_id, level.location_id, level.held, events.quantity
FROM stock_level AS level
LEFT JOIN (SELECT item_id, location_id, sum(quantity) AS quantity FROM hold_event GROUP BY 1, 2) AS events
  USING (item_id, location_id)
WHERE level.held <> COALESCE(events.quantity, 0)
"""


def one(outcomes: Sequence[Held | Refused | Exception]) -> Held | Refused | Exception:
    [outcome] = outcomes
    return outcome


def held(outcome: Held | Refused | Exception) -> Held:
    assert isinstance(outcome, Held), outcome
    return outcome


def refused(outcome: Held | Refused | Exception) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def until_blocked(shop: Shop) -> None:
    ends_at = time.monotonic() + 10
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while shop.rows(blocked) == [(0,)]:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
