"""Reading a table whole in pieces, though SAP promises no order. Pure.

RFC_READ_TABLE can skip and limit rows, but without ORDER BY (its GET_SORTED is missing on most ECC releases) the
database may order each answer as it likes: a row that was behind the offset may come before it next time, and what
comes up to a limit is any part of the whole, not its beginning. So nothing is skipped, and an answer is used only if
it was not limited:

* the axis of a key field is cut into ranges, `after < key <= upto`, that follow each other without a gap;
* each range is asked for whole, with room for one row more than is allowed. If that row does not come, the range has
  been read whole, by one statement at one moment. If it comes, the answer serves only to choose where to cut the range
  in two, and both parts are asked for.

Every key lies in exactly one range, whatever was created or deleted meanwhile and whatever the cuts were taken from, so
the ranges together are the whole. (Were the database to order characters otherwise than Python does, a key could lie
in two ranges, never in none.) A range of one key that is still too large is an error, not a loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.rfc.conditions import Condition, all_of, compare
from hub.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Smaller(Generic[P]):
    """Not the answer, since it was too large, but the parts that must be read instead."""

    parts: Sequence[P]


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys behind `after` up to and with `upto`; None: without a bound."""

    field: str
    after: str | None = None
    upto: str | None = None

    def where(self) -> Condition:
        """Return the condition of the range."""
        lower = () if self.after is None else compare(self.field, ">", self.after)
        upper = () if self.upto is None else compare(self.field, "<=", self.upto)
        return all_of([lower, upper])

    def cut(self, sample: Iterable[str]) -> list[KeyRange]:
        """Cut by some keys of which nothing is known but that they lie in the range.

        One cut is in their middle, which halves the range if they are spread over it. The other is before the last,
        which leaves only one page on its left if they are the range's beginning, as most databases answer.

        Raises:
            ProtocolViolation: there is but one key, so that it can't be cut.
        """
        keys = sorted(set(sample))
        return self.cut_at([keys[(len(keys) - 1) // 2], keys[-2]] if len(keys) > 1 else keys)

    def cut_at(self, points: Iterable[str]) -> list[KeyRange]:
        """Cut behind each of the points that lie in the range.

        Raises:
            ProtocolViolation: none of them parts it.
        """
        inside = sorted({point for point in points if self._parts(point)})
        if not inside:
            raise ProtocolViolation(
                f"one {self.field} has more rows than an answer may hold; raise page_rows",
                system=SYSTEM,
                operation=f"RFC_READ_TABLE by {self.field}",
            )
        bounds = [self.after, *inside, self.upto]
        return [KeyRange(self.field, low, high) for low, high in pairwise(bounds)]

    def _parts(self, point: str) -> bool:
        above = self.after is None or point > self.after
        return above and (self.upto is None or point < self.upto)


def cut_list(items: Sequence[T]) -> list[Sequence[T]]:
    """Return both halves of a list.

    Raises:
        ProtocolViolation: it holds but one item.
    """
    if len(items) <= 1:
        raise ProtocolViolation(
            "what was asked for by name has more rows than an answer may hold; raise page_rows",
            system=SYSTEM,
            operation="RFC_READ_TABLE by name",
        )
    middle = len(items) // 2
    return [items[:middle], items[middle:]]


def chunk(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return the items in lists of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def iter_whole(parts: Sequence[P], read: Callable[[P], T | Smaller[P]]) -> Iterator[tuple[T, bool]]:
    """Yield the answers to all parts, cut as small as it takes, with True beside the last; nothing is read ahead."""
    waiting = list(reversed(parts))
    while waiting:
        answer = read(waiting.pop())
        if isinstance(answer, Smaller):
            waiting.extend(reversed(answer.parts))
        else:
            yield answer, not waiting
