"""The availability check (ATP) of one article: BAPI_MATERIAL_AVAILABILITY. It promises nothing and reserves nothing."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.rfc.conditions import compare
from connectors.erp.sap.rfc.tables import MATERIALS
from hub.contracts import Promise
from hub.errors import ProtocolViolation, RecordError, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectors.erp.sap.rfc.client import RfcClient
    from connectors.erp.sap.rfc.keys import StockName
    from connectors.erp.sap.rfc.reading import TableReader

FUNCTION = "BAPI_MATERIAL_AVAILABILITY"
_FAILURES = frozenset("EAX")
_NOT_CHECKED = "N"
_SHORT_NUMBER = 18
_DECIMALS = 3


def ask_availability(
    client: RfcClient, tables: TableReader, name: StockName, quantity: Decimal, wanted_on: date, check_rule: str
) -> Promise:
    """Ask what SAP would confirm of a quantity in the material's base unit, on a day.

    Raises:
        RecordError: the quantity is not positive, or has more decimals than SAP keeps.
        Rejected: there is no such material, or SAP refuses the check.
        RemoteError: SAP does not answer properly.
    """
    if quantity <= 0 or quantity != round(quantity, _DECIMALS):
        message = f"{quantity} is no quantity with at most {_DECIMALS} decimals"
        raise RecordError(message, reason="bad_number", field="quantity")
    known = tables.read(MATERIALS, ("MEINS",), compare("MATNR", "=", name.material)).rows
    if not known:
        raise Rejected(f"there is no material {name.material}", system=SYSTEM, operation=FUNCTION)
    # MATERIAL has 18 characters; longer numbers have a field of their own since S/4HANA
    field = "MATERIAL" if len(name.material) <= _SHORT_NUMBER else "MATERIAL_LONG"
    answer = client.call(
        FUNCTION,
        {
            "PLANT": name.place.plant,
            field: name.material,
            "UNIT": known[0]["MEINS"],
            "CHECK_RULE": check_rule,
            "STGE_LOC": name.place.storage,
            "WMDVSX": [{"REQ_DATE": f"{wanted_on:%Y%m%d}", "REQ_QTY": quantity}],
        },
    )
    _raise_for_return(answer.get("RETURN"))
    return _parse_promise(answer, quantity, wanted_on)


def _parse_promise(answer: Mapping[str, Any], quantity: Decimal, wanted_on: date) -> Promise:
    try:
        lines = [(line["COM_DATE"], _number(line["COM_QTY"])) for line in answer["WMDVEX"]]
        schedule = tuple(sorted((_day(day), number) for day, number in lines if number))
        available = _number(answer["AV_QTY_PLT"])
        checked = str(answer.get("DIALOGFLAG", "")).strip() != _NOT_CHECKED
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolViolation("the answer can't be read", system=SYSTEM, operation=FUNCTION) from error
    confirmed = sum((number for day, number in schedule if day <= wanted_on), Decimal(0))
    return Promise(quantity, min(confirmed, quantity), schedule, available, checked)


def _raise_for_return(value: object) -> None:
    """Refuse when SAP reports an error, in a structure (BAPIRETURN) or in a table of them (BAPIRET2)."""
    for line in _lines(value):
        if str(line.get("TYPE", "")).strip() in _FAILURES:
            code = str(line.get("CODE") or f"{line.get('ID', '')}/{line.get('NUMBER', '')}").strip()
            text = " ".join(str(line.get("MESSAGE", "")).split()) or "SAP refused the check"
            raise Rejected(text, system=SYSTEM, operation=FUNCTION, remote_code=code)


def _lines(value: object) -> Iterable[Mapping[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [line for line in found if isinstance(line, dict)]


def _number(value: object) -> Decimal:
    if isinstance(value, (Decimal, int)) and not isinstance(value, bool):
        return Decimal(value)
    message = f"{type(value).__name__} is no exact number"
    raise TypeError(message)


def _day(value: str) -> date:
    return datetime.strptime(value, "%Y%m%d").date()  # noqa: DTZ007 - a day, not a moment
