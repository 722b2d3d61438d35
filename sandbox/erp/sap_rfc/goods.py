"""BAPI_GOODSMVT_CREATE and BAPI_GOODSMVT_CANCEL: goods movements (货物移动) over the shared posting logic.

The item structure has the fields that the shared books can honour; special stocks, cost centres and purchase orders are
not among them. All values are in internal format: material numbers with their zeros, units with their internal key.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap.movements import (
    Header,
    Movement,
    PostingError,
    document_lines,
    draw_number,
    post,
)
from sandbox.erp.sap.reversals import header_again, reversal_lines
from sandbox.erp.sap_rfc.availability import date_ms, known_material, unit_factor
from sandbox.erp.sap_rfc.dictionary import EXTERNAL_UNITS
from sandbox.erp.sap_rfc.interface import Function
from sandbox.erp.sap_rfc.luw import Draft, prepare_update
from sandbox.erp.sap_rfc.structures import (
    BAPIRET2,
    DATE,
    FLAG,
    GM_CANCELLED_ITEM,
    GM_CODE,
    GM_HEADER,
    GM_ITEM,
    GM_NUMBER,
    numc,
    text,
)

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from sandbox.erp.sap_rfc.interface import Call

_CREATE: Final = "BAPI_GOODSMVT_CREATE"
_CANCEL: Final = "BAPI_GOODSMVT_CANCEL"


def goods_functions() -> list[Function]:
    """Return the goods movement BAPIs."""
    return [
        Function(
            _CREATE,
            _create,
            {"GOODSMVT_HEADER": GM_HEADER, "GOODSMVT_CODE": GM_CODE, "TESTRUN": FLAG},
            {"GOODSMVT_HEADRET": GM_NUMBER, "MATERIALDOCUMENT": text(10), "MATDOCUMENTYEAR": numc(4)},
            {"GOODSMVT_ITEM": GM_ITEM, "RETURN": BAPIRET2},
        ),
        Function(
            _CANCEL,
            _cancel,
            {
                "MATERIALDOCUMENT": text(10),
                "MATDOCUMENTYEAR": numc(4),
                "GOODSMVT_PSTNG_DATE": DATE,
                "GOODSMVT_PR_UNAME": text(12),
            },
            {"GOODSMVT_HEADRET": GM_NUMBER},
            {"RETURN": BAPIRET2, "GOODSMVT_MATDOCITEM": GM_CANCELLED_ITEM},
        ),
    ]


def _entered(call: Call) -> datetime:
    """Return the entry time: when the BAPI runs, not when the document becomes visible with the commit."""
    return call.system.now() - timedelta(seconds=call.system.entry_lag())


def _create(call: Call) -> None:
    given, items = call.imports["GOODSMVT_HEADER"], call.tables["GOODSMVT_ITEM"]
    code, moment = call.imports["GOODSMVT_CODE"]["GM_CODE"], _entered(call)
    test_run = call.imports["TESTRUN"] != ""

    def draw(connection: sqlite3.Connection) -> Draft:
        if _given_date(given["PSTNG_DATE"]) is None:
            raise PostingError("M7/018", "Enter Posting Date", "请输入过账日期")
        if not items:
            raise PostingError("M7/063", "The document does not contain any items", "凭证不包含任何项目")
        header = Header(
            code=code,
            reference=given["REF_DOC_NO"],
            text=given["HEADER_TXT"],
            user=call.session.user,
            posting_date=_given_date(given["PSTNG_DATE"]),
            document_date=_given_date(given["DOC_DATE"]),
        )
        number = "" if test_run else draw_number(connection, code)

        def update(books: sqlite3.Connection) -> None:
            lines = document_lines(books, code, [_movement(books, item) for item in items])
            post(books, header, lines, moment, number=number)

        return Draft(_numbers(moment, number), update)

    locks = {(item["MATERIAL"], item["PLANT"]) for item in items}
    prepare_update(call, _CREATE, draw, locks=locks, test_run=test_run)


def _numbers(moment: datetime, number: str) -> dict[str, Any]:
    year = f"{moment.year:04d}"
    return {
        "GOODSMVT_HEADRET": {"MAT_DOC": number, "DOC_YEAR": year},
        "MATERIALDOCUMENT": number,
        "MATDOCUMENTYEAR": year,
    }


def _movement(connection: sqlite3.Connection, item: dict[str, Any]) -> Movement:
    material = known_material(connection, item["MATERIAL"])
    factor = unit_factor(connection, material, item["ENTRY_UOM"])
    return Movement(
        movement_type=item["MOVE_TYPE"],
        material=material,
        plant=item["PLANT"],
        location=item["STGE_LOC"],
        quantity=int(item["ENTRY_QNT"] * 1000) * factor,
        batch=item["BATCH"],
        to_plant=item["MOVE_PLANT"],
        to_location=item["MOVE_STLOC"],
        entry_unit=EXTERNAL_UNITS.get(item["ENTRY_UOM"], item["ENTRY_UOM"]),
        entry_factor=factor,
        text=item["ITEM_TEXT"],
    )


def _cancel(call: Call) -> None:
    """Reverse a document, or the items named in GOODSMVT_MATDOCITEM."""
    given, moment = call.imports, _entered(call)
    year, number = given["MATDOCUMENTYEAR"], given["MATERIALDOCUMENT"]
    chosen = [line["MATDOC_ITEM"] for line in call.tables["GOODSMVT_MATDOCITEM"]]

    def draw(connection: sqlite3.Connection) -> Draft:
        header = replace(
            header_again(connection, year, number),
            user=call.session.user,
            posting_date=_given_date(given["GOODSMVT_PSTNG_DATE"]),
        )
        reversal = draw_number(connection, header.code)

        def update(books: sqlite3.Connection) -> None:
            lines = [line for item in chosen or [None] for line in reversal_lines(books, year, number, item)]
            post(books, header, lines, moment, number=reversal)

        return Draft({"GOODSMVT_HEADRET": _numbers(moment, reversal)["GOODSMVT_HEADRET"]}, update)

    prepare_update(call, _CANCEL, draw, locks={(number, year)})


def _given_date(date: str) -> int | None:
    return date_ms(date) if date.strip("0") else None
