"""Histories of the small world: random ones, and all of a length."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.model.pure import PureHub
from tests.model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tests.model.world import Choice, Hub


class BrokenHistoryError(AssertionError):
    """Raised when more was offered than there truly is, or the end is not exact; tells all that happened."""


@dataclass
class Missing:
    """What was truly there and not offered, over looks at a history: one look after each event.

    `units` is the sum of the pieces that were held back, `refused` counts the looks at which the last piece was.
    """

    looks: int = 0
    units: int = 0
    refused: int = 0

    def look(self, world: World) -> None:
        """Take note of a moment."""
        offered, there = world.hub.available(), world.truth()
        self.add(Missing(1, max(there - offered, 0), int(offered < 1 <= there)))

    def add(self, other: Missing) -> None:
        """Add what another history has shown."""
        self.looks += other.looks
        self.units += other.units
        self.refused += other.refused


def walk(
    hub: Hub, random: Random, steps: int, *, after: Callable[[World], None] = lambda _: None, drain: bool = True
) -> World:
    """Let anything happen, again and again, then let all that is under way come to its end, if `drain`.

    Raises:
        BrokenHistoryError: the hub offered more than there was, or something else than what there is in the end.
    """
    world = World(hub)
    world.start()
    told: list[str] = []
    for _ in range(steps):
        name, happen = random.choice(random.choice(world.groups()))
        told.append(name)
        happen()
        after(world)
        check(world, told)
    if not drain:
        return world
    world.drain()
    after(world)
    if world.hub.available() != world.truth():
        raise BrokenHistoryError(f"{told}: offers {world.hub.available()} of {world.truth()} in the end")
    return world


def check(world: World, told: list[str]) -> None:
    """Compare what is offered with what there is."""
    offered, there = world.hub.available(), world.truth()
    if offered > there:
        raise BrokenHistoryError(f"{told}: offers {offered} of {there}")


def count_all(depth: int, *, begin: Callable[[World], None] = lambda _: None) -> int:
    """Check all histories of up to `depth` events; return how many there are.

    Raises:
        BrokenHistoryError: as `walk`.
    """
    world = World(PureHub())
    world.start()
    begin(world)
    return sum(1 for _ in _spread(world, [], depth))


def happen(world: World, *names: str) -> None:
    """Let named things happen, one after the other."""
    for name in names:
        dict(_choices(world))[name]()


def _spread(world: World, told: list[str], depth: int) -> Iterator[None]:
    yield
    if not depth:
        end = copy.deepcopy(world)
        end.drain()
        if end.hub.available() != end.truth():
            raise BrokenHistoryError(f"{told}: offers {end.hub.available()} of {end.truth()} in the end")
        return
    for number in range(len(_choices(world))):
        branch = copy.deepcopy(world)
        name, happen = _choices(branch)[number]
        happen()
        check(branch, [*told, name])
        yield from _spread(branch, [*told, name], depth - 1)


def _choices(world: World) -> list[Choice]:
    return [choice for group in world.groups() for choice in group]
