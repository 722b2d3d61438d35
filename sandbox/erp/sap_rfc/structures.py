"""Elementary types and structures of the function modules' interfaces; names and lengths are SAP's."""

from __future__ import annotations

from typing import Final

from sandbox.erp.sap_rfc.interface import Scalar, Structure

FLAG: Final = Scalar("C", 1)
DATE: Final = Scalar("D", 8)
TIME: Final = Scalar("T", 6)
INTEGER: Final = Scalar("I")
QUANTITY: Final = Scalar("P", 13, 3)


def text(length: int) -> Scalar:
    """Return a character type."""
    return Scalar("C", length)


def numc(length: int) -> Scalar:
    """Return a digits-only type."""
    return Scalar("N", length)


RFC_DB_OPT: Final = Structure("RFC_DB_OPT", {"TEXT": text(72)})
RFC_DB_FLD: Final = Structure(
    "RFC_DB_FLD",
    {"FIELDNAME": text(30), "OFFSET": numc(6), "LENGTH": numc(6), "TYPE": FLAG, "FIELDTEXT": text(60)},
)
TAB512: Final = Structure("TAB512", {"WA": text(512)})
DFIES: Final = Structure(
    "DFIES",
    {
        "TABNAME": text(30),
        "FIELDNAME": text(30),
        "LANGU": FLAG,
        "POSITION": numc(4),
        "OFFSET": numc(6),
        "LENG": numc(6),
        "INTLEN": numc(6),
        "OUTPUTLEN": numc(6),
        "DATATYPE": text(4),
        "INTTYPE": FLAG,
        "DECIMALS": numc(6),
        "FIELDTEXT": text(60),
        "KEYFLAG": FLAG,
    },
)
RFCSI: Final = Structure(
    "RFCSI",
    {
        "RFCPROTO": text(3),
        "RFCCHARTYP": text(4),
        "RFCINTTYP": text(3),
        "RFCFLOTYP": text(3),
        "RFCDEST": text(32),
        "RFCHOST": text(8),
        "RFCSYSID": text(8),
        "RFCDATABS": text(8),
        "RFCDBHOST": text(32),
        "RFCDBSYS": text(10),
        "RFCSAPRL": text(4),
        "RFCMACH": text(5),
        "RFCOPSYS": text(10),
        "RFCTZONE": text(6),
        "RFCDAYST": FLAG,
        "RFCIPADDR": text(15),
        "RFCKERNRL": text(4),
        "RFCHOST2": text(32),
        "RFCSI_RESV": text(12),
        "RFCIPV6ADDR": text(45),
    },
)
ENTRY_COUNT: Final = Structure("EM_NUMBER_OF_ENTRIES", {"TABNAME": text(30), "TABROWS": INTEGER})
BAPIRET2: Final = Structure(
    "BAPIRET2",
    {
        "TYPE": FLAG,
        "ID": text(20),
        "NUMBER": numc(3),
        "MESSAGE": text(220),
        "LOG_NO": text(20),
        "LOG_MSG_NO": numc(6),
        "MESSAGE_V1": text(50),
        "MESSAGE_V2": text(50),
        "MESSAGE_V3": text(50),
        "MESSAGE_V4": text(50),
        "PARAMETER": text(32),
        "ROW": INTEGER,
        "FIELD": text(30),
        "SYSTEM": text(10),
    },
)
BAPIRETURN: Final = Structure(
    "BAPIRETURN",
    {
        "TYPE": FLAG,
        "CODE": text(5),
        "MESSAGE": text(220),
        "LOG_NO": text(20),
        "LOG_MSG_NO": numc(6),
        "MESSAGE_V1": text(50),
        "MESSAGE_V2": text(50),
        "MESSAGE_V3": text(50),
        "MESSAGE_V4": text(50),
    },
)
BAPIWMDVS: Final = Structure("BAPIWMDVS", {"REQ_DATE": DATE, "REQ_QTY": QUANTITY})
BAPIWMDVE: Final = Structure(
    "BAPIWMDVE",
    {"BDCNT": numc(5), "REQ_DATE": DATE, "REQ_QTY": QUANTITY, "COM_DATE": DATE, "COM_QTY": QUANTITY},
)
GM_HEADER: Final = Structure(
    "BAPI2017_GM_HEAD_01",
    {"PSTNG_DATE": DATE, "DOC_DATE": DATE, "REF_DOC_NO": text(16), "PR_UNAME": text(12), "HEADER_TXT": text(25)},
)
GM_CODE: Final = Structure("BAPI2017_GM_CODE", {"GM_CODE": text(2)})
GM_ITEM: Final = Structure(
    "BAPI2017_GM_ITEM_CREATE",
    {
        "MATERIAL": text(18),
        "PLANT": text(4),
        "STGE_LOC": text(4),
        "BATCH": text(10),
        "MOVE_TYPE": text(3),
        "ENTRY_QNT": QUANTITY,
        "ENTRY_UOM": text(3),
        "ITEM_TEXT": text(50),
        "MOVE_PLANT": text(4),
        "MOVE_STLOC": text(4),
    },
)
GM_NUMBER: Final = Structure("BAPI2017_GM_HEAD_RET", {"MAT_DOC": text(10), "DOC_YEAR": numc(4)})
GM_CANCELLED_ITEM: Final = Structure("BAPI2017_GM_ITEM_04", {"MATDOC_ITEM": numc(4)})
ORDER_HEADER: Final = Structure(
    "BAPISDHD1",
    {
        "DOC_TYPE": text(4),
        "SALES_ORG": text(4),
        "DISTR_CHAN": text(2),
        "DIVISION": text(2),
        "REQ_DATE_H": DATE,
        "PURCH_NO_C": text(35),
    },
)
ORDER_HEADER_X: Final = Structure(
    "BAPISDHD1X",
    dict.fromkeys(("UPDATEFLAG", *ORDER_HEADER.fields), FLAG),
)
ORDER_PARTNER: Final = Structure("BAPIPARNR", {"PARTN_ROLE": text(2), "PARTN_NUMB": text(10), "ITM_NUMBER": numc(6)})
ORDER_ITEM: Final = Structure(
    "BAPISDITM",
    {
        "ITM_NUMBER": numc(6),
        "MATERIAL": text(18),
        "TARGET_QTY": QUANTITY,
        "TARGET_QU": text(3),
        "PLANT": text(4),
        "STORE_LOC": text(4),
    },
)
ORDER_SCHEDULE: Final = Structure(
    "BAPISCHDL",
    {"ITM_NUMBER": numc(6), "SCHED_LINE": numc(4), "REQ_DATE": DATE, "REQ_QTY": QUANTITY},
)
RESERVATION_HEADER: Final = Structure(
    "BAPI2093_RES_HEAD",
    {"RES_DATE": DATE, "MOVE_TYPE": text(3), "GR_RCPT": text(12)},
)
RESERVATION_ITEM: Final = Structure(
    "BAPI2093_RES_ITEM",
    {
        "MATERIAL": text(18),
        "PLANT": text(4),
        "STGE_LOC": text(4),
        "BATCH": text(10),
        "ENTRY_QNT": QUANTITY,
        "ENTRY_UOM": text(3),
        "REQ_DATE": DATE,
    },
)
RESERVATION_TEST: Final = Structure("BAPI2093_TEST", {"TESTRUN": FLAG})
RESERVATION_ATP: Final = Structure("BAPI2093_ATPCHECK", {"ATPCHECK": FLAG})
