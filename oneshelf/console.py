"""Where commands write for people, and how they read numbers."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TextIO

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

console = Console()


def quantity_of(text: str) -> Decimal:
    """Return the number that was typed in.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise typer.BadParameter(f"{text!r} is no number")
    return number


def plain(number: Decimal | None) -> str:
    """Return a number without trailing zeros; nothing for None."""
    return "" if number is None else f"{number.normalize():f}"


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Open a file for CSV that Excel too reads as UTF-8."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        yield file
