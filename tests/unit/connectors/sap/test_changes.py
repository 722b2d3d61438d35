"""The window of material documents, and the keys that documents and events name."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import responses

from connectors.erp.sap.changes import Window
from hub.contracts import PushedEvent, StockKey
from hub.errors import AuthFailed, ProtocolViolation, RecordError, Rejected, Unavailable

from .support import DOCUMENT_URL, ROOT, collection, document, error, item, make_connector, query_of

HEADERS = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
EVENT = PushedEvent("e1", "created", {"MaterialDocument": "49", "MaterialDocumentYear": "2026"})


def answer(sap: responses.RequestsMock, *bodies: str) -> None:
    for body in bodies:
        sap.add(responses.GET, DOCUMENT_URL, body=body)


def cursor(at: str | None = "2026-11-22T10:00:00", **seen: str) -> dict[str, Any]:
    return {"at": at, "seen": {f"2026/{number[1:]}": created for number, created in seen.items()}}


def key(name: str, place: str = "1010/101A") -> StockKey:
    return StockKey(name, place)


def test_first_call_names_nothing_and_begins_at_the_newest_document(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("49", "PT10H11M12S", [])]))
    changes = make_connector().changed_keys(None)
    assert changes.keys == frozenset()
    assert changes.cursor == {"at": "2026-11-22T10:11:12", "seen": {}}
    query = query_of(sap, 0)
    assert (query["$orderby"], query["$top"]) == ("CreationDate desc,CreationTime desc", "1")
    assert "$expand" not in query


def test_first_call_of_an_empty_system_needs_no_clock(sap: responses.RequestsMock) -> None:
    answer(sap, collection([]), collection([document("1", "PT8H", [item("1", "0001", "A")])], count=1))
    connector = make_connector()
    first = connector.changed_keys(None)
    assert first.cursor == {"at": None, "seen": {}}
    assert connector.changed_keys(first.cursor).keys == {key("A")}
    assert "$filter" not in query_of(sap, 1)


def test_newest_document_without_a_time(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("49", "", [])]))
    with pytest.raises(ProtocolViolation):
        make_connector().changed_keys(None)


def test_next_call_looks_back_and_names_new_documents_only(sap: responses.RequestsMock) -> None:
    answer(
        sap,
        collection(
            [
                document("48", "PT9H58M", [item("48", "0001", "OLD")]),
                document("49", "PT9H59M", [item("49", "0001", "LATE")]),
                document("50", "PT10H20M", [item("50", "0001", "NEW", "101B")]),
            ],
            count="3",
        ),
    )
    changes = make_connector().changed_keys(cursor(d48="2026-11-22T09:58:00"))
    assert changes.keys == {key("LATE"), key("NEW", "1010/101B")}
    assert changes.cursor == {"at": "2026-11-22T10:20:00", "seen": {"2026/50": "2026-11-22T10:20:00"}}
    assert json.loads(json.dumps(changes.cursor)) == changes.cursor
    day = "datetime'2026-11-22T00:00:00'"
    assert query_of(sap, 0) == {
        "$filter": f"((CreationDate gt {day}) or (CreationDate eq {day} and CreationTime ge time'PT09H55M00S'))",
        "$orderby": "CreationDate,CreationTime,MaterialDocumentYear,MaterialDocument",
        "$expand": "to_MaterialDocumentItem",
        "$top": "1000",
        "$inlinecount": "allpages",
        "$format": "json",
        "sap-client": "100",
        "sap-language": "ZH",
    }


def test_window_reaches_over_midnight(sap: responses.RequestsMock) -> None:
    answer(sap, collection([], count=0))
    changes = make_connector().changed_keys(cursor("2026-11-22T00:02:00"))
    assert "CreationDate gt datetime'2026-11-21T00:00:00'" in query_of(sap, 0)["$filter"]
    assert "time'PT23H57M00S'" in query_of(sap, 0)["$filter"]
    assert changes.cursor["at"] == "2026-11-22T00:02:00"


def test_seen_documents_stay_in_the_cursor_while_the_window_meets_them(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("50", "PT10H0M0S", [item("50", "0001", "A")])], count=1))
    before = cursor(d50="2026-11-22T10:00:00", d40="2026-11-22T09:00:00")
    changes = make_connector().changed_keys(before)
    assert changes.keys == frozenset()
    assert changes.cursor == cursor(d50="2026-11-22T10:00:00")


def test_both_sides_of_transfers_are_named_and_foreign_places_are_not(sap: responses.RequestsMock) -> None:
    lines = [
        item("50", "0001", "A", "101A", IssuingOrReceivingPlant="1010", IssuingOrReceivingStorageLoc="101B"),
        item("50", "0002", "B", "9999", IssuingOrReceivingStorageLoc="101B", IssgOrRcvgMaterial="B2"),
        item("50", "0003", "C", "101A", IssuingOrReceivingPlant="1020", IssuingOrReceivingStorageLoc="X"),
        item("50", "0004", "", "101A"),
        item("50", "0005", "D", ""),
        item("50", "0006", " ", "101A"),
    ]
    answer(sap, collection([document("50", "PT10H20M", lines)], count=1))
    changes = make_connector().changed_keys(cursor())
    assert changes.keys == {key("A"), key("A", "1010/101B"), key("B2", "1010/101B"), key("C")}


def test_items_cut_or_deferred_are_fetched(sap: responses.RequestsMock) -> None:
    url = f"{ROOT}/{HEADERS}('49')/to_MaterialDocumentItem"
    link = f"http://inner/sap/opu/odata/sap/{HEADERS}('49')/to_MaterialDocumentItem"
    answer(sap, collection([document("49", "PT10H20M", {"__deferred": {"uri": link}})], count=1))
    sap.add(responses.GET, url, body=collection([item("49", "0001", "A")], link=f"{link}?$skiptoken=1"))
    sap.add(responses.GET, url, body=collection([item("49", "0002", "B")]))
    assert make_connector().changed_keys(cursor()).keys == {key("A"), key("B")}


def test_next_links_are_followed(sap: responses.RequestsMock) -> None:
    link = f"http://inner/sap/opu/odata/sap/{HEADERS}?$skiptoken=1"
    answer(
        sap,
        collection([document("50", "PT10H20M", [item("50", "0001", "A")])], count="2", link=link),
        collection([document("51", "PT10H21M", [item("51", "0001", "B")])]),
    )
    assert make_connector().changed_keys(cursor()).keys == {key("A"), key("B")}


def test_silent_cap_is_read_on_from_the_last_document(sap: responses.RequestsMock) -> None:
    answer(
        sap,
        collection([document("50", "PT10H20M", [item("50", "0001", "A")])], count=2),
        collection(
            [
                document("50", "PT10H20M", [item("50", "0001", "A")]),
                document("51", "PT10H21M", [item("51", "0001", "B")]),
            ],
            count=2,
        ),
    )
    assert make_connector().changed_keys(cursor()).keys == {key("A"), key("B")}
    assert (
        "CreationTime eq time'PT10H20M00S' and MaterialDocumentYear eq '2026' and MaterialDocument gt '50'"
        in (query_of(sap, 1)["$filter"])
    )


def test_without_a_count_documents_end_when_nothing_new_comes(sap: responses.RequestsMock) -> None:
    body = collection([document("50", "PT10H20M", [item("50", "0001", "A")])])
    answer(sap, body, body)
    assert make_connector().changed_keys(cursor()).keys == {key("A")}


def test_documents_held_back_are_an_error(sap: responses.RequestsMock) -> None:
    body = collection([document("50", "PT10H20M", [])], count=2)
    answer(sap, body, body)
    with pytest.raises(ProtocolViolation, match="held back"):
        make_connector().changed_keys(cursor())


def test_window_survives_its_cursor() -> None:
    window = Window.load(cursor(d50="2026-11-22T10:00:00"), timedelta(seconds=300))
    assert window.dump() == cursor(d50="2026-11-22T10:00:00")


def test_event_is_looked_up(sap: responses.RequestsMock) -> None:
    url = f"{DOCUMENT_URL}(MaterialDocumentYear='2026',MaterialDocument='49')"
    body = json.dumps({"d": document("49", "PT10H", [item("49", "0001", "A"), item("49", "0002", "Z", "9999")])})
    sap.add(responses.GET, url, body=body)
    assert make_connector().event_keys(EVENT) == {key("A")}
    assert query_of(sap, 0)["$expand"] == "to_MaterialDocumentItem"


@pytest.mark.parametrize(
    ("status", "kind"), [(404, Unavailable), (400, Rejected), (403, AuthFailed)], ids=["not-yet", "refused", "no-role"]
)
def test_event_of_a_document_that_can_not_be_read(
    sap: responses.RequestsMock, status: int, kind: type[Exception]
) -> None:
    url = f"{DOCUMENT_URL}(MaterialDocumentYear='2026',MaterialDocument='49')"
    sap.add(responses.GET, url, status=status, body=error("/IWBEP/CM_MGW_RT/020", "x"))
    with pytest.raises(kind):
        make_connector().event_keys(EVENT)


def test_event_without_a_document() -> None:
    with pytest.raises(RecordError):
        make_connector().event_keys(PushedEvent("e", "created", {"MaterialDocument": "49"}))
