"""Look at a target record once, at load: which fields it has, of which type, and which may be left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from hub.mapping.names import unknown
from hub.mapping.values import (
    RefusedValueError,
    read_boolean_word,
    read_date_word,
    read_datetime_word,
    read_decimal,
    read_integer,
    read_storable,
    show,
)

if TYPE_CHECKING:
    from hub.mapping.transforms import Kind

_NAMES: dict[str, Any] = {
    "Decimal": Decimal,
    "date": date,
    "datetime": datetime,
    "Mapping": Mapping,
    "Sequence": Sequence,
    "Any": Any,
}
"""What records import under TYPE_CHECKING alone."""

_FITTING: dict[type, tuple[frozenset[Kind], str]] = {
    str: (frozenset({"any", "text", "integer"}), "a text transform, for instance strip"),
    Decimal: (frozenset({"decimal", "integer"}), "decimal or integer"),
    int: (frozenset({"integer"}), "integer"),
    bool: (frozenset({"boolean"}), "boolean"),
    date: (frozenset({"date"}), "date or odata_date"),
    datetime: (frozenset({"datetime"}), "datetime or odata_datetime"),
}
_WORDS: dict[type, Callable[[str], Any]] = {
    bool: read_boolean_word,
    date: read_date_word,
    datetime: read_datetime_word,
}


@dataclass(frozen=True, slots=True)
class TargetField:
    """One field of a target record.

    Attributes:
        type: str, Decimal, int, bool, date, datetime or a StrEnum; None when a mapping can't fill the field.
        optional: None is allowed.
        default: makes the record's own default; None when the record has none.
    """

    name: str
    type: type | None
    optional: bool
    default: Callable[[], Any] | None

    @property
    def must_be_mapped(self) -> bool:
        """Tell whether a record can't be built without this field."""
        return self.default is None and not self.optional

    def accepts(self, kind: Kind) -> bool:
        """Tell whether the last transform's kind of value can become this field's type."""
        return self.type is not None and kind in self._fitting()[0]

    def advice(self) -> str:
        """Say which transforms give this field's type."""
        return self._fitting()[1]

    def read_word(self, text: str) -> Any:  # noqa: ANN401 - any type of field
        """Read a text of the mapping file (a constant, a default, a table's value, an example) as the field's type.

        Raises:
            ValueError: the text is no such value; the message names what is allowed.
        """
        if self.type is None:
            message = f"{self.name} can't be filled by a mapping"
            raise ValueError(message)
        if issubclass(self.type, StrEnum):
            return _read_member(self.type, text, self.name)
        word = _WORDS.get(self.type)
        return _read_plain(self.type, text) if word is None else word(text)

    def members(self) -> dict[str, Any] | None:
        """Return a StrEnum's members by their text; None for any other type."""
        if self.type is None or not issubclass(self.type, StrEnum):
            return None
        return {member.value: member for member in self.type}

    def members_name(self) -> str:
        """Return the name under which the members of the field's type are looked up."""
        return "" if self.type is None else f"members of {self.type.__name__}"

    def finisher(self, kind: Kind) -> Callable[[Any], Any] | None:
        """Return the last step from a value of a kind to the field's type; None when there is nothing to do."""
        if self.type is str:
            return read_storable
        if self.type is Decimal and kind != "decimal":
            return read_decimal
        return None

    def _fitting(self) -> tuple[frozenset[Kind], str]:
        if self.type is not None and issubclass(self.type, StrEnum):
            return _FITTING[str]
        return _FITTING[self.type or str]


def describe(record: type[Any]) -> dict[str, TargetField]:
    """Return the fields of a record dataclass, in order.

    Raises:
        TypeError: the class is no dataclass, or an annotation can't be resolved.
    """
    if not is_dataclass(record):
        message = f"{record.__name__} is no dataclass"
        raise TypeError(message)
    hints = get_type_hints(record, localns=_NAMES)
    return {item.name: _target_field(item.name, hints[item.name], item) for item in fields(record)}


def _target_field(name: str, hint: Any, item: Any) -> TargetField:  # noqa: ANN401
    default: Callable[[], Any] | None = None
    if item.default is not MISSING:
        value = item.default
        default = lambda: value  # noqa: E731
    elif item.default_factory is not MISSING:
        default = item.default_factory
    choices = [hint]
    if get_origin(hint) in {Union, UnionType}:
        choices = [choice for choice in get_args(hint) if choice is not NoneType]
    only = choices[0] if len(choices) == 1 else None
    usable = isinstance(only, type) and (only in _FITTING or issubclass(only, StrEnum))
    return TargetField(name, only if usable else None, NoneType in get_args(hint), default)


def _read_member(enum: type[StrEnum], text: str, name: str) -> StrEnum:
    try:
        return enum(text)
    except ValueError:
        raise ValueError(unknown(f"value for {name}", text, [member.value for member in enum])) from None


def _read_plain(kind: type, text: str) -> Any:  # noqa: ANN401
    reader = {Decimal: read_decimal, int: read_integer, str: read_storable}[kind]
    try:
        value = reader(text)
    except RefusedValueError as error:
        raise ValueError(error.detail) from None
    if value is None:
        message = f"{show(text)} is not a number"
        raise ValueError(message)
    return value
