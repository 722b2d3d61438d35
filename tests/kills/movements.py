"""A seeded list of goods movements in both ERPs: whoever posts it whole, in whatever time, ends in the same books."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hub.contracts import StockKey
    from tests.erp_sandboxes import ErpSandbox
    from tests.kills.mesh import EventMesh

_KINDS = {"moves": 50, "sale": 12, "receipt": 10, "transfer": 10, "take back": 12, "prepare": 3, "finish": 3}
_PUSHED = 0.5


class Movements:
    """Posts one movement after the other, each exactly once, and lets SAP push some of its documents, if it has a mesh.

    `hold` keeps it from posting: an ERP is killed only while nothing is on its way to it, since nobody could tell
    then what became of that.
    """

    def __init__(self, worlds: Mapping[str, ErpSandbox], mesh: EventMesh | None, seed: int = 1) -> None:
        self.hold = threading.Lock()
        self.posted = 0
        self._worlds = worlds
        self._mesh = mesh
        self._random = random.Random(seed)
        # The articles that both begin with, whatever becomes of their stock.
        self._keys = {system: sorted(world.books(), key=_order) for system, world in worlds.items()}
        self._undoable: dict[str, list[Any]] = {system: [] for system in worlds}
        self._prepared: list[Any] = []

    def post_until(self, number: int, pause: Callable[[], float] = lambda: 0) -> None:
        while self.posted < number:
            self.post()
            time.sleep(pause())

    def post(self) -> None:
        with self.hold:
            self._post()
            self.posted += 1

    def _post(self) -> None:
        kind = self._random.choices(list(_KINDS), list(_KINDS.values()))[0]
        system = self._random.choice(sorted(self._worlds))
        world, key = self._worlds[system], self._random.choice(self._keys[system])
        quantity, target = self._random.randint(1, 3), self._random.choice(sorted(world.locations))
        pushed = self._random.random() < _PUSHED
        # Refused when the stock does not suffice: then it is so in every run.
        with suppress(HTTPError):
            if kind == "moves":
                moved = world.post("moves", count=quantity)
                if pushed and system == "sap":
                    self._push(*moved["documents"])
            elif kind == "take back":
                if self._undoable[system]:
                    world.take_back(self._undoable[system].pop(0))
            elif kind == "prepare":
                kingdee = self._worlds["kingdee"]
                self._prepared.append(kingdee.prepare(self._random.choice(self._keys["kingdee"]), quantity))
            elif kind == "finish":
                if self._prepared:
                    self._worlds["kingdee"].finish(self._prepared.pop(0))
            elif kind != "transfer" or target != key.location:
                posted = (
                    world.transfer(key, target, quantity) if kind == "transfer" else world.move(kind, key, quantity)
                )
                self._undoable[system].append(_key_of(posted))
                if pushed and system == "sap":
                    self._push(posted)

    def _push(self, *documents: Mapping[str, Any]) -> None:
        for document in documents if self._mesh else ():
            self._mesh.push(str(document["year"]), document["material_document"])


def _key_of(posted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what takes a movement back by its name."""
    return {name: posted[name] for name in ("material_document", "year", "form", "bill_no") if name in posted}


def _order(key: StockKey) -> tuple[str, str]:
    return key.item, key.location
