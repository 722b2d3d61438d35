from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from connectors.erp.kingdee import delta
from connectors.erp.kingdee.settings import MOVEMENT_FORMS
from hub.contracts import StockKey
from hub.errors import ProtocolViolation, Truncated, Unavailable
from tests.unit.connectors.kingdee.conftest import Server, make_connector, stock_row, tables, transfer

ONE_FORM = (MOVEMENT_FORMS[3],)  # the direct transfer, whose line names two places


def stock(fid: int, at: str, **more: Any) -> dict[str, Any]:
    return stock_row(fid, FUpdateTime=at, **more)


def test_without_a_cursor_the_newest_times_are_taken_up_and_nothing_is_named(server: Server) -> None:
    server.answer(tables(STK_Inventory=[stock(1, "2026-11-22T10:00:00"), stock(2, "2026-11-22T10:05:00.5")]))
    changes = make_connector(movement_forms=ONE_FORM).changed_keys(None)
    assert changes.keys == frozenset()
    assert changes.cursor["at"] == {"STK_Inventory": "2026-11-22T10:05:00.5", "STK_TransferDirect": ""}
    assert json.loads(json.dumps(changes.cursor)) == changes.cursor
    (question,) = [asked for asked in server.asked[1:] if asked["FormId"] == "STK_Inventory"]
    assert (question["OrderString"], question["Limit"]) == ("FUpdateTime DESC, FID DESC", 1)
    assert question["FieldKeys"] == "FID,FUpdateTime"


def test_names_stock_and_both_ends_of_a_transfer(server: Server) -> None:
    held: dict[str, list[dict[str, Any]]] = {
        "STK_Inventory": [stock(1, "2026-11-22T10:00:00")],
        "STK_TransferDirect": [],
    }
    server.answer(tables(**held))
    connector = make_connector(movement_forms=ONE_FORM, overlap_seconds=0)
    cursor = connector.changed_keys(None).cursor
    cursor = connector.changed_keys(cursor).cursor
    held["STK_Inventory"].append(stock(2, "2026-11-22T10:00:01", **{"FAuxPropId.FF100002.FNumber": "S1"}))
    held["STK_TransferDirect"].append(transfer(7, 70, "2026-11-22T10:00:01"))
    changes = connector.changed_keys(cursor)
    assert changes.keys == {
        StockKey("01.00001|S1", "CK001"),
        StockKey("02.00002|C01", "CK001"),
        StockKey("02.00002|C01", "CK002"),
    }
    assert changes.cursor["at"]["STK_TransferDirect"] == "2026-11-22T10:00:01"


def test_the_window_and_order_of_the_questions(server: Server) -> None:
    server.answer(tables(STK_Inventory=[stock(1, "2026-11-22T09:00:00")]))
    connector = make_connector(movement_forms=ONE_FORM, overlap_seconds=300)
    at = {"STK_Inventory": "2026-11-22T10:05:00.123", "STK_TransferDirect": "2026-11-22T10:06:00"}
    changes = connector.changed_keys({"at": at, "seen": {}})
    assert {(question["FilterString"], question["OrderString"]) for question in server.asked} == {
        ("", "FID ASC"),  # once: how many rows does the server give?
        ("FUpdateTime >= '2026-11-22T10:00:00.123'", "FID ASC"),
        (
            "(FModifyDate >= '2026-11-22T10:01:00.000' OR FApproveDate >= '2026-11-22T10:01:00.000')",
            "FID ASC, FBillEntry_FEntryID ASC",
        ),
    }
    assert changes.cursor["at"] == at


