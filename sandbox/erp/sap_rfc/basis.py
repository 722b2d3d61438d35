"""Function modules of the basis: ping, echo, system information, dictionary and RFC_READ_TABLE.

The server's date and time are read as real clients do: from the text that STFC_CONNECTION answers, from
MSS_GET_SY_DATE_TIME, or as UTC plus RFCTZONE of RFC_SYSTEM_INFO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.erp.sap_rfc.errors import abap_exception, abap_message, short_dump
from sandbox.erp.sap_rfc.interface import Function
from sandbox.erp.sap_rfc.read_table import Request
from sandbox.erp.sap_rfc.structures import (
    DATE,
    DFIES,
    ENTRY_COUNT,
    FLAG,
    INTEGER,
    RFC_DB_FLD,
    RFC_DB_OPT,
    RFCSI,
    TAB512,
    TIME,
    text,
)
from sandbox.erp.sap_rfc.tables import TABLES

if TYPE_CHECKING:
    from sandbox.erp.sap_rfc.dictionary import Column, Table
    from sandbox.erp.sap_rfc.interface import Call


def basis_functions(*, get_sorted: bool) -> list[Function]:
    """Return the basis function modules; `get_sorted` tells whether RFC_READ_TABLE has that parameter."""
    sorting = {"GET_SORTED": FLAG} if get_sorted else {}
    return [
        Function("RFC_PING", _nothing),
        Function("RFC_PING_AND_WAIT", _nothing, {"SECONDS": INTEGER}),
        Function("STFC_CONNECTION", _echo, {"REQUTEXT": text(255)}, {"ECHOTEXT": text(255), "RESPTEXT": text(255)}),
        Function(
            "RFC_SYSTEM_INFO",
            _system_info,
            {},
            {"RFCSI_EXPORT": RFCSI, "CURRENT_RESOURCES": INTEGER, "MAXIMAL_RESOURCES": INTEGER},
        ),
        Function("MSS_GET_SY_DATE_TIME", _date_and_time, {}, {"SAPDATE": DATE, "SAPTIME": TIME}),
        Function("RFC_RAISE_ERROR", _raise_error, {"METHOD": text(4), "MESSAGETYPE": FLAG}),
        Function(
            "DDIF_FIELDINFO_GET",
            _field_info,
            {"TABNAME": text(30), "FIELDNAME": text(30), "LANGU": FLAG, "ALL_TYPES": FLAG},
            {"DDOBJTYPE": text(8), "DFIES_WA": DFIES},
            {"DFIES_TAB": DFIES},
        ),
        Function("EM_GET_NUMBER_OF_ENTRIES", _count_entries, tables={"IT_TABLES": ENTRY_COUNT}),
        Function(
            "RFC_READ_TABLE",
            _read_table,
            {
                "QUERY_TABLE": text(30),
                "DELIMITER": FLAG,
                "NO_DATA": FLAG,
                "ROWSKIPS": INTEGER,
                "ROWCOUNT": INTEGER,
                **sorting,
            },
            {},
            {"OPTIONS": RFC_DB_OPT, "FIELDS": RFC_DB_FLD, "DATA": TAB512},
        ),
    ]


def _nothing(call: Call) -> None:
    del call


def _echo(call: Call) -> None:
    system, now = call.system, call.system.now()
    call.exports["ECHOTEXT"] = call.imports["REQUTEXT"]
    call.exports["RESPTEXT"] = (
        f"SAP R/3 Rel. {system.release}   Sysid: {system.sysid}      Date: {now:%Y%m%d}   Time: {now:%H%M%S}"
        f"   Logon_Data: {system.client}/{call.session.user}/{call.session.language}"
    )


def _system_info(call: Call) -> None:
    """Describe the server. RFCTZONE is the zone's standard offset from UTC in seconds, right-justified."""
    system, now = call.system, call.system.now()
    summer = now.dst()
    offset = now.utcoffset()
    standard = 0 if offset is None else int((offset - summer if summer else offset).total_seconds())
    call.exports["RFCSI_EXPORT"] = {
        "RFCPROTO": "011",
        "RFCCHARTYP": "4103",
        "RFCINTTYP": "LIT",
        "RFCFLOTYP": "IE3",
        "RFCDEST": f"{system.host}_{system.sysid}_{system.sysnr}",
        "RFCHOST": system.host[:8],
        "RFCSYSID": system.sysid,
        "RFCDATABS": system.sysid,
        "RFCDBHOST": system.host,
        "RFCDBSYS": "ORACLE",
        "RFCSAPRL": system.release,
        "RFCMACH": "  390",
        "RFCOPSYS": "Linux",
        "RFCTZONE": f"{standard:6d}",
        "RFCDAYST": "X" if summer else "",
        "RFCIPADDR": "127.0.0.1",
        "RFCKERNRL": "753",
        "RFCHOST2": system.host,
        "RFCIPV6ADDR": "::1",
    }
    call.exports["CURRENT_RESOURCES"] = 4
    call.exports["MAXIMAL_RESOURCES"] = 9


