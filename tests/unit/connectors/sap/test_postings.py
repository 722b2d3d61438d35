"""What material documents did under the numbers that they carry, and what took it back."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import responses

from connectors.erp.sap.changes import Document, Window, read_posting
from connectors.erp.sap.mapper import SapMapper
from hub.contracts import Changes, Posting, StockKey
from hub.mapping import MovedKey

from .support import DOCUMENT_URL, MAPPINGS, ROOT, collection, document, item, make_connector, query_of

if TYPE_CHECKING:
    from pathlib import Path

ITEM_URL = f"{ROOT}/API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentItem"
A, B = StockKey("A", "1010/101A"), StockKey("A", "1010/101B")


def look(
    sap: responses.RequestsMock,
    headers: list[dict[str, Any]],
    items: list[dict[str, Any]],
    cursor: dict[str, Any] | None = None,
    connector: Any = None,
) -> Changes:
    sap.add(responses.GET, DOCUMENT_URL, body=collection(headers, count=len(headers)))
    sap.add(responses.GET, ITEM_URL, body=collection(items, count=len(items)))
    connector = connector or make_connector()
    changes: Changes = connector.changed_keys(cursor or {"at": "2026-11-22T10:00:00", "seen": {}, "lines": {}})
    return changes


def header(number: str = "50", time: str = "PT10H20M", reference: str = "R-1") -> dict[str, Any]:
    return document(number, time, reference=reference)


def reversal(number: str, line: str, of: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """Return an item that cancels another one: (number, line)."""
    reversed_item = {
        "DebitCreditCode": "S",
        "ReversedMaterialDocumentYear": "2026",
        "ReversedMaterialDocument": of[0],
        "ReversedMaterialDocumentItem": of[1],
    }
    return item(number, line, "A", **{**reversed_item, **changes})


def told(line: str, quantity: str, key: StockKey = A, *, reference: str = "R-1", posted: bool = True) -> Posting:
    return Posting(line, "", reference, key, Decimal(quantity), posted)


def gone(line: str, key: StockKey = A) -> Posting:
    return told(line, "0", key, reference="", posted=False)


def test_items_tell_what_they_took_and_brought_under_the_number_of_their_document(sap: responses.RequestsMock) -> None:
    items = [
        item("50", "0001", "A", QuantityInBaseUnit="2.125"),
        item("50", "2", "A", "101B", DebitCreditCode="S", QuantityInBaseUnit=3),
        item("50", "0003", "A", "9999"),
        item("51", "0001", "A"),
    ]
    changes = look(sap, [header(reference=" R-1 "), header("51", reference="")], items)
    assert changes.postings == (told("2026/0050/0001", "2.125"), told("2026/0050/0002", "-3", B))
    assert changes.keys == {A, B}
    assert query_of(sap, 0)["$select"].endswith(",ReferenceDocument")
    assert {"DebitCreditCode", "GoodsMovementIsCancelled"} <= set(query_of(sap, 1)["$select"].split(","))
    assert "Header" not in query_of(sap, 1)["$select"]


def test_the_first_look_tells_of_no_number(sap: responses.RequestsMock) -> None:
    sap.add(responses.GET, DOCUMENT_URL, body=collection([header()]))
    assert make_connector().changed_keys(None).postings == ()


def test_an_item_that_shows_later_than_its_document_is_told_alone(sap: responses.RequestsMock) -> None:
    connector = make_connector()
    first = look(sap, [header()], [item("50", "0001", "A")], connector=connector)
    assert first.postings == (told("2026/0050/0001", "1"),)
    second = look(sap, [header()], [item("50", "0002", "A")], first.cursor, connector)
    assert second.postings == (told("2026/0050/0002", "1"),)
    third = look(sap, [header()], [], second.cursor, connector)
    assert third.keys == frozenset()
    assert third.postings == ()


def test_each_side_of_a_transfer_tells_of_itself_and_none_is_counted_twice(sap: responses.RequestsMock) -> None:
    there = {"IssuingOrReceivingPlant": "1010", "IssuingOrReceivingStorageLoc": "101B"}
    here = {**there, "IssuingOrReceivingStorageLoc": "101A"}
    items = [
        item("50", "0001", "A", QuantityInBaseUnit="4", **there),
        item("50", "0002", "A", "101B", QuantityInBaseUnit="4", DebitCreditCode="S", **here),
    ]
    changes = look(sap, [header()], items)
    assert changes.postings == (told("2026/0050/0001", "4"), told("2026/0050/0002", "-4", B))
    assert look(sap, [header()], items[:1]).keys == {A, B}


def test_what_cancels_an_item_takes_it_back_and_is_no_posting_of_its_own(sap: responses.RequestsMock) -> None:
    cancelled = reversal("51", "0001", ("50", "1"))
    for reference in ("R-1", ""):
        changes = look(sap, [header("51", reference=reference)], [cancelled])
        assert changes.keys == {A}
        assert changes.postings == (gone("2026/0050/0001"),)
    elsewhere = reversal("51", "0001", ("50", "1"), StorageLocation="9999")
    assert look(sap, [header("51")], [elsewhere]).postings == ()


@pytest.mark.parametrize("blank", ["", "0", None])
def test_what_reverses_nothing_may_be_written_in_several_ways(sap: responses.RequestsMock, blank: str | None) -> None:
    nothing: dict[str, Any] = {"ReversedMaterialDocumentYear": blank and "0000", "ReversedMaterialDocumentItem": blank}
    changes = look(sap, [header()], [item("50", "0001", "A", **nothing, ReversedMaterialDocument=blank and "")])
    assert changes.postings == (told("2026/0050/0001", "1"),)


def test_an_item_that_is_cancelled_when_it_is_first_seen_does_not_stand(sap: responses.RequestsMock) -> None:
    changes = look(sap, [header()], [item("50", "0001", "A", GoodsMovementIsCancelled=True)])
    assert changes.postings == (told("2026/0050/0001", "1", posted=False),)


def test_the_last_word_on_an_item_is_that_it_was_taken_back(sap: responses.RequestsMock) -> None:
    """Both were posted in one second, and the one that cancels has the lower number."""
    items = [reversal("49", "0001", ("50", "0001")), item("50", "0001", "A")]
    changes = look(sap, [header("49"), header("50")], items)
    assert changes.postings == (told("2026/0050/0001", "1"), gone("2026/0050/0001"))


@pytest.mark.parametrize("sign", [None, "", "X"])
def test_an_item_of_which_nobody_can_tell_what_it_did_names_its_key_alone(
    sap: responses.RequestsMock, sign: str | None
) -> None:
    changes = look(sap, [header()], [item("50", "0001", "A", DebitCreditCode=sign)])
    assert changes.keys == {A}
    assert changes.postings == ()


def test_a_mapping_file_that_knows_nothing_of_references_names_keys_as_before(tmp_path: Path) -> None:
    folder = MAPPINGS / "erp" / "sap"
    for name in ("stock", "article", "barcode"):
        (tmp_path / f"{name}.yaml").write_bytes((folder / f"{name}.yaml").read_bytes())
    (tmp_path / "movement.yaml").write_text(
        "version: 7\nsource: {system: sap, object: A_MaterialDocumentItem}\ntarget: MovedKey\n"
        "fields:\n"
        "  item: {from: Material, required: true}\n"
        '  location: {from: [Plant, StorageLocation], transform: [{join: "/"}], required: true}\n'
        "examples:\n  - {in: {Material: A, Plant: P, StorageLocation: S}, out: {item: A, location: P/S}}\n",
        encoding="utf-8",
    )
    mapper = SapMapper(tmp_path, ("ZH",))
    assert (mapper.header_fields, mapper.moved_fields[:3]) == ((), ("Material", "Plant", "StorageLocation"))
    [moved], rejected = mapper.parse_moved(header(), [item("50", "0001", "A")])
    assert (moved, rejected, read_posting(moved)) == (MovedKey("A", "1010/101A"), [], None)


@pytest.mark.parametrize("lacking", [{"reference": ""}, {"line_id": ""}, {"quantity": None}])
def test_half_a_posting_is_none(lacking: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"line_id": "2026/50/0001", "reference": "R-1", "quantity": Decimal(1)}
    assert read_posting(MovedKey("A", "1010/101A", **whole)) == told("2026/50/0001", "1")
    assert read_posting(MovedKey("A", "1010/101A", **{**whole, **lacking})) is None


def test_a_document_without_a_readable_time_is_told_as_well() -> None:
    window = Window(None, timedelta(seconds=300), datetime(2026, 11, 22, 12))  # noqa: DTZ001 - SAP's own clock
    posting = told("2026/50/0001", "1")
    changes = window.advance([Document("2026/50", None, frozenset({1}), frozenset({A}), (posting,))])
    assert changes.keys == {A}
    assert changes.postings == (posting,)
    assert changes.cursor["at"] is None