def test_what_was_named_is_not_named_again_and_a_late_row_in_the_window_is(server: Server) -> None:
    rows = [stock(5, "2026-11-22T10:05:00")]
    server.answer(tables(STK_Inventory=rows))
    connector = make_connector(movement_forms=(), overlap_seconds=300)
    start = {"at": {"STK_Inventory": "2026-11-22T10:05:00"}, "seen": {}}
    first = connector.changed_keys(start)
    assert first.keys == {StockKey("01.00001", "CK001")}
    again = connector.changed_keys(json.loads(json.dumps(first.cursor)))
    assert again.keys == frozenset()
    rows.append(stock(6, "2026-11-22T10:04:00", **{"FMaterialId.FNumber": "LATE"}))
    rows.append(stock(7, "2026-11-22T10:05:00", **{"FMaterialId.FNumber": "TIE"}))
    late = connector.changed_keys(again.cursor)
    assert late.keys == {StockKey("LATE", "CK001"), StockKey("TIE", "CK001")}
    rows[0]["FBaseQty"] = 4.0
    assert connector.changed_keys(late.cursor).keys == {StockKey("01.00001", "CK001")}


def test_an_unaudited_bill_names_its_keys_again(server: Server) -> None:
    bill = transfer(7, 70, "2026-11-22T10:00:00")
    server.answer(tables(STK_TransferDirect=[bill]))
    connector = make_connector(movement_forms=ONE_FORM)
    cursor = {"at": {"STK_Inventory": "", "STK_TransferDirect": "2026-11-22T10:00:00"}, "seen": {}}
    first = connector.changed_keys(cursor)
    assert len(first.keys) == 2
    bill["FDocumentStatus"] = "D"
    second = connector.changed_keys(first.cursor)
    assert second.keys == first.keys
    bill.update(FApproveDate="2026-11-22T10:30:00", FDocumentStatus="C")
    third = connector.changed_keys(second.cursor)
    assert third.keys == first.keys
    assert third.cursor["at"]["STK_TransferDirect"] == "2026-11-22T10:30:00"
    assert connector.changed_keys(third.cursor).keys == frozenset()


def test_memory_is_pruned_to_the_window_and_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [stock(number, f"2026-11-22T10:{number:02}:00") for number in range(60)]
    server.answer(tables(STK_Inventory=rows))
    connector = make_connector(movement_forms=(), overlap_seconds=300)
    cursor = connector.changed_keys({"at": {"STK_Inventory": "2026-11-22T10:00:00"}, "seen": {}}).cursor
    assert sorted(cursor["seen"]["STK_Inventory"].values()) == [f"2026-11-22T10:{n}:00" for n in range(54, 60)]
    monkeypatch.setattr(delta, "MOST_REMEMBERED", 2)
    cursor = connector.changed_keys(cursor).cursor
    assert sorted(cursor["seen"]["STK_Inventory"].values()) == ["2026-11-22T10:58:00", "2026-11-22T10:59:00"]


@pytest.mark.parametrize(("page_rows", "maximum"), [(2, 100), (3, 100), (100, 2), (4, 3)])
def test_pages_go_on_behind_the_last_row_even_inside_a_bill(server: Server, page_rows: int, maximum: int) -> None:
    bills = [
        transfer(fid, fid * 10 + line, "2026-11-22T10:00:00", **{"FMaterialId.FNumber": f"M{fid}-{line}"})
        for fid, lines in ((1, 1), (2, 7), (3, 2), (4, 1))
        for line in range(lines)
    ]
    server.answer(tables(maximum, STK_TransferDirect=bills))
    connector = make_connector(movement_forms=ONE_FORM, page_rows=page_rows)
    changes = connector.changed_keys({"at": {"STK_Inventory": "", "STK_TransferDirect": ""}, "seen": {}})
    assert len(changes.keys) == 2 * len(bills)


def test_a_server_that_never_goes_on_is_caught(server: Server) -> None:
    server.answer(lambda question: [stock(n, "2026-11-22T10:00:00") for n in range(question["Limit"])])
    with pytest.raises(ProtocolViolation, match="no new rows"):
        make_connector(movement_forms=(), page_rows=3).changed_keys({"at": {"STK_Inventory": ""}, "seen": {}})


