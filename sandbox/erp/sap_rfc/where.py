"""The WHERE clause that RFC_READ_TABLE takes in OPTIONS: a part of Open SQL, turned into SQL with parameters.

Known are EQ = NE <> LT < LE <= GT > GE >=, LIKE, IN ( 'a', 'b' ), BETWEEN x AND y, each with NOT before it where ABAP
allows it, and AND, OR, NOT and parentheses. As in ABAP, every line of OPTIONS is scanned for itself, so no token may go
on in the next line; operators, literals and parentheses need blanks around them (inside the list of IN they may touch).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap_rfc.errors import abap_exception, short_dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.erp.sap_rfc.dictionary import Column, Table
    from sandbox.erp.sap_rfc.errors import ABAPApplicationError

_TOKEN: Final = re.compile(r"(?P<gap>\s*)(?:(?P<literal>'(?:[^']|'')*')|(?P<sign>[(),])|(?P<word>[^\s'(),]+))")
_OPERATORS: Final = {
    "EQ": "=", "=": "=", "NE": "<>", "<>": "<>", "LT": "<", "<": "<", "LE": "<=", "<=": "<=",
    "GT": ">", ">": ">", "GE": ">=", ">=": ">=",
}  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?\d+")
_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `glued` says that no blank or line start stands before it."""

    kind: str
    text: str
    glued: bool


@dataclass(frozen=True, slots=True)
class Where:
    """A condition: SQL over the column names, its parameters, and which columns it uses."""

    sql: str = "1"
    parameters: tuple[str | int, ...] = ()
    columns: frozenset[str] = frozenset()


def option_not_valid(table: str) -> ABAPApplicationError:
    """Build the exception for a clause that the database refuses; class and text as seen on 7.50."""
    return abap_exception("OPTION_NOT_VALID", "SAIS", "000", f"DB_Error{table}")


def parse_where(lines: Sequence[str], table: Table) -> Where:
    """Parse OPTIONS.

    Raises:
        ABAPApplicationError: OPTION_NOT_VALID.
        ABAPRuntimeError: a literal is longer than its column (SAPSQL_DATA_LOSS).
    """
    tokens = [token for line in lines for token in _scan(line, table.name)]
    if not tokens:
        return Where()
    return _Parser(tokens, table).parse()