def _date_and_time(call: Call) -> None:
    now = call.system.now()
    call.exports |= {"SAPDATE": f"{now:%Y%m%d}", "SAPTIME": f"{now:%H%M%S}"}


def _raise_error(call: Call) -> None:
    """Raise the errors that SAP's own test module raises; only the documented methods are here."""
    method, kind = call.imports["METHOD"], call.imports["MESSAGETYPE"]
    if method == "3":
        raise short_dump("COMPUTE_INT_ZERODIVIDE", "Division by 0 (type I)")
    if method == "1":
        raise abap_exception("RAISE_EXCEPTION", "SR", "006", "STRING")
    if method == "2":
        raise abap_exception("RAISE_EXCEPTION")
    raise abap_message("Function not supported", "SR", kind or "E", "006")


def _field_info(call: Call) -> None:
    table = TABLES.get(call.imports["TABNAME"])
    wanted = call.imports["FIELDNAME"]
    if table is None or (wanted and wanted not in table.by_name):
        raise abap_exception("NOT_FOUND")
    language = call.imports["LANGU"] or call.session.language
    described = _described(table, language)
    call.exports["DDOBJTYPE"] = "TRANSP"
    if wanted:
        call.exports["DFIES_WA"] = next(line for line in described if line["FIELDNAME"] == wanted)
    else:
        call.tables["DFIES_TAB"] = described


def _described(table: Table, language: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    offset = 0
    for position, column in enumerate(table.columns, start=1):
        size = _internal_length(column)
        lines.append(
            {
                "TABNAME": table.name,
                "FIELDNAME": column.name,
                "LANGU": language,
                "POSITION": f"{position:04d}",
                "OFFSET": f"{offset:06d}",
                "LENG": f"{column.length:06d}",
                "INTLEN": f"{size:06d}",
                "OUTPUTLEN": f"{column.width:06d}",
                "DATATYPE": column.dictionary_type,
                "INTTYPE": column.type,
                "DECIMALS": f"{column.decimals:06d}",
                "FIELDTEXT": column.text,
                "KEYFLAG": "X" if column.key else "",
            },
        )
        offset += size
    return lines


def _internal_length(column: Column) -> int:
    """Return the bytes a column takes inside: two for each character, half a one for each packed digit."""
    return column.length // 2 + 1 if column.type == "P" else column.length * 2


def _count_entries(call: Call) -> None:
    """Count whole tables, as the module does that real clients compare their reads with."""
    for line in call.tables["IT_TABLES"]:
        table = TABLES.get(line["TABNAME"])
        if table is not None:
            line["TABROWS"] = call.system.store.number(f"SELECT COUNT(*) FROM (SELECT 1 FROM {table.source})")


def _read_table(call: Call) -> None:
    given = call.imports
    answer = call.system.reader.read(
        Request(
            table=given["QUERY_TABLE"],
            fields=[line["FIELDNAME"] for line in call.tables["FIELDS"]],
            options=[line["TEXT"] for line in call.tables["OPTIONS"]],
            delimiter=given["DELIMITER"],
            no_data=given["NO_DATA"] != "",
            skips=given["ROWSKIPS"],
            count=given["ROWCOUNT"],
            sorted=given.get("GET_SORTED", "") != "",
        ),
    )
    call.tables["FIELDS"] = answer.fields
    call.tables["DATA"] = [{"WA": row} for row in answer.rows]
