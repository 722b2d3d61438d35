"""Finding items as people ask for them: by SKU, package code, GTIN, an ERP's number, or words of the name."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hub.stock.reading import is_storable

if TYPE_CHECKING:
    from collections.abc import Collection
    from decimal import Decimal

    from sqlalchemy.ext.asyncio import AsyncConnection

Matched = Literal["sku", "barcode", "gtin", "number", "name"]
_GTIN_LENGTHS = (8, 12, 13, 14)
_LONGEST = 100

# Each kind of code by its own index; an item that several codes lead to is named once, by the strongest.
_BY_CODE = """
SELECT DISTINCT ON (item.id) item.sku, item.gtin, item.name, item.unit, found.matched, found.factor
FROM (SELECT id, 'sku' AS matched, 1 AS rank, 1::numeric AS factor FROM item WHERE sku = ANY(%(codes)s::text[])
      UNION ALL
      SELECT id, 'gtin', 2, 1 FROM item WHERE gtin = ANY(%(gtins)s::text[])
      UNION ALL
      SELECT item_id, 'barcode', 3, factor FROM barcode WHERE code = ANY(%(gtins)s::text[])
      UNION ALL
      SELECT our_id, 'number', 4, 1 FROM external_reference
      WHERE kind = 'item' AND external_id = %(text)s AND system = ANY(ARRAY(SELECT source FROM feed))
     ) AS found JOIN item ON item.id = found.id
ORDER BY item.id, found.rank
"""
_BY_NAME = """
SELECT sku, gtin, name, unit, 'name', 1::numeric
FROM item
WHERE name LIKE ALL(%(exact)s::text[]) AND (%(folded)s::text[] = '{}' OR lower(name) LIKE ALL(%(folded)s::text[]))
ORDER BY active DESC, name <> %(text)s, name NOT LIKE %(start)s, length(name), sku
LIMIT %(limit)s
"""
_RANKS: tuple[Matched, ...] = ("sku", "gtin", "barcode", "number", "name")


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that was found and by what; `factor` is how many base units the scanned package holds (装箱数)."""

    sku: str
    gtin: str | None
    name: str
    unit: str
    matched: Matched
    factor: Decimal


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """LIKE patterns of the words of a name: case counts only where letters have case, which Chinese has not."""

    exact: list[str]
    folded: list[str]


async def find_items(connection: AsyncConnection, text: str, limit: int = 20) -> list[Hit]:
    """Return up to `limit` items that `text` means: those whose code it is, else those whose name has all its words."""
    wanted = clean_text(text)
    if not wanted:
        return []
    codes = await connection.exec_driver_sql(
        _BY_CODE, {"text": wanted, "codes": code_spellings(wanted), "gtins": gtin_spellings(wanted)}
    )
    hits = sorted((Hit(*row) for row in codes), key=lambda hit: (_RANKS.index(hit.matched), hit.sku))
    if hits:
        return hits[:limit]
    patterns = name_patterns(wanted)
    names = await connection.exec_driver_sql(
        _BY_NAME,
        {
            "exact": patterns.exact,
            "folded": patterns.folded,
            "text": wanted,
            "start": f"{escape_like(wanted)}%",
            "limit": limit,
        },
    )
    return [Hit(*row) for row in names]


def clean_text(text: str) -> str:
    """Return what a person or a scanner meant: full-width forms (全角) as usual ones, no control characters."""
    if not is_storable(text):
        text = "".join(character for character in text if is_storable(character))
    normal = unicodedata.normalize("NFKC", text[: _LONGEST * 2])
    printable = "".join(character if character.isprintable() else " " for character in normal)
    return " ".join(printable.split())[:_LONGEST]


def code_spellings(text: str) -> list[str]:
    """Return the spellings under which a typed SKU may be stored."""
    return list(dict.fromkeys((text, text.upper(), text.lower())))


def gtin_spellings(text: str) -> list[str]:
    """Return the text and, if it is a GTIN, all its lengths: UPC-A, EAN-13 and GTIN-14 differ in leading zeros only."""
    if not (text.isascii() and text.isdigit() and len(text) in _GTIN_LENGTHS):
        return [text]
    bare = text.lstrip("0")
    return list(dict.fromkeys((text, *(bare.zfill(length) for length in _GTIN_LENGTHS if len(bare) <= length))))


def name_patterns(text: str) -> NamePatterns:
    """Return patterns that a name must match all of, one for each word."""
    words = text.split()
    cased = [word for word in words if word.lower() != word.upper()]
    caseless = [word for word in words if word.lower() == word.upper()]
    return NamePatterns(
        exact=[f"%{escape_like(word)}%" for word in caseless] or ["%"],
        folded=[f"%{escape_like(word.lower())}%" for word in cased],
    )


def escape_like(text: str) -> str:
    r"""Return text for a LIKE pattern in which `%`, `_` and `\` mean themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def code_parameters(text: str) -> dict[str, Collection[str]]:
    """Return the parameters of a list's search condition: codes and name patterns of the cleaned text."""
    patterns = name_patterns(text)
    return {
        "codes": code_spellings(text),
        "gtins": gtin_spellings(text),
        "exact": patterns.exact,
        "folded": patterns.folded,
    }
