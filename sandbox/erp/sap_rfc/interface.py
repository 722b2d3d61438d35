"""Interfaces of function modules: which parameters there are, and how values pass between Python and ABAP.

Characters that are too long are cut without a word, packed numbers take Decimal or text and never float, dates are
`YYYYMMDD` (the initial one comes out empty), structures are dicts and tables lists of dicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap_rfc.errors import RFCTypeError, conversion_failure, invalid_parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.erp.sap_rfc.session import Session
    from sandbox.erp.sap_rfc.system import AbapSystem

_INITIAL: Final = {"C": "", "D": "00000000", "T": "000000", "P": Decimal(0), "I": 0}
_LARGEST_INT: Final = 2**31


@dataclass(frozen=True, slots=True)
class Scalar:
    """An elementary type: C characters, N digits, D date, T time, P packed with decimals, I a four-byte integer."""

    kind: str
    length: int = 0
    decimals: int = 0


@dataclass(frozen=True)
class Structure:
    """A flat structure of the dictionary; a table parameter has it as its line type."""

    name: str
    fields: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Options:
    """How a connection wants its results: the known part of PyRFC's `config`."""

    rstrip: bool = True
    dtime: bool = False
    return_import_params: bool = False
    timeout: float | None = None


@dataclass
class Call:
    """One running call: its parameters in ABAP's types; the body fills `exports` and changes `tables`."""

    system: AbapSystem
    session: Session
    imports: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]
    exports: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """A remote-enabled function module."""

    name: str
    body: Callable[[Call], None]
    imports: Mapping[str, Scalar | Structure] = field(default_factory=dict)
    exports: Mapping[str, Scalar | Structure] = field(default_factory=dict)
    tables: Mapping[str, Structure] = field(default_factory=dict)

    def bind(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        """Convert the given parameters; those that are left out have their initial value.

        Raises:
            ExternalRuntimeError: a name is unknown (RFC_INVALID_PARAMETER) or a value can't be converted.
            RFCTypeError: a value has the wrong Python type.
        """
        imports = {name: initial(kind) for name, kind in self.imports.items()}
        tables: dict[str, list[dict[str, Any]]] = {name: [] for name in self.tables}
        for name, value in given.items():
            if name in self.imports:
                imports[name] = to_abap(self.imports[name], value)
            elif name in self.tables:
                tables[name] = _rows_to_abap(self.tables[name], value)
            else:
                raise invalid_parameter(f"field '{name}' not found")
        return imports, tables

    def result(self, call: Call, options: Options) -> dict[str, Any]:
        """Return what the caller gets: exports and tables, and the imports if he asked for them."""
        answer: dict[str, Any] = {}
        if options.return_import_params:
            answer |= {name: from_abap(kind, call.imports[name], options) for name, kind in self.imports.items()}
        for name, kind in self.exports.items():
            answer[name] = _exported(kind, call.exports.get(name), options)
        for name, line in self.tables.items():
            answer[name] = [from_abap(line, row, options) for row in call.tables[name]]
        # A RETURN that a fault has given another shape is exported although the interface says otherwise.
        return answer | {name: value for name, value in call.exports.items() if name not in self.exports}


def initial(kind: Scalar | Structure) -> Any:  # noqa: ANN401 - a value of any ABAP type
    """Return a type's initial value."""
    if isinstance(kind, Structure):
        return {name: initial(scalar) for name, scalar in kind.fields.items()}
    return "0" * kind.length if kind.kind == "N" else _INITIAL[kind.kind]


def to_abap(kind: Scalar | Structure, value: object) -> Any:  # noqa: ANN401 - a value of any ABAP type
    """Convert a Python value.

    Raises:
        ExternalRuntimeError: a field of a structure is unknown, or the value can't be converted.
        RFCTypeError: the Python type is wrong.
    """
    if isinstance(kind, Structure):
        return _structure_to_abap(kind, value)
    if kind.kind == "P":
        return _packed(kind, value)
    if kind.kind == "I":
        return _integer(value)
    if kind.kind == "D" and isinstance(value, date) and not isinstance(value, datetime):
        return f"{value:%Y%m%d}"
    if not isinstance(value, str):
        raise _wrong_type("a string", value)
    return value[: kind.length].rstrip() if kind.kind == "C" else _digits(kind, value)


def from_abap(kind: Scalar | Structure, value: Any, options: Options) -> Any:  # noqa: ANN401 - any type
    """Convert an ABAP value to Python."""
    if isinstance(kind, Structure):
        return {name: from_abap(scalar, value.get(name, initial(scalar)), options)
                for name, scalar in kind.fields.items()}  # fmt: skip
    if kind.kind == "D":
        empty = not value.strip("0")
        if options.dtime:
            return None if empty else datetime.strptime(value, "%Y%m%d").date()  # noqa: DTZ007 - a bare date
        return "" if empty else value
    if kind.kind == "C":
        return value.rstrip() if options.rstrip else value.ljust(kind.length)
    return value


def _exported(kind: Scalar | Structure, value: object, options: Options) -> object:
    if isinstance(value, list):
        return value
    return from_abap(kind, initial(kind) if value is None else value, options)


def _structure_to_abap(kind: Structure, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type("a dictionary", value)
    filled: dict[str, Any] = initial(kind)
    for name, part in value.items():
        if name not in kind.fields:
            raise invalid_parameter(f"field '{name}' not found")
        filled[name] = to_abap(kind.fields[name], part)
    return filled


def _rows_to_abap(kind: Structure, value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise _wrong_type("a list", value)
    return [_structure_to_abap(kind, row) for row in value]


def _packed(kind: Scalar, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int)):
        raise _wrong_type("a decimal", value)
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise conversion_failure(f"Cannot convert {value} to a packed number") from None
    if not number.is_finite() or abs(number) >= Decimal(10) ** (kind.length - kind.decimals):
        raise conversion_failure(f"Cannot convert {value} to a packed number")
    return number.quantize(Decimal(1).scaleb(-kind.decimals))


def _integer(value: object) -> int:
    """Return a four-byte integer; one that is too large wraps around."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type("an integer", value)
    return (value + _LARGEST_INT) % (2 * _LARGEST_INT) - _LARGEST_INT


def _digits(kind: Scalar, value: str) -> str:
    """Return text of digits: a date of eight, or what is left of NUMC and time after cutting and filling."""
    if value and (not value.isdecimal() or (kind.kind == "D" and len(value) != kind.length)):
        raise conversion_failure(f"Cannot convert {value!r} to {kind.kind}")
    return value[: kind.length].zfill(kind.length)


def _wrong_type(wanted: str, value: object) -> RFCTypeError:
    return RFCTypeError(f"{wanted} is required, received {value!r} of type {type(value).__name__}")
