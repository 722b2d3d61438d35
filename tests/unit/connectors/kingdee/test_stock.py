from __future__ import annotations

import operator
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from connectors.erp.kingdee.filters import LONGEST_FILTER, fold
from hub.contracts import ErpConnector, StockKey, StockStatus
from hub.errors import ProtocolViolation, Truncated, Unavailable
from tests.unit.connectors.kingdee.conftest import Server, make_connector, stock_row

if TYPE_CHECKING:
    from collections.abc import Callable

AFTER = re.compile(
    r"FMaterialId\.FNumber >= '.*?' AND \(FMaterialId\.FNumber > '(.*?)' OR FStockId\.FNumber (>=?) '(.*?)'\)"
)


def table(rows: list[dict[str, Any]], maximum: int = 10_000) -> Callable[[dict[str, Any]], Any]:
    """Answer like a server that holds `rows` and gives at most `maximum` of them without a word."""

    def sort_key(row: dict[str, Any]) -> tuple[str, str, str]:
        return fold(row["FMaterialId.FNumber"]), fold(row["FStockId.FNumber"]), str(row["FID"])

    def respond(question: dict[str, Any]) -> Any:
        found = sorted(rows, key=sort_key)
        if behind := AFTER.search(question["FilterString"]):
            compare = operator.ge if behind[2] == ">=" else operator.gt
            found = [row for row in found if compare(sort_key(row)[:2], (fold(behind[1]), fold(behind[3])))]
        start = question["StartRow"]
        return found[start : start + min(question["Limit"], maximum)]

    return respond


def test_is_an_erp_connector() -> None:
    connector = make_connector()
    assert isinstance(connector, ErpConnector)
    assert connector.source == "kingdee"
    assert connector.traits.takes_back
    assert connector.traits.quantity_basis == "physical"
    assert connector.mapping_version.count("@") == 15


def test_the_question_for_all_stock(server: Server) -> None:
    server.answer(table([]))
    pages = list(make_connector(stock_org_numbers=["100"]).iter_stock())
    assert [(list(page.rows), page.complete) for page in pages] == [([], True)]
    (question,) = server.asked
    assert question["FormId"] == "STK_Inventory"
    assert question["FilterString"] == "FStockId.FNumber IN ('CK001', 'CK002') AND FStockOrgId.FNumber = '100'"
    assert question["OrderString"] == "FMaterialId.FNumber ASC, FStockId.FNumber ASC, FID ASC"
    assert question["Limit"] == 2000
    assert question["TopRowCount"] == 0
    fields = question["FieldKeys"].split(",")
    assert "FAuxPropId" not in fields
    assert fields[:3] == ["FID", "FMaterialId.FNumber", "FStockId.FNumber"]
    assert "FAuxPropId.FF100001.FNumber" in fields


def test_a_row_becomes_a_record(server: Server) -> None:
    raw = stock_row(
        100123,
        "01.00001",
        "ck001 ",
        **{
            "FAuxPropId.FF100001.FNumber": "C01",
            "FAuxPropId.FF100002.FNumber": "S01",
            "FBaseQty": 2.9999999999999996,
            "FLot.FNumber": "L1",
            "FExpiryDate": "2027-06-30T00:00:00",
        },
    )
    server.answer(table([raw]))
    ((row,),) = [page.rows for page in make_connector().iter_stock()]
    assert row.row_id == "100123"
    assert row.item == "01.00001|C01|S01"
    assert row.location == "CK001"
    assert row.status is StockStatus.SELLABLE
    assert row.quantity == Decimal(3)
    assert str(row.quantity) == "3"
    assert row.unit == "EA"
    assert row.owner == ""
    assert row.lot == "L1"
    assert row.expires_on == date(2027, 6, 30)
    assert row.changed_at == datetime(2026, 11, 22, 2, 11, 12, 123000, tzinfo=UTC)


