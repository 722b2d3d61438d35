"""A hub of one level in memory, by the pure rule alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.stock import rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.model.world import Told


@dataclass
class Kept:
    """A line of a document as the list holds it."""

    reference: str
    version: int
    line: rule.Line


@dataclass
class Booked:
    """Demand as the hub knows it."""

    reference: str
    quantity: int
    state: str = "open"
    sent: bool = False
    covered: int = 0


@dataclass
class PureHub:
    """Satisfies `tests.model.world.Hub`."""

    ticks: int = 0
    base: rule.Base = field(default_factory=lambda: rule.Base(0, 0, 0))  # type: ignore[arg-type]
    demands: dict[str, Booked] = field(default_factory=dict)
    supplies: dict[str, list[int | None]] = field(default_factory=dict)
    documents: dict[str, Kept] = field(default_factory=dict)

    def tick(self) -> int:
        """Draw a tick."""
        self.ticks += 1
        return self.ticks

    def available(self) -> int:
        """Return what may be promised now."""
        uncovered = sum(d.quantity - d.covered for d in self.demands.values() if d.state in ("open", "cancel_pending"))
        counted = sum(quantity or 0 for quantity, sent in self.supplies.values() if rule.counts(sent, self.base))
        return int(rule.available(self.base, uncovered, counted))

    def place(self, number: str, reference: str, quantity: int) -> None:
        """Book demand."""
        self.demands[number] = Booked(reference, quantity)

    def claim(self, number: str) -> None:
        """Note that demand is about to be sent."""
        self.demands[number].sent = True

    def cancel(self, number: str) -> None:
        """Cancel demand."""
        demand = self.demands[number]
        demand.state = "cancel_pending" if demand.sent else "released"

    def end(self, number: str, state: str) -> None:
        """End demand that was sent."""
        self.demands[number].state = state

    def supply(self, number: str, quantity: int) -> None:
        """Count supply."""
        self.supplies[number] = [quantity, None]

    def claim_supply(self, number: str) -> None:
        """Note that supply is about to be sent."""
        if self.supplies[number][1] is None:
            self.supplies[number][1] = self.tick()

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        """Keep what a look has answered."""
        now = self.tick()
        for line in told:
            known = self.documents.get(line.document)
            if known is None or (known.version, known.line.posted) != (line.version, line.posted):
                stands = rule.Line(line.quantity, line.posted, now)  # type: ignore[arg-type]
                self.documents[line.document] = Kept(line.reference, line.version, stands)
        for document in missing:
            kept = self.documents[document]
            kept.line = replace(kept.line, posted=False, changed=now)

    def standing(self) -> list[str]:
        """Return the documents that stand in the list for live demand."""
        live = {d.reference for d in self.demands.values() if d.state in ("open", "cancel_pending")}
        return [name for name, kept in self.documents.items() if kept.line.posted and kept.reference in live]

    def apply(self, quantity: int, began: int, ended: int) -> None:
        """Take a read as the base, if it began later than the one in force."""
        if began <= self.base.began:
            return
        self.base = rule.Base(quantity, began, ended)  # type: ignore[arg-type]
        for demand in self.demands.values():
            lines = [kept.line for kept in self.documents.values() if kept.reference == demand.reference]
            [covered] = rule.cover([demand.quantity], rule.contained(lines, began))  # type: ignore[list-item]
            demand.covered = int(covered)
