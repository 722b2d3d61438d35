"""What happened in the shops, as somebody tells the sandbox: one line of a bill to be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.database import to_units
from sandbox.erp.kingdee.stock import SELLABLE, StockError

if TYPE_CHECKING:
    from collections.abc import Mapping

INSPECTION: Final = "KCZT02_SYS"  # 待检
_CARTON: Final = re.compile(r"XIANG([1-9]\d{0,3})")


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement; quantity in millionths of the base unit, entered in cartons of `factor` where that is not 1.

    `reference` is the bill's number, empty for the form's next one.
    """

    kind: str
    material: str
    colour: str
    size: str
    stock: str
    quantity: int
    to_stock: str = ""
    lot: str = ""
    status: str = INSPECTION
    from_status: str = SELLABLE
    factor: int = 1
    reference: str = ""
    allow_negative: bool = False
    document_status: str = "C"


def carton(factor: int) -> str | None:
    """Return the unit (单位) of so many pieces; None for one, which is the base unit, whatever its name."""
    return None if factor == 1 else f"XIANG{factor}"


def movements_from(body: Mapping[str, Any]) -> list[Movement]:
    """Return the lines of the bill that a request body describes: each of `lines`, over what the body says of all.

    Raises:
        StockError: a part is missing, is not a quantity or not a unit.
    """
    lines = body.get("lines") or [{}]
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise StockError("lines is no list of objects")
    return [_movement({**body, **line}) for line in lines]


def _movement(body: Mapping[str, Any]) -> Movement:
    factor = _factor(body.get("unit"))
    try:
        quantity = to_units(body["quantity"]) * factor
    except KeyError as error:
        raise StockError("quantity is missing") from error
    except ValueError as error:
        raise StockError(str(error)) from error
    names = ("kind", "material", "colour", "size", "stock", "to_stock", "lot", "reference")
    return Movement(
        **{name: str(body.get(name) or "") for name in names},
        quantity=quantity,
        factor=factor,
        status=str(body.get("status") or INSPECTION),
        from_status=str(body.get("from_status") or SELLABLE),
        allow_negative=bool(body.get("allow_negative", False)),
        document_status=str(body.get("document_status") or "C"),
    )


def _factor(unit: object) -> int:
    if not unit:
        return 1
    found = _CARTON.fullmatch(str(unit))
    if found is None:
        raise StockError(f"neither a carton nor left out for the base unit: {unit!r}")
    return int(found[1])
