"""What all tables share: how constraints are named, and kinds of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, DateTime, MetaData, Numeric, Text, func, text

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def time_column(name: str, *, nullable: bool = False, now: bool = False) -> Column[datetime]:
    """Return a column of aware times; `now`: when the row is written, by the database's clock."""
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=func.clock_timestamp() if now else None
    )


def text_column(name: str, *, default: str | None = None, nullable: bool = False) -> Column[str]:
    """Return a column of text."""
    return Column(name, Text, nullable=nullable, server_default=None if default is None else text(f"'{default}'"))


def quantity_column(name: str) -> Column[Decimal]:
    """Return a column of a quantity, zero at first."""
    return Column(name, Numeric, nullable=False, server_default=text("0"))
