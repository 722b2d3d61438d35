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
    """A line of a document that moved stock: it names a key to read again, never the quantity that is there.

    Attributes:
        line_id: the line's identity at the ERP, whatever becomes of it.
        reference: the number of ours that its document carries, empty where there is none.
        quantity: what it took out of the place, in the item's base unit; negative for what it brought.
        posted: the ERP's stock contains it; False for one that is not posted yet or was taken back (反审核).
        version: differs each time it is posted anew.
        reverses: the identity of the line that this one takes back (冲销).
    """

    item: str
    location: str
    document_id: str = ""
    changed_at: datetime | None = None
    line_id: str = ""
    reference: str = ""
    quantity: Decimal | None = None
    posted: bool = True
    version: str = ""
    reverses: str = ""


RECORDS: Mapping[str, type[Any]] = MappingProxyType(
    {record.__name__: record for record in (StockRow, LocationRecord, ArticleRow, BarcodeRow, MovedKey)}
)
"""The records a mapping file may name, by class name."""
