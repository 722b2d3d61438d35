"""What a look at a real ERP tells: what it does beside what the hub assumes, and one article row by row.

Connectors that can look satisfy `LiveProbe`; everything they do for it is a read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hub.contracts import StockRow


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        seen: what the system did.
        assumed: what the documents say and our sandbox does.
        agrees: whether the two are the same.
        numbers_at_risk: whether the difference can make stock wrong, or reading it impossible; False where the
            connector is made for it.
        advice: the setting or the line of a mapping file to change; blank when nothing has to be.
    """

    name: str
    seen: str
    assumed: str
    agrees: bool = True
    numbers_at_risk: bool = False
    advice: str = ""

    @property
    def alarming(self) -> bool:
        """Tell whether numbers would be wrong if nothing were done."""
        return self.numbers_at_risk and not self.agrees


@dataclass(frozen=True, slots=True)
class TracedRow:
    """One raw row of stock and what became of it.

    Attributes:
        raw: as the ERP told it.
        location: the ERP's own code of the place.
        row: the mapped row; None when it was left out or refused.
        reason: where its quantity goes, or why it goes nowhere.
        steps: how each field was made, in words.
    """

    raw: Mapping[str, Any]
    location: str
    row: StockRow | None
    reason: str
    steps: tuple[str, ...]


@runtime_checkable
class LiveProbe(Protocol):
    """A connector that can look at the system it is connected to, read-only."""

    def probe(self) -> Iterator[Observation]:
        """Look at one thing after the other; what can't be looked at is an observation too."""

    def trace(self, item: str | None) -> Sequence[TracedRow]:
        """Read all rows of one article, at other places than the configured ones too, and say what becomes of each.

        Args:
            item: the ERP's own number; None takes the first that has stock at a configured place.

        Raises:
            RemoteError: the ERP misbehaves.
        """
