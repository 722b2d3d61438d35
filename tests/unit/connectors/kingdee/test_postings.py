"""What the lines of bills did under numbers of ours, and which of them still stand."""

from __future__ import annotations

import shutil
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from connectors.erp.kingdee.filters import LONGEST_FILTER
from connectors.erp.kingdee.settings import MOVEMENT_FORMS
from hub.contracts import DocumentReader, Posting, StockKey
from hub.errors import ConfigError, Truncated
from tests.unit.connectors.kingdee.conftest import MAPPINGS, Server, make_connector, tables, transfer

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from connectors.erp.kingdee import KingdeeConnector

TIME = "2026-11-22T10:00:00"
LATER = "2026-11-22T10:30:00.5"
START: dict[str, Any] = {"at": {"STK_Inventory": "", **{watched.form: TIME for watched in MOVEMENT_FORMS}}, "seen": {}}
SHIRT, SOCKS = StockKey("02.00002|C01", "CK001"), StockKey("01.00001", "CK001")
FORMS = {watched.form: watched for watched in MOVEMENT_FORMS}
QUANTITIES = ("FBaseUnitQty", "FBaseQty", "FBaseGainQty", "FBaseLossQty")
TRANSFER: dict[str, Any] = {"movement_forms": (FORMS["STK_TransferDirect"],)}


def line(form: str, fid: int, entry: int, number: str, quantity: float, **more: Any) -> dict[str, Any]:
    """Return an audited line at CK001, with every name that the forms have for the same things."""
    row = {
        "FID": fid,
        FORMS[form].row_id[1]: entry,
        "FDocumentStatus": "C",
        "FMaterialId.FNumber": "01.00001",
        "FAuxPropId.FF100001.FNumber": None,
        "FAuxPropId.FF100002.FNumber": None,
        "FStockId.FNumber": "CK001",
        "FModifyDate": TIME,
        "FApproveDate": TIME,
        "FBillNo": number,
        **dict.fromkeys(QUANTITIES, quantity),
    }
    return {**row, **more}


def look(server: Server, bill: dict[str, Any], **more: Any) -> tuple[Posting, ...]:
    """Return what the first look tells of a transfer."""
    server.answer(tables(STK_TransferDirect=[bill]))
    changes = make_connector(**TRANSFER, **more).changed_keys(START)
    assert SHIRT in changes.keys
    return changes.postings


@pytest.mark.parametrize(
    ("form", "took"),
    [
        ("SAL_OUTSTOCK", 3),
        ("SAL_RETURNSTOCK", -3),
        ("STK_InStock", -3),
        ("STK_StockCountLoss", 3),
        ("STK_StockCountGain", -3),
    ],
)
def test_a_line_tells_what_it_took_out_of_its_place(server: Server, form: str, took: int) -> None:
    server.answer(tables(**{form: [line(form, 7, 70, " R1 ", 3.0000000001, FApproveDate=LATER)]}))
    changes = make_connector().changed_keys(START)
    assert changes.keys == {SOCKS}
    assert changes.postings == (Posting(f"{form}/7/70", LATER, "R1", SOCKS, Decimal(took), posted=True),)


def test_a_transfer_takes_here_and_brings_there(server: Server) -> None:
    there = StockKey(SHIRT.item, "CK002")
    told = look(server, transfer(7, 70, TIME, FApproveDate=TIME))
    assert {(posting.document, posting.key, posting.quantity) for posting in told} == {
        ("STK_TransferDirect/7/70", SHIRT, Decimal(2)),
        ("STK_TransferDirect/7/70", there, Decimal(-2)),
    }


def test_a_transfer_inside_one_place_takes_nothing(server: Server) -> None:
    (told,) = look(server, transfer(7, 70, TIME, **{"FDestStockId.FNumber": "ck001"}))
    assert (told.key, told.quantity, told.posted) == (SHIRT, 0, True)


def test_other_places_are_not_told_of(server: Server) -> None:
    (told,) = look(server, transfer(7, 70, TIME, **{"FDestStockId.FNumber": "ELSEWHERE"}))
    assert told.key == SHIRT


def test_a_change_of_state_takes_nothing(server: Server) -> None:
    server.answer(tables(STK_StatusConvert=[line("STK_StatusConvert", 7, 70, "R1", 3)]))
    changes = make_connector().changed_keys(START)
    assert (changes.keys, changes.postings) == ({SOCKS}, ())


