"""The data dictionary (数据字典): columns and tables as the function modules see them.

A column has an ABAP type and an SQL expression over the shared books that gives its stored value: text for characters
(C) and digits (N), milliseconds since 1970 or NULL for dates (D), seconds since midnight for times (T), and whole
thousandths for packed numbers (P). Columns that the books do not model have their initial value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sandbox.erp.sap.auth import SAP_CLIENT

# Internal unit keys differ from what people see: a carton is KAR inside, CAR on an English screen.
INTERNAL_UNITS: Final = {"CAR": "KAR"}
EXTERNAL_UNITS: Final = {internal: external for external, internal in INTERNAL_UNITS.items()}
# One-character language keys, as every SPRAS column holds them.
LANGUAGE_KEYS: Final = {"ZH": "1", "EN": "E", "DE": "D"}
MATNR_LENGTH: Final = 18
_INITIAL: Final = {"C": "''", "N": "''", "D": "NULL", "T": "0", "P": "0"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `length` is the dictionary's length (digits for P); `dictionary_type` is its DDIC type."""

    name: str
    type: str
    length: int
    dictionary_type: str
    text: str = ""
    sql: str = ""
    key: bool = False
    decimals: int = 0

    @property
    def width(self) -> int:
        """Return the characters it takes in a row of RFC_READ_TABLE: packed numbers add sign and point."""
        return self.length + 1 + (self.decimals > 0) if self.type == "P" else self.length

    @property
    def stored(self) -> str:
        """Return the SQL expression of its stored value."""
        if self.sql:
            return self.sql
        return f"'{'0' * self.length}'" if self.type == "N" else _INITIAL[self.type]


@dataclass(frozen=True)
class Table:
    """A transparent table; `source` is the FROM clause (with its WHERE and GROUP BY) that its columns refer to."""

    name: str
    text: str
    columns: tuple[Column, ...]
    source: str

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Return the columns by name, in their declared order."""
        return {column.name: column for column in self.columns}

    @cached_property
    def keys(self) -> tuple[Column, ...]:
        """Return the key columns without the client."""
        return tuple(column for column in self.columns if column.key and column.name != "MANDT")


def char(name: str, length: int, text: str = "", sql: str = "", *, key: bool = False, ddic: str = "CHAR") -> Column:
    """Build a character column."""
    return Column(name, "C", length, ddic, text, sql, key)


def digits(name: str, length: int, text: str = "", sql: str = "", *, key: bool = False) -> Column:
    """Build a digits-only column (NUMC); its SQL gives text of the full length."""
    return Column(name, "N", length, "NUMC", text, sql, key)


def date(name: str, text: str = "", sql: str = "") -> Column:
    """Build a date column."""
    return Column(name, "D", 8, "DATS", text, sql)


def time(name: str, text: str = "", sql: str = "") -> Column:
    """Build a time column."""
    return Column(name, "T", 6, "TIMS", text, sql)


def quantity(name: str, text: str = "", sql: str = "") -> Column:
    """Build a quantity column (QUAN 13,3)."""
    return Column(name, "P", 13, "QUAN", text, sql, decimals=3)


def decimal(name: str, length: int, text: str = "", sql: str = "") -> Column:
    """Build a packed number without decimals."""
    return Column(name, "P", length, "DEC", text, sql)


def unit(name: str, text: str = "", sql: str = "", *, key: bool = False) -> Column:
    """Build a unit column; the SQL gives the external key, the column holds the internal one."""
    cases = " ".join(f"WHEN '{external}' THEN '{internal}'" for external, internal in INTERNAL_UNITS.items())
    return Column(name, "C", 3, "UNIT", text, f"CASE {sql} {cases} ELSE {sql} END" if sql else "", key)


CLIENT: Final = Column("MANDT", "C", 3, "CLNT", "Client", f"'{SAP_CLIENT}'", key=True)


def alpha_sql(expression: str) -> str:
    """Return SQL for the ALPHA conversion (前导零转换): numbers get leading zeros, other texts stay."""
    return (
        f"CASE WHEN {expression} GLOB '*[^0-9]*' OR {expression} = '' THEN {expression}"
        f" ELSE substr('{'0' * MATNR_LENGTH}' || {expression}, -{MATNR_LENGTH}) END"
    )


def matnr(sql: str, name: str = "MATNR", text: str = "Material", *, key: bool = True) -> Column:
    """Build a material number (CHAR 18) from an SQL expression of the number without leading zeros."""
    return char(name, MATNR_LENGTH, text, alpha_sql(sql), key=key)


def internal_material(number: str) -> str:
    """Return a material number with the leading zeros it has inside (ALPHA, input)."""
    return number.zfill(MATNR_LENGTH) if number.isdecimal() else number


def external_material(number: str) -> str:
    """Return a material number as the shared books know it; one that lacks its zeros names no material: ''."""
    if not number.isdecimal():
        return number
    return (number.lstrip("0") or "0") if len(number) == MATNR_LENGTH else ""
