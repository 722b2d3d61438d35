"""The timeline of a level as a picture: where its lines and marks stand, for an SVG that the template draws."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hub.stock.timeline import Timeline

WIDTH: Final = 300
HEIGHT: Final = 104
_TOP, _BOTTOM = 16, 88
"""Where the highest and the lowest value stand."""
_LANES = {"base": "read", "demand": "document", "supply": "document", "reservation": "cart"}
"""Which kinds of change are marked, and as what."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How many changes of one kind fell into a part of the time, and where that stands."""

    lane: str
    x: float
    count: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A step line of what could be promised, the line of zero if it is within, and marks below.

    Coordinates are within WIDTH × HEIGHT; `line` is as the attribute `points` of a polyline wants it.
    """

    line: str
    zero: float | None
    marks: tuple[Mark, ...]
    high: Decimal
    low: Decimal


def draw(timeline: Timeline) -> Picture:
    """Return the picture of a timeline."""
    high, low = max(timeline.values), min(timeline.values)
    slots = len(timeline.changes)

    def x(slot: int) -> float:
        return round(slot * WIDTH / slots, 2)

    def y(value: Decimal) -> float:
        share = (high - value) / (high - low) if high > low else Decimal("0.5")
        return round(_TOP + float(share) * (_BOTTOM - _TOP), 2)

    points = [(x(0), y(timeline.values[0]))]
    for slot, value in enumerate(timeline.values[1:], 1):
        if value != timeline.values[slot - 1]:
            points += [(x(slot), points[-1][1]), (x(slot), y(value))]
    points.append((x(slots), points[-1][1]))
    return Picture(
        line=" ".join(f"{across},{down}" for across, down in points),
        zero=y(Decimal(0)) if low <= 0 <= high else None,
        marks=_marks(timeline),
        high=high,
        low=low,
    )


def _marks(timeline: Timeline) -> tuple[Mark, ...]:
    marks = []
    for slot, changes in enumerate(timeline.changes):
        counts: dict[str, int] = {}
        for change in changes:
            if lane := _LANES.get(change.kind):
                counts[lane] = counts.get(lane, 0) + change.count
        middle = round((slot + 0.5) * WIDTH / len(timeline.changes), 2)
        marks += [Mark(lane, middle, counts[lane]) for lane in sorted(counts)]
    return tuple(marks)
