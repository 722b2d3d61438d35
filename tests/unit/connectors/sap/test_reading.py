"""Stock, documents, products and places: what is asked, and when an answer counts as whole."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from connectors.erp.sap.reading import build_key_filters, build_location_filters, split_location
from hub.contracts import StockKey, StockPage, StockStatus
from hub.errors import ConfigError, ProtocolViolation, RemoteError, Truncated

from .support import LOCATIONS, PRODUCT_URL, STOCK_URL, collection, make_connector, product, query_of, stock_row, unit

WHERE = "(Plant eq '1010' and (StorageLocation eq '101A' or StorageLocation eq '101B'))"


def answer_stock(sap: responses.RequestsMock, *bodies: str) -> None:
    for body in bodies:
        sap.add(responses.GET, STOCK_URL, body=body)


def items_of(pages: list[StockPage]) -> list[list[str]]:
    return [[row.item for row in page.rows] for page in pages]


def test_snapshot_asks_for_configured_locations_in_order_of_materials(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A")], count="1"))
    pages = list(make_connector().iter_stock())
    assert query_of(sap, 0) == {
        "$filter": WHERE,
        "$orderby": "Material,Plant,StorageLocation,Batch,InventoryStockType",
        "$select": "Material,Plant,StorageLocation,Batch,Supplier,Customer,WBSElementInternalID,SDDocument,"
        "SDDocumentItem,InventorySpecialStockType,InventoryStockType,MatlWrhsStkQtyInMatlBaseUnit,MaterialBaseUnit",
        "$top": "5000",
        "$inlinecount": "allpages",
        "$format": "json",
        "sap-client": "100",
        "sap-language": "ZH",
    }
    assert [page.complete for page in pages] == [True]


def test_pages_hold_whole_materials(sap: responses.RequestsMock) -> None:
    answer_stock(
        sap,
        collection([stock_row("A"), stock_row("B"), stock_row("B", "101B")], count="5"),
        collection([stock_row("B"), stock_row("B", "101B"), stock_row("O'C")], count="4"),
        collection([stock_row("O'C"), stock_row("O'C", "101B")], count="2"),
    )
    pages = list(make_connector(page_rows=3).iter_stock())
    assert items_of(pages) == [["A"], ["B", "B"], ["O'C", "O'C"]]
    assert [page.complete for page in pages] == [False, False, True]
    assert query_of(sap, 1)["$filter"] == f"{WHERE} and Material gt 'A'"
    assert query_of(sap, 2)["$filter"] == f"{WHERE} and Material gt 'B'"


def test_next_link_means_more_and_is_not_followed(sap: responses.RequestsMock) -> None:
    answer_stock(
        sap, collection([stock_row("A"), stock_row("B")], link="x?$skiptoken=2"), collection([stock_row("B")], count=1)
    )
    assert items_of(list(make_connector().iter_stock())) == [["A"], ["B"]]
    assert query_of(sap, 1)["$filter"] == f"{WHERE} and Material gt 'A'"


@pytest.mark.parametrize("count", ["3", 3], ids=["text", "number"])
def test_silent_cap_shows_by_the_count(sap: responses.RequestsMock, count: Any) -> None:
    answer_stock(
        sap,
        collection([stock_row("A"), stock_row("B")], count=count),
        collection([stock_row("B")], count=2),
        collection([stock_row("B"), stock_row("C")], count=2),
    )
    pages = list(make_connector().iter_stock())
    assert items_of(pages) == [["A"], ["B", "C"]]
    assert query_of(sap, 1)["$filter"] == f"{WHERE} and Material ge 'B'"
    assert [page.complete for page in pages] == [False, True]


def test_rows_left_out_in_the_middle_are_found_out(sap: responses.RequestsMock) -> None:
    """A, B, C and D are counted, B is withheld: reading on behind C would never meet it."""
    answer_stock(
        sap,
        collection([stock_row("A"), stock_row("C"), stock_row("D")], count=4),
        collection([stock_row("D")], count=1),
    )
    with pytest.raises(Truncated, match="4 rows were counted, of which 2 came and 1 follow"):
        list(make_connector().iter_stock())


def test_keys_are_not_taken_for_sold_out_when_all_stock_is_out_of_sight(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([], count=0), collection([], count=0))
    with pytest.raises(Truncated, match="no stock row at all can be seen"):
        list(make_connector().iter_stock({StockKey("A", "1010/101A")}))
    assert query_of(sap, 1)["$filter"] == WHERE


def test_keys_that_are_sold_out_are_absent(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([], count=0), collection([stock_row("B")], count=1))
    assert list(make_connector().iter_stock({StockKey("A", "1010/101A")})) == [StockPage([], [], complete=True)]


def test_silent_cap_without_count_shows_by_the_row_behind(sap: responses.RequestsMock) -> None:
    answer_stock(
        sap,
        collection([stock_row("A"), stock_row("B")]),
        collection([stock_row("B", "101B")]),
        collection([stock_row("B"), stock_row("B", "101B")]),
        collection([]),
    )
    assert items_of(list(make_connector().iter_stock())) == [["A"], ["B", "B"]]
    assert (query_of(sap, 1)["$skip"], query_of(sap, 1)["$top"]) == ("2", "1")
    assert "$inlinecount" not in query_of(sap, 1)


def test_server_without_count_and_skip_proves_nothing(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A")]), collection([stock_row("A")]))
    with pytest.raises(Truncated):
        list(make_connector().iter_stock())


def test_empty_answer_is_whole(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([]))
    assert list(make_connector().iter_stock()) == [StockPage([], [], complete=True)]


def test_server_that_ignores_the_key_is_noticed(sap: responses.RequestsMock) -> None:
    page = collection([stock_row("A"), stock_row("B")], link="x?$skiptoken=2")
    answer_stock(sap, page, page)
    with pytest.raises(ProtocolViolation, match="paging went back"):
        list(make_connector().iter_stock())


def test_material_larger_than_a_page_is_never_torn(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A"), stock_row("A", "101B")], count=3))
    with pytest.raises(ProtocolViolation, match="raise the page size"):
        list(make_connector(page_rows=2).iter_stock())


def test_row_without_material_is_no_stock_row(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A", Material=None)], count=1))
    with pytest.raises(ProtocolViolation):
        list(make_connector().iter_stock())


def test_reading_is_pulled_page_by_page(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A"), stock_row("B")], count=3), collection([stock_row("B")], count=2))
    pages = make_connector().iter_stock()
    assert len(sap.calls) == 0
    next(pages)
    assert len(sap.calls) == 2


def test_failure_in_the_middle_gives_no_complete_page(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A"), stock_row("B")], count=3))
    sap.add(responses.GET, STOCK_URL, status=403)
    seen: list[bool] = []
    with pytest.raises(RemoteError):
        seen.extend(page.complete for page in make_connector().iter_stock())
    assert not any(seen)


def test_many_locations_need_several_reads_and_only_the_last_page_completes(sap: responses.RequestsMock) -> None:
    locations = [f"1010/{number:04d}" for number in range(15)]
    answer_stock(sap, *[collection([stock_row("A")], count=1)] * 3)
    pages = list(make_connector(locations, filter_length=200).iter_stock())
    assert [page.complete for page in pages] == [False, False, True]
    filters = " ".join(query_of(sap, number)["$filter"] for number in range(3))
    assert all(filters.count(f"'{number:04d}'") == 1 for number in range(15))


def test_location_filters_group_plants() -> None:
    assert build_location_filters(["1020/A", "1010/B", "1010/A", "1010/A"], 1500) == [
        (
            "((Plant eq '1010' and (StorageLocation eq 'A' or StorageLocation eq 'B'))"
            " or (Plant eq '1020' and StorageLocation eq 'A'))"
        )
    ]


def test_no_locations_is_no_empty_stock() -> None:
    with pytest.raises(ConfigError):
        list(make_connector(()).iter_stock())


@pytest.mark.parametrize("code", ["", "1010", "1010/", "/101A", "1010/101A/X", " 1010/101A"])
def test_bad_location_codes(code: str) -> None:
    with pytest.raises(ConfigError):
        split_location(code)


def test_keyed_read_asks_for_the_keys_alone(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A")], count=1))
    keys = [StockKey("B'1", "1010/101A"), StockKey("A", "1010/101A"), StockKey("C", "1020/X")]
    pages = list(make_connector().iter_stock(keys))
    assert query_of(sap, 0)["$filter"] == (
        "((Plant eq '1010' and StorageLocation eq '101A' and (Material eq 'A' or Material eq 'B''1'))"
        " or (Plant eq '1020' and StorageLocation eq 'X' and Material eq 'C'))"
    )
    assert [page.complete for page in pages] == [True]


def test_keyed_read_of_nothing_asks_nothing() -> None:
    assert list(make_connector().iter_stock([])) == [StockPage((), (), complete=True)]


@pytest.mark.parametrize("spread", ["items", "locations"])
def test_key_filters_fit_and_name_each_key_once(spread: str) -> None:
    if spread == "items":
        keys = [StockKey(f"MATERIAL-{number:03d}", LOCATIONS[0]) for number in range(200)]
    else:
        keys = [StockKey("MATERIAL", f"1010/{number:04d}") for number in range(200)]
    filters = build_key_filters(keys, 1500)
    # one bracket more or less does not matter to a URL
    assert all(len(text) <= 1510 for text in filters)
    assert len(filters) < 15
    joined = " ".join(filters)
    parts = [key.item if spread == "items" else key.location[5:] for key in keys]
    assert all(joined.count(f"'{part}'") == 1 for part in parts)


def test_rows_become_records(sap: responses.RequestsMock) -> None:
    rows = [
        stock_row("A", quantity="240.125", Batch="B1"),
        stock_row("B", quantity=3, InventoryStockType="07"),
        stock_row("C", InventorySpecialStockType="K", Supplier="100005"),
    ]
    body = collection(rows, count="3").replace('"240.125"', "240.125")
    answer_stock(sap, body)
    (page,) = list(make_connector().iter_stock())
    first, second, third = page.rows
    assert (first.location, first.lot, str(first.quantity), first.unit) == ("1010/101A", "B1", "240.125", "EA")
    assert first.row_id == "A|1010|101A|B1|||0||0||01"
    assert (first.status, second.status) == (StockStatus.SELLABLE, StockStatus.BLOCKED)
    assert third.owner == "K:100005"
    assert (first.owner, first.expires_on) == ("", None)


def test_null_and_blank_keys_are_the_same_row(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A"), stock_row("A", Batch=None, Supplier=None)], count=2))
    (page,) = list(make_connector().iter_stock())
    assert page.rows[0].row_id == page.rows[1].row_id


def test_bad_rows_are_rejected_and_the_others_go_on(sap: responses.RequestsMock) -> None:
    answer_stock(
        sap,
        collection(
            [stock_row("A"), stock_row("B", MaterialBaseUnit="XYZ"), stock_row("C", quantity="1,5"), stock_row("D")],
            count=4,
        ),
    )
    (page,) = list(make_connector().iter_stock())
    assert [row.item for row in page.rows] == ["A", "D"]
    assert [(bad.reason, bad.item, bad.location) for bad in page.rejected] == [
        ("unmapped_value", "B", "1010/101A"),
        ("bad_number", "C", "1010/101A"),
    ]
    assert page.rejected[0].raw["MaterialBaseUnit"] == "XYZ"


def test_items_with_names_and_barcodes(sap: responses.RequestsMock) -> None:
    sap.add(responses.GET, PRODUCT_URL, body=collection([product("A"), product("B")], link="x?$skiptoken=2"))
    sap.add(responses.GET, PRODUCT_URL, body=collection([product("B"), product("C")], count="2"))
    pages = list(make_connector().get_items())
    assert query_of(sap, 0) == {
        "$orderby": "Product",
        "$expand": "to_Description,to_ProductUnitsOfMeasure",
        "$top": "1000",
        "$inlinecount": "allpages",
        "$format": "json",
        "sap-client": "100",
        "sap-language": "ZH",
    }
    assert query_of(sap, 1)["$filter"] == "Product gt 'A'"
    assert [[record.item for record in page.records] for page in pages] == [["A"], ["B", "C"]]
    assert [page.complete for page in pages] == [False, True]
    record = pages[0].records[0]
    assert (record.name, record.unit, record.gtin, record.active) == ("衬衫", "EA", "6901234567892", True)
    assert (record.category, record.brand, dict(record.attributes)) == ("L001", "ACME", {"size": "M"})
    assert [(code.code, str(code.factor)) for code in record.barcodes] == [
        ("6901234567892", "1"),
        ("16901234567899", "12"),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["ZH", "EN"], "name ZH"), (["EN", "DE"], "name EN"), (["FR", "DE"], "name DE")],
    ids=["wanted", "fallback", "any"],
)
def test_item_names_fall_back(sap: responses.RequestsMock, names: list[str], expected: str) -> None:
    rows = [{"Product": "A", "Language": code, "ProductDescription": f"name {code}"} for code in names]
    sap.add(responses.GET, PRODUCT_URL, body=collection([product("A", to_Description={"results": rows})], count=1))
    (page,) = list(make_connector().get_items())
    assert page.records[0].name == expected


def test_bad_products_and_bad_units(sap: responses.RequestsMock) -> None:
    odd = [unit("C", "CAR", "1", "3", "16901234567899"), unit("C", "BOX", "4", "0", ""), unit("C", "PAL", 8, 2, "X1")]
    clash = [unit("D", "CAR", "6", "1", "6901234567892"), unit("D", "ST", "0", "1", "X2")]
    rows = [
        product("A", BaseUnit="XYZ"),
        product("B", IsMarkedForDeletion=True, ProductStandardID=""),
        product("C", to_ProductUnitsOfMeasure={"results": odd}),
        product("D", to_ProductUnitsOfMeasure={"results": clash}),
        product("E", to_Description={"results": []}),
    ]
    sap.add(responses.GET, PRODUCT_URL, body=collection(rows, count=5))
    (page,) = list(make_connector().get_items())
    assert [record.item for record in page.records] == ["B", "C", "D"]
    assert (page.records[0].active, page.records[0].gtin) == (False, None)
    assert [(code.code, str(code.factor)) for code in page.records[1].barcodes] == [
        ("6901234567892", "1"),
        ("X1", "4"),
    ]
    assert [code.code for code in page.records[2].barcodes] == ["6901234567892"]
    assert [(bad.reason, bad.item) for bad in page.rejected] == [
        ("unmapped_value", "A"),
        ("bad_number", "C"),
        ("bad_value", "D"),
        ("bad_value", "D"),
        ("missing_field", "E"),
    ]


def test_places_are_found_one_after_the_other(sap: responses.RequestsMock) -> None:
    answer_stock(
        sap,
        collection([stock_row("A", "")]),
        collection([stock_row("A")]),
        collection([stock_row("A", "101B")]),
        collection([]),
    )
    found = make_connector().get_locations()
    assert [place.code for place in found] == ["1010/101A", "1010/101B"]
    assert query_of(sap, 1)["$filter"] == "((Plant gt '1010') or (Plant eq '1010' and StorageLocation gt ''))"
    assert query_of(sap, 2)["$filter"] == "((Plant gt '1010') or (Plant eq '1010' and StorageLocation gt '101A'))"


def test_places_that_do_not_go_forward(sap: responses.RequestsMock) -> None:
    answer_stock(sap, collection([stock_row("A")]), collection([stock_row("A")]))
    with pytest.raises(ProtocolViolation):
        make_connector().get_locations()
