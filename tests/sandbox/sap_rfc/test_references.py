"""What the tables say of documents under a number that somebody gave them, when they are cancelled and posted again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from sandbox.erp.sap.app import create_app
from sandbox.erp.sap_rfc.system import AbapSystem
from tests.sandbox.sap.client import SapUser
from tests.sandbox.sap_rfc.client import connect, issue, matnr, packed, piece_in_stock, read, stock
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.erp.sap_rfc.connection import Connection

ITEM = "MJAHR ZEILE BWART SHKZG MENGE SJAHR SMBLN SMBLP"
NOTHING_REVERSED = ("0000", "", "0000")


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[tuple[SapUser, AbapSystem]]:
    """Give both sides of one world."""
    database = tmp_path / "sap.sqlite"
    with serve(create_app(database, articles=60)) as url:
        user, system = SapUser(url), AbapSystem(database, articles=60)
        yield user, system
        user.close()
        system.close()


def items(connection: Connection, number: str) -> list[tuple[str, str, Decimal, tuple[str, str, str]]]:
    rows = read(connection, "MSEG", ITEM, f"MBLNR EQ '{number}'")
    return [
        (row["BWART"], row["SHKZG"], packed(row["MENGE"]), (row["SJAHR"], row["SMBLN"], row["SMBLP"]))
        for row in sorted(rows, key=lambda row: row["ZEILE"])
    ]


def test_the_fields_are_described_as_the_dictionary_has_them(connection: Connection) -> None:
    def described(table: str, names: str) -> dict[str, tuple[str, int]]:
        fields = [{"FIELDNAME": name} for name in names.split()]
        answer = connection.call("RFC_READ_TABLE", QUERY_TABLE=table, FIELDS=fields, NO_DATA="X")
        return {line["FIELDNAME"]: (line["TYPE"], int(line["LENGTH"])) for line in answer["FIELDS"]}

    assert described("MKPF", "XBLNR") == {"XBLNR": ("C", 16)}
    assert described("MSEG", "SHKZG SJAHR SMBLN SMBLP") == {
        "SHKZG": ("C", 1),
        "SJAHR": ("N", 4),
        "SMBLN": ("C", 10),
        "SMBLP": ("N", 4),
    }


def test_a_reversal_names_what_it_reverses_and_a_repetition_nothing(doors: tuple[SapUser, AbapSystem]) -> None:
    user, system = doors
    connection = connect(system)
    material = piece_in_stock(system, 5)
    before = stock(connection, material)

    sold = user.move(kind="sale", material=material, quantity="2", reference="WEB-1")
    number, year = sold["material_document"], sold["year"]
    assert items(connection, number) == [("251", "H", Decimal(2), NOTHING_REVERSED)]
    undone = user.world("cancel", sold).json()["material_document"]
    assert items(connection, undone) == [("252", "S", Decimal(2), (year, number, "0001"))]
    assert items(connection, number) == [("251", "H", Decimal(2), NOTHING_REVERSED)]
    assert stock(connection, material) == before
    again = user.world("post-again", sold).json()["material_document"]
    assert items(connection, again) == [("251", "H", Decimal(2), NOTHING_REVERSED)]
    assert stock(connection, material) == before - 2

    headers = read(connection, "MKPF", "MBLNR", "XBLNR EQ 'WEB-1'")
    assert {header["MBLNR"] for header in headers} == {number, undone, again}
    connection.close()


def test_a_cancellation_by_bapi_of_one_line_names_it(doors: tuple[SapUser, AbapSystem]) -> None:
    user, system = doors
    connection = connect(system)
    material = piece_in_stock(system, 5)
    lines = [{"quantity": "1"}, {"quantity": "2"}]
    day = user.move(kind="sale", material=material, reference="Z-1", lines=lines)
    number, year = day["material_document"], day["year"]

    answer = connection.call(
        "BAPI_GOODSMVT_CANCEL",
        MATERIALDOCUMENT=number,
        MATDOCUMENTYEAR=year,
        GOODSMVT_MATDOCITEM=[{"MATDOC_ITEM": "0002"}],
    )
    connection.call("BAPI_TRANSACTION_COMMIT", WAIT="X")

    undone = answer["GOODSMVT_HEADRET"]["MAT_DOC"]
    assert items(connection, undone) == [("252", "S", Decimal(2), (year, number, "0002"))]
    assert read(connection, "MKPF", "XBLNR", f"MBLNR EQ '{undone}'") == [{"XBLNR": "Z-1"}]
    again = user.world("post-again", day).json()["material_document"]
    assert items(connection, again) == [("251", "H", Decimal(2), NOTHING_REVERSED)]
    connection.close()


def test_two_lines_of_one_article_share_its_batches(ecc: AbapSystem, connection: Connection) -> None:
    rows = [row for row in ecc.world.stock() if row["batch"] and row["storage_location"] == "101A"]
    own = [row for row in rows if row["stock_type"] == "01" and not row["special_stock"] and row["unit"] == "EA"]
    material = own[0]["material"]
    whole = stock(connection, material)
    oldest = min(row["batch"] for row in own if row["material"] == material)
    assert whole > Decimal(next(row["quantity"] for row in own if row["batch"] == oldest))
    line = {"MATERIAL": matnr(material), "PLANT": "1010", "STGE_LOC": "101A", "MOVE_TYPE": "251"}

    answer = connection.call(
        "BAPI_GOODSMVT_CREATE",
        GOODSMVT_HEADER={"PSTNG_DATE": "20261123", "REF_DOC_NO": "Z-2"},
        GOODSMVT_CODE={"GM_CODE": "03"},
        GOODSMVT_ITEM=[line | {"ENTRY_QNT": quantity} for quantity in (whole - 1, Decimal(1))],
    )
    connection.call("BAPI_TRANSACTION_COMMIT", WAIT="X")

    assert answer["RETURN"] == []
    assert stock(connection, material) == 0
    assert issue(connection, material)["RETURN"][0]["NUMBER"] == "021"
