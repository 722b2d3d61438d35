"""OData V2 as SAP speaks it: literals for filters and keys, and the values in answers. Pure; no network."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"/Date\((-?\d+)([+-]\d+)?\)/")
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?")
_FLOAT = Context(prec=15, traps=[])
# quotes, brackets and separators of OData's own syntax stay readable; what is special in a URL is encoded
_SAFE = "'(),/:"


def text_literal(value: str) -> str:
    """Return a string literal; quotes inside are doubled."""
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def datetime_literal(value: date) -> str:
    """Return an Edm.DateTime literal for midnight of a day."""
    return f"datetime'{value.year:04d}-{value.month:02d}-{value.day:02d}T00:00:00'"


def time_literal(value: datetime) -> str:
    """Return an Edm.Time literal for the time of day of `value`."""
    return f"time'PT{value.hour:02d}H{value.minute:02d}M{value.second:02d}S'"


def equals(name: str, value: str) -> str:
    """Return the condition that a text property has a value."""
    return f"{name} eq {text_literal(value)}"


def any_of(conditions: Sequence[str]) -> str:
    """Return the conditions joined by `or`, in brackets where there are several."""
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"


def all_of(conditions: Iterable[str]) -> str:
    """Return the conditions joined by `and`; blank ones are left out."""
    return " and ".join(condition for condition in conditions if condition)


def created_since(moment: datetime) -> str:
    """Return the condition "created at `moment` or later" on the separate properties CreationDate and CreationTime.

    `CreationDate ge d and CreationTime ge t` would miss everything that was created early on a later day.
    """
    day = datetime_literal(moment.date())
    same_day = f"CreationDate eq {day} and CreationTime ge {time_literal(moment)}"
    return f"((CreationDate gt {day}) or ({same_day}))"


def created_after(moment: datetime, key: Mapping[str, str]) -> str:
    """Return the condition "behind this one, in the order of CreationDate, CreationTime and the fields of `key`"."""
    day, time = datetime_literal(moment.date()), time_literal(moment)
    at = [f"CreationDate eq {day}", f"CreationTime eq {time}"]
    later = [f"CreationDate gt {day}", f"{at[0]} and CreationTime gt {time}"]
    for name, value in key.items():
        later.append(" and ".join([*at, f"{name} gt {text_literal(value)}"]))
        at.append(equals(name, value))
    return any_of([f"({condition})" for condition in later])


def behind(key: Mapping[str, str], *, including: bool = False) -> str:
    """Return the condition "behind these values, in the order of their fields"; `including`: at them, or behind."""
    later: list[str] = []
    at: list[str] = []
    for name, value in key.items():
        operator = "ge" if including and len(later) == len(key) - 1 else "gt"
        later.append(all_of([*at, f"{name} {operator} {text_literal(value)}"]))
        at.append(equals(name, value))
    return later[0] if len(later) == 1 else any_of([f"({condition})" for condition in later])


def build_query(parameters: Mapping[str, str]) -> str:
    """Return a percent-encoded query string.

    Spaces become %20, never +, which some proxies in front of SAP hand on as a plus sign.
    """
    return "&".join(f"{quote(name, safe='$')}={quote(value, safe=_SAFE)}" for name, value in parameters.items())


def build_key_path(entity_set: str, key: Mapping[str, str]) -> str:
    """Return the path of one entity, for instance `A_Set(Year='2026',Number='49')`."""
    parts = (f"{name}={quote(text_literal(value), safe=_KEY_SAFE)}" for name, value in key.items())
    return f"{entity_set}({','.join(parts)})"


# a slash inside a key must not become a path separator
_KEY_SAFE = "'"


def chunk(pieces: Iterable[str], limit: int, *, joint: int) -> Iterator[list[str]]:
    """Yield the pieces in lists whose joined length stays within `limit`; a longer single piece stands alone.

    Args:
        pieces: conditions in the order wanted.
        limit: characters.
        joint: characters between two pieces.
    """
    taken: list[str] = []
    length = 0
    for piece in pieces:
        if taken and length + joint + len(piece) > limit:
            yield taken
            taken, length = [], 0
        length += len(piece) + (joint if taken else 0)
        taken.append(piece)
    if taken:
        yield taken


def parse_count(value: object) -> int | None:
    """Return `__count`, which SAP Gateway writes as a string and other servers as a number; None if there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def parse_float(text: str) -> Decimal:
    """Return a JSON number with a fraction or an exponent as the decimal that the server meant.

    SAP writes Edm.Decimal as text, exactly. A server that writes numbers has passed it through a binary float, which
    keeps 15 significant digits of any decimal; what stands behind them (0.30000000000000004) is noise.
    """
    return _FLOAT.create_decimal(text)


def parse_day(value: object) -> date | None:
    """Return the calendar day of an Edm.DateTime, `/Date(milliseconds)/` or ISO text; None if it is neither.

    With an offset, `/Date(milliseconds+minutes)/`, the milliseconds are UTC and the day is the one over there.
    """
    if not isinstance(value, str):
        return None
    try:
        if found := _DATE.fullmatch(value):
            return (_EPOCH + timedelta(milliseconds=int(found[1]), minutes=int(found[2] or 0))).date()
        return date.fromisoformat(value[:10])
    except (ValueError, OverflowError):
        return None


def parse_duration(value: object) -> timedelta | None:
    """Return an Edm.Time such as `PT17H57M48S` as the time since midnight; None if it is none.

    A duration, not a time of day: SAP knows 24:00:00.
    """
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    return timedelta(hours=int(found[1] or 0), minutes=int(found[2] or 0), seconds=int(found[3] or 0))


def parse_created(row: Mapping[str, Any]) -> datetime | None:
    """Return CreationDate and CreationTime as one moment on the application server's own clock; None if unreadable.

    The result has no zone on purpose: it is only compared with others of the same clock and sent back to it.
    """
    day = parse_day(row.get("CreationDate"))
    since_midnight = parse_duration(row.get("CreationTime"))
    if day is None or since_midnight is None:
        return None
    return datetime(day.year, day.month, day.day) + since_midnight  # noqa: DTZ001 - see the docstring


def exact_quotient(numerator: object, denominator: object) -> str:
    """Return numerator / denominator as exact decimal text, or as `1/3` when no decimal is exact.

    The second form is refused by a mapping's `decimal`, which is wanted: a rounded pack factor loses goods.
    """
    above, below = _number(numerator), _number(denominator)
    if above is None or below is None or below == 0:
        return f"{numerator}/{denominator}"
    top, bottom = above.as_integer_ratio()
    other_top, other_bottom = below.as_integer_ratio()
    top, bottom = top * other_bottom, bottom * other_top
    if bottom < 0:
        top, bottom = -top, -bottom
    scale = 0
    while top * 10**scale % bottom:
        scale += 1
        if scale > _MOST_DECIMALS:
            return f"{numerator}/{denominator}"
    # from digits alone: Decimal arithmetic would round to the context's precision
    return f"{Decimal(top * 10**scale // bottom).scaleb(-scale):f}"


# QuantityDenominator has at most 5 digits, so an exact quotient has at most 16 decimals (2 to the 16th is 65536)
_MOST_DECIMALS = 20


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return None
    text = str(value).strip()
    return Decimal(text) if re.fullmatch(r"-?\d{1,20}(\.\d{1,20})?", text, re.ASCII) else None
