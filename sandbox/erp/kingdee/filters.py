"""Read FilterString and OrderString: the SQL-ish subset that K/3 Cloud clients use, made into safe SQLite SQL.

Nothing of the text reaches the database as SQL: names become known columns, literals become parameters. Text compares
as on SQL Server with its usual collation: case-insensitive, trailing blanks ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from sandbox.erp.kingdee.database import QUANTITY_SCALE
from sandbox.erp.kingdee.forms import Column, Form, Kind
from sandbox.erp.kingdee.wire import BAD_REQUEST, NO_SUCH_FIELD, ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<moment>\{\s*(?:ts|d)\s*'[^']*'\s*\})
      | (?P<string>[Nn]?'(?:[^']|'')*')
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))
      | (?P<operator><=|>=|<>|!=|=|<|>)
      | (?P<mark>[(),])
      | (?P<word>[A-Za-z_]\w*(?:\.\w+)*)
    )""",
    re.VERBOSE,
)
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "like", "is", "null", "between"})
_DEEPEST: Final = 60
_BARE_DATE: Final = re.compile(r"\d{8}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind (keyword, string, number, moment, operator, mark, word, end) and its text."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL and its parameters."""

    sql: str
    parameters: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of the filter; None is NULL."""

    value: str | Decimal | None


def tokenize(text: str) -> list[Token]:
    """Split a filter into tokens.

    Raises:
        ApiError: MsgCode 4, something that is no token.
    """
    tokens = []
    position, text = 0, text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise bad_filter(text[position : position + 20])
        word = found.group(found.lastgroup)
        kind = "keyword" if word.lower() in _KEYWORDS and found.lastgroup == "word" else found.lastgroup
        tokens.append(Token(kind, word.lower() if kind == "keyword" else word))
        position = found.end()
    return [*tokens, Token("end", "")]


def bad_filter(near: str) -> ApiError:
    """Return the error of a filter that can't be read."""
    return ApiError(f"过滤条件错误：“{near}”附近有语法错误。", BAD_REQUEST)


def no_such_field(name: str) -> ApiError:
    """Return the error of a field that the business object does not have."""
    return ApiError(f"字段【{name}】不存在，请检查！列名 '{name}' 无效。", NO_SUCH_FIELD, name)


def parse_filter(form: Form, text: str) -> Condition:
    """Return the condition of a FilterString; an empty one is true.

    Raises:
        ApiError: MsgCode 4 for a filter that can't be read, 9 for an unknown field.
    """
    if not text.strip():
        return Condition("1")
    parser = _Parser(form, tokenize(text))
    condition = parser.disjunction(0)
    parser.expect("end")
    return condition


def parse_order(form: Form, text: str) -> list[str]:
    """Return the ORDER BY terms of an OrderString.

    Raises:
        ApiError: MsgCode 4 for a malformed term, 9 for an unknown field.
    """
    terms = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, *direction = part.split()
        if len(direction) > 1 or (direction and direction[0].lower() not in {"asc", "desc"}):
            raise bad_filter(part)
        column = form.column(name)
        if column is None:
            raise no_such_field(name)
        terms.append(f"{_ordered(column)} {direction[0].upper() if direction else 'ASC'}")
    return terms


def _ordered(column: Column) -> str:
    return f"rtrim({column.sql}) COLLATE NOCASE" if column.kind is Kind.TEXT else column.sql


class _Parser:
    """Recursive descent; each method returns the condition of the piece that it has consumed."""

    def __init__(self, form: Form, tokens: list[Token]) -> None:
        self._form = form
        self._tokens = tokens
        self._next = 0

    # --- tokens
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, kind: str, *texts: str) -> str | None:
        token = self._peek()
        if token.kind == kind and (not texts or token.text in texts):
            self._take()
            return token.text
        return None

    def expect(self, kind: str, *texts: str) -> str:
        """Consume a token that must be there."""
        found = self._accept(kind, *texts)
        if found is None:
            raise bad_filter(self._peek().text or "结尾")
        return found

    # --- grammar
    def disjunction(self, depth: int) -> Condition:
        """Consume one or more conditions joined by OR."""
        return self._chain("or", self._conjunction, depth)

    def _conjunction(self, depth: int) -> Condition:
        return self._chain("and", self._negation, depth)

    def _chain(self, word: str, part: Callable[[int], Condition], depth: int) -> Condition:
        parts = [part(depth)]
        while self._accept("keyword", word):
            parts.append(part(depth))
        if len(parts) == 1:
            return parts[0]
        joined = _balanced([piece.sql for piece in parts], word.upper())
        return Condition(joined, tuple(value for piece in parts for value in piece.parameters))

    def _negation(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise bad_filter(self._peek().text)
        if self._accept("keyword", "not"):
            inner = self._negation(depth + 1)
            return Condition(f"(NOT {inner.sql})", inner.parameters)
        if self._accept("mark", "("):
            inner = self.disjunction(depth + 1)
            self.expect("mark", ")")
            return inner
        return self._predicate()

    def _predicate(self) -> Condition:
        left = self._operand()
        operator = self._accept("operator")
        if operator:
            return _compare(left, operator, self._operand())
        if self._accept("keyword", "is"):
            negated = bool(self._accept("keyword", "not"))
            self.expect("keyword", "null")
            sql, parameters = _render(left, _kind(left, left))
            return Condition(f"({sql} IS {'NOT ' if negated else ''}NULL)", parameters)
        negated = bool(self._accept("keyword", "not"))
        word = self.expect("keyword", "in", "like", "between")
        condition = {"in": self._membership, "like": self._likeness, "between": self._range}[word](left)
        return Condition(f"(NOT {condition.sql})", condition.parameters) if negated else condition

    def _operand(self) -> Column | Literal:
        token = self._take()
        if token.kind == "word":
            column = self._form.column(token.text)
            if column is None:
                raise no_such_field(token.text)
            return column
        if token.kind == "number":
            return Literal(Decimal(token.text))
        if token.kind in {"string", "moment"}:
            return Literal(token.text[token.text.index("'") + 1 : token.text.rindex("'")].replace("''", "'"))
        if token == Token("keyword", "null"):
            return Literal(None)
        raise bad_filter(token.text or "结尾")

    def _membership(self, left: Column | Literal) -> Condition:
        self.expect("mark", "(")
        tests = [_compare(left, "=", self._operand())]
        while self._accept("mark", ","):
            tests.append(_compare(left, "=", self._operand()))
        self.expect("mark", ")")
        joined = _balanced([test.sql for test in tests], "OR")
        return Condition(joined, tuple(value for test in tests for value in test.parameters))

    def _likeness(self, left: Column | Literal) -> Condition:
        pattern = Literal(self._text_literal())
        left_sql, parameters = _render(left, Kind.TEXT)
        return Condition(f"mslike({left_sql}, ?)", (*parameters, pattern.value))

    def _text_literal(self) -> str:
        found = self._operand()
        if not isinstance(found, Literal) or not isinstance(found.value, str):
            raise bad_filter("like")
        return found.value

    def _range(self, left: Column | Literal) -> Condition:
        low = _compare(left, ">=", self._operand())
        self.expect("keyword", "and")
        high = _compare(left, "<=", self._operand())
        return Condition(f"({low.sql} AND {high.sql})", low.parameters + high.parameters)


def _balanced(tests: list[str], word: str) -> str:
    # a flat chain of a thousand terms is deeper than SQLite allows; a tree is not
    if len(tests) == 1:
        return tests[0]
    middle = len(tests) // 2
    return f"({_balanced(tests[:middle], word)} {word} {_balanced(tests[middle:], word)})"


def _kind(left: Column | Literal, right: Column | Literal) -> Kind:
    """Return the kind that two operands compare as: a column's, else a number if both are."""
    for operand in (left, right):
        if isinstance(operand, Column) and operand.kind is not Kind.TEXT:
            return operand.kind
    if isinstance(left, Column) or isinstance(right, Column):
        return Kind.TEXT
    both_numbers = isinstance(left.value, Decimal) and isinstance(right.value, Decimal)
    return Kind.INTEGER if both_numbers else Kind.TEXT


def _compare(left: Column | Literal, operator: str, right: Column | Literal) -> Condition:
    kind = _kind(left, right)
    left_sql, left_parameters = _render(left, kind)
    right_sql, right_parameters = _render(right, kind)
    operator = "<>" if operator == "!=" else operator
    collation = " COLLATE NOCASE" if kind is Kind.TEXT else ""
    return Condition(f"({left_sql} {operator} {right_sql}{collation})", left_parameters + right_parameters)


def _render(operand: Column | Literal, kind: Kind) -> tuple[str, tuple[object, ...]]:
    """Return an operand's SQL, converted to the kind that it is compared as."""
    if isinstance(operand, Column):
        return (f"rtrim({operand.sql})" if kind is Kind.TEXT else operand.sql), ()
    return "?", (_bound(operand.value, kind),)


def _bound(value: str | Decimal | None, kind: Kind) -> object:
    if value is None:
        return None
    if kind is Kind.TEXT:
        return str(value).rstrip(" ")
    if kind is Kind.DATE:
        return _moment(value)
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise bad_filter(str(value)) from error
    if kind is Kind.QUANTITY:
        number *= QUANTITY_SCALE
    # a bound finer than a millionth, or beyond 64 bits, only has to fall on the right side: a float does
    return int(number) if number == number.to_integral_value() and abs(number) < 2**63 else float(number)


def _moment(value: str | Decimal) -> str:
    """Return a date literal as the books keep times: 2026-11-22T10:11:12.123."""
    text = str(value).strip().replace("/", "-")
    if _BARE_DATE.fullmatch(text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_filter(text) from error
    if moment.tzinfo is not None:
        raise bad_filter(text)
    return moment.isoformat(timespec="milliseconds")
