"""From the hub's item numbers and location codes to SAP's own and back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from connectors.erp.sap.reading import split_location
from connectors.erp.sap.rfc.conditions import Condition, all_of, any_of, compare, one_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from hub.contracts import StockKey

_LONGEST_MATERIAL = 40
_LONGEST_PLACE = 4


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A storage location (库存地点) of a plant (工厂)."""

    plant: str
    storage: str

    @classmethod
    def parse(cls, code: str) -> Place:
        """Read a location code such as `1010/101A`.

        Raises:
            ConfigError: the code has another form.
        """
        return cls(*split_location(code))


@dataclass(frozen=True, slots=True, order=True)
class StockName:
    """A stock key as the fields WERKS, LGORT and MATNR hold it."""

    place: Place
    material: str


@dataclass(frozen=True, slots=True)
class MaterialNumbers:
    """How this system stores material numbers (物料编号): numbers filled up with zeros, other texts as they are.

    This is what SAP's conversion exits ALPHA and MATN1 do; `zeros` is False where MATN1 was set not to.
    """

    length: int
    zeros: bool

    def to_sap(self, item: str) -> str:
        """Return the number as SAP stores it."""
        return item.zfill(self.length) if self.zeros and item.isascii() and item.isdigit() else item

    def name(self, key: StockKey) -> StockName | None:
        """Return the key in SAP's words, or None for one that no row of SAP can have.

        Raises:
            ConfigError: the location code has another form.
        """
        place, material = Place.parse(key.location), self.to_sap(key.item)
        fits = 0 < len(material) <= _LONGEST_MATERIAL and max(len(place.plant), len(place.storage)) <= _LONGEST_PLACE
        return StockName(place, material) if fits and material.isprintable() else None


def at_places(places: Collection[Place]) -> Condition:
    """Return the condition that a row belongs to one of the places."""
    plants = groupby(sorted(set(places)), key=lambda place: place.plant)
    return any_of(
        [
            all_of([compare("WERKS", "=", plant), one_of("LGORT", (place.storage for place in group))])
            for plant, group in plants
        ]
    )


def named(names: Iterable[StockName]) -> Condition:
    """Return the condition that a row belongs to one of the keys."""
    places = groupby(sorted(set(names)), key=lambda name: name.place)
    return any_of(
        [all_of([at_places([place]), one_of("MATNR", (name.material for name in group))]) for place, group in places]
    )