def test_lines_without_goods_and_other_places_are_no_keys(server: Server) -> None:
    bills = [
        transfer(1, 10, "2026-11-22T10:00:00", **{"FSrcStockId.FNumber": "ck001", "FDestStockId.FNumber": "ELSEWHERE"}),
        transfer(2, 20, "2026-11-22T10:00:00", **{"FMaterialId.FNumber": " ", "FAuxPropId.FF100001.FNumber": ""}),
    ]
    server.answer(tables(STK_TransferDirect=bills))
    connector = make_connector(movement_forms=ONE_FORM)
    changes = connector.changed_keys({"at": {"STK_Inventory": "", "STK_TransferDirect": ""}, "seen": {}})
    assert changes.keys == {StockKey("02.00002|C01", "CK001")}


def test_a_form_configured_later_starts_from_its_newest_time(server: Server) -> None:
    server.answer(tables(STK_TransferDirect=[transfer(1, 10, "2026-11-22T09:00:00")]))
    changes = make_connector(movement_forms=ONE_FORM).changed_keys({"at": {"STK_Inventory": ""}, "seen": {}})
    assert changes.keys == frozenset()
    assert changes.cursor["at"]["STK_TransferDirect"] == "2026-11-22T09:00:00"


def test_a_time_that_is_none_is_a_violation(server: Server) -> None:
    server.answer(tables(STK_Inventory=[stock(1, "yesterday")]))
    with pytest.raises(ProtocolViolation, match="no time"):
        make_connector(movement_forms=()).changed_keys({"at": {"STK_Inventory": ""}, "seen": {}})


def test_silence_is_no_quiet_hour_when_nothing_can_be_seen(server: Server) -> None:
    rows = [stock(1, "2026-11-22T10:00:00")]
    server.answer(tables(STK_Inventory=rows, STK_TransferDirect=[transfer(1, 10, "2026-11-22T10:00:00")]))
    connector = make_connector(movement_forms=ONE_FORM)
    cursor = connector.changed_keys(None).cursor
    assert connector.changed_keys(cursor).keys
    server.answer(tables())
    with pytest.raises(Truncated, match="data permission"):
        connector.changed_keys(cursor)


def test_a_quiet_look_costs_one_request_per_form(server: Server) -> None:
    server.answer(tables())
    connector = make_connector()
    cursor = connector.changed_keys(None).cursor
    asked = len(server.asked)
    connector.changed_keys(cursor)
    assert len(server.asked) - asked == 8


def test_all_forms_are_looked_at_side_by_side(server: Server) -> None:
    server.answer(tables())
    connector = make_connector()
    cursor = connector.changed_keys(None).cursor
    all_here = threading.Barrier(8)

    def wait_for_the_others(question: dict[str, Any]) -> Any:
        all_here.wait(timeout=5)
        return tables()(question)

    server.answer(wait_for_the_others)
    connector.changed_keys(cursor)
    assert not all_here.broken


def test_one_form_that_fails_fails_the_look(server: Server) -> None:
    server.answer(tables())
    connector = make_connector()
    cursor = connector.changed_keys(None).cursor
    server.answer(lambda question: (500, "no") if question["FormId"] == "STK_InStock" else [])
    with pytest.raises(Unavailable):
        connector.changed_keys(cursor)


def test_a_longer_look_than_before_needs_no_proof(server: Server) -> None:
    rows = [stock(number, f"2026-11-22T{10 if number == 0 else 8:02}:00:00") for number in range(40)]
    server.answer(tables(STK_Inventory=rows))
    connector = make_connector(movement_forms=ONE_FORM)
    cursor = connector.changed_keys(None).cursor
    for moved in (1, 5, 9):
        rows[:moved] = [stock(number, f"2026-11-22T11:0{moved}:00") for number in range(moved)]
        asked = len(server.asked)
        changes = connector.changed_keys(cursor)
        cursor = changes.cursor
        assert len(server.asked) - asked == 2
        assert changes.keys
