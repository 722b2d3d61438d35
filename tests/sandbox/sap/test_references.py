"""Documents under a number that somebody gave them: posted, cancelled and posted again; and what they then say."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.erp.sap.stirring import move_or_take_back
from sandbox.erp.sap.store import Store
from sandbox.erp.sap.world import World
from tests.sandbox.sap.client import DOCUMENTS, PRODUCTS, SapUser

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = f"{DOCUMENTS}/A_MaterialDocumentHeader"
EDM = "{http://schemas.microsoft.com/ado/2008/09/edm}"
WHERE = {"plant": "1010", "storage_location": "101A"}


def header_of(sap: SapUser, posted: dict[str, Any]) -> dict[str, Any]:
    key = f"MaterialDocumentYear='{posted['year']}',MaterialDocument='{posted['material_document']}'"
    answer = sap.get(f"{HEADERS}({key})", expand="to_MaterialDocumentItem").json()["d"]
    return {**answer, "items": answer["to_MaterialDocumentItem"]["results"]}


def sellable(sap: SapUser, *, batches: bool = False) -> list[dict[str, Any]]:
    rows = sap.world("stock").json()["rows"]
    return [
        row
        for row in rows
        if (row["storage_location"], row["stock_type"], row["special_stock"]) == ("101A", "01", "")
        and row["unit"] == "EA"
        and Decimal(row["quantity"]) >= 3
        and bool(row["batch"]) is batches
    ]


def effects(header: dict[str, Any]) -> list[tuple[str, ...]]:
    names = ("Material", "Batch", "GoodsMovementType", "DebitCreditCode", "QuantityInBaseUnit")
    return [tuple(item[name] for name in names) for item in header["items"]]


def reversed_by(item: dict[str, Any]) -> tuple[str, ...]:
    names = ("ReversedMaterialDocumentYear", "ReversedMaterialDocument", "ReversedMaterialDocumentItem")
    return tuple(item[name] for name in names)


def turn(sap: SapUser, path: str, posted: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = sap.world(path, {**posted, **more})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_the_fields_are_described_as_sap_describes_them(sap: SapUser) -> None:
    schema = ET.fromstring(sap.get(f"{DOCUMENTS}/$metadata").content)
    described = {
        (kind.get("Name"), prop.get("Name")): (
            prop.get("Type"),
            prop.get("MaxLength") or (prop.get("Precision"), prop.get("Scale")),
        )
        for kind in schema.iter(f"{EDM}EntityType")
        for prop in kind.iter(f"{EDM}Property")
    }
    expected = {
        ("A_MaterialDocumentHeaderType", "ReferenceDocument"): ("Edm.String", "16"),
        ("A_MaterialDocumentItemType", "QuantityInBaseUnit"): ("Edm.Decimal", ("13", "3")),
        ("A_MaterialDocumentItemType", "DebitCreditCode"): ("Edm.String", "1"),
        ("A_MaterialDocumentItemType", "GoodsMovementIsCancelled"): ("Edm.Boolean", (None, None)),
        ("A_MaterialDocumentItemType", "ReversedMaterialDocumentYear"): ("Edm.String", "4"),
        ("A_MaterialDocumentItemType", "ReversedMaterialDocument"): ("Edm.String", "10"),
        ("A_MaterialDocumentItemType", "ReversedMaterialDocumentItem"): ("Edm.String", "4"),
    }
    assert {name: described.get(name) for name in expected} == expected


def test_a_sale_is_cancelled_and_posted_again_under_its_number(sap: SapUser) -> None:
    material = sellable(sap)[0]["material"]
    before = sap.totals()

    sold = sap.move(kind="sale", material=material, **WHERE, quantity="2", reference="WEB-1")
    after = sap.totals()
    posted = header_of(sap, sold)
    assert posted["ReferenceDocument"] == "WEB-1"
    assert effects(posted) == [(material, "", "251", "H", "2")]
    assert [(item["GoodsMovementIsCancelled"], reversed_by(item)) for item in posted["items"]] == [
        (False, ("", "", "")),
    ]

    undone = header_of(sap, turn(sap, "cancel", sold))
    assert sap.totals() == before
    assert undone["ReferenceDocument"] == "WEB-1"
    assert effects(undone) == [(material, "", "252", "S", "2")]
    assert [(item["GoodsMovementIsCancelled"], reversed_by(item)) for item in undone["items"]] == [
        (False, (sold["year"], sold["material_document"], "0001")),
    ]
    assert [item["GoodsMovementIsCancelled"] for item in header_of(sap, sold)["items"]] == [True]

    again = turn(sap, "post-again", sold)
    assert again["material_document"] != sold["material_document"]
    assert sap.totals() == after
    repeated = header_of(sap, again)
    assert (repeated["ReferenceDocument"], effects(repeated)) == ("WEB-1", effects(posted))
    assert [(item["GoodsMovementIsCancelled"], reversed_by(item)) for item in repeated["items"]] == [
        (False, ("", "", "")),
    ]
    assert [item["GoodsMovementIsCancelled"] for item in header_of(sap, sold)["items"]] == [True]
    found = sap.rows(HEADERS, filter="ReferenceDocument eq 'WEB-1'")
    assert {row["MaterialDocument"] for row in found} >= {sold["material_document"], again["material_document"]}


def test_only_what_was_cancelled_can_be_posted_again_and_only_once(sap: SapUser) -> None:
    sold = sap.move(kind="sale", material=sellable(sap)[0]["material"], quantity="1", reference="WEB-2")
    reversal = turn(sap, "cancel", sold)
    again = turn(sap, "post-again", sold)
    before = sap.totals()

    for refused in (sold, again, reversal, {"year": "2000", "material_document": "1"}):
        assert sap.world("post-again", refused).status_code == 409
    assert sap.totals() == before


def test_a_day_is_settled_by_one_document(sap: SapUser) -> None:
    first, second = (row["material"] for row in sellable(sap)[:2])
    before = sap.totals()
    sold = [(first, "2"), (second, "3"), (first, "1")]
    lines = [{"material": material, "quantity": quantity} for material, quantity in sold]

    day = sap.move(kind="sale", **WHERE, reference="Z-0611-101A", lines=lines)

    posted = header_of(sap, day)
    assert posted["ReferenceDocument"] == "Z-0611-101A"
    assert [(item["Material"], item["QuantityInBaseUnit"]) for item in posted["items"]] == sold
    taken = {material: Decimal(before["1010/101A", material]) - 3 for material in (first, second)}
    assert {m: Decimal(sap.totals().get(("1010/101A", m), "0")) for m in taken} == taken

    undone = header_of(sap, turn(sap, "cancel", day, item="0002"))
    assert [reversed_by(item)[2] for item in undone["items"]] == ["0002"]
    assert [item["GoodsMovementIsCancelled"] for item in header_of(sap, day)["items"]] == [False, True, False]
    again = header_of(sap, turn(sap, "post-again", day))
    assert effects(again) == [(second, "", "251", "H", "3")]


def test_lines_of_one_article_share_its_batches(sap: SapUser) -> None:
    rows = sellable(sap, batches=True)
    material = next(m for m, number in Counter(row["material"] for row in rows).items() if number > 1)
    whole = Decimal(sap.totals()["1010/101A", material])
    halves = [str(whole - 1), "1"]

    day = sap.move(kind="sale", **WHERE, reference="Z-2", lines=[{"material": material, "quantity": q} for q in halves])

    assert ("1010/101A", material) not in sap.totals()
    posted = header_of(sap, day)
    assert sum(Decimal(item["QuantityInBaseUnit"]) for item in posted["items"]) == whole
    turn(sap, "cancel", day)
    again = header_of(sap, turn(sap, "post-again", day))
    assert effects(again) == effects(posted)


def test_the_api_too_shares_the_batches_of_an_article(sap: SapUser) -> None:
    rows = sellable(sap, batches=True)
    material = next(m for m, number in Counter(row["material"] for row in rows).items() if number > 1)
    whole = Decimal(sap.totals()["1010/101A", material])
    lines = [
        {"Material": material, "Plant": "1010", "StorageLocation": "101A", "GoodsMovementType": "251",
         "QuantityInEntryUnit": quantity}
        for quantity in (str(whole - 1), "1")
    ]  # fmt: skip
    document = {"GoodsMovementCode": "03", "ReferenceDocument": "Z-3", "to_MaterialDocumentItem": lines}

    assert sap.post(HEADERS, document).status_code == 201
    assert ("1010/101A", material) not in sap.totals()


def test_a_line_in_cartons_has_its_pieces_in_the_base_unit(sap: SapUser) -> None:
    packed = {
        row["Product"]: int(row["QuantityNumerator"])
        for row in sap.all_rows(f"{PRODUCTS}/A_ProductUnitsOfMeasure", filter="AlternativeUnit eq 'CAR'")
    }
    material, pieces = next(iter(packed.items()))
    sap.move(kind="receipt", material=material, quantity="3", unit="CAR")
    before = sap.totals()

    sold = sap.move(kind="sale", material=material, quantity="2", unit="CAR", reference="WEB-3")

    items = header_of(sap, sold)["items"]
    assert {item["EntryUnit"] for item in items} == {"CAR"}
    assert sum(Decimal(item["QuantityInBaseUnit"]) for item in items) == 2 * pieces
    key = ("1010/101A", material)
    assert Decimal(before[key]) - Decimal(sap.totals()[key]) == 2 * pieces
    refused = sap.world("movements", {"kind": "sale", "material": material, "quantity": "1", "unit": "PAL"})
    assert (refused.status_code, refused.json()["code"]) == (409, "M7/161")


@pytest.mark.parametrize(
    "lines",
    [
        "100001",
        [7],
        [{"quantity": "1"}, {"material": "999999", "quantity": "1"}],
        [{"quantity": "1"}, {"quantity": "0"}],
    ],
)
def test_one_impossible_line_refuses_the_whole_document(sap: SapUser, lines: Any) -> None:
    before, counted = sap.totals(), sap.world("info").json()["counts"]["material_documents"]
    order = {"kind": "sale", "material": sellable(sap)[0]["material"], "reference": "WEB-4", "lines": lines}

    assert sap.world("movements", order).status_code == 409
    assert sap.totals() == before
    assert sap.world("info").json()["counts"]["material_documents"] == counted


def test_people_cancel_and_post_again_what_has_a_reference(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "sap.db")) as store:
        world = World(store, articles=60, seed=1)
        rows = [row for row in world.stock() if row["storage_location"] == "101A" and row["stock_type"] == "01"]
        sold = {row["material"]: row for row in rows if not row["special_stock"] and not row["batch"]}
        lines = [{"material": material, "quantity": "1"} for material in sold]
        world.move({"kind": "sale", **WHERE, "reference": "DAY", "lines": lines[:4], "allow_negative": True})
        world.move({"kind": "sale", **WHERE, "reference": "ONE", **lines[5], "allow_negative": True})
        standing = _standing(store)
        assert standing == {"DAY": 4, "ONE": 1}
        seen = set()
        for _ in range(60):
            move_or_take_back(world)
            standing = _standing(store)
            assert standing["DAY"] in {0, 4}
            assert standing["ONE"] in {0, 1}
            seen.add((standing["DAY"], standing["ONE"]))
        assert seen == {(4, 1), (4, 0), (0, 1), (0, 0)}
        assert store.number("SELECT COUNT(*) FROM document_header WHERE \"ReferenceDocument\" = ''") > 20


def _standing(store: Store) -> Counter[str]:
    """Return how many items stand under each reference."""
    rows = store.rows(
        'SELECT "ReferenceDocument" AS reference FROM document_item JOIN document_header'
        ' USING ("MaterialDocumentYear", "MaterialDocument") WHERE "ReferenceDocument" <> \'\''
        ' AND "GoodsMovementIsCancelled" = 0 AND "ReversedMaterialDocument" = \'\'',
    )
    return Counter(row["reference"] for row in rows)
