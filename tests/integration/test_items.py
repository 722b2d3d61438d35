"""Which item is it? Articles of two ERPs become one list, without a silent merge."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from stdnum import ean

from hub.errors import ConfigError, Truncated
from hub.items.store import ItemReport, load_cross_reference, sync_items
from tests.fake_erp import FakeErp, article, carton

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Hub


def gtin(number: int) -> str:
    body = f"690123{number:06d}"
    return body + ean.calc_check_digit(body)


def read(hub: Hub, source: str, *articles: object, **settings: object) -> ItemReport:
    erp = FakeErp(source)
    erp.articles = list(articles)  # type: ignore[arg-type]
    changed = hub.settings.sources[source].model_copy(update=settings)
    hub.settings = hub.settings.model_copy(update={"sources": {**hub.settings.sources, source: changed}})
    return sync_items(hub.database, erp, hub.settings)


def numbers(hub: Hub) -> dict[str, dict[str, str]]:
    """Return the sources' numbers of each SKU."""
    rows = hub.query(
        "SELECT sku, system, external_id FROM item JOIN external_reference ON our_id = item.id AND kind = 'item'"
        " WHERE sku NOT IN ('A', 'B', 'C', 'D')"
    )
    found: dict[str, dict[str, str]] = {}
    for sku, system, number in rows:
        found.setdefault(sku, {})[system] = number
    return found


def test_one_gtin_is_one_item_whatever_the_erps_call_it(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1)), article("S-2", gtin(2)))
    report = read(hub, "kingdee", article("01.001", gtin(2)), article("01.002", gtin(1)), article("01.003", gtin(3)))
    assert (report.created, report.linked, report.rejected) == (1, 3, 0)
    assert numbers(hub) == {
        "S-1": {"sap": "S-1", "kingdee": "01.002"},
        "S-2": {"sap": "S-2", "kingdee": "01.001"},
        "01.003": {"kingdee": "01.003"},
    }


def test_reading_the_same_articles_again_changes_nothing(hub: Hub) -> None:
    articles = [article("S-1", gtin(1), barcodes=(carton(gtin(1), 1), carton(gtin(9), 12)))]
    read(hub, "sap", *articles)
    assert read(hub, "sap", *articles) == ItemReport("sap", 1, 0, 0, 0, 0)


def test_two_articles_of_one_erp_never_share_a_gtin(hub: Hub) -> None:
    report = read(hub, "sap", article("S-1", gtin(1)), article("S-2", gtin(1)))
    assert report.rejected == 1
    assert hub.quarantined() == {("item", "S-2@?", "identity_conflict")}
    assert hub.query("SELECT count(*) FROM item WHERE gtin = %s", gtin(1)) == [(1,)]


def test_evidence_for_two_items_is_a_conflict_that_names_both(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "cross.csv"
    file.write_text("source,external_id,sku\nkingdee,01.001,S-2\n", encoding="utf-8")
    hub.settings = hub.settings.model_copy(
        update={"items": hub.settings.items.model_copy(update={"cross_reference": file})}
    )
    read(hub, "sap", article("S-1", gtin(1)), article("S-2", gtin(2)))
    read(hub, "kingdee", article("01.001", gtin(1)))
    [(detail,)] = hub.query("SELECT detail FROM quarantine WHERE reason = 'identity_conflict'")
    assert "S-2 (by cross-reference file)" in detail
    assert "S-1 (by gtin)" in detail
    assert "kingdee" not in numbers(hub)["S-1"]


def test_a_cross_reference_links_what_nothing_else_would(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "cross.xlsx"
    import pandas as pd

    pd.DataFrame([{"source": "kingdee", "external_id": "01.001", "sku": "S-1"}]).to_excel(file, index=False)
    hub.settings = hub.settings.model_copy(
        update={"items": hub.settings.items.model_copy(update={"cross_reference": file})}
    )
    read(hub, "sap", article("S-1"))
    read(hub, "kingdee", article("01.001"))
    assert numbers(hub)["S-1"] == {"sap": "S-1", "kingdee": "01.001"}


def test_the_number_identifies_after_its_transform(hub: Hub) -> None:
    read(hub, "sap", article("4711"), article("0815", gtin(5)))
    report = read(
        hub,
        "kingdee",
        article("0004711"),
        article("K-9", gtin(5)),
        item_identity="number",
        number_transform="strip_zeros",
    )
    assert numbers(hub)["4711"] == {"sap": "4711", "kingdee": "0004711"}
    assert report.rejected == 1  # the same GTIN under another number is for people to settle
    assert hub.quarantined() == {("item", "K-9@?", "identity_conflict")}


def test_a_gtin_that_two_erps_see_differently_is_a_conflict(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1)))
    read(hub, "kingdee", article("01.001", gtin(1)))
    report = read(hub, "kingdee", article("01.001", gtin(7)))
    assert report.rejected == 1
    assert hub.quarantined() == {("item", "01.001@?", "gtin_differs")}
    assert hub.query("SELECT gtin FROM item WHERE sku = 'S-1'") == [(gtin(1),)]
    read(hub, "kingdee", article("01.001", gtin(1)))
    assert hub.quarantined() == set()