def test_variants_owners_and_states_stay_apart(server: Server) -> None:
    rows = [
        stock_row(1, **{"FAuxPropId.FF100001.FNumber": "C01"}),
        stock_row(2, **{"FAuxPropId.FF100001.FNumber": "C02"}),
        stock_row(3, **{"FOwnerId.FNumber": "VEN1"}),
        stock_row(4, **{"FOwnerId.FNumber": "101", "FStockStatusId.FNumber": "KCZT02_SYS", "FBaseQty": -1}),
        stock_row(5, **{"FStockStatusId.FNumber": "SOMETHING"}),
    ]
    server.answer(table(rows))
    found = [row for page in make_connector(owner_numbers=["100", "101"]).iter_stock() for row in page.rows]
    assert [(row.item, row.owner, row.status.value) for row in found] == [
        ("01.00001|C01", "", "sellable"),
        ("01.00001|C02", "", "sellable"),
        ("01.00001", "VEN1", "sellable"),
        ("01.00001", "", "quality"),
        ("01.00001", "", "other"),
    ]


def test_pages_hold_whole_keys_and_nothing_is_read_ahead(server: Server) -> None:
    rows = [stock_row(f"{m}{s}{n}", f"M{m}", f"CK00{s}") for m in range(3) for s in (1, 2) for n in range(2)]
    server.answer(table(rows))
    pages = make_connector(page_rows=3).iter_stock()
    first = next(pages)
    assert len(server.asked) == 1
    assert [(row.item, row.location) for row in first.rows] == [("M0", "CK001")] * 2
    assert not first.complete
    rest = list(pages)
    assert [page.complete for page in rest][-1]
    assert not any(page.complete for page in rest[:-1])
    seen = [row.row_id for page in [first, *rest] for row in page.rows]
    assert sorted(seen) == sorted(row["FID"] for row in rows)
    second = server.asked[1]["FilterString"]
    assert second.startswith(
        "FMaterialId.FNumber >= 'M0' AND (FMaterialId.FNumber > 'M0' OR FStockId.FNumber > 'CK001') AND "
    )
    assert all(question["StartRow"] == 0 for question in server.asked if question["Limit"] == 3)


def test_numbers_that_differ_in_case_alone_are_one_group(server: Server) -> None:
    rows = [stock_row(1, "ab"), stock_row(2, "AB "), stock_row(3, "Ａb"), stock_row(4, "x")]
    server.answer(table(rows))
    pages = list(make_connector(page_rows=4).iter_stock())
    assert [row.row_id for page in pages for row in page.rows] == ["1", "2", "3", "4"]
    assert len(pages[0].rows) == 3


@pytest.mark.parametrize("maximum", [2, 3, 7])
def test_a_silently_lower_maximum_is_found_out_and_kept_to(server: Server, maximum: int) -> None:
    rows = [stock_row(number, f"M{number:02}") for number in range(20)]
    server.answer(table(rows, maximum))
    connector = make_connector(page_rows=100)
    found = [row.row_id for page in connector.iter_stock() for row in page.rows]
    assert found == [str(number) for number in range(20)]
    assert [question["Limit"] for question in server.asked[:4]] == [100, 2, 100, 2]
    assert {question["Limit"] for question in server.asked[4:]} == {maximum, 2}


def test_a_row_that_is_born_behind_a_page_is_no_maximum_of_the_server(server: Server) -> None:
    rows = [stock_row(1, "M1")]

    def respond(question: dict[str, Any]) -> Any:
        answer = table(rows)(question)
        if len(server.asked) == 1:
            rows.append(stock_row(2, "M2"))
        return answer

    server.answer(respond)
    connector = make_connector(page_rows=100)
    assert [row.row_id for page in connector.iter_stock() for row in page.rows] == ["1", "2"]
    assert list(connector.iter_stock())[-1].complete
    assert {question["Limit"] for question in server.asked} == {100, 2}


def test_an_end_row_of_the_server_hides_nothing(server: Server) -> None:
    """TopRowCount is the number of the last row: beyond it every page is empty, in the order of whatever question."""
    rows = [stock_row(number, f"M{number:02}") for number in range(20)]

    def respond(question: dict[str, Any]) -> Any:
        room = max(0, 7 - question["StartRow"])
        return table(rows)({**question, "Limit": min(question["Limit"], room)})

    server.answer(respond)
    pages = list(make_connector(page_rows=100).iter_stock())
    assert [row.row_id for page in pages for row in page.rows] == [str(number) for number in range(20)]
    assert pages[-1].complete


