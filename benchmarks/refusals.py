"""Refusals that can't have been right: all the while between question and answer there was enough."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

# An order takes over what a reservation held: nothing becomes free by it. Of two events at the same moment the one that
# takes counts first.
_EVENTS = """
SELECT item.sku, EXTRACT(EPOCH FROM event.effective_at)::float8, event.quantity::float8
FROM hold_event AS event JOIN item ON item.id = event.item_id
WHERE event.kind IN ('held', 'released', 'expired')
ORDER BY item.sku, event.effective_at, event.quantity DESC
"""
_THERE = "SELECT item.sku, level.on_hand::float8 FROM stock_level AS level JOIN item ON item.id = level.item_id"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a buyer was refused: pieces by SKU, kits as their components; times are Unix time in seconds."""

    asked_at: float
    answered_at: float
    pieces: Mapping[str, int]

    @property
    def unit_seconds(self) -> float:
        """Pieces that were refused, times how long it took to refuse them."""
        return sum(self.pieces.values()) * (self.answered_at - self.asked_at)


@dataclass(frozen=True, slots=True)
class _Course:
    """How much of an article was taken: from each moment on, until the next."""

    times: Sequence[float]
    taken: Sequence[float]

    def most_taken(self, begin: float, end: float) -> float:
        """Return the most that was taken at any moment from `begin` to `end`."""
        first, last = bisect_right(self.times, begin) - 1, bisect_right(self.times, end)
        return max([0.0 if first < 0 else self.taken[first], *self.taken[first + 1 : last]])


def find_false(connection: psycopg.Connection, refusals: Iterable[Refusal]) -> list[Refusal]:
    """Return those of the refusals that can't have been right, by what the database has recorded of holds.

    One location; no stock comes or goes but by reservations.
    """
    there = {str(sku): float(quantity) for sku, quantity in connection.execute(_THERE)}
    courses = _courses(connection)
    nothing = _Course((), ())

    def was_there(refusal: Refusal) -> bool:
        return all(
            there[sku] - courses.get(sku, nothing).most_taken(refusal.asked_at, refusal.answered_at) >= pieces
            for sku, pieces in refusal.pieces.items()
        )

    return [refusal for refusal in refusals if was_there(refusal)]


def _courses(connection: psycopg.Connection) -> dict[str, _Course]:
    events: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sku, moment, quantity in connection.execute(_EVENTS):
        events[sku].append((moment, quantity))
    return {
        sku: _Course([moment for moment, _ in row], list(accumulate(quantity for _, quantity in row)))
        for sku, row in events.items()
    }
