"""The query language: what a reader can ask, and that the answers are what the books say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.erp.sap.app import create_app
from tests.sandbox.sap.client import DOCUMENTS, PRODUCTS, STOCK, SapUser
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SET = f"{STOCK}/A_MatlStkInAcctMod"
QUANTITY = "MatlWrhsStkQtyInMatlBaseUnit"
TEXTS = {
    "Material": "material",
    "Plant": "plant",
    "StorageLocation": "storage_location",
    "Batch": "batch",
    "InventoryStockType": "stock_type",
    "InventorySpecialStockType": "special_stock",
    "Supplier": "supplier",
}
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": lambda text, part: text.startswith(part),
    "endswith": lambda text, part: text.endswith(part),
    "substringof": lambda text, part: part in text,
}
Predicate = tuple[str, "Callable[[dict[str, str]], bool]"]


def _text_comparison(name: str, operator: str, value: str) -> Predicate:
    quoted = value.replace("'", "''")
    return f"{name} {operator} '{quoted}'", lambda row: COMPARE[operator](row[TEXTS[name]], value)


def _quantity_comparison(operator: str, value: Decimal, suffix: str) -> Predicate:
    return f"{QUANTITY} {operator} {value:f}{suffix}", lambda row: COMPARE[operator](Decimal(row["quantity"]), value)


def _function(function: str, name: str, part: str) -> Predicate:
    quoted = "'" + part.replace("'", "''") + "'"
    arguments = f"{quoted},{name}" if function == "substringof" else f"{name},{quoted}"
    return f"{function}({arguments})", lambda row: FUNCTIONS[function](row[TEXTS[name]], part)


values = st.sampled_from(["", "01", "07", "101A", "101B", "1010", "1099", "100", "100025", "K", "it's", "00", "1"])
atoms = st.one_of(
    st.builds(_text_comparison, st.sampled_from(sorted(TEXTS)), st.sampled_from(sorted(COMPARE)), values),
    st.builds(
        _quantity_comparison,
        st.sampled_from(sorted(COMPARE)),
        st.decimals(-10, 130, places=4) | st.integers(-10, 130).map(Decimal),
        st.sampled_from(["", "M", "m"]),
    ),
    st.builds(_function, st.sampled_from(sorted(FUNCTIONS)), st.sampled_from(sorted(TEXTS)), values),
)


def _combined(children: st.SearchStrategy[Predicate]) -> st.SearchStrategy[Predicate]:
    return st.one_of(
        st.tuples(children, children).map(
            lambda pair: (f"({pair[0][0]}) and ({pair[1][0]})", lambda row: pair[0][1](row) and pair[1][1](row)),
        ),
        st.tuples(children, children).map(
            lambda pair: (f"({pair[0][0]} or {pair[1][0]})", lambda row: pair[0][1](row) or pair[1][1](row)),
        ),
        children.map(lambda child: (f"not ({child[0]})", lambda row: not child[1](row))),
    )


@settings(max_examples=60, deadline=None, database=None)
@given(predicate=st.recursive(atoms, _combined, max_leaves=6))
def test_a_filter_finds_exactly_the_rows_it_describes(reading: SapUser, predicate: Predicate) -> None:
    text, is_wanted = predicate
    expected = sum(is_wanted(row) for row in reading.world("stock").json()["rows"])

    answer = reading.get(f"{SET}/$count", filter=text)

    assert answer.status_code == 200, (text, answer.text)
    assert int(answer.text) == expected


@settings(max_examples=60, deadline=None, database=None)
@given(text=st.text("ab'()=,. 01MTZ-:ñ中", max_size=25) | st.text(max_size=10))
def test_no_filter_text_breaks_the_server(reading: SapUser, text: str) -> None:
    encodable = text.encode("utf-8", "ignore").decode()

    assert reading.get(f"{SET}/$count", filter=encodable).status_code in {200, 400}


def test_and_binds_stronger_than_or(reading: SapUser) -> None:
    mixed = "Plant eq '1099' or Plant eq '1010' and StorageLocation eq '101B'"
    grouped = "(Plant eq '1099' or Plant eq '1010') and StorageLocation eq '101B'"

    assert int(reading.get(f"{SET}/$count", filter=mixed).text) > int(
        reading.get(f"{SET}/$count", filter=grouped).text,
    )


def test_a_long_chain_of_materials_is_answered(reading: SapUser) -> None:
    chain = " or ".join(f"Material eq '{100000 + number}'" for number in range(1, 701))

    assert int(reading.get(f"{SET}/$count", filter=chain).text) > 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Colour eq 'red'", "Colour"),
        ("Plant eq 1010", "Plant"),
        (f"{QUANTITY} gt '5'", QUANTITY),
        ("Plant eq '1010", "position"),
        ("Plant like '10'", "position"),
        ("(Plant eq '1010'", "position"),
        ("not Plant eq '1010'", "position"),
        ("tolower(Plant) eq 'x'", "position"),
        ("Plant eq '1010' and", "position"),
    ],
)
def test_a_wrong_filter_is_an_odata_error(reading: SapUser, text: str, reason: str) -> None:
    answer = reading.get(SET, filter=text, sap_language="EN")

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"].startswith("/IWBEP/")
    assert error["message"]["lang"] == "en"
    assert reason in error["message"]["value"]
    inner = error["innererror"]
    assert inner["application"]["service_id"] == STOCK
    assert re.fullmatch(r"[0-9A-F]{32}", inner["transactionid"])
    assert re.fullmatch(r"\d{14}\.\d{7}", inner["timestamp"])
    assert inner["errordetails"][0]["severity"] == "error"


def test_dates_and_times_are_filtered_as_a_delta_needs_it(sap: SapUser) -> None:
    posted = sap.move(kind="sale", material="100001", quantity="1")
    day, clock = posted["created_at"][:19].split("T")
    hours, minutes, seconds = clock.split(":")
    since = f"time'PT{hours}H{minutes}M{seconds}S'"
    today = f"datetime'{day}T00:00:00'"
    delta = f"CreationDate gt {today} or (CreationDate eq {today} and CreationTime ge {since})"

    found = sap.rows(f"{DOCUMENTS}/A_MaterialDocumentHeader", filter=delta)

    assert [row["MaterialDocument"] for row in found] == [posted["material_document"]]
    assert found[0]["CreationTime"] == f"PT{hours}H{minutes}M{seconds}S"
    assert re.fullmatch(r"/Date\(\d+\)/", found[0]["CreationDate"])


def test_an_offset_date_is_filtered_by_instant(reading: SapUser) -> None:
    rows = reading.rows(f"{PRODUCTS}/A_Product", orderby="LastChangeDateTime desc", top="5")
    stamp = rows[2]["LastChangeDateTime"]
    milliseconds = int(stamp.removeprefix("/Date(").removesuffix("+0000)/"))
    local = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(timezone(timedelta(hours=8)))

    found = reading.get(
        f"{PRODUCTS}/A_Product/$count", filter=f"LastChangeDateTime ge datetimeoffset'{local.isoformat()}'",
    )  # fmt: skip

    assert int(found.text) == 3


def test_select_leaves_out_the_rest(reading: SapUser) -> None:
    row = reading.rows(SET, select="Material,Plant", top="1")[0]

    assert set(row) == {"__metadata", "Material", "Plant"}


def test_order_by_several_properties(reading: SapUser) -> None:
    rows = reading.rows(SET, orderby="StorageLocation desc,Material asc", top="90")

    keys = [(row["StorageLocation"], row["Material"]) for row in rows]
    assert [location for location, _ in keys] == sorted((location for location, _ in keys), reverse=True)
    first = [material for location, material in keys if location == keys[0][0]]
    assert first == sorted(first)


def test_top_and_skip_walk_the_same_order(reading: SapUser) -> None:
    rows = reading.rows(SET, top="30")

    assert reading.rows(SET, top="10", skip="20") == rows[20:]


def test_pages_are_short_even_if_top_is_large(reading: SapUser) -> None:
    pages = reading.pages(SET, top="250", inlinecount="allpages")

    assert [len(page) for page in pages] == [100, 100, 50]


def test_next_keeps_the_other_options(reading: SapUser) -> None:
    data = reading.get(SET, filter="Plant eq '1010'", select="Material", inlinecount="allpages").json()["d"]

    assert data["__next"].startswith(f"{reading.url}/sap/opu/odata/sap/{SET}?")
    following = reading.session.get(data["__next"], timeout=20).json()["d"]
    assert isinstance(data["__count"], str)
    assert following["__count"] == data["__count"]
    assert set(following["results"][0]) == {"__metadata", "Material"}
    assert following["results"][0] != data["results"][0]


def test_products_come_by_the_hundred_without_top(tmp_path: Path) -> None:
    with serve(create_app(tmp_path / "sap.sqlite", articles=250)) as url:
        user = SapUser(url)
        assert [len(page) for page in user.pages(f"{PRODUCTS}/A_Product")] == [100, 100, 50]
        assert [len(page) for page in user.pages(f"{PRODUCTS}/A_Product", top="240")] == [240]
        user.close()


def test_top_is_capped_at_5000(tmp_path: Path) -> None:
    with serve(create_app(tmp_path / "sap.sqlite", articles=3000, page_size=2000)) as url:
        user = SapUser(url)
        path = f"{PRODUCTS}/A_ProductDescription"
        assert int(user.get(f"{path}/$count").text) > 5000
        assert [len(page) for page in user.pages(path, top="9999")] == [2000, 2000, 1000]
        user.close()


def test_decimals_are_strings_without_trailing_zeros(reading: SapUser) -> None:
    rows = reading.all_rows(SET, filter="MaterialBaseUnit eq 'KG'")

    texts = [row[QUANTITY] for row in rows]
    assert any("." in text for text in texts)
    assert not any("." in text and text.endswith("0") for text in texts)


def test_gtin_and_cartons_are_found_by_navigation(reading: SapUser) -> None:
    carton = reading.rows(f"{PRODUCTS}/A_ProductUnitsOfMeasure", filter="AlternativeUnit eq 'CAR'", top="1")[0]
    path = f"{PRODUCTS}/A_ProductUnitsOfMeasure(Product='{carton['Product']}',AlternativeUnit='CAR')"

    codes = reading.rows(f"{path}/to_InternationalArticleNumber")

    assert [code["ProductStandardID"] for code in codes] == [carton["GlobalTradeItemNumber"]]
    assert reading.get(f"{path}/QuantityNumerator/$value").text == carton["QuantityNumerator"]


def test_nested_expand(reading: SapUser) -> None:
    expand = "to_Description,to_ProductUnitsOfMeasure/to_InternationalArticleNumber"
    select = "Product,to_Description/Language,to_ProductUnitsOfMeasure"

    row = reading.rows(f"{PRODUCTS}/A_Product", expand=expand, select=select, top="1")[0]

    assert set(row) == {"__metadata", "Product", "to_Description", "to_ProductUnitsOfMeasure"}
    assert {tuple(sorted(text)) for text in row["to_Description"]["results"]} == {("Language", "__metadata")}
    unit = row["to_ProductUnitsOfMeasure"]["results"][0]
    assert unit["to_InternationalArticleNumber"]["results"][0]["ProductStandardID"] == unit["GlobalTradeItemNumber"]


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        (f"{STOCK}/A_Nothing", {}, 404),
        (f"{STOCK}/A_MaterialStock('999999')", {}, 404),
        (f"{STOCK}/A_MaterialStock('100001')/to_Nothing", {}, 404),
        (f"{SET}(Material='100001')", {}, 400),
        (SET, {"top": "-1"}, 400),
        (SET, {"inlinecount": "some"}, 400),
        (SET, {"orderby": "Colour"}, 400),
        (SET, {"select": "Colour"}, 400),
        (SET, {"expand": "to_Nothing"}, 400),
        (SET, {"skiptoken": "nonsense"}, 400),
        (SET, {"search": "x"}, 400),
        ("API_NOTHING_SRV/A_Nothing", {}, 403),
    ],
)
def test_errors_by_status(reading: SapUser, path: str, options: dict[str, str], status: int) -> None:
    answer = reading.get(path, **options)

    assert answer.status_code == status
    assert answer.json()["error"]["code"]


def test_xml_is_for_metadata_and_for_those_who_do_not_ask_for_json(reading: SapUser) -> None:
    anything = {"Accept": "*/*"}

    assert reading.get(f"{STOCK}/$metadata").headers["content-type"].startswith("application/xml")
    assert b"A_MatlStkInAcctMod" in reading.get_with(anything, STOCK).content
    assert reading.get_with(anything, SET).status_code == 501
    assert reading.get_with(anything, SET, format="json").json()["d"]["results"]


def test_foreign_special_and_negative_rows_are_there(reading: SapUser) -> None:
    rows = reading.all_rows(SET)

    assert {row["Plant"] for row in rows} == {"1010", "1099"}
    assert {row["InventorySpecialStockType"] for row in rows} == {"", "K", "E", "Q"}
    assert {row["InventoryStockType"] for row in rows} == {"01", "02", "07"}
    assert any(Decimal(row[QUANTITY]) < 0 for row in rows)
    assert not any(Decimal(row[QUANTITY]) == 0 for row in rows)
    by_key = {tuple(row[name] for name in TEXTS) for row in rows}
    batches = {row["Batch"] for row in rows if row["Material"] == next(r["Material"] for r in rows if r["Batch"])}
    assert len(batches) > 1
    assert len(by_key) == len(rows)
