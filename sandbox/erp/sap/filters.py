"""The `$filter` language of OData V2, turned into a parameterised SQLite condition.

Supported: eq ne gt ge lt le, and, or, not, parentheses, substringof, startswith, endswith, and comparison with null.
Like a Gateway it is strict about types: a string property takes a quoted literal only, a date `datetime'…'`, and an
unknown property is an error 400.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap.errors import bad_request
from sandbox.erp.sap.literals import LITERAL, Literal, matches, parse_literal, thousandths_border
from sandbox.erp.sap.model import STRING, Property

if TYPE_CHECKING:
    from sandbox.erp.sap.errors import ODataError
    from sandbox.erp.sap.model import EntitySet

_TOKEN: Final = re.compile(
    rf"\s*(?:(?P<literal>{LITERAL.pattern})|(?P<name>[A-Za-z_][\w/]*)|(?P<mark>[(),]))",
)
_OPERATORS: Final = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_MIRRORED: Final = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
_TRUE: Final = "1 = 1"
_FALSE: Final = "1 = 0"


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL that is true or false, with its parameters."""

    sql: str
    parameters: tuple[str | int | None, ...] = ()


def parse_filter(text: str, entity_set: EntitySet) -> Condition:
    """Parse a `$filter` text for the rows of an entity set.

    Raises:
        ODataError: a syntax error, an unknown property or literals of a wrong type (status 400).
    """
    parser = _Parser(_tokens(text), entity_set)
    condition = parser.disjunction()
    parser.expect_end()
    return condition


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _syntax_error(position)
        kind = next(name for name in ("literal", "name", "mark") if match[name] is not None)
        tokens.append((kind, match[kind]))
        position = match.end()
    return tokens


def _syntax_error(position: int) -> ODataError:
    return bad_request(
        f"Invalid $filter expression near position {position}",
        f"位置 {position} 附近的 $filter 表达式无效",
    )


def _joined(word: str, conditions: list[Condition]) -> Condition:
    """Join conditions as a balanced tree, since SQLite limits an expression's depth and not its length."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    left, right = _joined(word, conditions[:middle]), _joined(word, conditions[middle:])
    return Condition(f"({left.sql} {word} {right.sql})", left.parameters + right.parameters)


class _Parser:
    """A recursive-descent parser: or binds weakest, then and, then not."""

    def __init__(self, tokens: list[tuple[str, str]], entity_set: EntitySet) -> None:
        self._tokens = tokens
        self._position = 0
        self._set = entity_set

    def disjunction(self) -> Condition:
        parts = [self._conjunction()]
        while self._accept("or"):
            parts.append(self._conjunction())
        return _joined("OR", parts)

    def expect_end(self) -> None:
        if self._position < len(self._tokens):
            raise _syntax_error(self._position)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
        return token

    def _accept(self, text: str) -> bool:
        kind, value = self._peek()
        if kind in {"name", "mark"} and value == text:
            self._position += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise _syntax_error(self._position)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._accept("and"):
            parts.append(self._negation())
        return _joined("AND", parts)

    def _negation(self) -> Condition:
        if not self._accept("not"):
            return self._primary()
        inner = self._negation() if self._peek()[1] == "not" else self._primary(negated=True)
        return Condition(f"NOT ({inner.sql})", inner.parameters)

    def _primary(self, *, negated: bool = False) -> Condition:
        if self._accept("("):
            condition = self.disjunction()
            self._expect(")")
            return condition
        following = self._tokens[self._position + 1] if self._position + 1 < len(self._tokens) else ("end", "")
        if self._peek()[0] == "name" and following == ("mark", "("):
            return self._function()
        if negated:
            # "not A eq 'x'" would negate A, a string: the standard wants parentheses, and so does a Gateway.
            raise _syntax_error(self._position)
        return self._comparison()

    def _function(self) -> Condition:
        _, name = self._next()
        self._expect("(")
        first = self._operand()
        self._expect(",")
        second = self._operand()
        self._expect(")")
        condition = _string_function(name, first, second)
        if not self._accept("eq"):
            return condition
        truth = self._operand()
        if truth == Literal("Edm.Boolean", 1):
            return condition
        if truth == Literal("Edm.Boolean", 0):
            return Condition(f"NOT ({condition.sql})", condition.parameters)
        raise _syntax_error(self._position)

    def _comparison(self) -> Condition:
        left = self._operand()
        kind, operator = self._next()
        if kind != "name" or operator not in _OPERATORS:
            raise _syntax_error(self._position - 1)
        return _compare(left, operator, self._operand())

    def _operand(self) -> Property | Literal:
        kind, text = self._next()
        if kind == "literal":
            return parse_literal(text)
        if kind != "name":
            raise _syntax_error(self._position - 1)
        return property_named(text, self._set)


def property_named(name: str, entity_set: EntitySet) -> Property:
    """Return a property of an entity set.

    Raises:
        ODataError: there is none of that name (status 400).
    """
    prop = entity_set.by_name.get(name)
    if prop is None:
        raise bad_request(
            f"Property '{name}' not found in type '{entity_set.type_name}'",
            f"在类型 '{entity_set.type_name}' 中未找到属性 '{name}'",
        )
    return prop


def _column(prop: Property) -> str:
    return f'"{prop.name}"'


def _compare(left: Property | Literal, operator: str, right: Property | Literal) -> Condition:
    if isinstance(left, Literal):
        if isinstance(right, Literal):
            raise bad_request("A comparison of two literals is not supported")
        return _compare(right, _MIRRORED[operator], left)
    sign = _OPERATORS[operator]
    if isinstance(right, Property):
        if left.type != right.type:
            raise _type_error(left)
        return Condition(f"{_column(left)} {sign} {_column(right)}")
    if right.type == "null":
        return _compare_null(left, operator)
    if not matches(right, left):
        raise _type_error(left)
    value = right.value
    if isinstance(value, Decimal):
        border = thousandths_border(value, operator)
        if border is None:
            return Condition(_FALSE if operator == "eq" else _TRUE)
        value = border
    return Condition(f"{_column(left)} {sign} ?", (value,))


def _compare_null(prop: Property, operator: str) -> Condition:
    if operator not in {"eq", "ne"}:
        raise _type_error(prop)
    return Condition(f"{_column(prop)} IS {'NOT ' if operator == 'ne' else ''}NULL")


def _type_error(prop: Property) -> ODataError:
    return bad_request(
        f"Invalid comparison with property '{prop.name}' of type {prop.type}",
        f"与类型为 {prop.type} 的属性 '{prop.name}' 的比较无效",
    )


def _string_function(name: str, first: Property | Literal, second: Property | Literal) -> Condition:
    # substringof is the odd one: it names the searched text first.
    text, prop = (first, second) if name == "substringof" else (second, first)
    if name not in {"substringof", "startswith", "endswith"}:
        raise bad_request(f"The function '{name}' is not supported")
    if not isinstance(prop, Property) or not isinstance(text, Literal) or {prop.type, text.type} != {STRING}:
        raise bad_request(f"Invalid arguments of the function '{name}'")
    column, value = _column(prop), str(text.value)
    if name == "substringof":
        return Condition(f"instr({column}, ?) > 0", (value,))
    if name == "startswith":
        return Condition(f"substr({column}, 1, ?) = ?", (len(value), value))
    # A start before the text would count from its end, so an ending longer than the text is ruled out first.
    return Condition(
        f"(length({column}) >= ? AND substr({column}, length({column}) - ? + 1) = ?)",
        (len(value), len(value), value),
    )
