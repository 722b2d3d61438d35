"""BAPI_SALESORDER_CREATEFROMDAT2 and BAPI_RESERVATION_CREATE1.

Both write documents that only this side knows. The order quantity comes from the schedule lines: TARGET_QTY alone
orders nothing. Document type and partner roles are taken in internal form (TA, AG, WE) and in the form of the log-on
language (OR, SP, SH in English and Chinese). Prices are not kept, so there is no ORDER_CONDITIONS_IN.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap.movements import MOVEMENT_TYPES, PostingError, base_unit, midnight_ms
from sandbox.erp.sap_rfc.availability import available, date_ms, known_material, unit_factor
from sandbox.erp.sap_rfc.books import draw_document_number
from sandbox.erp.sap_rfc.interface import Function
from sandbox.erp.sap_rfc.luw import Draft, message, prepare_update
from sandbox.erp.sap_rfc.structures import (
    BAPIRET2,
    FLAG,
    ORDER_HEADER,
    ORDER_HEADER_X,
    ORDER_ITEM,
    ORDER_PARTNER,
    ORDER_SCHEDULE,
    RESERVATION_ATP,
    RESERVATION_HEADER,
    RESERVATION_ITEM,
    RESERVATION_TEST,
    numc,
    text,
)

if TYPE_CHECKING:
    import sqlite3

    from sandbox.erp.sap_rfc.interface import Call

DEMO_CUSTOMER: Final = "0000001000"
_ORDER: Final = "BAPI_SALESORDER_CREATEFROMDAT2"
_RESERVE: Final = "BAPI_RESERVATION_CREATE1"
_SPOKEN: Final = {"OR": "TA", "SP": "AG", "SH": "WE"}
# German needs no translation: its codes are the internal ones.
_TRANSLATING: Final = frozenset("E1")
_STANDARD_ORDER: Final = "TA"
_SOLD_TO: Final = "AG"


def order_functions() -> list[Function]:
    """Return the two BAPIs."""
    return [
        Function(
            _ORDER,
            _create_order,
            {"ORDER_HEADER_IN": ORDER_HEADER, "ORDER_HEADER_INX": ORDER_HEADER_X, "TESTRUN": FLAG},
            {"SALESDOCUMENT": text(10)},
            {
                "ORDER_ITEMS_IN": ORDER_ITEM,
                "ORDER_PARTNERS": ORDER_PARTNER,
                "ORDER_SCHEDULES_IN": ORDER_SCHEDULE,
                "RETURN": BAPIRET2,
            },
        ),
        Function(
            _RESERVE,
            _create_reservation,
            {"RESERVATIONHEADER": RESERVATION_HEADER, "TESTRUN": RESERVATION_TEST, "ATPCHECK": RESERVATION_ATP},
            {"RESERVATION": numc(10)},
            {"RESERVATIONITEMS": RESERVATION_ITEM, "RETURN": BAPIRET2},
        ),
    ]


def _internal(call: Call, code: str) -> str:
    return _SPOKEN.get(code, code) if call.session.language in _TRANSLATING else code


def _create_order(call: Call) -> None:
    given = call.imports["ORDER_HEADER_IN"]
    test_run = call.imports["TESTRUN"] != ""
    now = call.system.now()

    def draw(connection: sqlite3.Connection) -> Draft:
        customer = _check_header(call)
        if not call.tables["ORDER_ITEMS_IN"]:
            raise PostingError("V4/219", "Sales document was not changed", "销售凭证未更改")
        number = "" if test_run else draw_document_number(connection, "sales_order")

        def update(books: sqlite3.Connection) -> None:
            books.execute(
                "INSERT INTO sales_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    midnight_ms(now),
                    now.hour * 3600 + now.minute * 60 + now.second,
                    call.session.user,
                    _internal(call, given["DOC_TYPE"]),
                    given["SALES_ORG"],
                    given["DISTR_CHAN"],
                    given["DIVISION"],
                    given["PURCH_NO_C"][:20],
                    customer,
                ),
            )
            for position, item in enumerate(call.tables["ORDER_ITEMS_IN"], start=1):
                _insert_item(books, call, number, position, item)

        messages = [message(call.session, "S", "V4/233", "SALES_HEADER_IN has been processed successfully")]
        if not test_run:
            saved = (f"Standard Order {number} has been saved", f"标准订单 {number} 已保存")
            messages.append(message(call.session, "S", "V1/311", *saved, "Standard Order", number))
        return Draft({"SALESDOCUMENT": number}, update, messages)

    prepare_update(call, _ORDER, draw, locks=set(), test_run=test_run)


def _check_header(call: Call) -> str:
    """Return the sold-to party.

    Raises:
        PostingError: type, sales area or customer is missing or unknown.
    """
    given = call.imports["ORDER_HEADER_IN"]
    if _internal(call, given["DOC_TYPE"]) != _STANDARD_ORDER:
        kind = given["DOC_TYPE"]
        raise PostingError("V1/314", f"Sales document type {kind} is not defined", f"销售凭证类型 {kind} 未定义")
    if not (given["SALES_ORG"] and given["DISTR_CHAN"] and given["DIVISION"]):
        raise PostingError("V1/320", "Enter the sales area", "请输入销售范围")
    if call.imports["ORDER_HEADER_INX"]["UPDATEFLAG"] not in {"", "I"}:
        raise PostingError("V4/217", "UPDATEFLAG must be I", "UPDATEFLAG 必须为 I")
    sold_to = [
        line["PARTN_NUMB"] for line in call.tables["ORDER_PARTNERS"] if _internal(call, line["PARTN_ROLE"]) == _SOLD_TO
    ]
    if sold_to != [DEMO_CUSTOMER]:
        named = sold_to[0] if sold_to else ""
        raise PostingError("VP/199", f"Sold-to party {named} does not exist", f"售达方 {named} 不存在")
    return DEMO_CUSTOMER


def _insert_item(
    connection: sqlite3.Connection,
    call: Call,
    number: str,
    position: int,
    item: dict[str, Any],
) -> None:
    material = known_material(connection, item["MATERIAL"])
    factor = unit_factor(connection, material, item["TARGET_QU"])
    posnr = item["ITM_NUMBER"] if item["ITM_NUMBER"].strip("0") else f"{position * 10:06d}"
    ordered = sum(
        (line["REQ_QTY"] for line in call.tables["ORDER_SCHEDULES_IN"] if line["ITM_NUMBER"] == posnr),
        Decimal(0),
    )
    connection.execute(
        "INSERT INTO sales_order_item VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            posnr,
            material,
            item["PLANT"],
            item["STORE_LOC"],
            int(ordered * 1000) * factor,
            base_unit(connection, material),
        ),
    )


def _create_reservation(call: Call) -> None:
    """Reserve stock; a reservation stays until somebody deletes it."""
    header, items = call.imports["RESERVATIONHEADER"], call.tables["RESERVATIONITEMS"]
    test_run = call.imports["TESTRUN"]["TESTRUN"] != ""
    checked = call.imports["ATPCHECK"]["ATPCHECK"] != ""
    now = call.system.now()

    def draw(connection: sqlite3.Connection) -> Draft:
        if header["MOVE_TYPE"] not in MOVEMENT_TYPES or not items:
            kind = header["MOVE_TYPE"]
            raise PostingError("M7/119", f"Movement type {kind} does not exist", f"移动类型 {kind} 不存在")
        number = "" if test_run else draw_document_number(connection, "reservation")

        def update(books: sqlite3.Connection) -> None:
            required = date_ms(header["RES_DATE"]) if header["RES_DATE"].strip("0") else midnight_ms(now)
            books.execute(
                "INSERT INTO reservation VALUES (?, ?, ?, ?, ?)",
                (number, required, header["MOVE_TYPE"], call.session.user, header["GR_RCPT"]),
            )
            for position, item in enumerate(items, start=1):
                _reserve(books, number, position, header, item, checked=checked)

        return Draft({"RESERVATION": number}, update)

    prepare_update(call, _RESERVE, draw, locks=set(), test_run=test_run)


def _reserve(
    connection: sqlite3.Connection,
    number: str,
    position: int,
    header: dict[str, Any],
    item: dict[str, Any],
    *,
    checked: bool,
) -> None:
    material = known_material(connection, item["MATERIAL"])
    quantity = int(item["ENTRY_QNT"] * 1000) * unit_factor(connection, material, item["ENTRY_UOM"])
    date = item["REQ_DATE"] if item["REQ_DATE"].strip("0") else header["RES_DATE"]
    if not date.strip("0"):
        raise PostingError("M7/018", "Enter Requirement Date", "请输入需求日期")
    if quantity <= 0:
        raise PostingError("M7/051", "Enter a quantity greater than zero", "请输入大于零的数量")
    if checked and quantity > available(connection, material, item["PLANT"], item["STGE_LOC"], item["BATCH"]):
        raise PostingError("M7/315", f"Material {material} is not available", f"物料 {material} 不可用")
    connection.execute(
        "INSERT INTO reservation_item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            f"{position:04d}",
            material,
            item["PLANT"],
            item["STGE_LOC"],
            item["BATCH"],
            quantity,
            base_unit(connection, material),
            date_ms(date),
            header["MOVE_TYPE"],
        ),
    )
