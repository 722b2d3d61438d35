"""From the ERP's rows to one level: what is summed, and what is kept apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.contracts import StockStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from hub.contracts import StockRow

EXPIRING = "expiring"
"""The hub's own status for own, sellable lots that are too close to their expiry date to be sold."""
_NOTHING = Decimal(0)


@dataclass(slots=True)
class LevelQuantities:
    """One level's quantities in base units: what may be sold, and by (status, owner) what may not."""

    on_hand: Decimal
    unsellable: dict[tuple[str, str], Decimal]


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


def sum_rows(rows: Sequence[StockRow], rule: ExpiryRule, category: str, today: date) -> LevelQuantities:
    """Sum one level's rows: lots together; owners and stock states apart from what may be sold.

    A row that appears twice (same `row_id`) counts once.
    """
    on_hand = _NOTHING
    apart: dict[tuple[str, str], Decimal] = {}
    for row in rows if len(rows) == 1 else {row.row_id: row for row in reversed(rows)}.values():
        sellable = row.status is StockStatus.SELLABLE and not row.owner
        if sellable and not rule.leaves_out(row, category, today):
            on_hand += row.quantity
            continue
        kind = (EXPIRING if sellable else str(row.status), row.owner)
        apart[kind] = apart.get(kind, _NOTHING) + row.quantity
    return LevelQuantities(on_hand, {kind: quantity for kind, quantity in apart.items() if quantity})
