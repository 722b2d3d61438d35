"""Goods movements: stock and documents change together, through the control endpoints and through the API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.erp.sap.app import create_app
from sandbox.erp.sap.world import SERVER_ZONE
from tests.sandbox.sap.client import DOCUMENTS, STOCK, SapUser
from tests.serving import serve

if TYPE_CHECKING:
    from pathlib import Path

SALES = "1010/101A"
RETURNS = "1010/101B"
HEADERS = f"{DOCUMENTS}/A_MaterialDocumentHeader"


def quantity(sap: SapUser, material: str, location: str = SALES) -> Decimal:
    return Decimal(sap.totals().get((location, material), "0"))


def items_of(sap: SapUser, posted: dict[str, Any]) -> list[dict[str, Any]]:
    key = f"MaterialDocumentYear='{posted['year']}',MaterialDocument='{posted['material_document']}'"
    return sap.rows(f"{HEADERS}({key})/to_MaterialDocumentItem")


def material_with(sap: SapUser, least: int, *, batches: bool = False) -> str:
    """Return an article that has at least that many pieces in the sales location."""
    for row in sap.world("stock").json()["rows"]:
        fits = row["storage_location"] == "101A" and row["stock_type"] == "01" and row["special_stock"] == ""
        if fits and row["unit"] == "EA" and Decimal(row["quantity"]) >= least and bool(row["batch"]) == batches:
            return str(row["material"])
    raise AssertionError(least)


def test_each_kind_of_movement_changes_stock_and_posts_a_document(sap: SapUser) -> None:
    material = material_with(sap, 20)
    start = quantity(sap, material)

    sale = sap.move(kind="sale", material=material, plant="1010", storage_location="101A", quantity="3")
    assert quantity(sap, material) == start - 3
    receipt = sap.move(kind="receipt", material=material, quantity="10")
    assert quantity(sap, material) == start + 7
    before = quantity(sap, material, RETURNS)
    transfer = sap.move(kind="transfer", material=material, quantity="2", to_storage_location="101B")
    assert (quantity(sap, material), quantity(sap, material, RETURNS)) == (start + 5, before + 2)
    block = sap.move(kind="block", material=material, quantity="4")
    assert quantity(sap, material) == start + 1
    count = sap.move(kind="count", material=material, quantity="50")
    assert quantity(sap, material) == 50

    effects = [
        [(item["GoodsMovementType"], item["DebitCreditCode"], item["QuantityInBaseUnit"]) for item in items_of(sap, d)]
        for d in (sale, receipt, transfer, block)
    ]
    assert effects == [
        [("251", "H", "3")],
        [("501", "S", "10")],
        [("311", "H", "2"), ("311", "S", "2")],
        [("344", "H", "4"), ("344", "S", "4")],
    ]
    difference = 50 - (start + 1)
    counted = items_of(sap, count)[0]
    assert counted["GoodsMovementType"] == ("701" if difference > 0 else "702")
    assert Decimal(counted["QuantityInBaseUnit"]) == abs(difference)


def test_a_count_that_finds_no_difference_posts_nothing(sap: SapUser) -> None:
    material = material_with(sap, 1)

    answer = sap.world(
        "movements", {"kind": "count", "material": material, "quantity": str(quantity(sap, material))},
    )  # fmt: skip

    assert (answer.status_code, answer.json()["material_document"]) == (200, None)


def test_a_row_that_becomes_zero_disappears(sap: SapUser) -> None:
    material = material_with(sap, 1)
    wanted = f"Material eq '{material}' and StorageLocation eq '101A' and InventoryStockType eq '01'"
    assert sap.rows(f"{STOCK}/A_MatlStkInAcctMod", filter=wanted)

    sap.move(kind="sale", material=material, quantity=str(quantity(sap, material)))

    assert not sap.rows(f"{STOCK}/A_MatlStkInAcctMod", filter=wanted + " and InventorySpecialStockType eq ''")


def test_selling_more_than_there_is_needs_a_permission(sap: SapUser) -> None:
    material = material_with(sap, 1)
    start = quantity(sap, material)
    order = {"kind": "sale", "material": material, "quantity": str(start + 2)}

    refused = sap.world("movements", order)
    assert (refused.status_code, refused.json()["code"]) == (409, "M7/021")
    assert quantity(sap, material) == start

    sap.move(**order, allow_negative=True)
    assert quantity(sap, material) == -2


def test_a_sale_takes_batches_from_the_oldest_on(sap: SapUser) -> None:
    material = material_with(sap, 1, batches=True)
    start = quantity(sap, material)

    posted = sap.move(kind="sale", material=material, quantity=str(start - 1))

    batches = [item["Batch"] for item in items_of(sap, posted)]
    assert len(batches) > 1
    assert batches == sorted(batches)
    assert quantity(sap, material) == 1


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "sale", "material": "999999", "quantity": "1"},
        {"kind": "sale", "material": "100001", "storage_location": "109Z", "quantity": "1"},
        {"kind": "sale", "material": "100001", "quantity": "0"},
        {"kind": "sale", "material": "100001", "quantity": "-1"},
        {"kind": "sale", "material": "100001", "quantity": "1.2345"},
        {"kind": "theft", "material": "100001", "quantity": "1"},
        {"kind": "transfer", "material": "100001", "quantity": "1", "to_storage_location": "101A"},
    ],
)
def test_impossible_movements_are_refused(sap: SapUser, order: dict[str, str]) -> None:
    before = sap.totals()

    assert sap.world("movements", order).status_code == 409
    assert sap.totals() == before


def test_cancelling_restores_stock_and_marks_the_document(sap: SapUser) -> None:
    material = material_with(sap, 5)
    before = sap.totals()
    posted = sap.move(kind="transfer", material=material, quantity="5", to_storage_location="101B", reference="T-1")
    key = {"material_document": posted["material_document"], "year": posted["year"]}

    reversal = sap.world("cancel", key)

    assert reversal.status_code == 201
    assert sap.totals() == before
    assert {item["GoodsMovementIsCancelled"] for item in items_of(sap, posted)} == {True}
    back = items_of(sap, reversal.json())
    assert {item["GoodsMovementType"] for item in back} == {"312"}
    assert {item["ReversedMaterialDocument"] for item in back} == {posted["material_document"]}
    assert sap.world("cancel", key).status_code == 409
    assert sap.world("cancel", {"material_document": "1", "year": "2000"}).status_code == 409


def test_opening_documents_add_up_to_the_opening_stock(sap: SapUser) -> None:
    books: dict[tuple[str, ...], Decimal] = {}
    for item in sap.all_rows(f"{DOCUMENTS}/A_MaterialDocumentItem"):
        key = (item["Material"], item["Plant"], item["StorageLocation"], item["Batch"], item["InventoryStockType"],
               item["InventorySpecialStockType"])  # fmt: skip
        sign = 1 if item["DebitCreditCode"] == "S" else -1
        books[key] = books.get(key, Decimal(0)) + sign * Decimal(item["QuantityInBaseUnit"])

    stock = {
        (row["material"], row["plant"], row["storage_location"], row["batch"], row["stock_type"],
         row["special_stock"]): Decimal(row["quantity"])
        for row in sap.world("stock").json()["rows"]
    }  # fmt: skip
    assert {key: value for key, value in books.items() if value} == stock


def test_totals_are_the_sellable_rows_of_the_books(sap: SapUser) -> None:
    sap.world("moves", {"count": 100})
    expected: dict[tuple[str, str], Decimal] = {}
    for row in sap.world("stock").json()["rows"]:
        if row["stock_type"] == "01" and not row["special_stock"]:
            key = (f"{row['plant']}/{row['storage_location']}", row["material"])
            expected[key] = expected.get(key, Decimal(0)) + Decimal(row["quantity"])

    answer = sap.world("totals").json()

    assert {(row["location"], row["item"]): Decimal(row["quantity"]) for row in answer["totals"]} == expected
    for location, total in answer["locations"].items():
        assert Decimal(total) == sum(value for key, value in expected.items() if key[0] == location)


def test_hours_pass_on_the_servers_clock_while_documents_are_posted(sap: SapUser) -> None:
    began = datetime.now(SERVER_ZONE)
    documents = sap.world("moves", {"count": 4, "over_seconds": 7200}).json()["documents"]
    passed = [datetime.fromisoformat(posted["created_at"]) - began for posted in documents]
    assert [round(moment / timedelta(minutes=30)) for moment in passed] == [1, 2, 3, 4]
    [later] = sap.world("moves", {"count": 1}).json()["documents"]
    assert later["created_at"] >= documents[-1]["created_at"]
    sap.world("reset", {})
    [anew] = sap.world("moves", {"count": 1}).json()["documents"]
    assert anew["created_at"] < documents[0]["created_at"]


def test_random_moves_post_that_many_documents(sap: SapUser) -> None:
    before = sap.world("info").json()["counts"]["material_documents"]

    documents = sap.world("moves", {"count": 40}).json()["documents"]

    keys = {(document["year"], document["material_document"]) for document in documents}
    assert len(keys) == 40
    assert sap.world("info").json()["counts"]["material_documents"] == before + 40


def test_reset_opens_the_same_books_again(sap: SapUser) -> None:
    before = sap.totals()
    sap.world("moves", {"count": 30})
    assert sap.totals() != before

    sap.world("reset", {})

    assert sap.totals() == before


def test_the_background_traffic_posts_by_itself(tmp_path: Path) -> None:
    with serve(create_app(tmp_path / "sap.sqlite", articles=50, moves_per_minute=1200)) as url:
        user = SapUser(url)
        start = user.world("info").json()["counts"]["material_documents"]
        deadline = time.monotonic() + 10
        while user.world("info").json()["counts"]["material_documents"] < start + 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        user.close()


def test_a_restart_continues_the_books(tmp_path: Path) -> None:
    database = tmp_path / "sap.sqlite"
    with serve(create_app(database, articles=50)) as url:
        user = SapUser(url)
        user.world("moves", {"count": 20})
        totals, info = user.totals(), user.world("info").json()
        user.close()

    with serve(create_app(database, articles=50)) as url:
        user = SapUser(url)
        assert user.totals() == totals
        assert user.world("info").json() == info
        user.close()


def test_a_posted_document_survives_a_sigkill(tmp_path: Path) -> None:
    database = tmp_path / "sap.sqlite"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program = (
        "import uvicorn; from sandbox.erp.sap.app import create_app; "
        f"uvicorn.run(create_app({str(database)!r}, articles=50), port={port}, log_level='critical')"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        user = SapUser(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 30
        while True:
            try:
                user.world("info")
            except requests.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                break
        posted = user.move(kind="receipt", material="100001", quantity="7")
        totals = user.totals()
        user.close()
        os.kill(process.pid, signal.SIGKILL)

    with serve(create_app(database, articles=50)) as url:
        user = SapUser(url)
        assert user.totals() == totals
        assert items_of(user, posted)[0]["QuantityInBaseUnit"] == "7"
        user.close()


def test_a_deep_insert_posts_in_the_entry_unit(sap: SapUser) -> None:
    units = "API_PRODUCT_SRV/A_ProductUnitsOfMeasure"
    carton = sap.rows(units, filter="AlternativeUnit eq 'CAR'", top="1")[0]
    material = carton["Product"]
    before = quantity(sap, material)
    body = {
        "GoodsMovementCode": "05",
        "PostingDate": "/Date(1795392000000)/",
        "to_MaterialDocumentItem": {
            "results": [
                {
                    "Material": material, "Plant": "1010", "StorageLocation": "101A", "GoodsMovementType": "501",
                    "EntryUnit": "CAR", "QuantityInEntryUnit": "2",
                },
            ],
        },
    }  # fmt: skip

    created = sap.post(HEADERS, body)

    assert created.status_code == 201
    document = created.json()["d"]
    assert created.headers["location"] == document["__metadata"]["uri"]
    assert document["PostingDate"] == "/Date(1795392000000)/"
    item = document["to_MaterialDocumentItem"]["results"][0]
    assert (item["EntryUnit"], item["QuantityInEntryUnit"]) == ("CAR", "2")
    assert quantity(sap, material) - before == 2 * Decimal(carton["QuantityNumerator"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Material": "999999"}, "M3/305"),
        ({"QuantityInEntryUnit": "100000"}, "M7/021"),
        ({"QuantityInEntryUnit": 1}, "/IWBEP/CX_MGW_BUSI_EXCEPTION"),
        ({"Colour": "red"}, "/IWBEP/CX_MGW_BUSI_EXCEPTION"),
        ({"GoodsMovementType": "501"}, "M7/120"),
        ({"EntryUnit": "PAL"}, "M7/161"),
        ({"StorageLocation": ""}, "M7/018"),
    ],
)
def test_a_bad_deep_insert_posts_nothing(sap: SapUser, changes: dict[str, Any], code: str) -> None:
    before = sap.totals()

    answer = sap.issue("100001", **changes) if "Material" not in changes else sap.issue(changes["Material"])

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert sap.totals() == before


def test_cancel_item_takes_back_one_item_only(sap: SapUser) -> None:
    first, second = material_with(sap, 4), "100002"
    sap.move(kind="receipt", material=second, quantity="5")
    start = (quantity(sap, first), quantity(sap, second))
    lines = [
        {
            "Material": material, "Plant": "1010", "StorageLocation": "101A", "GoodsMovementType": "251",
            "QuantityInEntryUnit": "2",
        }
        for material in (first, second)
    ]  # fmt: skip
    document = sap.post(HEADERS, {"GoodsMovementCode": "03", "to_MaterialDocumentItem": lines}).json()["d"]
    parameters = (
        f"MaterialDocumentYear='{document['MaterialDocumentYear']}'&MaterialDocument='{document['MaterialDocument']}'"
        "&MaterialDocumentItem='0002'"
    )

    answer = sap.post(f"{DOCUMENTS}/CancelItem?{parameters}", None)

    assert answer.json()["d"]["ReversedMaterialDocumentItem"] == "0002"
    assert (quantity(sap, first), quantity(sap, second)) == (start[0] - 2, start[1])
