"""From the ERP's rows to one level: what is summed, and what is kept apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.contracts import StockStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from hub.contracts import StockRow

EXPIRING = "expiring"
"""The hub's own status for own, sellable lots that are too close to their expiry date to be sold."""


@dataclass(slots=True)
class LevelQuantities:
    """One level's quantities in base units: what may be sold, and by (status, owner) what may not."""

    on_hand: Decimal = Decimal(0)
    unsellable: dict[tuple[str, str], Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """Leaves out lots that expire within so many days, by item category (`default`: all others)."""

    days: Mapping[str, int]

    def leaves_out(self, row: StockRow, category: str, today: date) -> bool:
        """Tell whether the row's lot is too close to its expiry date to be sold; lots without a date never are."""
        if row.expires_on is None:
            return False
        days = self.days.get(category, self.days.get("default", 0))
        return row.expires_on < today + timedelta(days=days)


def sum_rows(rows: Iterable[StockRow], rule: ExpiryRule, category: str, today: date) -> LevelQuantities:
    """Sum one level's rows: lots together; owners and stock states apart from what may be sold.

    A row that appears twice (same `row_id`) counts once.
    """
    level = LevelQuantities()
    seen: set[str] = set()
    for row in rows:
        if row.row_id in seen:
            continue
        seen.add(row.row_id)
        status = str(row.status)
        if status == StockStatus.SELLABLE and not row.owner:
            if not rule.leaves_out(row, category, today):
                level.on_hand += row.quantity
                continue
            status = EXPIRING
        apart = (status, row.owner)
        level.unsellable[apart] = level.unsellable.get(apart, Decimal(0)) + row.quantity
    level.unsellable = {apart: quantity for apart, quantity in level.unsellable.items() if quantity}
    return level
