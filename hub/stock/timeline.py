"""How a level came to where it is: what changed in the hours before a moment, for a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Final

from hub.stock.explain import TOOK_EFFECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from hub.stock.explain import Explanation

SLOTS: Final = 96
"""Into so many parts of equal length the time is divided."""

# What has ended is told by the entry that marked it, at the latest a day after, or still stands in its bucket.
_CHANGES = f"""
WITH change AS (
    SELECT {TOOK_EFFECT} AS moment, CASE entry.status WHEN 'sellable' THEN 'base' ELSE entry.status END AS kind,
           (entry.quantity_after - entry.quantity_before)
               * CASE WHEN entry.status IN ('sellable', 'supply') THEN 1 ELSE -1 END AS quantity
    FROM stock_ledger AS entry
    WHERE entry.item_id = %(item_id)s AND entry.location_id = %(location_id)s AND entry.owner = ''
      AND entry.status IN ('sellable', 'demand', 'supply', 'safety_stock', 'buffer')
      AND entry.recorded_at <= %(known_at)s::timestamptz
    UNION ALL
    SELECT CASE WHEN kind = 'expired' THEN effective_at ELSE recorded_at END, 'reservation', -quantity
    FROM hold_event
    WHERE item_id = %(item_id)s AND location_id = %(location_id)s AND quantity <> 0
      AND recorded_at > %(start)s::timestamptz AND recorded_at < %(end)s::timestamptz + interval '1 day'
      AND (kind = 'expired' OR recorded_at <= %(known_at)s::timestamptz)
    UNION ALL
    SELECT to_timestamp(expires_second), 'reservation', quantity
    FROM hold_bucket WHERE item_id = %(item_id)s AND location_id = %(location_id)s AND quantity <> 0)
SELECT ceil(EXTRACT(EPOCH FROM moment - %(start)s::timestamptz) / %(width)s)::integer AS slot, kind, sum(quantity),
       count(*)
FROM change WHERE moment > %(start)s::timestamptz AND moment <= %(end)s::timestamptz
GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Change:
    """What `count` changes of one kind did to a level together, between the end of the slot before and its own."""

    kind: str
    quantity: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """What could be promised of a level over a time, as if it had not been counted meanwhile.

    `values` has SLOTS + 1 quantities, from `start` on, one at the end of each slot; `changes` are those in each slot.
    """

    start: datetime
    end: datetime
    values: tuple[Decimal, ...]
    changes: tuple[tuple[Change, ...], ...]


async def read_timeline(connection: AsyncConnection, explained: Explanation, *, hours: int = 24) -> Timeline:
    """Return the hours before the moment that is explained, as known then. Use the view in which it was explained."""
    length = timedelta(hours=hours)
    start = explained.at - length
    rows = await connection.exec_driver_sql(
        _CHANGES,
        {
            "item_id": explained.item_id,
            "location_id": explained.location_id,
            "start": start,
            "end": explained.at,
            "known_at": explained.known_at,
            "width": length.total_seconds() / SLOTS,
        },
    )
    by_slot = {
        slot: tuple(Change(*row[1:]) for row in group) for slot, group in groupby(rows, key=lambda row: int(row[0]))
    }
    changes = tuple(by_slot.get(slot, ()) for slot in range(1, SLOTS + 1))
    last = sum((term.quantity for term in explained.terms if term.kind != "frozen"), Decimal(0))
    return Timeline(start, explained.at, _values(last, changes), changes)


def _values(last: Decimal, changes: Sequence[Sequence[Change]]) -> tuple[Decimal, ...]:
    """Return the quantities at the ends of all slots, reckoned back from the last."""
    values = [last]
    for slot in reversed(changes):
        values.append(values[-1] - sum((change.quantity for change in slot), Decimal(0)))
    return tuple(reversed(values))
