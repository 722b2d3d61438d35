"""The records that a mapping file may name as its target."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hub.contracts import LocationRecord, StockRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ArticleRow:
    """One article of an ERP, flat; a connector gathers it with its `BarcodeRow`s into an `ItemRecord`.

    `item` is the article's identity at the ERP, `unit` its base unit (基本单位).
    """

    item: str
    name: str
    unit: str
    gtin: str | None = None
    category: str = ""
    brand: str = ""
    colour: str = ""
    size: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class BarcodeRow:
    """One code of an article; a package under it holds `factor` base units (装箱数) and is called `unit`."""

    item: str
    code: str
    unit: str
    factor: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class MovedKey:
    """A line of a document that moved stock: it names a key to read again, never a quantity."""

    item: str
    location: str
    document_id: str = ""
    changed_at: datetime | None = None


RECORDS: Mapping[str, type[Any]] = MappingProxyType(
    {record.__name__: record for record in (StockRow, LocationRecord, ArticleRow, BarcodeRow, MovedKey)}
)
"""The records a mapping file may name, by class name."""
