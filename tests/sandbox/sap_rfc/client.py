"""A small RFC client for the stand-in's tests; it knows the protocol and nothing of the hub."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER, SAP_CLIENT

if TYPE_CHECKING:
    from sandbox.erp.sap_rfc.connection import Connection
    from sandbox.erp.sap_rfc.system import AbapSystem

LOGON = {
    "ashost": "ecchost",
    "sysnr": "00",
    "client": SAP_CLIENT,
    "user": DEMO_USER,
    "passwd": DEMO_PASSWORD,
    "lang": "EN",
}


def connect(system: AbapSystem, config: dict[str, Any] | None = None, **changes: str) -> Connection:
    connection: Connection = system.pyrfc.Connection(config=config or {}, **{**LOGON, **changes})
    return connection


def matnr(material: str) -> str:
    return material.zfill(18)


def packed(text: str) -> Decimal:
    """Read a packed number as ABAP writes it, the sign behind it."""
    text = text.strip()
    return -Decimal(text[:-1]) if text.endswith("-") else Decimal(text)


def read(connection: Connection, table: str, fields: str, *options: str, **more: Any) -> list[dict[str, str]]:
    """Return rows as dicts of texts, cut at the offsets that the answer names."""
    answer = connection.call(
        "RFC_READ_TABLE",
        QUERY_TABLE=table,
        FIELDS=[{"FIELDNAME": name} for name in fields.split()],
        OPTIONS=[{"TEXT": line} for line in options],
        **more,
    )
    return [
        {
            line["FIELDNAME"]: row["WA"][int(line["OFFSET"]) : int(line["OFFSET"]) + int(line["LENGTH"])].rstrip()
            for line in answer["FIELDS"]
        }
        for row in answer["DATA"]
    ]


def stock(connection: Connection, material: str, place: str = "101A") -> Decimal:
    """Return the unrestricted stock of a material in a storage location of the demo's plant."""
    rows = read(
        connection,
        "MARD",
        "LABST",
        f"MATNR EQ '{matnr(material)}' AND WERKS EQ '1010'",
        f"AND LGORT EQ '{place}'",
    )
    return packed(rows[0]["LABST"]) if rows else Decimal(0)


def totals(system: AbapSystem) -> dict[tuple[str, str], Decimal]:
    """Return the books' sellable stock by location and material."""
    return {(row["location"], row["item"]): Decimal(row["quantity"]) for row in system.world.totals()["totals"]}


def piece_in_stock(system: AbapSystem, least: int, *, batches: bool = False) -> str:
    """Return an article with at least that many pieces in the sales location."""
    for row in system.world.stock():
        fits = row["storage_location"] == "101A" and row["stock_type"] == "01" and row["special_stock"] == ""
        if fits and row["unit"] == "EA" and Decimal(row["quantity"]) >= least and bool(row["batch"]) == batches:
            return row["material"]
    raise AssertionError(least)


def issue(connection: Connection, material: str, quantity: str = "1", **item: Any) -> dict[str, Any]:
    """Create a goods issue; nothing is committed."""
    line = {
        "MATERIAL": matnr(material),
        "PLANT": "1010",
        "STGE_LOC": "101A",
        "MOVE_TYPE": "251",
        "ENTRY_QNT": Decimal(quantity),
        **item,
    }
    return connection.call(
        "BAPI_GOODSMVT_CREATE",
        GOODSMVT_HEADER={"PSTNG_DATE": "20261123", "DOC_DATE": "20261123", "REF_DOC_NO": "SO-1"},
        GOODSMVT_CODE={"GM_CODE": "03"},
        GOODSMVT_ITEM=[line],
    )


def commit(connection: Connection) -> dict[str, Any]:
    answer: dict[str, Any] = connection.call("BAPI_TRANSACTION_COMMIT", WAIT="X")["RETURN"]
    return answer
