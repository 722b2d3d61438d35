"""The window of material documents, and the keys that documents and events name."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.sap.changes import NO_LINES, LineNumbers, Window
from hub.contracts import PushedEvent, StockKey
from hub.errors import AuthFailed, ProtocolViolation, RecordError, Rejected, Truncated, Unavailable

from .support import DOCUMENT_URL, ROOT, collection, document, error, item, make_connector, query_of

HEADERS = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
ITEM_URL = f"{ROOT}/API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentItem"
EVENT = PushedEvent("e1", "created", {"MaterialDocument": "49", "MaterialDocumentYear": "2026"})


def answer(sap: responses.RequestsMock, *bodies: str) -> None:
    for body in bodies:
        sap.add(responses.GET, DOCUMENT_URL, body=body)


def answer_items(sap: responses.RequestsMock, *items: dict[str, Any]) -> None:
    sap.add(responses.GET, ITEM_URL, body=collection(list(items), count=len(items)))


def cursor(at: str | None = "2026-11-22T10:00:00", lines: str = "1-1", **seen: str) -> dict[str, Any]:
    documents = {f"2026/{number[1:]}": created for number, created in seen.items()}
    return {"at": at, "seen": documents, "lines": dict.fromkeys(documents, lines)}


def key(name: str, place: str = "1010/101A") -> StockKey:
    return StockKey(name, place)


def test_first_call_names_nothing_and_begins_at_the_newest_document(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("49", "PT10H11M12S")]))
    changes = make_connector().changed_keys(None)
    assert changes.keys == frozenset()
    assert changes.cursor == cursor("2026-11-22T10:11:12")
    query = query_of(sap, 0)
    assert (query["$orderby"], query["$top"]) == ("CreationDate desc,CreationTime desc", "1")
    assert "$expand" not in query


def test_first_call_of_an_empty_system_needs_no_clock(sap: responses.RequestsMock) -> None:
    answer(sap, collection([]), collection([document("1", "PT8H")], count=1))
    answer_items(sap, item("1", "0001", "A"))
    connector = make_connector()
    first = connector.changed_keys(None)
    assert first.cursor == cursor(None)
    assert connector.changed_keys(first.cursor).keys == {key("A")}
    assert "$filter" not in query_of(sap, 1)


def test_newest_document_without_a_time(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("49", "")]))
    with pytest.raises(ProtocolViolation):
        make_connector().changed_keys(None)


def test_next_call_looks_back_and_names_new_documents_only(sap: responses.RequestsMock) -> None:
    answer(
        sap,
        collection(
            [
                document("48", "PT9H58M"),
                document("49", "PT9H59M"),
                document("50", "PT10H20M"),
            ],
            count="3",
        ),
    )
    answer_items(sap, item("49", "0001", "LATE"), item("50", "0001", "NEW", "101B"))
    changes = make_connector().changed_keys(cursor(d48="2026-11-22T09:58:00"))
    assert changes.keys == {key("LATE"), key("NEW", "1010/101B")}
    # whatever may not be whole yet is met again, so the next look reaches back to it
    assert changes.cursor == {
        **cursor(
            "2026-11-22T10:20:00",
            d48="2026-11-22T09:58:00",
            d49="2026-11-22T09:59:00",
            d50="2026-11-22T10:20:00",
        ),
        "quiet": {"2026/48": 1},
    }
    assert json.loads(json.dumps(changes.cursor)) == changes.cursor
    day = "datetime'2026-11-22T00:00:00'"
    assert query_of(sap, 0) == {
        "$filter": f"((CreationDate gt {day}) or (CreationDate eq {day} and CreationTime ge time'PT09H55M00S'))",
        "$orderby": "CreationDate,CreationTime,MaterialDocumentYear,MaterialDocument",
        "$select": "MaterialDocumentYear,MaterialDocument,CreationDate,CreationTime,ReferenceDocument",
        "$top": "5000",
        "$inlinecount": "allpages",
        "$format": "json",
        "sap-client": "100",
        "sap-language": "ZH",
    }
    items = query_of(sap, 1)
    assert items["$filter"] == (
        "((MaterialDocumentYear eq '2026' and (MaterialDocument eq '49' or MaterialDocument eq '50')) or"
        " (MaterialDocumentYear eq '2026' and MaterialDocumentItem gt '0001' and MaterialDocument eq '48'))"
    )
    assert items["$orderby"] == "MaterialDocumentYear,MaterialDocument,MaterialDocumentItem"
    assert "IssuingOrReceivingStorageLoc" in items["$select"]


def test_window_reaches_over_midnight(sap: responses.RequestsMock) -> None:
    answer(sap, collection([], count=0))
    answer(sap, collection([document("49", "PT0H2M0S")]))
    changes = make_connector().changed_keys(cursor("2026-11-22T00:02:00"))
    assert "CreationDate gt datetime'2026-11-21T00:00:00'" in query_of(sap, 0)["$filter"]
    assert "time'PT23H57M00S'" in query_of(sap, 0)["$filter"]
    assert changes.cursor["at"] == "2026-11-22T00:02:00"


def test_an_empty_window_is_no_quiet_hour_when_no_document_can_be_seen(sap: responses.RequestsMock) -> None:
    answer(sap, collection([], count=0))
    answer(sap, collection([], count=0))
    with pytest.raises(Truncated, match="display rights"):
        make_connector().changed_keys(cursor("2026-11-22T00:02:00"))


def test_seen_documents_stay_in_the_cursor_while_the_window_meets_them(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("50", "PT10H0M0S")], count=1))
    answer_items(sap)
    before = cursor(d50="2026-11-22T10:00:00", d40="2026-11-22T09:00:00")
    changes = make_connector().changed_keys(before)
    assert changes.keys == frozenset()
    assert changes.cursor == {**cursor(d50="2026-11-22T10:00:00"), "quiet": {"2026/50": 1}}


def test_lines_are_asked_for_until_two_looks_have_found_none(sap: responses.RequestsMock) -> None:
    connector, left = make_connector(), cursor()
    headers = collection([document("50", "PT10H20M")], count=1)
    for found in ([item("50", "0001", "A")], [], [item("50", "0002", "B")], [], []):
        answer(sap, headers)
        answer_items(sap, *found)
        changes = connector.changed_keys(left)
        assert changes.keys == {key(row["Material"]) for row in found}
        left = changes.cursor
    asked = len(sap.calls)
    answer(sap, headers)
    assert connector.changed_keys(left).keys == frozenset()
    assert len(sap.calls) == asked + 1  # the headers alone


def test_both_sides_of_transfers_are_named_and_foreign_places_are_not(sap: responses.RequestsMock) -> None:
    lines = [
        item("50", "0001", "A", "101A", IssuingOrReceivingPlant="1010", IssuingOrReceivingStorageLoc="101B"),
        item("50", "0002", "B", "9999", IssuingOrReceivingStorageLoc="101B", IssgOrRcvgMaterial="B2"),
        item("50", "0003", "C", "101A", IssuingOrReceivingPlant="1020", IssuingOrReceivingStorageLoc="X"),
        item("50", "0004", "", "101A"),
        item("50", "0005", "D", ""),
        item("50", "0006", " ", "101A"),
    ]
    answer(sap, collection([document("50", "PT10H20M")], count=1))
    answer_items(sap, *lines)
    changes = make_connector().changed_keys(cursor())
    assert changes.keys == {key("A"), key("A", "1010/101B"), key("B2", "1010/101B"), key("C")}


def test_many_documents_are_asked_for_in_filters_that_fit_an_address(sap: responses.RequestsMock) -> None:
    numbers = [f"49{number:08}" for number in range(100)]
    answer(sap, collection([document(number, "PT10H20M") for number in numbers], count=100))
    for first in (0, 42, 84):  # as many as 1,500 characters take
        answer_items(sap, *(item(number, "0001", number) for number in numbers[first : first + 42]))
    assert make_connector().changed_keys(cursor()).keys == {key(number) for number in numbers}
    filters = [query_of(sap, number)["$filter"] for number in (1, 2, 3)]
    assert max(map(len, filters)) <= 1500
    assert [number for text in filters for number in re.findall(r"MaterialDocument eq '(\d+)'", text)] == numbers


def test_items_of_a_large_document_come_in_pages(sap: responses.RequestsMock) -> None:
    lines = [item("50", f"{number:04}", f"M{number}") for number in range(1, 6)]
    answer(sap, collection([document("50", "PT10H20M")], count=1))
    for first, left in ((0, 5), (2, 3), (4, 1)):
        sap.add(responses.GET, ITEM_URL, body=collection(lines[first : first + 3], count=left))
    connector = make_connector(page_rows=3)
    assert connector.changed_keys(cursor()).keys == {key(f"M{number}") for number in range(1, 6)}
    assert query_of(sap, 2)["$filter"].endswith(
        " and ((MaterialDocumentYear gt '2026') or (MaterialDocumentYear eq '2026' and MaterialDocument gt '50') or"
        " (MaterialDocumentYear eq '2026' and MaterialDocument eq '50' and MaterialDocumentItem gt '0002'))"
    )


def test_a_document_that_shows_before_its_items_is_met_again(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("50", "PT10H20M")], count=1))
    answer_items(sap)
    connector = make_connector()
    first = connector.changed_keys(cursor())
    assert (first.keys, first.cursor) == (frozenset(), cursor("2026-11-22T10:20:00", "", d50="2026-11-22T10:20:00"))
    answer(sap, collection([document("50", "PT10H20M")], count=1))
    answer_items(sap, item("50", "0001", "A"))
    assert connector.changed_keys(first.cursor).keys == {key("A")}


def test_items_of_an_event_that_are_cut_or_deferred_are_fetched(sap: responses.RequestsMock) -> None:
    url = f"{DOCUMENT_URL}(MaterialDocumentYear='2026',MaterialDocument='49')"
    items_url = f"{ROOT}/{HEADERS}('49')/to_MaterialDocumentItem"
    link = f"http://inner/sap/opu/odata/sap/{HEADERS}('49')/to_MaterialDocumentItem"
    sap.add(responses.GET, url, body=json.dumps({"d": document("49", "PT10H", {"__deferred": {"uri": link}})}))
    sap.add(responses.GET, items_url, body=collection([item("49", "0001", "A")], link=f"{link}?$skiptoken=1"))
    sap.add(responses.GET, items_url, body=collection([item("49", "0002", "B")]))
    assert make_connector().event_keys(EVENT) == {key("A"), key("B")}


def test_next_links_are_followed(sap: responses.RequestsMock) -> None:
    link = f"http://inner/sap/opu/odata/sap/{HEADERS}?$skiptoken=1"
    answer(
        sap,
        collection([document("50", "PT10H20M")], count="2", link=link),
        collection([document("51", "PT10H21M")]),
    )
    answer_items(sap, item("50", "0001", "A"), item("51", "0001", "B"))
    assert make_connector().changed_keys(cursor()).keys == {key("A"), key("B")}


def test_silent_cap_is_read_on_from_the_last_document(sap: responses.RequestsMock) -> None:
    answer(
        sap,
        collection([document("50", "PT10H20M")], count=2),
        collection([document("50", "PT10H20M"), document("51", "PT10H21M")], count=2),
    )
    answer_items(sap, item("50", "0001", "A"), item("51", "0001", "B"))
    assert make_connector().changed_keys(cursor()).keys == {key("A"), key("B")}
    assert (
        "CreationTime eq time'PT10H20M00S' and MaterialDocumentYear eq '2026' and MaterialDocument gt '50'"
        in (query_of(sap, 1)["$filter"])
    )


def test_without_a_count_documents_end_when_nothing_new_comes(sap: responses.RequestsMock) -> None:
    body = collection([document("50", "PT10H20M")])
    answer(sap, body, body)
    answer_items(sap, item("50", "0001", "A"))
    assert make_connector().changed_keys(cursor()).keys == {key("A")}


def test_documents_held_back_are_an_error(sap: responses.RequestsMock) -> None:
    body = collection([document("50", "PT10H20M")], count=2)
    answer(sap, body, body)
    with pytest.raises(ProtocolViolation, match="held back"):
        make_connector().changed_keys(cursor())


def test_window_survives_its_cursor() -> None:
    present = datetime(2026, 11, 22, 12)  # noqa: DTZ001 - SAP's own clock
    window = Window.load(cursor(d50="2026-11-22T10:00:00"), timedelta(seconds=300), present)
    assert window.dump() == cursor(d50="2026-11-22T10:00:00")


def test_items_that_show_later_than_others_of_their_document_are_named(sap: responses.RequestsMock) -> None:
    lines = [item("50", f"{number:04}", f"M{number}") for number in range(1, 8)]
    connector = make_connector()
    at = cursor()
    asked = []
    for served in ([1, 2, 6], [3, 4, 7], [5], []):
        answer(sap, collection([document("50", "PT10H20M")], count=1))
        answer_items(sap, *(lines[number - 1] for number in served))
        changes = connector.changed_keys(at)
        assert changes.keys == {key(f"M{number}") for number in served}
        asked.append(query_of(sap, len(sap.calls) - 1)["$filter"].partition(" and ")[2].rpartition(" and ")[0])
        at = changes.cursor
    gap = "MaterialDocumentItem gt '{}' and MaterialDocumentItem lt '{}'"
    assert asked == [
        "",
        f"({gap.format('0002', '0006')} or MaterialDocumentItem gt '0006')",
        f"({gap.format('0004', '0006')} or MaterialDocumentItem gt '0007')",
        "MaterialDocumentItem gt '0007'",
    ]


def test_a_document_older_than_the_look_back_is_met_twice_too(sap: responses.RequestsMock) -> None:
    """Behind a reader that was away for long, only part of a document's items may come as well."""
    headers = [document("50", "PT10H20M"), document("51", "PT11H50M")]
    answer(sap, collection(headers, count=2))
    answer_items(sap, item("50", "0001", "A"), item("51", "0001", "B"))
    connector = make_connector()
    first = connector.changed_keys(cursor())
    answer(sap, collection(headers, count=2))
    answer_items(sap, item("50", "0002", "C"))
    assert connector.changed_keys(first.cursor).keys == {key("C")}
    assert "time'PT10H20M00S'" in query_of(sap, 2)["$filter"]


