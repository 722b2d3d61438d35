"""OData V2 literals, and how the books store their values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap.errors import bad_request
from sandbox.erp.sap.model import BOOLEAN, DATE_TIME, DATE_TIME_OFFSET, DECIMAL, STRING, TIME

if TYPE_CHECKING:
    from sandbox.erp.sap.model import Property

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THOUSAND: Final = 1000
# Beyond any quantity SAP can hold, yet far from SQLite's 64-bit border.
_LARGEST: Final = 10**18
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,7})?)?")
_OFFSET: Final = re.compile(r"(.*?)(Z|[+-]\d{2}:\d{2})")
_DURATION: Final = re.compile(r"PT(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?")

LITERAL: Final = re.compile(
    r"(?P<prefixed>(?:datetimeoffset|datetime|time)'[^']*')"
    r"|(?P<string>'(?:[^']|'')*')"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[MmLlDdFf]?(?![\w.]))"
    r"|(?P<word>(?:true|false|null)\b)",
)


@dataclass(frozen=True, slots=True)
class Literal:
    """One literal. `type` is an Edm type, "number" for any number, or "null"; a number's value is a Decimal."""

    type: str
    value: str | Decimal | int | None


def parse_literal(text: str) -> Literal:
    """Parse one whole literal such as `'it''s'`, `400M`, `datetime'2026-11-23T00:00:00'` or `time'PT1H'`.

    Raises:
        ODataError: the text is no literal of OData V2 (status 400).
    """
    match = LITERAL.fullmatch(text)
    if match is None:
        raise bad_request(f"Invalid literal '{text}'")
    if match["string"]:
        return Literal(STRING, text[1:-1].replace("''", "'"))
    if match["number"]:
        return Literal("number", _number(text))
    if match["word"]:
        return Literal("null", None) if text == "null" else Literal(BOOLEAN, int(text == "true"))
    kind, content = text[:-1].split("'", 1)
    parse = {"datetime": _date_time, "datetimeoffset": _date_time_offset, "time": _time}[kind]
    return parse(content)


def matches(literal: Literal, prop: Property) -> bool:
    """Return whether a literal's type is the property's; a Gateway converts none of them."""
    return literal.type == ("number" if prop.type == DECIMAL else prop.type)


def stored_value(literal: Literal, prop: Property) -> str | int | None:
    """Return what the books store for a literal of the property's own type (a Decimal in whole thousandths).

    Raises:
        ODataError: the literal is of another type, or finer than thousandths (status 400).
    """
    if not matches(literal, prop):
        raise bad_request(f"Invalid value for property '{prop.name}' of type {prop.type}")
    if not isinstance(literal.value, Decimal):
        return literal.value
    scaled = thousandths(literal.value)
    if scaled is None:
        raise bad_request(f"Too many decimals for property '{prop.name}'")
    return scaled


def thousandths(value: Decimal) -> int | None:
    """Return a quantity as a whole number of thousandths, None if it has more than three decimals."""
    scaled = value * _THOUSAND
    return int(scaled) if scaled == scaled.to_integral_value() else None


def thousandths_border(value: Decimal, operator: str) -> int | None:
    """Return the whole number that compares as `value` does, for stored thousandths.

    1.0005 lies between two storable quantities: `gt` must compare with the lower, `ge` with the upper neighbour.
    None when nothing can be equal to it.
    """
    scaled = min(max(value, Decimal(-_LARGEST)), Decimal(_LARGEST)) * _THOUSAND
    if scaled == scaled.to_integral_value():
        return int(min(max(scaled, Decimal(-_LARGEST)), Decimal(_LARGEST)))
    if operator in {"eq", "ne"}:
        return None
    return math.floor(scaled) if operator in {"gt", "le"} else math.ceil(scaled)


def decimal_text(stored: int, *, keep_zeros: bool = False) -> str:
    """Render stored thousandths as decimal text, without trailing zeros unless they shall be kept."""
    whole, part = divmod(abs(stored), _THOUSAND)
    sign = "-" if stored < 0 else ""
    if keep_zeros:
        return f"{sign}{whole}.{part:03d}"
    return f"{sign}{whole}" + (f".{part:03d}".rstrip("0") if part else "")


def time_text(stored: int) -> str:
    """Render seconds since midnight as Edm.Time, for example PT17H57M48S."""
    return f"PT{stored // 3600:02d}H{stored // 60 % 60:02d}M{stored % 60:02d}S"


def _number(text: str) -> Decimal:
    try:
        return Decimal(text.rstrip("MmLlDdFf"))
    except InvalidOperation:
        raise bad_request(f"Invalid number '{text}'") from None


def _milliseconds(content: str) -> int:
    if not _DATE_TIME.fullmatch(content):
        raise bad_request(f"Invalid date and time '{content}'")
    try:
        moment = datetime.fromisoformat(content[:26]).replace(tzinfo=UTC)
    except ValueError:
        raise bad_request(f"Invalid date and time '{content}'") from None
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _date_time(content: str) -> Literal:
    return Literal(DATE_TIME, _milliseconds(content))


def _date_time_offset(content: str) -> Literal:
    match = _OFFSET.fullmatch(content)
    if match is None:
        raise bad_request(f"Invalid date and time with offset '{content}'")
    value = _milliseconds(match[1])
    if match[2] != "Z":
        sign = -1 if match[2][0] == "-" else 1
        minutes = sign * (int(match[2][1:3]) * 60 + int(match[2][4:6]))
        value -= minutes * 60_000
    return Literal(DATE_TIME_OFFSET, value)


def _time(content: str) -> Literal:
    match = _DURATION.fullmatch(content)
    if match is None:
        raise bad_request(f"Invalid time '{content}'")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return Literal(TIME, hours * 3600 + minutes * 60 + seconds)
