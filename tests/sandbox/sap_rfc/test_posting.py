"""BAPIs: nothing is written before the commit, everything or nothing with it, and RETURN tells the rest."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.erp.sap_rfc.orders import DEMO_CUSTOMER
from tests.sandbox.sap_rfc.client import commit, connect, issue, matnr, packed, piece_in_stock, read, stock, totals

if TYPE_CHECKING:
    from sandbox.erp.sap_rfc.connection import Connection
    from sandbox.erp.sap_rfc.system import AbapSystem


def line_of(answer: dict[str, Any]) -> tuple[str, str, str]:
    """Return type, class and number of the only RETURN line."""
    (line,) = answer["RETURN"]
    return line["TYPE"], line["ID"], line["NUMBER"]


def documents(connection: Connection, number: str) -> list[dict[str, str]]:
    return read(connection, "MSEG", "BWART SHKZG MENGE SMBLN ERFME ERFMG", f"MBLNR EQ '{number}'")


def test_an_issue_is_seen_after_the_commit_only(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    other = connect(ecc)
    before = stock(connection, material)

    answer = issue(connection, material, "3")
    number = answer["MATERIALDOCUMENT"]
    assert answer["RETURN"] == []
    assert answer["GOODSMVT_HEADRET"] == {"MAT_DOC": number, "DOC_YEAR": answer["MATDOCUMENTYEAR"]}
    for reader in (connection, other):
        assert stock(reader, material) == before
        assert documents(reader, number) == []

    assert commit(connection)["TYPE"] == ""
    for reader in (connection, other):
        assert stock(reader, material) == before - 3
        (item,) = documents(reader, number)
        assert (item["BWART"], item["SHKZG"], packed(item["MENGE"])) == ("251", "H", Decimal(3))
    header = read(connection, "MKPF", "XBLNR USNAM BUDAT CPUDT", f"MBLNR EQ '{number}'")[0]
    assert (header["XBLNR"], header["USNAM"], header["BUDAT"]) == ("SO-1", "ONESHELF", "20261123")
    assert commit(connection)["TYPE"] == ""
    assert stock(connection, material) == before - 3
    other.close()


@pytest.mark.parametrize("end", ["rollback", "close", "dump", "other connection commits"])
def test_what_is_not_committed_is_lost(ecc: AbapSystem, end: str) -> None:
    material = piece_in_stock(ecc, 10)
    before = totals(ecc)
    connection, other = connect(ecc), connect(ecc)
    number = issue(connection, material)["MATERIALDOCUMENT"]

    if end == "rollback":
        connection.call("BAPI_TRANSACTION_ROLLBACK")
        commit(connection)
    elif end == "close":
        connection.close()
    elif end == "dump":
        with pytest.raises(ecc.pyrfc.ABAPRuntimeError):
            connection.call("RFC_RAISE_ERROR", METHOD="3")
        connection.reopen()
        commit(connection)
    else:
        commit(other)
        connection.close()

    assert totals(ecc) == before
    assert int(issue(other, material)["MATERIALDOCUMENT"]) > int(number)
    connection.close()
    other.close()


def test_several_documents_are_one_unit(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    before = stock(connection, material)
    first, second = issue(connection, material, "1"), issue(connection, material, str(before - 1))
    assert first["MATERIALDOCUMENT"] != second["MATERIALDOCUMENT"]
    assert line_of(issue(connection, material, "1")) == ("E", "M7", "021")
    commit(connection)
    assert stock(connection, material) == 0
    # The row stays when the stock is gone.
    assert read(connection, "MARD", "LABST", f"MATNR EQ '{matnr(material)}' AND LGORT EQ '101A'")


def test_refusals_are_lines_of_type_e_and_post_nothing(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    before = totals(ecc)
    for answer, expected in (
        (issue(connection, material, "100000"), ("E", "M7", "021")),
        (issue(connection, "999999"), ("E", "M3", "305")),
        (issue(connection, "1", MATERIAL=material), ("E", "M3", "305")),
        (issue(connection, material, STGE_LOC="9999"), ("E", "M7", "001")),
        (issue(connection, material, MOVE_TYPE="501"), ("E", "M7", "120")),
        (issue(connection, material, "0"), ("E", "M7", "051")),
        (issue(connection, material, ENTRY_UOM="XXX"), ("E", "M7", "161")),
        (
            connection.call("BAPI_GOODSMVT_CREATE", GOODSMVT_CODE={"GM_CODE": "03"}, GOODSMVT_ITEM=[{}]),
            ("E", "M7", "018"),
        ),
    ):
        assert line_of(answer) == expected
        assert answer["MATERIALDOCUMENT"] == ""
    commit(connection)
    assert totals(ecc) == before


def test_messages_come_in_the_logon_language(ecc: AbapSystem) -> None:
    connection = connect(ecc, lang="ZH")
    answer = issue(connection, "999999")
    assert "不存在" in answer["RETURN"][0]["MESSAGE"]
    connection.close()


def test_a_test_run_checks_and_draws_no_number(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    before = totals(ecc)
    header, code = {"PSTNG_DATE": "20261123"}, {"GM_CODE": "03"}
    item = {"MATERIAL": matnr(material), "PLANT": "1010", "STGE_LOC": "101A", "MOVE_TYPE": "251", "ENTRY_QNT": "1"}
    for quantity, lines in (("1", 0), ("100000", 1)):
        answer = connection.call(
            "BAPI_GOODSMVT_CREATE",
            GOODSMVT_HEADER=header,
            GOODSMVT_CODE=code,
            GOODSMVT_ITEM=[item | {"ENTRY_QNT": quantity}],
            TESTRUN="X",
        )
        assert (answer["MATERIALDOCUMENT"], len(answer["RETURN"])) == ("", lines)
    commit(connection)
    assert totals(ecc) == before


def test_a_receipt_in_cartons_takes_the_internal_unit(connection: Connection) -> None:
    carton = read(connection, "MARM", "MATNR UMREZ", "MEINH EQ 'KAR'")[0]
    material = carton["MATNR"].lstrip("0")
    before = stock(connection, material)
    receipt = {"GOODSMVT_HEADER": {"PSTNG_DATE": "20261123"}, "GOODSMVT_CODE": {"GM_CODE": "05"}}
    item = {"MATERIAL": carton["MATNR"], "PLANT": "1010", "STGE_LOC": "101A", "MOVE_TYPE": "501", "ENTRY_QNT": "2"}
    external = connection.call("BAPI_GOODSMVT_CREATE", **receipt, GOODSMVT_ITEM=[item | {"ENTRY_UOM": "CAR"}])
    assert line_of(external) == ("E", "M7", "161")
    posted = connection.call("BAPI_GOODSMVT_CREATE", **receipt, GOODSMVT_ITEM=[item | {"ENTRY_UOM": "KAR"}])
    commit(connection)
    assert stock(connection, material) == before + 2 * packed(carton["UMREZ"])
    (line,) = documents(connection, posted["MATERIALDOCUMENT"])
    assert (line["ERFME"], packed(line["ERFMG"])) == ("KAR", Decimal(2))


def test_a_transfer_has_two_items_and_a_cancellation_takes_both_back(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    before = totals(ecc)
    posted = connection.call(
        "BAPI_GOODSMVT_CREATE",
        GOODSMVT_HEADER={"PSTNG_DATE": "20261123"},
        GOODSMVT_CODE={"GM_CODE": "04"},
        GOODSMVT_ITEM=[
            {
                "MATERIAL": matnr(material),
                "PLANT": "1010",
                "STGE_LOC": "101A",
                "MOVE_TYPE": "311",
                "ENTRY_QNT": "4",
                "MOVE_STLOC": "101B",
            },
        ],
    )
    commit(connection)
    number, year = posted["MATERIALDOCUMENT"], posted["MATDOCUMENTYEAR"]
    items = read(connection, "MSEG", "ZEILE SHKZG XAUTO LGORT UMLGO UMWRK UMMAT", f"MBLNR EQ '{number}'")
    assert sorted(tuple(item.values()) for item in items) == [
        ("0001", "H", "", "101A", "101B", "1010", matnr(material)),
        ("0002", "S", "X", "101B", "101A", "1010", matnr(material)),
    ]
    assert totals(ecc) != before

    key = {"MATERIALDOCUMENT": number, "MATDOCUMENTYEAR": year}
    cancelled = connection.call("BAPI_GOODSMVT_CANCEL", **key, GOODSMVT_PSTNG_DATE="20261124")
    assert totals(ecc) != before
    commit(connection)
    assert totals(ecc) == before
    reversal = documents(connection, cancelled["GOODSMVT_HEADRET"]["MAT_DOC"])
    assert {(item["BWART"], item["SMBLN"]) for item in reversal} == {("312", number)}
    again = connection.call("BAPI_GOODSMVT_CANCEL", **key)
    assert line_of(again)[0] == "E"
    unknown = connection.call("BAPI_GOODSMVT_CANCEL", MATERIALDOCUMENT="1", MATDOCUMENTYEAR="2020")
    assert line_of(unknown) == ("E", "M7", "061")


def test_one_session_locks_what_another_wants(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    other = connect(ecc)
    issue(connection, material)
    blocked = issue(other, material)
    assert line_of(blocked) == ("E", "M3", "682")
    assert "locked by user ONESHELF" in blocked["RETURN"][0]["MESSAGE"]
    commit(connection)
    assert issue(other, material)["RETURN"] == []
    other.close()


@pytest.mark.parametrize(("wait", "told"), [("X", ("E", "S&", "101")), ("", ("", "", "000"))])
def test_a_commit_that_finds_the_stock_gone_writes_nothing(ecc: AbapSystem, wait: str, told: tuple[str, ...]) -> None:
    material = piece_in_stock(ecc, 10)
    connection = connect(ecc)
    number = issue(connection, material, "5")["MATERIALDOCUMENT"]
    ecc.world.move({"kind": "count", "material": material, "quantity": "2"})
    answer = connection.call("BAPI_TRANSACTION_COMMIT", WAIT=wait)["RETURN"]
    assert (answer["TYPE"], answer["ID"], answer["NUMBER"]) == told
    assert documents(connection, number) == []
    ecc.world.move({"kind": "receipt", "material": material, "quantity": "50"})
    connection.close()


ORDER: dict[str, Any] = {
    "ORDER_HEADER_IN": {
        "DOC_TYPE": "TA",
        "SALES_ORG": "1000",
        "DISTR_CHAN": "10",
        "DIVISION": "00",
        "PURCH_NO_C": "WEB-0001",
    },
    "ORDER_HEADER_INX": {"UPDATEFLAG": "I"},
    "ORDER_PARTNERS": [
        {"PARTN_ROLE": "AG", "PARTN_NUMB": DEMO_CUSTOMER},
        {"PARTN_ROLE": "WE", "PARTN_NUMB": DEMO_CUSTOMER},
    ],
}


def order(connection: Connection, material: str, quantity: str, **header: str) -> dict[str, Any]:
    item = {"ITM_NUMBER": "000010", "MATERIAL": matnr(material), "PLANT": "1010", "TARGET_QTY": quantity}
    schedule = {"ITM_NUMBER": "000010", "SCHED_LINE": "0001", "REQ_QTY": quantity, "REQ_DATE": "20991231"}
    given = ORDER | {"ORDER_HEADER_IN": ORDER["ORDER_HEADER_IN"] | header}
    return connection.call(
        "BAPI_SALESORDER_CREATEFROMDAT2", **given, ORDER_ITEMS_IN=[item], ORDER_SCHEDULES_IN=[schedule]
    )


def promised(connection: Connection, material: str, **more: Any) -> dict[str, Any]:
    return connection.call("BAPI_MATERIAL_AVAILABILITY", PLANT="1010", MATERIAL=matnr(material), UNIT="EA", **more)


def test_an_order_is_found_by_our_reference_and_lowers_what_can_be_promised(
    ecc: AbapSystem, connection: Connection
) -> None:
    material = piece_in_stock(ecc, 10)
    before, on_hand = promised(connection, material)["AV_QTY_PLT"], stock(connection, material)
    answer = order(connection, material, "4")
    number = answer["SALESDOCUMENT"]
    assert len(number) == 10
    assert [(line["TYPE"], line["ID"], line["NUMBER"]) for line in answer["RETURN"]] == [
        ("S", "V4", "233"),
        ("S", "V1", "311"),
    ]
    assert read(connection, "VBAK", "VBELN", "BSTNK EQ 'WEB-0001'") == []
    commit(connection)
    assert read(connection, "VBAK", "VBELN AUART KUNNR", "BSTNK EQ 'WEB-0001'") == [
        {"VBELN": number, "AUART": "TA", "KUNNR": DEMO_CUSTOMER},
    ]
    item = read(connection, "VBAP", "POSNR MATNR KWMENG VRKME", f"VBELN EQ '{number}'")[0]
    assert (item["POSNR"], item["MATNR"], packed(item["KWMENG"])) == ("000010", matnr(material), Decimal(4))
    assert stock(connection, material) == on_hand
    assert promised(connection, material)["AV_QTY_PLT"] == before - 4


def test_codes_of_orders_depend_on_the_logon_language(ecc: AbapSystem) -> None:
    material = piece_in_stock(ecc, 10)
    for language, kind, good in (("EN", "OR", True), ("ZH", "OR", True), ("DE", "OR", False), ("DE", "TA", True)):
        connection = connect(ecc, lang=language)
        answer = order(connection, material, "1", DOC_TYPE=kind)
        assert (answer["SALESDOCUMENT"] != "") is good
        assert ("E" in {line["TYPE"] for line in answer["RETURN"]}) is not good
        connection.close()


def test_orders_with_faults_in_them_are_refused(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    assert line_of(order(connection, material, "1", SALES_ORG="")) == ("E", "V1", "320")
    assert line_of(order(connection, "999999", "1")) == ("E", "M3", "305")
    unpadded = ORDER | {"ORDER_PARTNERS": [{"PARTN_ROLE": "AG", "PARTN_NUMB": DEMO_CUSTOMER.lstrip("0")}]}
    answer = connection.call("BAPI_SALESORDER_CREATEFROMDAT2", **unpadded)
    assert line_of(answer) == ("E", "VP", "199")


def test_the_target_quantity_alone_orders_nothing(ecc: AbapSystem, connection: Connection) -> None:
    item = {"MATERIAL": matnr(piece_in_stock(ecc, 10)), "PLANT": "1010", "TARGET_QTY": "5"}
    number = connection.call("BAPI_SALESORDER_CREATEFROMDAT2", **ORDER, ORDER_ITEMS_IN=[item])["SALESDOCUMENT"]
    commit(connection)
    assert packed(read(connection, "VBAP", "KWMENG", f"VBELN EQ '{number}'")[0]["KWMENG"]) == 0


def test_a_reservation_lasts_and_can_be_checked_against_availability(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    before = promised(connection, material, STGE_LOC="101A")["AV_QTY_PLT"]
    header = {"RES_DATE": "20261201", "MOVE_TYPE": "201", "GR_RCPT": "SHOP"}

    def reserve(quantity: object, **more: Any) -> dict[str, Any]:
        item = {"MATERIAL": matnr(material), "PLANT": "1010", "STGE_LOC": "101A", "ENTRY_QNT": quantity}
        return connection.call("BAPI_RESERVATION_CREATE1", RESERVATIONHEADER=header, RESERVATIONITEMS=[item], **more)

    refused = reserve(before + 1, ATPCHECK={"ATPCHECK": "X"})
    assert (refused["RETURN"][0]["TYPE"], refused["RESERVATION"]) == ("E", "0000000000")
    number = reserve(before, ATPCHECK={"ATPCHECK": "X"})["RESERVATION"]
    assert promised(connection, material, STGE_LOC="101A")["AV_QTY_PLT"] == before
    commit(connection)
    assert promised(connection, material, STGE_LOC="101A")["AV_QTY_PLT"] == 0
    row = read(connection, "RESB", "MATNR BDMNG BDTER", f"RSNUM EQ '{number}'")[0]
    assert (row["MATNR"], packed(row["BDMNG"]), row["BDTER"]) == (matnr(material), before, "20261201")
    assert reserve(1, TESTRUN={"TESTRUN": "X"})["RESERVATION"] == "0000000000"
    ecc.reset()
    assert read(connection, "RESB", "RSNUM") == []


def test_availability_confirms_all_a_part_or_does_not_check(ecc: AbapSystem, connection: Connection) -> None:
    material = piece_in_stock(ecc, 10)
    free = promised(connection, material)["AV_QTY_PLT"]
    assert free > 0
    day = "20991231"
    whole = promised(connection, material, WMDVSX=[{"REQ_DATE": day, "REQ_QTY": free}])
    assert (whole["DIALOGFLAG"], whole["WMDVEX"][0]["COM_QTY"], whole["WMDVEX"][0]["COM_DATE"]) == ("", free, day)
    assert whole["RETURN"]["TYPE"] == ""
    part = promised(connection, material, WMDVSX=[{"REQ_DATE": day, "REQ_QTY": free + 1}])
    assert (part["DIALOGFLAG"], part["WMDVEX"][0]["COM_QTY"]) == ("X", free)
    situation = promised(connection, material)
    assert (situation["DIALOGFLAG"], situation["WMDVEX"][0]["COM_QTY"]) == ("", free)
    unknown = promised(connection, "999999")
    assert (unknown["RETURN"]["TYPE"], unknown["RETURN"]["CODE"], unknown["AV_QTY_PLT"]) == ("E", "M3305", 0)
    assert "ID" not in unknown["RETURN"]
    doomed = read(connection, "MARA", "MATNR", "LVORM EQ 'X'")[0]["MATNR"].lstrip("0")
    assert promised(connection, doomed)["DIALOGFLAG"] == "N"
