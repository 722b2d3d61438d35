"""Available to promise (ATP, 可承诺量): stock less open orders and reservations, and BAPI_MATERIAL_AVAILABILITY."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap.movements import PostingError, base_unit, midnight_ms
from sandbox.erp.sap_rfc.dictionary import EXTERNAL_UNITS, external_material
from sandbox.erp.sap_rfc.interface import Function
from sandbox.erp.sap_rfc.luw import message, old_return, refusal
from sandbox.erp.sap_rfc.structures import (
    BAPIRETURN,
    BAPIWMDVE,
    BAPIWMDVS,
    DATE,
    FLAG,
    QUANTITY,
    text,
)

if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from sandbox.erp.sap_rfc.interface import Call

_NAME: Final = "BAPI_MATERIAL_AVAILABILITY"
# Planned delivery time and goods receipt processing time of every material, as MARC says.
_LEAD_DAYS: Final = 8
_NOT_CHECKED: Final = "N"


def availability_function() -> Function:
    """Return BAPI_MATERIAL_AVAILABILITY; its RETURN is one BAPIRETURN, and unknown materials raise nothing."""
    return Function(
        _NAME,
        _availability,
        {
            "PLANT": text(4),
            "MATERIAL": text(18),
            "UNIT": text(3),
            "CHECK_RULE": text(2),
            "STGE_LOC": text(4),
            "BATCH": text(10),
        },
        {"ENDLEADTME": DATE, "AV_QTY_PLT": QUANTITY, "DIALOGFLAG": FLAG, "RETURN": BAPIRETURN},
        {"WMDVSX": BAPIWMDVS, "WMDVEX": BAPIWMDVE},
    )


def known_material(connection: sqlite3.Connection, number: str) -> str:
    """Return a material number of the interface as the books have it.

    Raises:
        PostingError: there is no such material, or its leading zeros are missing.
    """
    material = external_material(number)
    if not material:
        raise PostingError(
            "M3/305",
            f"The material {number} does not exist or is not activated",
            f"物料 {number} 不存在或未激活",
        )
    base_unit(connection, material)
    return material


def unit_factor(connection: sqlite3.Connection, material: str, unit: str) -> int:
    """Return how many base units one unit is (internal key; none means the base unit).

    Raises:
        PostingError: the material has no such unit.
    """
    if not unit:
        return 1
    # The external key of a unit that has another one inside is not known inside.
    external = EXTERNAL_UNITS.get(unit, "" if unit in EXTERNAL_UNITS.values() else unit)
    row = connection.execute(
        'SELECT "QuantityNumerator" / "QuantityDenominator" FROM product_unit'
        ' WHERE "Product" = ? AND "AlternativeUnit" = ?',
        (material, external),
    ).fetchone()
    if row is None:
        raise PostingError(
            "M7/161",
            f"No conversion of unit {unit} for material {material}",
            f"物料 {material} 无单位 {unit} 的换算",
        )
    return int(row[0])


def available(connection: sqlite3.Connection, material: str, plant: str, location: str = "", batch: str = "") -> int:
    """Return what can still be promised, in thousandths of the base unit; it may be below zero."""
    place = [material, plant, location, location, batch, batch]
    (stock,) = connection.execute(
        'SELECT COALESCE(SUM("MatlWrhsStkQtyInMatlBaseUnit"), 0) FROM stock WHERE "Material" = ? AND "Plant" = ?'
        " AND (? = '' OR \"StorageLocation\" = ?) AND (? = '' OR \"Batch\" = ?)"
        " AND \"InventoryStockType\" = '01' AND \"InventorySpecialStockType\" = ''",
        place,
    ).fetchone()
    (promised,) = connection.execute(
        "SELECT COALESCE(SUM(quantity), 0) FROM (SELECT material, plant, location, quantity FROM sales_order_item"
        " UNION ALL SELECT material, plant, location, quantity FROM reservation_item)"
        " WHERE material = ? AND plant = ? AND (? = '' OR location IN ('', ?))",
        place[:4],
    ).fetchone()
    return int(stock) - int(promised)


def _availability(call: Call) -> None:
    given, exports = call.imports, call.exports
    messages = []
    try:
        with call.system.store.transaction() as connection:
            material = known_material(connection, given["MATERIAL"])
            factor = unit_factor(connection, material, given["UNIT"])
            (deleted,) = connection.execute(
                'SELECT "IsMarkedForDeletion" FROM product WHERE "Product" = ?',
                (material,),
            ).fetchone()
            free = available(connection, material, given["PLANT"], given["STGE_LOC"], given["BATCH"])
    except PostingError as refused:
        messages = [refusal(call.session, refused)]
    else:
        quantity = (Decimal(free) / 1000 / factor).quantize(Decimal("0.001"))
        exports["AV_QTY_PLT"] = quantity
        exports["ENDLEADTME"] = f"{call.system.now() + timedelta(days=_LEAD_DAYS):%Y%m%d}"
        exports["DIALOGFLAG"] = _NOT_CHECKED if deleted else _promise(call, quantity)
        if deleted:
            texts = (f"Material {material} is flagged for deletion", f"物料 {material} 已标记为删除")
            messages = [message(call.session, "W", "M3/351", *texts)]
    swapped = call.system.strike("return-shape", function=_NAME) is not None
    exports["RETURN"] = messages if swapped else old_return(messages)


def _promise(call: Call, free: Decimal) -> str:
    """Fill WMDVEX and return the dialog flag: ' ' for all that was asked, 'X' for a part or nothing."""
    wishes = call.tables["WMDVSX"] or [{"REQ_DATE": "00000000", "REQ_QTY": Decimal(0)}]
    today = f"{call.system.now():%Y%m%d}"
    complete = True
    for index, wish in enumerate(wishes, start=1):
        date = max(wish["REQ_DATE"], today)
        wanted = wish["REQ_QTY"]
        # Without a quantity the answer is the whole situation from that date on.
        confirmed = max(Decimal(0), min(wanted, free) if wanted else free)
        call.tables["WMDVEX"].append(_confirmation(index, wish, date, confirmed))
        if wanted > confirmed:
            complete = False
        free -= confirmed if wanted else Decimal(0)
    return "" if complete else "X"


def _confirmation(index: int, wish: dict[str, Any], date: str, confirmed: Decimal) -> dict[str, Any]:
    return {
        "BDCNT": f"{index:05d}",
        "REQ_DATE": wish["REQ_DATE"],
        "REQ_QTY": wish["REQ_QTY"],
        "COM_DATE": date,
        "COM_QTY": confirmed,
    }


def date_ms(date: str) -> int:
    """Return a date of the interface (YYYYMMDD) as the books store it.

    Raises:
        PostingError: no calendar has that date.
    """
    try:
        return midnight_ms(datetime.strptime(date, "%Y%m%d"))  # noqa: DTZ007 - a bare date
    except ValueError:
        raise PostingError("00/065", f"Invalid date {date}", f"无效日期 {date}") from None
