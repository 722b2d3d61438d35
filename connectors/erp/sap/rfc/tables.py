"""The tables that are read, and what RFC_READ_TABLE answers: rows of fixed width. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

Row = dict[str, str]

ROW_LENGTH = 512
"""Characters that one row of an answer holds (structure TAB512)."""
_LAST_OF_THE_BASIC_PLANE = "\uffff"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of SAP and the fields that tell two of its rows apart (the client is left out: it is always our own)."""

    name: str
    key: tuple[str, ...]


MATERIALS = Table("MARA", ("MATNR",))
LEVELS = Table("MARD", ("MATNR", "WERKS", "LGORT"))
LOTS = Table("MCHB", ("MATNR", "WERKS", "LGORT", "CHARG"))
MATERIAL_LOTS = Table("MCH1", ("MATNR", "CHARG"))
PLANT_LOTS = Table("MCHA", ("MATNR", "WERKS", "CHARG"))
NAMES = Table("MAKT", ("MATNR", "SPRAS"))
UNITS = Table("MARM", ("MATNR", "MEINH"))
CODES = Table("MEAN", ("MATNR", "MEINH", "LFNUM"))
DOCUMENTS = Table("MKPF", ("MBLNR", "MJAHR"))
DOCUMENT_LINES = Table("MSEG", ("MBLNR", "MJAHR", "ZEILE"))
PLACES = Table("T001L", ("WERKS", "LGORT"))


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field stands in a row, in UTF-16 units as ABAP counts them."""

    name: str
    offset: int
    length: int


def parse_columns(fields: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Read the table FIELDS of an answer.

    Raises:
        ValueError: an offset or a length is no number.
    """
    return [Column(str(f["FIELDNAME"]).strip(), int(f["OFFSET"]), int(f["LENGTH"])) for f in fields]


def parse_row(text: str, columns: Sequence[Column]) -> Row:
    """Cut a row of an answer into its fields, without the blanks behind them.

    A row may end early: the library takes off blanks at its end. No delimiter is used, since texts may hold it.
    """
    if not text.isascii() and max(text) > _LAST_OF_THE_BASIC_PLANE:
        units = text.encode("utf-16-le")
        parts = {c.name: units[2 * c.offset : 2 * (c.offset + c.length)] for c in columns}
        return {name: part.decode("utf-16-le", errors="replace").rstrip() for name, part in parts.items()}
    return {c.name: text[c.offset : c.offset + c.length].rstrip() for c in columns}


def split_fields(
    widths: Mapping[str, int], key: Sequence[str], limit: int = ROW_LENGTH, *, together: Collection[str] = ()
) -> list[list[str]]:
    """Return the fields in lists that fit into rows, in their order; each list begins with the key.

    Args:
        widths: of all fields, those of the key too, in characters.
        together: fields that stand in one list, which is the first.

    Raises:
        ValueError: a field does not fit beside the key, or those that stand together do not.
    """
    others = [name for name in widths if name not in key]
    block = [name for name in others if name in together]
    blocks = [*([block] if block else []), *([name] for name in others if name not in together)]
    whole = limit - sum(widths[name] for name in key)
    parts: list[list[str]] = []
    room = 0
    for names in blocks:
        width = sum(widths[name] for name in names)
        if width > whole:
            has, fits = ("has", "does not fit") if len(names) == 1 else ("together have", "do not fit")
            message = f"{', '.join(names)} {has} {width} characters and {fits} beside the key"
            raise ValueError(message)
        if not parts or width > room:
            parts.append(list(key))
            room = whole
        parts[-1] += names
        room -= width
    return parts or [list(key)]


def join_rows(parts: Sequence[Sequence[Row]], key: Sequence[str]) -> list[Row] | None:
    """Put rows together that were read in parts; None when the parts do not hold the same rows.

    A row that comes twice in one part counts once.
    """
    joined: dict[tuple[str, ...], Row] = {}
    for number, rows in enumerate(parts):
        found = {identify(row, key): row for row in rows}
        if number == 0:
            joined = found
        elif found.keys() != joined.keys():
            return None
        else:
            joined = {identity: {**joined[identity], **row} for identity, row in found.items()}
    return list(joined.values())


def identify(row: Row, key: Sequence[str]) -> tuple[str, ...]:
    """Return what tells a row from the others of its table."""
    return tuple(row[name] for name in key)
