"""Read single values: from raw data into text and numbers, and from a mapping file's text into a field's type.

Nothing here ever takes or makes a float: 0.1 has no exact float, and a quantity must stay what the ERP wrote.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

Reason = Literal[
    "missing_field",
    "unmapped_value",
    "bad_number",
    "bad_boolean",
    "bad_date",
    "bad_datetime",
    "bad_gtin",
    "bad_value",
]
REASONS: tuple[Reason, ...] = (
    "missing_field",
    "unmapped_value",
    "bad_number",
    "bad_boolean",
    "bad_date",
    "bad_datetime",
    "bad_gtin",
    "bad_value",
)
"""Every reason with which a mapping may refuse a record."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")
_LARGEST_EXPONENT = 99
_SHOWN = 60


class RefusedValueError(Exception):
    """Raised when one value can't be read; the engine adds the field and makes it a `RecordError`."""

    def __init__(self, *, reason: Reason, detail: str) -> None:
        """Keep the reason and the detail."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def show(value: object) -> str:
    """Return the value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def read_text(value: object) -> str:
    """Return a raw value as text: texts as they are, whole numbers and decimals plainly, booleans as true and false.

    Raises:
        RefusedValueError: a float, a list or another object, with reason `bad_value`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= _LARGEST_EXPONENT:
        return f"{value:f}"
    if isinstance(value, float):
        detail = f"{show(value)} is a float, which is not exact: read JSON with parse_float=Decimal"
        raise RefusedValueError(reason="bad_value", detail=detail)
    raise RefusedValueError(reason="bad_value", detail=f"{show(value)} is a {type(value).__name__}, not a text")


def read_storable(value: object) -> str:
    """Return a raw value as text that PostgreSQL can hold: no NUL and no half of a surrogate pair."""
    text = value if type(value) is str else read_text(value)
    if text.isprintable() or ("\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)):
        return text
    raise RefusedValueError(reason="bad_value", detail=f"{show(text)} holds a character that no database can store")


def read_decimal(value: object) -> Decimal | None:
    """Return the exact Decimal of a text, an int or a Decimal; None when it is blank.

    Raises:
        RefusedValueError: anything else, with reason `bad_number`: floats, NaN, infinity, separators of thousands,
            spaces, digits of other scripts, an exponent of more than two digits.
    """
    if type(value) is str:
        if not value:
            return None
        if _NUMBER.fullmatch(value) is None:
            raise RefusedValueError(reason="bad_number", detail=f"{show(value)} is not a plain decimal number")
        return Decimal(value) or Decimal(value).copy_abs()
    if type(value) is int:
        number = Decimal(value)
    elif isinstance(value, Decimal):
        number = value
    else:
        raise RefusedValueError(
            reason="bad_number", detail=f"{show(value)} is a {type(value).__name__}, not a decimal number"
        )
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise RefusedValueError(reason="bad_number", detail=f"{show(value)} is not a number that stock can have")
    return number or number.copy_abs()


def read_integer(value: object) -> int | None:
    """Return a whole number; None when it is blank.

    Raises:
        RefusedValueError: not a number, or one with a fraction, with reason `bad_number`.
    """
    number = read_decimal(value)
    if number is None:
        return None
    if number != number.to_integral_value():
        raise RefusedValueError(reason="bad_number", detail=f"{show(value)} is not a whole number")
    return int(number)


def read_boolean_word(text: str) -> bool:
    """Read `true` or `false`, as written in a mapping file."""
    if text not in {"true", "false"}:
        message = f"{show(text)} is not one of: true, false"
        raise ValueError(message)
    return text == "true"


def read_date_word(text: str) -> date:
    """Read an ISO date, as written in a mapping file."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{show(text)} is not a date like 2026-11-22"
        raise ValueError(message) from None


def read_datetime_word(text: str) -> datetime:
    """Read an ISO time with its offset, as written in a mapping file, into UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"{show(text)} is not a time with an offset like 2026-11-22T02:11:12Z"
        raise ValueError(message)
    return moment.astimezone(UTC)


def write_text(value: Any) -> str:  # noqa: ANN401 - any value of a record
    """Return a mapped value as a mapping file would write it; the inverse of reading an example."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