def test_a_document_of_the_future_does_not_move_the_cursor_past_the_present(sap: responses.RequestsMock) -> None:
    early = document("50", "PT23H0M0S")
    answer(sap, collection([early], count=1))
    answer_items(sap, item("50", "0001", "A"))
    connector = make_connector()
    first = connector.changed_keys(cursor())
    assert (first.keys, first.cursor["at"]) == ({key("A")}, "2026-11-22T12:00:00")
    answer(sap, collection([document("51", "PT11H59M"), early], count=2))
    answer_items(sap, item("51", "0001", "B"))
    assert connector.changed_keys(first.cursor).keys == {key("B")}
    assert "time'PT11H55M00S'" in query_of(sap, 2)["$filter"]


def test_a_cursor_is_not_believed_when_the_clock_was_set_back(sap: responses.RequestsMock) -> None:
    """In the hour that comes twice in autumn, and where a cursor was taken from a document of the future."""
    answer(sap, collection([document("50", "PT11H59M")], count=1))
    answer_items(sap, item("50", "0001", "A"))
    changes = make_connector().changed_keys(cursor("2026-11-22T12:59:59"))
    assert "time'PT11H55M00S'" in query_of(sap, 0)["$filter"]
    assert (changes.keys, changes.cursor["at"]) == ({key("A")}, "2026-11-22T12:00:00")


def test_a_first_look_begins_no_later_than_now(sap: responses.RequestsMock) -> None:
    answer(sap, collection([document("49", "PT13H0M0S")]))
    assert make_connector().changed_keys(None).cursor == cursor("2026-11-22T12:00:00")
    answer(sap, collection([document("49", "PT13H0M0S")]))
    berlin = make_connector(time_zone="Europe/Berlin").changed_keys(None)
    assert berlin.cursor == cursor("2026-11-22T05:00:00")


@given(numbers=st.lists(st.lists(st.integers(1, 60), max_size=20), max_size=4))
def test_lines_are_remembered_and_all_others_lie_in_the_gaps(numbers: list[list[int]]) -> None:
    lines = NO_LINES
    for some in numbers:
        lines = LineNumbers.parse(str(lines.add(some)))
    known = {number for some in numbers for number in some}
    inside = {n for n in range(1, 99) if any(low < n and (high is None or n < high) for low, high in lines.gaps)}
    assert {number for number in range(1, 99) if number in lines} == known
    assert inside >= set(range(1, 99)) - known
    assert len(lines.gaps) <= 4
    assert len(lines.ranges) > 3 or not inside & known


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
