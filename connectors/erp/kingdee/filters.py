"""FilterString: the SQL-like condition of a Kingdee query, built so that no value can end its own quotes.

The server puts this text into its SQL. Every value passes `literal`, every field name is checked against a pattern, and
nothing else makes a condition.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FIELD_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
MEMBER_SEPARATOR = ","
LONGEST_FILTER = 4000
"""Characters of a FilterString that every version takes; the documents name no limit, so ours is cautious."""


def literal(value: Any) -> str:  # noqa: ANN401 - a value out of a JSON answer
    """Return `value` as SQL: numbers bare, times to the millisecond, all else in single quotes, with `'` doubled."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, datetime):
        return f"'{value.isoformat(timespec='milliseconds')}'"
    text = "" if value is None else str(value)
    return "'" + text.replace("'", "''") + "'"


def equals(field: str, value: Any) -> str:  # noqa: ANN401
    """Return `field = value`."""
    return f"{_checked(field)} = {literal(value)}"


def greater(field: str, value: Any) -> str:  # noqa: ANN401
    """Return `field > value`."""
    return f"{_checked(field)} > {literal(value)}"


def at_least(field: str, value: Any) -> str:  # noqa: ANN401
    """Return `field >= value`."""
    return f"{_checked(field)} >= {literal(value)}"


def one_of(field: str, values: Iterable[str]) -> str:
    """Return `field IN (…)`, or an equality for a single value."""
    items = [literal(value) for value in values]
    if len(items) == 1:
        return f"{_checked(field)} = {items[0]}"
    return f"{_checked(field)} IN ({', '.join(items)})"


def all_of(*conditions: str) -> str:
    """Join the conditions that are not blank with AND."""
    return " AND ".join(condition for condition in conditions if condition)


def any_of(*conditions: str) -> str:
    """Join conditions with OR, in brackets when there are several."""
    return conditions[0] if len(conditions) == 1 else f"({' OR '.join(conditions)})"


def after(fields: Sequence[str], values: Sequence[Any]) -> str:
    """Return the condition "behind `values` in the order of `fields`", for reading on where a page ended."""
    return _from_on(fields, values, greater)


def at_or_after(fields: Sequence[str], values: Sequence[Any]) -> str:
    """Return the condition "equal to `values` or behind them in the order of `fields`"."""
    return _from_on(fields, values, at_least)


def _from_on(fields: Sequence[str], values: Sequence[Any], last: Callable[[str, Any], str]) -> str:
    field, value = fields[0], values[0]
    if len(fields) == 1:
        return last(field, value)
    # a server finds where this begins by an index on the first field, as it does not with "> OR (= AND …)"
    return all_of(at_least(field, value), any_of(greater(field, value), _from_on(fields[1:], values[1:], last)))


def chunks(values: Iterable[str], *, room: int) -> Iterator[list[str]]:
    """Split values into lists that take at most `room` characters of a FilterString each (one value at least)."""
    chunk: list[str] = []
    used = 0
    for value in values:
        size = len(literal(value)) + len(", ")
        if chunk and used + size > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(value)
        used += size
    if chunk:
        yield chunk


def ascending(*fields: str) -> str:
    """Return an OrderString, all fields ascending."""
    return ", ".join(f"{_checked(field)} ASC" for field in fields)


def descending(*fields: str) -> str:
    """Return an OrderString, all fields descending."""
    return ", ".join(f"{_checked(field)} DESC" for field in fields)


def fold(value: Any) -> str:  # noqa: ANN401
    """Return what the server takes for the same text.

    The usual collation of SQL Server under Kingdee (Chinese_PRC_CI_AS) takes no account of case, of full or half
    width, or of blanks at the end. Where we compared more strictly than the server, a group of rows would look finished
    while the server still counts its next row to it, and the condition "behind this group" would skip that row.
    """
    text = "" if value is None else str(value)
    return unicodedata.normalize("NFKC", text).casefold().rstrip()


def _checked(field: str) -> str:
    if not FIELD_NAME.fullmatch(field):
        message = f"not a field name: {field!r}"
        raise ValueError(message)
    return field