def test_the_first_look_tells_nothing_and_what_was_told_is_not_told_again(server: Server) -> None:
    server.answer(tables(STK_TransferDirect=[transfer(7, 70, TIME, FApproveDate=TIME)]))
    connector = make_connector(**TRANSFER)
    changes = connector.changed_keys(None)
    assert changes.postings == ()
    changes = connector.changed_keys(changes.cursor)
    assert len(changes.postings) == 2
    assert connector.changed_keys(changes.cursor).postings == ()


def test_a_bill_that_is_taken_back_says_so_and_has_another_version_when_it_is_audited_again(server: Server) -> None:
    bill = transfer(7, 70, TIME, FApproveDate=TIME, **{"FDestStockId.FNumber": "ELSEWHERE"})
    server.answer(tables(STK_TransferDirect=[bill]))
    connector = make_connector(**TRANSFER)
    changes = connector.changed_keys(START)
    assert [(posting.version, posting.posted) for posting in changes.postings] == [(TIME, True)]
    bill.update(FDocumentStatus="D", FApproveDate=None, FModifyDate=LATER)
    changes = connector.changed_keys(changes.cursor)
    assert changes.postings == (Posting("STK_TransferDirect/7/70", "", "ZJDB7", SHIRT, Decimal(2), posted=False),)
    bill.update(FDocumentStatus="C", FApproveDate=LATER)
    changes = connector.changed_keys(changes.cursor)
    assert [(posting.version, posting.posted) for posting in changes.postings] == [(LATER, True)]


@pytest.mark.parametrize(
    ("state", "approved", "told"),
    [
        ("Z", None, set()),
        ("A", " ", set()),
        ("B", None, set()),
        ("B", TIME, {False}),
        ("D", None, {False}),
        ("D", TIME, {False}),
        ("X", None, {False}),
        ("C", None, {True}),
    ],
)
def test_a_bill_that_was_never_audited_did_nothing(
    server: Server, state: str, approved: str | None, told: set[bool]
) -> None:
    bill = transfer(7, 70, TIME, FDocumentStatus=state, FApproveDate=approved)
    assert {posting.posted for posting in look(server, bill)} == told


def test_a_line_without_a_number_tells_only_that_it_was_taken_back(server: Server) -> None:
    assert look(server, transfer(7, 70, TIME, FBillNo=" ")) == ()
    told = look(server, transfer(7, 70, TIME, FBillNo=None, FDocumentStatus="D"))
    assert {(posting.reference, posting.posted) for posting in told} == {("", False)}


@pytest.mark.parametrize("quantity", ["two", None, 10.0**14])
def test_a_quantity_that_makes_no_sense_still_names_its_key(server: Server, quantity: Any) -> None:
    assert look(server, transfer(7, 70, TIME, FBaseQty=quantity)) == ()


# --- mapping files