def test_rows_that_go_before_the_last_one_hide_nothing(server: Server) -> None:
    rows = [stock_row(number, f"M{number:02}") for number in range(8)]

    def respond(question: dict[str, Any]) -> Any:
        answer = table(rows, 7)(question)
        if len(server.asked) == 1:
            del rows[0]
        return answer

    server.answer(respond)
    found = [row.row_id for page in make_connector(page_rows=100).iter_stock() for row in page.rows]
    assert found == [str(number) for number in range(1, 8)]


def test_an_end_that_can_not_be_seen_twice_is_none(server: Server) -> None:
    rows = [stock_row(number, f"M{number:02}") for number in range(3)]
    server.answer(lambda question: [] if question["Limit"] == 2 else table(rows)(question))
    with pytest.raises(Truncated, match="where the rows end"):
        list(make_connector(page_rows=4).iter_stock())


def test_a_page_that_was_cut_is_followed_by_rows_or_by_an_error(server: Server) -> None:
    rows = [stock_row(number, f"M{number:02}") for number in range(8)]
    server.answer(lambda question: table(rows)(question) if len(server.asked) == 1 else [])
    pages = make_connector(page_rows=4).iter_stock()
    assert not next(pages).complete
    with pytest.raises(Truncated):
        next(pages)


def test_a_short_page_is_the_end_only_after_the_probe(server: Server) -> None:
    server.answer(table([stock_row(1)]))
    (page,) = make_connector().iter_stock()
    assert page.complete
    assert [(question["StartRow"], question["Limit"]) for question in server.asked] == [(0, 2000), (0, 2)]
    assert server.asked[1]["FilterString"].startswith("FMaterialId.FNumber >= '01.00001' AND ")


def test_a_group_larger_than_a_page_is_refused(server: Server) -> None:
    server.answer(table([stock_row(number) for number in range(5)]))
    with pytest.raises(ProtocolViolation, match="page size"):
        list(make_connector(page_rows=3).iter_stock())


def test_a_server_that_ignores_the_keyset_is_caught(server: Server) -> None:
    server.answer(lambda question: [stock_row(n, f"M{n}") for n in range(question["Limit"])])
    pages = make_connector(page_rows=3).iter_stock()
    next(pages)
    with pytest.raises(ProtocolViolation, match="went back"):
        next(pages)


def test_a_broken_read_never_looks_complete(server: Server) -> None:
    whole = table([stock_row(number, f"M{number}") for number in range(6)])
    server.answer(lambda question: whole(question) if len(server.asked) < 2 else (500, "down"))
    pages = make_connector(page_rows=3).iter_stock()
    assert not next(pages).complete
    with pytest.raises(Unavailable):
        next(pages)


def test_the_same_row_twice_counts_once_and_two_contents_reject_the_key(server: Server) -> None:
    twice = stock_row(1)
    other = stock_row(2, "02.00002", FBaseQty=1)
    rows = [twice, dict(twice), other, {**other, "FBaseQty": 2}, stock_row(3, "03.00003")]
    server.answer(table(rows))
    (page,) = make_connector().iter_stock()
    assert [row.row_id for row in page.rows] == ["1", "3"]
    assert [(bad.reason, bad.item, bad.location) for bad in page.rejected] == [
        ("conflicting_rows", "02.00002", "CK001"),
        ("conflicting_rows", "02.00002", "CK001"),
    ]


