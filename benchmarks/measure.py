"""A measured figure: the values of several runs, their median and spread, and the limit it must keep."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    Attributes:
        name: what was measured.
        unit: of the values, for instance `s` or `requests/s`.
        values: one for each run.
        at_most: the limit that the median must not exceed; None for a figure that only informs.
        at_least: the limit that the median must reach.
        note: what it stands beside, or what bounds it.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median of the runs."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Tell whether the median keeps its limit; None when it has none."""
        if self.at_most is not None:
            return self.median <= self.at_most
        if self.at_least is not None:
            return self.median >= self.at_least
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the figure as it is kept in `benchmarks/results/`."""
        return {name: getattr(self, name) for name in self.__slots__} | {"values": list(self.values)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Figure:
        """Read a figure that `as_json` wrote."""
        return cls(**{**stored, "values": tuple(stored["values"])})


@dataclass
class Stopwatch:
    """The seconds of named parts of a run."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the percentile of at least two values, for instance 99."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]
