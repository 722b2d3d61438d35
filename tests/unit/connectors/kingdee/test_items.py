from __future__ import annotations

import operator
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.contracts import BarcodeRecord, LocationRecord
from tests.unit.connectors.kingdee.conftest import Server, make_connector

if TYPE_CHECKING:
    from collections.abc import Callable


def material(number: str, **more: Any) -> dict[str, Any]:
    row = {
        "FNumber": number,
        "FName": "圆领T恤",
        "FBaseUnitId.FNumber": "Pcs",
        "FForbidStatus": "A",
        "FDocumentStatus": "C",
        "FBARCODE": "",
    }
    return {**row, **more}


def barcode(code: str, number: str, colour: str = "", size: str = "", unit: str = "Pcs") -> dict[str, Any]:
    names = {"C01": "红色", "S01": "XL", "": None}
    return {
        "FNumber": code,
        "FMaterialId.FNumber": number,
        "FAuxPropId.FF100001.FNumber": colour or None,
        "FAuxPropId.FF100001.FName": names[colour],
        "FAuxPropId.FF100002.FNumber": size or None,
        "FAuxPropId.FF100002.FName": names[size],
        "FUnitId.FNumber": unit,
    }


def tables(**forms: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    def respond(question: dict[str, Any]) -> Any:
        rows = sorted(forms.get(question["FormId"], []), key=lambda row: row["FNumber"])
        if keyset := re.search(r"FNumber (>=?) '(.*?)'", question["FilterString"]):
            compare = operator.ge if keyset[1] == ">=" else operator.gt
            rows = [row for row in rows if compare(row["FNumber"], keyset[2])]
        return rows[question["StartRow"] : question["StartRow"] + question["Limit"]]

    return respond


def test_a_material_is_its_variants(server: Server) -> None:
    codes = [
        barcode("6901234567892", "01.00001", "C01", "S01"),
        barcode("16901234567899", "01.00001", "C01", "S01", "XIANG12"),
        barcode("CODE-C", "01.00001", "C01"),
    ]
    server.answer(tables(BD_MATERIAL=[material("01.00001", FBARCODE="6900000000007")], BD_BarCodeMaster=codes))
    (page,) = make_connector().get_items()
    assert page.complete
    both = {record.item: record for record in page.records}
    assert set(both) == {"01.00001|C01|S01", "01.00001|C01"}
    shirt = both["01.00001|C01|S01"]
    assert shirt.name == "圆领T恤 红色 XL"
    assert shirt.unit == "EA"
    assert shirt.gtin == "6901234567892"
    assert set(shirt.barcodes) == {
        BarcodeRecord("6901234567892", Decimal(1)),
        BarcodeRecord("16901234567899", Decimal(12)),
    }
    assert shirt.attributes == {"colour": "红色", "size": "XL"}
    assert both["01.00001|C01"].gtin is None


def test_a_material_without_variants_is_one_item_with_its_own_codes(server: Server) -> None:
    rows = [
        material(
            "02.00007", FName="茶叶", FBARCODE="6901234567892", FForbidStatus="B", **{"FBaseUnitId.FNumber": "kg"}
        ),
        material("02.00008"),
        material("02.00009", FDocumentStatus="A"),
    ]
    server.answer(
        tables(BD_MATERIAL=rows, BD_BarCodeMaster=[barcode("6901234567892", "02.00007"), barcode("X1", "ZZ")])
    )
    (page,) = make_connector().get_items()
    tea, bare = page.records
    assert (tea.item, tea.name, tea.unit, tea.active) == ("02.00007", "茶叶", "KG", False)
    assert tea.barcodes == (BarcodeRecord("6901234567892", Decimal(1)),)
    assert tea.gtin == "6901234567892"
    assert tea.attributes == {}
    assert (bare.item, bare.barcodes, bare.gtin, bare.active) == ("02.00008", (), None, True)


def test_an_unmapped_unit_rejects_the_barcode_and_its_variant_goes_on(server: Server) -> None:
    codes = [barcode("1", "01.00001", "C01", "S01", "TUO"), barcode("2", " ", "C01")]
    server.answer(tables(BD_MATERIAL=[material("01.00001")], BD_BarCodeMaster=codes))
    (page,) = make_connector().get_items()
    assert [record.item for record in page.records] == ["01.00001|C01|S01"]
    assert [record.barcodes for record in page.records] == [()]
    assert next((bad.reason, bad.item) for bad in page.rejected) == ("unmapped_value", "01.00001|C01|S01")


def test_a_material_that_fails_is_rejected_and_the_rest_goes_on(server: Server) -> None:
    rows = [material("A1", **{"FBaseUnitId.FNumber": "m"}), material("A2"), material("A3")]
    server.answer(tables(BD_MATERIAL=rows))
    pages = list(make_connector(page_rows=2, barcode_form=None).get_items())
    assert [record.item for page in pages for record in page.records] == ["A2", "A3"]
    assert [(bad.reason, bad.item) for page in pages for bad in page.rejected] == [("unmapped_value", "A1")]
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    assert {question["FormId"] for question in server.asked} == {"BD_MATERIAL"}


def test_the_questions_read_one_organisation_by_number_without_fid(server: Server) -> None:
    server.answer(tables(BD_MATERIAL=[material("A1"), material("A2"), material("A3")]))
    list(make_connector(page_rows=2).get_items())
    codes, first, second, *_ = server.asked
    assert codes["FormId"] == "BD_BarCodeMaster"
    assert first["FilterString"] == "FUseOrgId.FNumber = '100'"
    assert second["FilterString"] == "FNumber > 'A1' AND FUseOrgId.FNumber = '100'"
    assert first["OrderString"] == "FNumber ASC"
    assert "FID" not in first["FieldKeys"].split(",")


def test_locations_are_the_usable_ones_each_once(server: Server) -> None:
    def place(number: str, name: str | None = "仓", status: str = "C", forbidden: str = "A") -> dict[str, Any]:
        return {"FNumber": number, "FName": name, "FDocumentStatus": status, "FForbidStatus": forbidden}

    rows = [
        place("ck001", "总仓"),
        place("ck001", "总仓"),
        place("CK3"),
        place("CK4", status="A"),
        place("CK5", forbidden="B"),
    ]
    server.answer(tables(BD_STOCK=[*rows, place("CK6", None)]))
    found = make_connector().get_locations()
    assert sorted(found, key=lambda place: place.name) == [LocationRecord("CK3", "仓"), LocationRecord("CK001", "总仓")]
