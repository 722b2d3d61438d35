"""Kits (套装): articles that are sold as one and consist of others. A kit has no level; its components have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.db.rows import one_value
from hub.errors import ConfigError
from hub.sync.outbox import write_outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from decimal import Decimal

    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection

# So that two who write at once can't make a kit of a kit.
_ALONE = "LOCK TABLE kit_component IN SHARE ROW EXCLUSIVE MODE"
_UNKNOWN = "SELECT array_agg(sku) FROM unnest(%s::text[]) AS named(sku) WHERE sku NOT IN (SELECT sku FROM item)"
_NESTED = """
SELECT array_agg(item.sku ORDER BY item.sku) FROM item
WHERE item.sku = ANY(%(components)s) AND item.id IN (SELECT kit_id FROM kit_component)
   OR item.sku = %(kit)s AND item.id IN (SELECT item_id FROM kit_component)
"""
_STOCKED = """
SELECT array_agg(place.code ORDER BY place.code)
FROM stock_level AS level
JOIN item ON item.id = level.item_id AND item.sku = %s
JOIN location AS place ON place.id = level.location_id
WHERE level.on_hand <> 0 OR level.held <> 0 OR level.demand <> 0 OR level.supply <> 0
"""
_DROP = "DELETE FROM kit_component USING item WHERE item.id = kit_id AND item.sku = %s"
_WRITE = """
INSERT INTO kit_component (kit_id, item_id, quantity)
SELECT kit.id, part.id, given.quantity
FROM unnest(%(skus)s::text[], %(quantities)s::numeric[]) AS given(sku, quantity)
JOIN item AS part USING (sku) JOIN item AS kit ON kit.sku = %(kit)s
"""
_LIST = """
SELECT kit.sku, kit.name, array_agg(part.sku ORDER BY part.sku), array_agg(component.quantity ORDER BY part.sku)
FROM kit_component AS component
JOIN item AS kit ON kit.id = component.kit_id JOIN item AS part ON part.id = component.item_id
GROUP BY kit.id ORDER BY kit.sku
"""


_KITS_OF = """
SELECT part.sku, array_agg(kit.sku) FROM item AS part
JOIN kit_component AS component ON component.item_id = part.id JOIN item AS kit ON kit.id = component.kit_id
WHERE part.sku = ANY(%(skus)s::text[]) GROUP BY part.sku
"""


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit and how much of each component, in its base unit, one of it takes."""

    sku: str
    name: str
    components: Mapping[str, Decimal]


def set_kit(connection: psycopg.Connection, sku: str, components: Mapping[str, Decimal]) -> None:
    """Say what a kit consists of from now on; what is reserved or sold of it stays as it is.

    Raises:
        ConfigError: an article is unknown, a quantity is not above zero, a component is a kit (or the kit a component),
            or there is stock of the kit itself.
    """
    if not components or min(components.values()) <= 0:
        raise ConfigError(f"{sku} needs components with quantities above zero")
    with connection.transaction():
        connection.execute(_ALONE)
        if unknown := one_value(connection.execute(_UNKNOWN, ([sku, *components],))):
            raise ConfigError(f"no article {', '.join(unknown)}")
        if nested := one_value(connection.execute(_NESTED, {"kit": sku, "components": list(components)})):
            raise ConfigError(f"a kit can't be part of a kit: {', '.join(nested)}")
        if sku in components:
            raise ConfigError(f"{sku} can't be part of itself")
        if stocked := one_value(connection.execute(_STOCKED, (sku,))):
            raise ConfigError(
                f"there is stock of {sku} itself at {', '.join(stocked)}: an article with levels is no kit"
            )
        connection.execute(_DROP, (sku,))
        values = {"kit": sku, "skus": list(components), "quantities": list(components.values())}
        connection.execute(_WRITE, values)
        _tell(connection, sku)


def drop_kit(connection: psycopg.Connection, sku: str) -> bool:
    """Make a kit an ordinary article; False when it is none."""
    with connection.transaction():
        dropped = connection.execute(_DROP, (sku,)).rowcount > 0
        if dropped:
            _tell(connection, sku)
    return dropped


def load_kits(connection: psycopg.Connection) -> list[Kit]:
    """Return all kits."""
    return [
        Kit(sku, name, dict(zip(parts, quantities, strict=True)))
        for sku, name, parts, quantities in connection.execute(_LIST)
    ]


async def kits_of(connection: AsyncConnection, skus: Collection[str]) -> dict[str, list[str]]:
    """Return the kits that each of some articles is part of."""
    if not skus:
        return {}
    return {row[0]: row[1] for row in await connection.exec_driver_sql(_KITS_OF, {"skus": list(skus)})}


def _tell(connection: psycopg.Connection, sku: str) -> None:
    write_outbox(connection, "stock.changed", sku, {"source": "kits", "batch": None, "changed": 1, "skus": [sku]})
