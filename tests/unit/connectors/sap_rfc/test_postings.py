"""What the lines of MSEG did under the number in MKPF-XBLNR, and what took it back."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from hub.contracts import Changes, Posting, StockKey
from tests.unit.connectors.sap_rfc.fake import FakeSap, make_connector, quantity

if TYPE_CHECKING:
    from connectors.erp.sap.rfc.connector import RfcConnector

HERE, THERE = StockKey("47", "1010/101A"), StockKey("47", "1010/101B")
HAM = "000000000000000047"


class Books:
    """Documents, and a connector that has seen all that were there before."""

    def __init__(self) -> None:
        self.sap = FakeSap()
        self.post("0000000001", {}, reference="")
        self.connector: RfcConnector = make_connector(self.sap)
        self.cursor = self.connector.changed_keys(self.connector.changed_keys(None).cursor).cursor

    def post(self, number: str, *lines: dict[str, str], reference: str = "R-1") -> None:
        self.sap.add("MKPF", MBLNR=number, MJAHR="2026", CPUDT="20260101", CPUTM="120000", XBLNR=reference)
        for place, line in enumerate(lines, start=1):
            self.add(number, place, **line)

    def add(self, number: str, place: int, **line: str) -> None:
        usual = {"MATNR": HAM, "WERKS": "1010", "LGORT": "101A", "SHKZG": "H", "MENGE": quantity("1.000")}
        nothing = {"SJAHR": "0000", "SMBLP": "0000"}
        self.sap.add("MSEG", MBLNR=number, MJAHR="2026", ZEILE=f"{place:04d}", **{**usual, **nothing, **line})

    def look(self) -> Changes:
        changes = self.connector.changed_keys(self.cursor)
        self.cursor = changes.cursor
        return changes


@pytest.fixture
def books() -> Books:
    return Books()


def told(line: str, number: str, key: StockKey = HERE, **more: Any) -> Posting:
    return Posting(line, "", more.pop("reference", "R-1"), key, Decimal(number), **more)


def gone(line: str, key: StockKey = HERE) -> Posting:
    return told(line, "0", key, reference="", posted=False)


def test_the_first_look_tells_of_no_number(books: Books) -> None:
    books.post("4900000050", {})
    assert books.connector.changed_keys(None).postings == ()


def test_lines_tell_what_they_took_and_brought_under_the_number_of_their_document(books: Books) -> None:
    books.post("4900000050", {"MENGE": quantity("2.125")}, {"LGORT": "101B", "SHKZG": "S"}, {"LGORT": "9999"})
    books.post("4900000051", {}, reference="")
    changes = books.look()
    assert set(changes.postings) == {
        told("2026/4900000050/0001", "2.125"),
        told("2026/4900000050/0002", "-1", THERE),
    }
    assert changes.keys == {HERE, THERE}
    assert books.look().postings == ()


def test_a_line_that_shows_later_than_its_document_is_told_alone(books: Books) -> None:
    books.post("4900000050", {})
    assert books.look().postings == (told("2026/4900000050/0001", "1"),)
    books.add("4900000050", 2)
    assert books.look().postings == (told("2026/4900000050/0002", "1"),)


def test_each_side_of_a_transfer_tells_of_itself_and_none_is_counted_twice(books: Books) -> None:
    books.post(
        "4900000050",
        {"UMMAT": HAM, "UMWRK": "1010", "UMLGO": "101B"},
        {"UMMAT": HAM, "UMWRK": "1010", "UMLGO": "101A", "LGORT": "101B", "SHKZG": "S"},
    )
    assert set(books.look().postings) == {
        told("2026/4900000050/0001", "1"),
        told("2026/4900000050/0002", "-1", THERE),
    }


def test_what_cancels_a_line_takes_it_back_and_is_no_posting_of_its_own(books: Books) -> None:
    books.post("4900000050", {}, {})
    assert len(books.look().postings) == 2
    books.post("4900000051", {"SHKZG": "S", "SJAHR": "2026", "SMBLN": "4900000050", "SMBLP": "0002"})
    changes = books.look()
    assert changes.keys == {HERE}
    assert changes.postings == (gone("2026/4900000050/0002"),)


def test_the_last_word_on_a_line_is_that_it_was_taken_back(books: Books) -> None:
    """Documents come in any order, and both may come in one look."""
    books.post("4900000049", {"SHKZG": "S", "SJAHR": "2026", "SMBLN": "4900000050", "SMBLP": "0001"})
    books.post("4900000050", {})
    for _ in range(5):
        changes = books.connector.changed_keys(books.cursor)
        assert changes.postings == (told("2026/4900000050/0001", "1"), gone("2026/4900000050/0001"))


def test_a_line_without_a_direction_moved_nothing(books: Books) -> None:
    books.post("4900000050", {"SHKZG": ""})
    (posting,) = books.look().postings
    assert (posting.document, posting.posted) == ("2026/4900000050/0001", False)


def test_a_quantity_that_is_cut_off_names_its_key_alone(books: Books) -> None:
    books.post("4900000050", {"MENGE": ""}, {"SHKZG": "S", "MENGE": "1.000,5"})
    changes = books.look()
    assert changes.keys == {HERE}
    assert changes.postings == ()
