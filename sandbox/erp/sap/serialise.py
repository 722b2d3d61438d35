"""JSON of OData V2 as a Gateway writes it, in the dialects that real systems differ by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sandbox.erp.sap import model
from sandbox.erp.sap.literals import decimal_text, time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.erp.sap.model import EntitySet, Navigation, Property
    from sandbox.erp.sap.odata import Shape

    Row = Mapping[str, Any]
    Related = Callable[[Navigation, Row], list[Row]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How values are written. The defaults are a Gateway's; each field is a deviation seen elsewhere.

    `date_offset` is in minutes: Edm.DateTime is then written as `/Date(ms+0480)/`, whose ticks and offset add up to
    the same date.
    """

    decimal_as_number: bool = False
    decimal_zeros: bool = False
    decimal_noise: bool = False
    decimal_exponent: bool = False
    count_as_number: bool = False
    null_for_empty: bool = False
    numeric_zero: bool = False
    date_offset: int | None = None


def write_value(prop: Property, stored: Any, dialect: Dialect) -> Any:  # noqa: ANN401 - one JSON value from one SQLite value
    """Return the JSON value of a stored one."""
    if stored is None:
        return None
    match prop.type:
        case model.STRING:
            written: Any = stored or _empty_text(prop, dialect)
        case model.DECIMAL:
            written = _write_decimal(stored, dialect)
        case model.BOOLEAN:
            written = bool(stored)
        case model.DATE_TIME:
            written = _write_date(stored, dialect.date_offset)
        case model.DATE_TIME_OFFSET:
            written = f"/Date({stored}+0000)/"
        case _:
            written = time_text(stored)
    return written


def _empty_text(prop: Property, dialect: Dialect) -> str | None:
    if dialect.numeric_zero and prop.numeric:
        return "0"
    return None if dialect.null_for_empty else ""


def _write_date(stored: int, offset: int | None) -> str:
    return f"/Date({stored})/" if offset is None else f"/Date({stored - offset * 60_000}{offset:+05d})/"


def _write_decimal(stored: int, dialect: Dialect) -> str | int | float:
    text = decimal_text(stored, keep_zeros=dialect.decimal_zeros)
    if dialect.decimal_noise:
        return math.nextafter(float(text), math.inf)
    if dialect.decimal_exponent:
        return f"{Decimal(text):E}"
    if not dialect.decimal_as_number:
        return text
    # A float only here, where a deviating server is played: three decimals survive its way into JSON unharmed.
    return float(text) if "." in text else int(text)


def entity_uri(base: str, entity_set: EntitySet, row: Row) -> str:
    """Return an entity's absolute address with its whole key."""
    if len(entity_set.keys) == 1:
        predicate = _key_literal(row[entity_set.keys[0].name])
    else:
        predicate = ",".join(f"{prop.name}={_key_literal(row[prop.name])}" for prop in entity_set.keys)
    return f"{base}/{entity_set.name}({predicate})"


def _key_literal(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped if escaped.isalnum() and escaped.isascii() else quote(escaped, safe='')}'"


def write_entity(row: Row, shape: Shape, base: str, dialect: Dialect, related: Related) -> dict[str, Any]:
    """Write one entity with its `__metadata`, its chosen properties, inlined and deferred navigations.

    `base` is `https://host/sap/opu/odata/sap/SERVICE`; `related` answers the rows a navigation leads to.
    """
    uri = entity_uri(base, shape.entity_set, row)
    namespace = base.rsplit("/", 1)[1]
    entity: dict[str, Any] = {
        "__metadata": {"id": uri, "uri": uri, "type": f"{namespace}.{shape.entity_set.type_name}"},
    }
    for prop in shape.properties:
        entity[prop.name] = write_value(prop, row[prop.name], dialect)
    for navigation in shape.deferred:
        entity[navigation.name] = {"__deferred": {"uri": f"{uri}/{navigation.name}"}}
    for name, inner in shape.expanded.items():
        navigation = shape.entity_set.navigation_by_name[name]
        children = [write_entity(child, inner, base, dialect, related) for child in related(navigation, row)]
        entity[name] = {"results": children} if navigation.many else (children[0] if children else None)
    return entity