def _scan(line: str, table: str) -> list[Token]:
    tokens: list[Token] = []
    position, text = 0, line.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise option_not_valid(table)
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind], glued=position > 0 and not match["gap"]))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens; every step returns SQL, the parameters gather on the way."""

    def __init__(self, tokens: list[Token], table: Table) -> None:
        self._tokens = tokens
        self._table = table
        self._next = 0
        self._parameters: list[str | int] = []
        self._columns: set[str] = set()

    def parse(self) -> Where:
        sql = self._alternatives()
        if self._next != len(self._tokens):
            raise option_not_valid(self._table.name)
        return Where(sql, tuple(self._parameters), frozenset(self._columns))

    def _peek(self) -> str:
        """Return the next word in upper case, '' for a literal or the end."""
        if self._next >= len(self._tokens):
            return ""
        token = self._tokens[self._next]
        return "" if token.kind == "literal" else token.text.upper()

    def _take(self, *, in_list: bool = False) -> Token:
        if self._next >= len(self._tokens):
            raise option_not_valid(self._table.name)
        token = self._tokens[self._next]
        if token.glued and not in_list:
            raise option_not_valid(self._table.name)
        self._next += 1
        return token

    def _word(self, *expected: str) -> bool:
        if self._peek() not in expected:
            return False
        self._take()
        return True

    def _alternatives(self) -> str:
        parts = [self._all_of()]
        while self._word("OR"):
            parts.append(self._all_of())
        return _balanced(parts, "OR")

    def _all_of(self) -> str:
        parts = [self._negated()]
        while self._word("AND"):
            parts.append(self._negated())
        return _balanced(parts, "AND")

    def _negated(self) -> str:
        if self._word("NOT"):
            return f"NOT ({self._negated()})"
        if self._word("("):
            sql = self._alternatives()
            if not self._word(")"):
                raise option_not_valid(self._table.name)
            return f"({sql})"
        return self._predicate()

    def _predicate(self) -> str:
        column = self._table.by_name.get(self._take().text.upper())
        if column is None:
            raise option_not_valid(self._table.name)
        self._columns.add(column.name)
        negation = "NOT " if self._word("NOT") else ""
        operator = self._take().text.upper()
        if operator == "IN":
            return f"{negation}({self._listed(column)})"
        if operator == "BETWEEN":
            return f"{negation}({self._between(column)})"
        if operator == "LIKE" and column.type in {"C", "N"}:
            return f'{negation}("{column.name}" GLOB {self._mark(_glob(self._literal(self._take())))})'
        if operator not in _OPERATORS or negation:
            raise option_not_valid(self._table.name)
        return self._compare(column, _OPERATORS[operator], self._take())

    def _between(self, column: Column) -> str:
        low = self._compare(column, ">=", self._take())
        if not self._word("AND"):
            raise option_not_valid(self._table.name)
        return f"{low} AND {self._compare(column, '<=', self._take())}"

    def _listed(self, column: Column) -> str:
        if self._take().text != "(":
            raise option_not_valid(self._table.name)
        members = [self._take(in_list=True)]
        while (sign := self._take(in_list=True).text) == ",":
            members.append(self._take(in_list=True))
        if sign != ")":
            raise option_not_valid(self._table.name)
        if column.type == "C":
            marks = ", ".join(self._mark(self._characters(column, member)) for member in members)
            return f'"{column.name}" IN ({marks})'
        return _balanced([self._compare(column, "=", member) for member in members], "OR")

    def _compare(self, column: Column, operator: str, token: Token) -> str:
        name = f'"{column.name}"'
        if column.type == "D":
            return self._compare_date(name, operator, self._characters(column, token))
        value = self._value(column, token)
        return f"{name} {operator} {self._mark(value)}"

    def _compare_date(self, name: str, operator: str, text: str) -> str:
        """Compare a date whose initial value is stored as NULL, so that no result is unknown."""
        bound = _date_bound(text) if text.isdecimal() else None
        if bound is None and text.strip("0"):
            raise option_not_valid(self._table.name)
        if bound is None:
            alone = {"=": f"{name} IS NULL", "<=": f"{name} IS NULL", "<": "0", ">=": "1"}
            return alone.get(operator, f"{name} IS NOT NULL")
        if operator in {"<", "<=", "<>"}:
            return f"({name} IS NULL OR {name} {operator} {self._mark(bound)})"
        return f"({name} {operator} {self._mark(bound)} AND {name} IS NOT NULL)"

    def _value(self, column: Column, token: Token) -> str | int:
        if column.type == "P":
            return self._thousandths(token)
        text = self._characters(column, token)
        if column.type == "N":
            return text.zfill(column.length)
        if column.type == "T":
            padded = text.ljust(6, "0")
            if not padded.isdecimal():
                raise option_not_valid(self._table.name)
            return int(padded[:2]) * 3600 + int(padded[2:4]) * 60 + int(padded[4:])
        return text

    def _thousandths(self, token: Token) -> int:
        text = token.text if _NUMBER.fullmatch(token.text) else self._literal(token)
        if text.endswith("-"):
            text = f"-{text[:-1]}"
        try:
            return int(Decimal(text.strip()) * 1000)
        except (InvalidOperation, ValueError, OverflowError):
            raise option_not_valid(self._table.name) from None

    def _characters(self, column: Column, token: Token) -> str:
        text = self._literal(token)
        if len(text) > column.length:
            raise short_dump("SAPSQL_DATA_LOSS", "Data was lost while copying a value.")
        return text

    def _literal(self, token: Token) -> str:
        if token.kind != "literal":
            raise option_not_valid(self._table.name)
        return token.text[1:-1].replace("''", "'").rstrip()

    def _mark(self, value: str | int) -> str:
        self._parameters.append(value)
        return "?"


def _balanced(parts: list[str], operator: str) -> str:
    """Join conditions as a balanced tree: SQLite bounds the depth of an expression."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(parts[:middle], operator)} {operator} {_balanced(parts[middle:], operator)})"


def _glob(pattern: str) -> str:
    """Return a LIKE pattern as GLOB, which minds the case as ABAP does."""
    replaced = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(replaced.get(sign, sign) for sign in pattern)


def _date_bound(text: str) -> int | None:
    """Return a date's stored value, None for the initial date.

    A date that no calendar has (20260231) compares as its text does: just after the last real date before it.
    """
    year, month, day = int(text[:4] or 0), int(text[4:6] or 0), int(text[6:8] or 0)
    if not (year or month or day):
        return None
    year = max(year, 1)
    real_month = min(max(month, 1), _MONTHS)
    last = calendar.monthrange(year, real_month)[1]
    real_day = last if month > _MONTHS else min(max(day, 1), last)
    midnight = int(datetime(year, real_month, real_day, tzinfo=UTC).timestamp()) * 1000
    if (real_month, real_day) == (month, day):
        return midnight
    return midnight - 1 if month < 1 or day < 1 else midnight + 1
