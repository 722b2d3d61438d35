"""Reading the answer of a statement that always answers one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg


def one_value(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Any:  # noqa: ANN401 - whatever the statement selects
    """Return the first column of the one row that a statement such as INSERT ... RETURNING answers."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a statement that always answers one row answered none")
    return row[0]
