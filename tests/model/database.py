"""The hub of the small world that the database is: article A at place W1, by the code that production runs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.contracts import Posting, StockKey
from hub.stock import demand
from hub.stock.apply import apply_keys
from hub.stock.postings import note_postings, standing_documents, take_back
from hub.stock.reservations import Line
from hub.stock.summing import ExpiryRule
from hub.stock.ticks import draw_tick
from hub.sync.staging import Stager
from tests.model.pure import PureHub

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from hub.sync.staging import StagedRead
    from tests.fake_erp import FakeErp
    from tests.model.world import Hub, Told

NOON = datetime(2026, 11, 26, 4, tzinfo=UTC)
SKU, PLACE, KEY = "A", "W1", StockKey("A", "P/1")
_LEVEL = """
SELECT level.{column} FROM stock_level AS level
JOIN item ON item.id = level.item_id JOIN location ON location.id = level.location_id
WHERE item.sku = %s AND location.code = %s
"""
_STAGE = """
INSERT INTO staged_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, %s, %s, %s FROM item, location WHERE item.sku = %s AND location.code = %s
"""


class DatabaseHub:
    """Satisfies `tests.model.world.Hub`. The connection must be in autocommit mode."""

    def __init__(self, connection: psycopg.Connection, erp: FakeErp) -> None:
        self._connection = connection
        self._erp = erp

    def tick(self) -> int:
        """Draw a tick."""
        return draw_tick(self._connection)

    def available(self) -> int:
        """Return what may be promised now."""
        row = self._connection.execute(_LEVEL.format(column="room"), (SKU, PLACE)).fetchone()
        return 0 if row is None else int(row[0])

    def place(self, number: str, reference: str, quantity: int) -> None:
        """Book demand."""
        lines = [Line(SKU, PLACE, Decimal(quantity))]
        with self._connection.transaction():
            demand.record_sale(self._connection, number, reference, lines, NOON, channel="", whole=False)

    def claim(self, number: str) -> None:
        """Note that demand is about to be sent."""
        assert demand.claim_push(self._connection, "sale", number)

    def cancel(self, number: str) -> None:
        """Cancel demand."""
        demand.cancel(self._connection, "sale", number)

    def end(self, number: str, state: str) -> None:
        """End demand that was sent."""
        end = demand.end_reversed if state == "reversed" else demand.end_unposted
        assert end(self._connection, "sale", number) == state

    def supply(self, number: str, quantity: int) -> None:
        """Count supply."""
        lines = [Line(SKU, PLACE, Decimal(quantity))]
        with self._connection.transaction():
            demand.add_supply(self._connection, "return", number, lines, NOON)

    def claim_supply(self, number: str) -> None:
        """Note that supply is about to be sent."""
        assert demand.claim_supply_push(self._connection, "return", number)

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        """Keep what a look has answered."""
        postings = [
            Posting(line.document, str(line.version), line.reference, KEY, Decimal(line.quantity), line.posted)
            for line in told
        ]
        tick = self.tick()
        with self._connection.transaction():
            note_postings(self._connection, self._erp.source, postings, tick)
            take_back(self._connection, self._erp.source, missing, tick)

    def standing(self) -> list[str]:
        """Return the documents that stand in the list for live demand."""
        self._stage(0, 1, 2)
        return standing_documents(self._connection, self._erp.source, everywhere=False)

    def apply(self, quantity: int, began: int, ended: int) -> None:
        """Take a read as the base, if it began later than the one in force."""
        read = self._stage(quantity, began, ended)
        with self._connection.transaction():
            apply_keys(self._connection, read, 1, cause="model")

    def _stage(self, quantity: int, began: int, ended: int) -> StagedRead:
        stager = Stager(self._connection, self._erp, ExpiryRule({}), lambda: NOON)
        read = stager.read_keys(())
        self._connection.execute("DELETE FROM staged_level")
        self._connection.execute(_STAGE, (quantity, began, ended, SKU, PLACE))
        read.listed = True
        return read


class Twins:
    """The pure rule and the database side by side, which must never differ."""

    def __init__(self, database: DatabaseHub) -> None:
        self._pure = PureHub()
        self._database = database
        self._both: tuple[Hub, Hub] = (self._pure, database)
        self._ticks: list[tuple[int, int]] = []

    def tick(self) -> int:
        """Draw a tick of each; return the number of the pair."""
        self._ticks.append((self._pure.tick(), self._database.tick()))
        return len(self._ticks) - 1

    def available(self) -> int:
        """Return what both offer."""
        offered = self._pure.available()
        assert self._database.available() == offered
        return offered

    def standing(self) -> list[str]:
        """Return the documents that both know to stand."""
        standing = sorted(self._pure.standing())
        assert sorted(self._database.standing()) == standing
        return standing

    def apply(self, quantity: int, began: int, ended: int) -> None:
        """Give a read to both."""
        (pure_began, own_began), (pure_ended, own_ended) = self._ticks[began], self._ticks[ended]
        self._pure.apply(quantity, pure_began, pure_ended)
        self._database.apply(quantity, own_began, own_ended)

    def place(self, number: str, reference: str, quantity: int) -> None:
        """Book demand."""
        for hub in self._both:
            hub.place(number, reference, quantity)

    def claim(self, number: str) -> None:
        """Note that demand is about to be sent."""
        for hub in self._both:
            hub.claim(number)

    def cancel(self, number: str) -> None:
        """Cancel demand."""
        for hub in self._both:
            hub.cancel(number)

    def end(self, number: str, state: str) -> None:
        """End demand that was sent."""
        for hub in self._both:
            hub.end(number, state)

    def supply(self, number: str, quantity: int) -> None:
        """Count supply."""
        for hub in self._both:
            hub.supply(number, quantity)

    def claim_supply(self, number: str) -> None:
        """Note that supply is about to be sent."""
        for hub in self._both:
            hub.claim_supply(number)

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        """Keep what a look has answered."""
        for hub in self._both:
            hub.note(told, missing)