def test_two_articles_may_swap_their_gtins_in_one_read(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1)))
    read(hub, "sap", article("S-1", gtin(3)), article("S-2", gtin(1)))
    assert dict(hub.query("SELECT sku, gtin FROM item WHERE gtin IS NOT NULL")) == {"S-1": gtin(3), "S-2": gtin(1)}


def test_a_carton_answers_in_base_units_and_belongs_to_one_item(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1), barcodes=(carton(gtin(1), 1), carton(gtin(9), 12))))
    report = read(hub, "sap", article("S-1", gtin(1)), article("S-2", gtin(2), barcodes=(carton(gtin(9), 6),)))
    assert dict(hub.query("SELECT code, factor FROM barcode")) == {gtin(1): Decimal(1), gtin(9): Decimal(12)}
    assert report.rejected == 1
    assert hub.quarantined() == {("item", "S-2@?", "barcode_taken")}


def test_the_gtin_of_anothers_carton_is_no_identity(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1), barcodes=(carton(gtin(9), 12),)))
    read(hub, "kingdee", article("01.001", gtin(9)))
    assert hub.quarantined() == {("item", "01.001@?", "identity_conflict")}


def test_a_different_base_unit_is_a_conflict(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1)))
    read(hub, "kingdee", article("01.001", gtin(1), unit="KG"))
    assert hub.quarantined() == {("item", "01.001@?", "unit_conflict")}


def test_a_source_that_gives_no_skus_only_matches(hub: Hub) -> None:
    hub.settings = hub.settings.model_copy(
        update={"items": hub.settings.items.model_copy(update={"sku_from": ["sap"]})}
    )
    report = read(hub, "kingdee", article("01.001", gtin(1)))
    assert (report.created, report.rejected) == (0, 1)


def test_the_master_describes_and_others_do_not(hub: Hub) -> None:
    read(hub, "sap", article("S-1", gtin(1), name="羽绒服", category="服装"))
    read(hub, "kingdee", article("01.001", gtin(1), name="羽绒服（金蝶）"))
    assert hub.query("SELECT name, category FROM item WHERE sku = 'S-1'") == [("羽绒服", "服装")]
    read(hub, "sap", article("S-1", gtin(1), name="轻薄羽绒服", category="服装", active=False))
    assert hub.query("SELECT name, active FROM item WHERE sku = 'S-1'") == [("轻薄羽绒服", False)]


def test_a_list_of_articles_that_ends_early_is_not_used(hub: Hub) -> None:
    erp = FakeErp("sap")
    erp.articles, erp.ends_early = [article("S-1")], True
    with pytest.raises(Truncated):
        sync_items(hub.database, erp, hub.settings)
    assert numbers(hub) == {}


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("source,external_id\nsap,1\n", 1, "columns missing: sku"),
        ("source,external_id,sku\nsap,1,A\nsap,,B\n", 3, "must all be given"),
        ("source,external_id,sku\nsap,1,A\nsap,1,B\n", 3, "second SKU"),
    ],
)
def test_a_wrong_cross_reference_file_is_refused(tmp_path: Path, content: str, line: int, says: str) -> None:
    file = tmp_path / "cross.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        load_cross_reference(file)
    assert caught.value.line == line
