"""Stocktakes (盘点): a place is frozen while it is counted, and thawed with the difference explained.

While a place is frozen nothing of it is promised, and reads go on: what the people of the ERP post as gains and
losses of the count comes in by them. Of what a base has changed by in the end, a part is explained by documents that
carry numbers of ours. The rest is the count's difference, or was sold without us.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TextIO

from hub.db.rows import one_value
from hub.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    import psycopg

_STOCKTAKE = """
SELECT stocktake.id, place.code, stocktake.frozen_at, stocktake.thawed_at, stocktake.levels, feed.read_at
FROM stocktake
JOIN location AS place ON place.id = stocktake.location_id
LEFT JOIN feed ON feed.source = place.stock_source
"""
_LINES = """
SELECT item.sku, item.name, item.unit, line.base_before, line.base_after, line.explained, line.demand, line.supply
FROM stocktake_line AS line JOIN item ON item.id = line.item_id
WHERE line.stocktake_id = %s ORDER BY item.sku
"""
_COLUMNS = (
    "sku",
    "name",
    "unit",
    "base_before",
    "base_after",
    "explained",
    "difference",
    "demand_not_in_base",
    "supply_not_in_base",
)


@dataclass(frozen=True, slots=True)
class Stocktake:
    """A count of a place. `thawed_at` and `levels`, how many it had in the end, are None while it goes on.

    `read_at` is when the place's source was last read with success.
    """

    number: int
    location: str
    frozen_at: datetime
    thawed_at: datetime | None
    levels: int | None
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class CountedLine:
    """A level of which anything changed while it was counted, or is open: quantities in its base unit.

    Attributes:
        explained: by how much the base changed by documents with numbers of ours; negative: it fell.
        demand: what was sold and was not in the base in the end. `supply` likewise.
    """

    sku: str
    name: str
    unit: str
    base_before: Decimal
    base_after: Decimal
    explained: Decimal
    demand: Decimal
    supply: Decimal

    @property
    def difference(self) -> Decimal:
        """What nobody has told us of: the count's difference, or what was sold without us."""
        return self.base_after - self.base_before - self.explained


def freeze(connection: psycopg.Connection, location: str) -> int:
    """Freeze a place and return the stocktake's number. The connection must be in autocommit mode.

    It waits for a read of the place's source that is being applied.

    Raises:
        DomainError: there is no such place, or it is being counted already.
    """
    number = one_value(connection.execute("SELECT stock_freeze(%s)", (location,)))
    if number is None:
        _refuse(connection, location, f"{location} is being counted already", "stocktake-open")
    return int(number)


def thaw(connection: psycopg.Connection, location: str) -> int:
    """Promise a place's stock again and return the stocktake's number. The connection must be in autocommit mode.

    Raises:
        DomainError: there is no such place, or it is not being counted.
    """
    number = one_value(connection.execute("SELECT stock_thaw(%s)", (location,)))
    if number is None:
        _refuse(connection, location, f"{location} is not being counted", "no-stocktake")
    return int(number)


def load_stocktakes(connection: psycopg.Connection, *, limit: int = 20) -> list[Stocktake]:
    """Return the newest stocktakes, newest first."""
    rows = connection.execute(f"{_STOCKTAKE} ORDER BY stocktake.id DESC LIMIT %s", (limit,))
    return [Stocktake(*row) for row in rows]


def load_stocktake(connection: psycopg.Connection, number: int) -> tuple[Stocktake, list[CountedLine]]:
    """Return a stocktake with its lines; there are none while it goes on.

    Raises:
        DomainError: there is no such stocktake.
    """
    row = connection.execute(f"{_STOCKTAKE} WHERE stocktake.id = %s", (number,)).fetchone()
    if row is None:
        raise DomainError(f"there is no stocktake {number}", code="no-stocktake", status=404)
    return Stocktake(*row), [CountedLine(*line) for line in connection.execute(_LINES, (number,))]


def write_csv(file: TextIO, lines: Sequence[CountedLine]) -> None:
    """Write the lines as CSV with a header."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for line in lines:
        numbers = (line.base_before, line.base_after, line.explained, line.difference, line.demand, line.supply)
        writer.writerow((line.sku, line.name, line.unit, *(f"{number.normalize():f}" for number in numbers)))


def _refuse(connection: psycopg.Connection, location: str, message: str, code: str) -> NoReturn:
    if connection.execute("SELECT FROM location WHERE code = %s", (location,)).fetchone() is None:
        raise DomainError(f"there is no place {location}", code="location-not-found", status=404)
    raise DomainError(message, code=code)
