"""A hub that is compared with a little ERP in memory, and what happens at either."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.clock import utc_now
from hub.contracts import StockKey
from hub.reconcile.book import load_differences
from hub.reconcile.check import Reconciler
from hub.stock.demand import record_sale
from hub.stock.reservations import Line

if TYPE_CHECKING:
    from hub.reconcile.book import Difference
    from hub.reconcile.check import CheckReport
    from tests.fake_erp import FakeErp
    from tests.integration.conftest import Hub

A, B = StockKey("A", "P/1"), StockKey("B", "P/1")
LONG_AGO = timedelta(days=3)


@dataclass
class Counter:
    """A hub that has read all of its ERP, and what happens at either."""

    hub: Hub
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def erp(self) -> FakeErp:
        return self.hub.erp

    @property
    def reconciler(self) -> Reconciler:
        rules = self.hub.settings.stock.model_copy(update=self.rules)
        return Reconciler(self.hub.sync, rules)

    def check(self) -> set[tuple[str, str]]:
        """Check a slice; return what was found that nobody had found before: (class, SKU)."""
        return found(self.reconciler.check_slice())

    def order(
        self, number: str, key: StockKey, quantity: int, *, ago: timedelta = LONG_AGO, kind: str = "sale"
    ) -> None:
        """Book demand; an order as a sale that is called one, since it needs no reservation here."""
        with self.hub.database.driver() as connection, connection.transaction():
            line = Line(key.item, "W1", Decimal(quantity))
            assert record_sale(connection, number, number, [line], utc_now() - ago, channel="pos", whole=False) == []
            connection.execute("UPDATE stock_demand SET kind = %s WHERE number = %s", (kind, number))

    def receipt(self, number: str, key: StockKey, quantity: int) -> None:
        """Tell a receipt as a till does: its number is one that tells how the store's numbers look."""
        self.order(number, key, quantity, ago=timedelta())
        self.hub.query(
            "INSERT INTO store_sale (location_id, receipt_no, sold_at, business_date, reference, lines, returns,"
            " digest, principal) SELECT id, %s, now(), current_date, %s, '[]', '[]', '', 'till' FROM location"
            " WHERE code = 'W1' RETURNING 1",
            *(number, number),
        )

    def day(self, number: str, key: StockKey, quantity: int, *, ago: timedelta = LONG_AGO, back: int = 0) -> None:
        """Book what a till tells of a day that is settled as a whole, under `Z-1`; `back` was brought back."""
        sold = [Line(key.item, "W1", Decimal(quantity))]
        returns = [Line(key.item, "W1", Decimal(back))] if back else []
        with self.hub.database.driver() as connection, connection.transaction():
            values = (number, "Z-1", sold, utc_now() - ago)
            assert record_sale(connection, *values, channel="pos", whole=True, brought_back=returns) == []

    def states(self) -> list[tuple[str, str, str]]:
        """Return (class, number, state) of all that was ever found."""
        return [(str(known.kind), known.subject, known.state) for known in self.book()]

    def book(self) -> list[Difference]:
        with self.hub.database.driver() as connection:
            return load_differences(connection, hours=1)

    def causes(self) -> list[str]:
        return [cause for (cause,) in self.hub.query("SELECT cause FROM stock_ledger ORDER BY id")]

    def let_pass(self, hours: int) -> None:
        """Let time pass since the list of documents learned of what it holds."""
        self.hub.query(
            "UPDATE stock_posting SET changed_at = changed_at - make_interval(hours => %s) RETURNING 1", hours
        )


def found(report: CheckReport) -> set[tuple[str, str]]:
    return {(str(difference.kind), difference.sku) for difference in report.found}
