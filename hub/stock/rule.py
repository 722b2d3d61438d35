"""What may be promised of a level: the rule, as pure functions of what the hub knows.

The database keeps the same sums on the level's row (`stock_level.room`), brought up to date by `hub.stock.coverage` and
the functions of `hub/db/functions`. `make model-check` holds this rule against random and against all short histories,
and the database against this rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Base:
    """What the ERP answered in one read, between the ticks at which it began and had ended."""

    quantity: Decimal
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an ERP's document with a number of ours, as the list holds it: since tick `changed` it stands so."""

    quantity: Decimal
    posted: bool
    changed: int


def contained(lines: Iterable[Line], began: int, sold: Decimal | int = 0, returned: Decimal | int = 0) -> Decimal | int:
    """Return what a base contains of what was sold under one number, as far as that is sure.

    The list is that of after the read had ended. A line that stands in it and has not changed since before the read
    began stood in the list before with the same version.

    Args:
        sold: under this number, in all.
        returned: what the same receipts brought back. Their documents net it, or have lines of it too: what is brought
            back so far takes nothing from what is contained.
    """
    standing = [line.quantity for line in lines if line.posted and line.changed < began]
    taken = sum(quantity for quantity in standing if quantity > 0)
    brought = -sum(quantity for quantity in standing if quantity < 0)
    if returned and taken and taken - brought >= sold - returned:
        return sold
    return taken - max(brought - returned, 0)


def cover(quantities: Sequence[Decimal], contained_quantity: Decimal | int) -> list[Decimal | int]:
    """Return how much of each demand under one number is covered; the oldest comes first."""
    covered: list[Decimal | int] = []
    left = contained_quantity
    for quantity in quantities:
        covered.append(min(max(left, 0), quantity))
        left -= quantity
    return covered


def counts(push_sent: int | None, base: Base) -> bool:
    """Tell whether supply counts: the base surely doesn't contain it."""
    return push_sent is None or push_sent > base.ended


def available(
    base: Base,
    uncovered: Decimal | int,
    counted: Decimal | int,
    reserved: Decimal | int = 0,
    withheld: Decimal | int = 0,
) -> Decimal | int:
    """Return what may be promised; negative when more was sold than there is.

    Args:
        uncovered: demand that the base does not surely contain.
        counted: supply that it surely does not contain.
        withheld: safety stock and buffer.
    """
    return base.quantity - uncovered + counted - reserved - withheld
