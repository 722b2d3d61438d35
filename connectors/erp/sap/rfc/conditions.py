"""Conditions for RFC_READ_TABLE, as tokens that are put into lines. Pure.

SAP reads the lines of OPTIONS as ABAP source: 72 characters each, a token in one line, blanks between tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

Condition = tuple[str, ...]
"""The tokens of a condition; none: no condition."""

LINE_LENGTH = 71
"""One less than the 72 of the field TEXT: the last place is not safe on all releases."""
ANYTHING: Condition = ()


def literal(value: str) -> str:
    """Return a text literal; quotes inside are doubled, so that no value ends it early."""
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def compare(field: str, operator: str, value: str) -> Condition:
    """Return the comparison of a field with a text; `operator` is one of ABAP's, such as `>=`."""
    return (field, operator, literal(value))


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Join by AND; those without a token are left out."""
    return _join("AND", [condition for condition in conditions if condition])


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Join by OR, in brackets where there are several.

    Raises:
        ValueError: there is none; that would mean "never" and must not become "always".
    """
    if not all(conditions) or not conditions:
        message = "an alternative without a condition"
        raise ValueError(message)
    joined = _join("OR", conditions)
    return ("(", *joined, ")") if len(conditions) > 1 else joined


def one_of(field: str, values: Iterable[str]) -> Condition:
    """Return the condition that a field holds one of some texts."""
    return any_of([compare(field, "=", value) for value in values])


def since(day_field: str, time_field: str, moment: datetime) -> Condition:
    """Return the condition "at `moment` or later" on a date and a time of day that stand in two fields.

    `day >= d AND time >= t` would miss what happened early on a later day.
    """
    day, time = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    same_day = all_of([compare(day_field, "=", day), compare(time_field, ">=", time)])
    return any_of([compare(day_field, ">", day), ("(", *same_day, ")")])


def to_lines(condition: Condition, length: int = LINE_LENGTH) -> list[str]:
    """Put the tokens into as few lines as their order allows.

    Raises:
        ValueError: one token alone is longer than a line.
    """
    lines: list[str] = []
    for token in condition:
        if len(token) > length:
            message = f"the text {token[:20]}… is too long for a condition"
            raise ValueError(message)
        if lines and len(lines[-1]) + 1 + len(token) <= length:
            lines[-1] += f" {token}"
        else:
            lines.append(token)
    return lines


def _join(word: str, conditions: Sequence[Condition]) -> Condition:
    joined: list[str] = []
    for number, condition in enumerate(conditions):
        joined += [word, *condition] if number else condition
    return tuple(joined)
