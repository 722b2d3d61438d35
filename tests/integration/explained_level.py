"""The level of one article at one place: what happens to it, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.contracts import StockKey
from hub.stock.demand import add_supply, record_sale
from hub.stock.explain import OTHERS, Explanation, explain, snapshot
from hub.stock.reservations import Line
from tests.integration.reservation_shop import Shop, held, one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tests.integration.conftest import Hub

A1 = StockKey("A", "P/1")
EXPECTED = """
SELECT CASE WHEN level.frozen_at IS NULL THEN level.room + COALESCE((
    SELECT sum(quantity) FROM hold_bucket AS bucket
    WHERE bucket.item_id = level.item_id AND bucket.location_id = level.location_id
      AND bucket.expires_second <= EXTRACT(EPOCH FROM %(moment)s::timestamptz)), 0) ELSE 0 END
FROM stock_level AS level WHERE item_id = %(item_id)s AND location_id = %(location_id)s
"""


class Counter:
    """The level of article A at W1: what happens to it, and what is told of it."""

    def __init__(self, hub: Hub, on_hand: int = 100) -> None:
        self.hub = hub
        self.carts = Shop.__new__(Shop)  # only its ways to reserve: the hub's articles and places are there already
        self.carts.database, self.carts.count = hub.database, 0
        self.set(on_hand)
        hub.erp.set("A", "P/2", 50)
        hub.sync.snapshot()
        hub.sync.delta()

    def set(self, on_hand: int) -> None:
        self.hub.erp.set("A", "P/1", on_hand)

    def follow(self) -> None:
        while self.hub.sync.delta() is not None:
            pass

    def sell(self, number: str, quantity: int | str = 1, sold_at: datetime | None = None) -> None:
        with self.hub.database.driver() as connection, connection.transaction():
            lines = [Line("A", "W1", Decimal(quantity))]
            sold_at = sold_at or datetime.now(UTC)
            assert record_sale(connection, number, number, lines, sold_at, channel="pos", whole=False) == []

    def bring(self, number: str, quantity: int = 1) -> None:
        with self.hub.database.driver() as connection, connection.transaction():
            add_supply(connection, "return", number, [Line("A", "W1", Decimal(quantity))], datetime.now(UTC))

    def hold(self, quantity: int = 1, place: str = "W1", **rest: Any) -> UUID:
        return held(one(self.carts.reserve(self.carts.wish(("A", place, quantity), **rest)))).id

    def write(self, work: Callable[..., Awaitable[Any]], *values: object, **named: object) -> Any:
        async def inside(engine: AsyncEngine) -> Any:
            async with engine.begin() as connection:
                return await work(connection, *values, **named)

        return self.carts.run(inside)

    def look(self, work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
        async def inside(engine: AsyncEngine) -> Any:
            async with snapshot(engine) as connection:
                return await work(connection)

        return self.carts.run(inside)

    def why(self, at: datetime | None = None, known_at: datetime | None = None, place: str = "W1") -> Explanation:
        explained: Explanation = self.look(lambda view: explain(view, "A", place, at=at, known_at=known_at))
        assert sum(term.quantity for term in explained.terms) == explained.available
        return explained

    def now(self) -> datetime:
        [(moment,)] = self.hub.query("SELECT clock_timestamp()")
        return moment  # type: ignore[no-any-return]

    def backdate(self, **much: float) -> None:
        """Let all that the ledger holds have happened so much earlier."""
        with self.hub.database.driver() as connection:
            connection.execute(
                "UPDATE stock_ledger SET effective_at = effective_at - %(much)s, recorded_at = recorded_at - %(much)s",
                {"much": timedelta(**much)},
            )

    def execute(self, statement: str, *values: object) -> None:
        with self.hub.database.driver() as connection:
            connection.execute(statement, values or None)


def terms(explained: Explanation, *kinds: str) -> list[tuple[str, int, str | None, str | None]]:
    return [
        (term.kind, int(term.quantity), term.cause, term.number)
        for term in explained.terms
        if not kinds or term.kind in kinds
    ]


async def agreed(connection: AsyncConnection, place: str = "W1") -> Explanation:
    """Explain, and see in the same view of the database that it is what the level's row says."""
    explained = await explain(connection, "A", place)
    values = {"item_id": explained.item_id, "location_id": explained.location_id, "moment": explained.at}
    expected = (await connection.exec_driver_sql(EXPECTED, values)).scalar_one()
    assert explained.available == expected
    assert sum(term.quantity for term in explained.terms) == expected
    assert OTHERS not in {term.cause for term in explained.terms}
    return explained