def files(folder: Path, name: str, old: str, new: str) -> Path:
    """Return a folder of mapping files with one line of one file replaced."""
    shutil.copytree(MAPPINGS, folder, dirs_exist_ok=True)
    text = (folder / name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_the_number_may_stand_in_a_field_of_the_tenants_own(server: Server, tmp_path: Path) -> None:
    out = "moved_stk_transferdirect_out.yaml"
    reference = "  reference:   {from: %s, transform: [strip]}"
    own = files(tmp_path, out, reference % "FBillNo", reference % "F_POS_No")
    # the examples of the file prove the standard field
    text = (own / out).read_text(encoding="utf-8").replace("      FBillNo:", "      F_POS_No:")
    (own / out).write_text(text, encoding="utf-8")
    told = look(server, transfer(7, 70, TIME, F_POS_No="POS-1"), mappings=own)
    assert {posting.key: posting.reference for posting in told}[SHIRT] == "POS-1"
    (fields,) = {asked["FieldKeys"] for asked in server.asked if asked["FormId"] == "STK_TransferDirect"}
    assert "F_POS_No" in fields.split(",")


def test_a_file_without_numbers_goes_on_naming_keys(server: Server) -> None:
    plain = {"form": "SAL_OUTSTOCK", "mappings": ["moved_stk_statusconvert"], "row_id": ["FID", "FEntity_FEntryID"]}
    server.answer(tables(SAL_OUTSTOCK=[line("SAL_OUTSTOCK", 7, 70, "R1", 3)]))
    connector = make_connector(movement_forms=[plain])
    changes = connector.changed_keys(START)
    assert (changes.keys, changes.postings) == ({SOCKS}, ())
    assert connector.read_documents(["SAL_OUTSTOCK/7/70"]) == []


def test_a_file_that_gives_a_number_must_say_what_was_done_under_it(tmp_path: Path) -> None:
    own = files(tmp_path, "moved_stk_instock.yaml", "  quantity:    {from: FBaseUnitQty, transform: [decimal]}\n", "")
    text = (own / "moved_stk_instock.yaml").read_text(encoding="utf-8")
    lines = [row for row in text.splitlines() if not row.startswith("      quantity:")]
    (own / "moved_stk_instock.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"moved_stk_instock.yaml fills reference, so it must fill quantity too"):
        make_connector(mappings=own)


# --- which of them still stand


def two_lines(fid: int) -> list[dict[str, Any]]:
    return [transfer(fid, fid * 10 + number, TIME, FApproveDate=TIME) for number in (0, 1)]


def documents(bills: list[dict[str, Any]]) -> set[str]:
    return {f"STK_TransferDirect/{bill['FID']}/{bill['FBillEntry_FEntryID']}" for bill in bills}


def gone(connector: KingdeeConnector, asked: Collection[str]) -> set[str]:
    """Return those of the documents that the stock does not contain any more."""
    return set(asked) - {posting.document for posting in connector.read_documents(asked) if posting.posted}


@pytest.fixture
def connector() -> KingdeeConnector:
    return make_connector(**TRANSFER)


def test_deleted_bills_and_deleted_lines_are_missing(server: Server, connector: KingdeeConnector) -> None:
    assert isinstance(connector, DocumentReader)
    bills = [*two_lines(1), *two_lines(2), *two_lines(3)]
    asked = documents(bills)
    server.answer(tables(STK_TransferDirect=bills, STK_Inventory=[{"FID": n, "FUpdateTime": TIME} for n in range(9)]))
    connector.changed_keys(None)
    server.asked.clear()
    assert gone(connector, asked) == set()
    (question,) = server.asked
    assert question["FilterString"] == "FID IN ('1', '2', '3')"
    bills[2:] = bills[3:4]
    assert gone(connector, asked) == asked - documents(bills)


def test_a_bill_that_was_taken_back_without_any_new_time_is_missing(
    server: Server, connector: KingdeeConnector
) -> None:
    bills = [*two_lines(1), *two_lines(2)]
    server.answer(tables(STK_TransferDirect=bills))
    for bill in bills[:2]:
        bill.update(FDocumentStatus="B", FApproveDate=None)
    assert gone(connector, documents(bills)) == documents(bills[:2])


def test_an_answer_that_ended_early_takes_nothing_back(server: Server, connector: KingdeeConnector) -> None:
    bills = [*two_lines(1), *two_lines(2)]
    whole, cut = tables(STK_TransferDirect=bills), [[], bills[:1]]
    for first in cut:
        answers = [first]
        server.answer(lambda question, answers=answers: answers.pop() if answers else whole(question))
        assert gone(connector, documents(bills)) == set()


def test_silence_is_no_deletion_when_no_bill_can_be_seen(server: Server, connector: KingdeeConnector) -> None:
    server.answer(tables(STK_TransferDirect=two_lines(2)))
    assert gone(connector, documents(two_lines(1))) == documents(two_lines(1))
    server.answer(tables(STK_Inventory=[{"FID": 1, "FUpdateTime": TIME}]))
    with pytest.raises(Truncated, match="no bill of STK_TransferDirect can be seen"):
        gone(connector, documents(two_lines(1)))


def test_many_documents_are_asked_for_in_parts(server: Server) -> None:
    connector = make_connector(**TRANSFER, page_rows=100)
    bills = [bill for fid in range(1000, 1700) for bill in two_lines(fid)]
    server.answer(tables(STK_TransferDirect=bills))
    deleted = documents(bills[-3:])
    asked = documents(bills)
    del bills[-3:]
    assert gone(connector, asked) == deleted
    assert max(len(question["FilterString"]) for question in server.asked) <= LONGEST_FILTER


def test_each_form_is_asked_for_its_own(server: Server) -> None:
    sale = line("SAL_OUTSTOCK", 1, 10, "R1", 3)
    server.answer(tables(STK_TransferDirect=two_lines(1), SAL_OUTSTOCK=[sale]))
    asked = {"SAL_OUTSTOCK/1/10", "SAL_OUTSTOCK/1/11", "STK_TransferDirect/1/10", "STK_TransferDirect/1/12"}
    assert gone(make_connector(), asked) == {"SAL_OUTSTOCK/1/11", "STK_TransferDirect/1/12"}


def test_what_is_not_watched_any_more_is_not_relied_on(server: Server, connector: KingdeeConnector) -> None:
    server.answer(tables())
    assert gone(connector, []) == set()
    assert gone(connector, ["SAL_OUTSTOCK/1/10"]) == {"SAL_OUTSTOCK/1/10"}
    assert server.asked == []