@pytest.mark.parametrize(
    ("change", "reason", "item"),
    [
        ({"FBaseUnitId.FNumber": "BOX"}, "unmapped_value", "02.00002"),
        ({"FBaseQty": None}, "missing_field", "02.00002"),
        ({"FBaseQty": "NaN"}, "bad_number", "02.00002"),
        ({"FBaseQty": 1e30}, "bad_number", "02.00002"),
        ({"FOwnerId.FNumber": " "}, "missing_field", "02.00002"),
        ({"FExpiryDate": "soon"}, "bad_date", "02.00002"),
        ({"FMaterialId.FNumber": None}, "missing_field", None),
        ({"FMaterialId.FNumber": " ", "FAuxPropId.FF100001.FNumber": "C01"}, "missing_field", None),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(
    server: Server, change: dict[str, Any], reason: str, item: str | None
) -> None:
    server.answer(table([stock_row(1), {**stock_row(2, "02.00002"), **change}, stock_row(3, "03.00003")]))
    (page,) = make_connector().iter_stock()
    assert sorted(row.row_id for row in page.rows) == ["1", "3"]
    (bad,) = page.rejected
    assert (bad.reason, bad.location) == (reason, "CK001")
    assert bad.item == item
    assert bad.raw["FID"] == 2


def test_keys_of_several_places_are_one_question(server: Server) -> None:
    server.answer(lambda q: table([] if "FMaterialId" in q["FilterString"] else [stock_row(1, "99.00009")])(q))
    keys = {
        StockKey("01.00001|C01|S01", "CK001"),
        StockKey("01.00001|C02|S01", "CK001"),
        StockKey("02.00002", "CK001"),
        StockKey("O'Neil", "CK'2"),
    }
    pages = list(make_connector().iter_stock(keys))
    assert [question["FilterString"] for question in server.asked] == [
        (
            "((FStockId.FNumber = 'CK''2' AND FMaterialId.FNumber = 'O''Neil')"
            " OR (FStockId.FNumber = 'CK001' AND FMaterialId.FNumber IN ('01.00001', '02.00002')))"
        ),
        # none of them has stock: is there any to be seen at all?
        server.asked[-1]["FilterString"],
    ]
    assert "FMaterialId" not in server.asked[-1]["FilterString"]
    assert [page.complete for page in pages] == [True]


def test_keys_of_many_places_fill_filters_and_name_each_key_once(server: Server) -> None:
    server.answer(table([stock_row(1)]))
    keys = {StockKey(f"{number:05}-{number % 7}", f"STORE-{number % 60:03}") for number in range(400)}
    list(make_connector(stock_org_numbers=["100"]).iter_stock(keys))
    filters = list(
        dict.fromkeys(q["FilterString"] for q in server.asked if "FMaterialId.FNumber >" not in q["FilterString"])
    )
    assert max(map(len, filters)) <= LONGEST_FILTER
    assert len(filters) < 6
    named: list[StockKey] = []
    for place, materials in re.findall(
        r"\(FStockId\.FNumber = '(.*?)' AND FMaterialId\.FNumber (?:IN|=) (.*?)\)", " ".join(filters)
    ):
        named += [StockKey(material, place) for material in re.findall(r"'(.*?)'", materials)]
    assert len(named) == len(keys)
    assert set(named) == keys
    assert all(text.endswith(" AND FStockOrgId.FNumber = '100'") for text in filters)


def test_keys_are_not_taken_for_sold_out_when_all_stock_is_out_of_sight(server: Server) -> None:
    server.answer(table([]))
    with pytest.raises(Truncated):
        list(make_connector().iter_stock({StockKey("02.00002", "CK001")}))


def test_many_keys_make_chunks_that_fit_a_filter(server: Server) -> None:
    rows = [stock_row(number, f"MATERIAL-{number:05}") for number in range(0, 1000, 10)]

    def respond(question: dict[str, Any]) -> Any:
        wanted = set(re.findall(r"'(MATERIAL-\d+)'", question["FilterString"].partition("IN (")[2]))
        return table([row for row in rows if row["FMaterialId.FNumber"] in wanted])(question)

    server.answer(respond)
    keys = [StockKey(f"MATERIAL-{number:05}|C1", "CK001") for number in range(1000)]
    pages = list(make_connector(page_rows=4).iter_stock(keys))
    assert max(len(question["FilterString"]) for question in server.asked) <= LONGEST_FILTER
    assert [row.item for page in pages for row in page.rows] == [row["FMaterialId.FNumber"] for row in rows]
    assert [page.complete for page in pages].count(True) == 1
    assert pages[-1].complete


def test_many_locations_make_chunks_too(server: Server) -> None:
    server.answer(table([]))
    pages = list(make_connector(tuple(f"STORE-{number:06}" for number in range(600))).iter_stock())
    assert len(pages) > 1
    assert max(len(question["FilterString"]) for question in server.asked) <= LONGEST_FILTER
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]


def test_no_keys_and_no_locations_ask_nothing(server: Server) -> None:
    for pages in (make_connector().iter_stock([]), make_connector(()).iter_stock()):
        assert [(list(page.rows), page.complete) for page in pages] == [([], True)]
    assert server.asked == []
