"""The rule of available stock against histories of a small world. `make model-check` runs far more of them."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from hub.stock import rule
from tests.model.histories import BrokenHistoryError, Missing, count_all, happen, walk
from tests.model.pure import PureHub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.model.world import Told, World

HISTORIES = int(os.environ.get("ONESHELF_MODEL_HISTORIES", "1500"))
DEPTH = int(os.environ.get("ONESHELF_MODEL_DEPTH", "3"))


def test_random_histories_never_offer_more_than_there_is_and_end_exactly() -> None:
    for seed in range(HISTORIES):
        walk(PureHub(), Random(seed), 80)


def stocked_out(hub: PureHub, seed: int) -> Missing:
    """Go through a history; after it one cycle of reading must bring back all that was held back without need."""
    missing = Missing()
    world = walk(hub, Random(seed), 80, after=missing.look, drain=False)
    world.read_once()
    offered, there = world.hub.available(), world.truth() - world.on_their_way()
    if offered != there:
        raise BrokenHistoryError(f"offers {offered} of {there} after a cycle")
    return missing


def test_what_is_held_back_without_need_is_offered_after_one_cycle(note_missing: Callable[[Missing], None]) -> None:
    """No false stock-out: only goods that are on their way to the ERP may be missing after it."""
    total = _total(PureHub, HISTORIES)
    assert 0 < total.refused < total.looks / 4
    note_missing(total)


class TwoCycles(PureHub):
    """Waits for the read after the one that surely contains it."""

    def apply(self, quantity: int, began: int, ended: int) -> None:
        before = self.base.began
        super().apply(quantity, began, ended)
        _cover_before(self, before)


class NeverAgain(PureHub):
    """Counts no supply any more that was ever sent."""

    def apply(self, quantity: int, began: int, ended: int) -> None:
        super().apply(quantity - sum(bool(sent) for _, sent in self.supplies.values()), began, ended)


@pytest.mark.parametrize("mutant", [TwoCycles, NeverAgain], ids=lambda mutant: mutant.__name__)
def test_what_holds_back_longer_is_found_out(mutant: type[PureHub]) -> None:
    with pytest.raises(BrokenHistoryError, match="after a cycle"):
        _total(mutant, 500)


def _total(hub: type[PureHub], histories: int) -> Missing:
    total = Missing()
    for seed in range(histories):
        total.add(stocked_out(hub(), seed))
    return total


def _from_nothing(_: World) -> None:
    """Nothing has happened yet."""


def _from_covered(world: World) -> None:
    """A sale was posted, and the base contains it."""
    happen(world, "sell 2", "push O1", "post O1", "begin a look", "the ERP answers a look", "a look ends")
    happen(world, "begin a read", "the ERP answers read 0", "read 0 ends")
    happen(world, "begin the look behind read 0", "the ERP answers a look", "a look ends", "apply read 0")


def _from_within_a_read(world: World) -> None:
    """A sale was posted and is known; a read has begun, and the ERP has not answered it."""
    happen(world, "sell 2", "push O1", "post O1", "begin a look", "the ERP answers a look", "a look ends")
    happen(world, "begin a read")


def _from_supply_within_a_read(world: World) -> None:
    """Goods came back and are on their way to the ERP, which has been asked for its stock."""
    happen(world, "take back goods", "begin a read", "push R1")


@pytest.mark.parametrize(
    ("begin", "less"),
    [(_from_nothing, 0), (_from_covered, 1), (_from_within_a_read, 1), (_from_supply_within_a_read, 1)],
)
def test_all_short_histories(begin: Callable[[World], None], less: int) -> None:
    assert count_all(DEPTH - less, begin=begin) > 10 ** (DEPTH - less) / 3


def _from_the_books(hub: PureHub) -> None:
    """Cover demand as soon as it is known posted, whenever the base was read."""
    for demand in hub.demands.values():
        lines = [kept.line for kept in hub.documents.values() if kept.reference == demand.reference]
        demand.covered = min(int(rule.contained(lines, hub.ticks + 1)), demand.quantity)


class AsSoonAsKnown(PureHub):
    """Stops subtracting as soon as a look has told of the posting."""

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        super().note(told, missing)
        _from_the_books(self)


class ByTheEnd(PureHub):
    """Compares with the end of the read, not with its beginning."""

    def apply(self, quantity: int, began: int, ended: int) -> None:
        if began > self.base.began:
            super().apply(quantity, began, ended)
            _cover_before(self, ended)


class WithoutVersions(PureHub):
    """Takes a line that was posted anew for the one it knew."""

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        before = {name: kept.line for name, kept in self.documents.items()}
        super().note(told, missing)
        for name, line in before.items():
            kept = self.documents[name]
            if line.posted and kept.line.posted:
                kept.line = line


class OneList(PureHub):
    """Keeps what was listed before the read, whatever the look behind it tells."""

    def apply(self, quantity: int, began: int, ended: int) -> None:
        if began > self.base.began:
            super().apply(quantity, began, ended)
            _cover_before(self, began, ever=True)


class VanishedUnseen(PureHub):
    """Does not miss documents that vanished."""

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        del missing
        super().note(told, ())


class SupplyByTheBeginning(PureHub):
    """Counts supply that was sent after the read began, as if the read could not contain it."""

    def available(self) -> int:
        began = replace(self.base, ended=self.base.began)
        more = sum(
            quantity or 0
            for quantity, sent in self.supplies.values()
            if rule.counts(sent, began) and not rule.counts(sent, self.base)
        )
        return super().available() + more


class SupplyUntilKnown(PureHub):
    """Counts supply, as it subtracts demand, until it is known to be in the base."""

    def available(self) -> int:
        more = sum(q or 0 for q, sent in self.supplies.values() if sent and not rule.counts(sent, self.base))
        return super().available() + (more if not self.documents else 0)


class PushedAnew(PureHub):
    """A later attempt overwrites when supply was sent first."""

    def tick(self) -> int:
        now = super().tick()
        for supply in self.supplies.values():
            supply[1] = supply[1] and now
        return now


class CancelledAtOnce(PureHub):
    """Gives stock back on cancelling, while the push is unanswered."""

    def cancel(self, number: str) -> None:
        self.demands[number].state = "released"


class EachLineCoversAll(PureHub):
    """Takes a partial posting for the whole."""

    def apply(self, quantity: int, began: int, ended: int) -> None:
        if began > self.base.began:
            super().apply(quantity, began, ended)
            for demand in self.demands.values():
                demand.covered = demand.quantity if demand.covered else 0


def _cover_before(hub: PureHub, tick: int, *, ever: bool = False) -> None:
    for demand in hub.demands.values():
        lines = [kept.line for kept in hub.documents.values() if kept.reference == demand.reference]
        if ever:
            lines = [replace(line, posted=True) for line in lines]
        demand.covered = min(int(rule.contained(lines, tick)), demand.quantity)


MUTANTS = [
    AsSoonAsKnown,
    ByTheEnd,
    WithoutVersions,
    OneList,
    VanishedUnseen,
    SupplyByTheBeginning,
    SupplyUntilKnown,
    PushedAnew,
    CancelledAtOnce,
    EachLineCoversAll,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_each_sentence_of_the_rule_is_needed(mutant: type[PureHub]) -> None:
    with pytest.raises(BrokenHistoryError):
        _walk_often(mutant)


def _walk_often(mutant: type[PureHub]) -> None:
    for seed in range(20_000):
        walk(mutant(), Random(seed), 80)
