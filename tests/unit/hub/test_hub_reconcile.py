"""The decision rules without a database, and the report for people."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from hub.contracts import Movement, StockKey
from hub.reconcile import report
from hub.reconcile.book import Difference
from hub.reconcile.kinds import KINDS, Kind
from hub.reconcile.report import COLUMNS, write_report
from hub.reconcile.rules import Change, Finding, Known, Level, Told, Waiting, judge_change, judge_waiting
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from pathlib import Path

KEY = StockKey("A", "P/1")
LEVEL = Level(1, 2, KEY)
BASE = datetime(2026, 11, 26, 12, tzinfo=UTC)
SAME = ("v1", "v1")


def change(before: int, now: int) -> Change:
    return Change(LEVEL, Decimal(before), Decimal(now), 100, BASE)


def moved(quantity: int, minutes: int, document: str = "2026/49/1", **more: Any) -> Movement:
    """A line that took a quantity out, so many minutes after the base."""
    entered_at = BASE + timedelta(minutes=minutes)
    return Movement(document, more.pop("reference", ""), KEY, Decimal(quantity), entered_at, **more)


def judge(before: int, now: int, *movements: Movement, factors: tuple[int, ...] = (), **told: Any) -> Finding:
    return judge_change(change(before, now), Told(movements, **told), [Decimal(f) for f in factors], SAME)


def reasons(finding: Finding) -> list[tuple[str, str]]:
    return [(document["document"], document["why"]) for document in finding.evidence["documents"]]


def test_documents_since_the_base_explain_it() -> None:
    finding = judge(20, 14, moved(4, 1), moved(3, 2, "2026/50/1"), moved(-1, 3, "2026/51/1"))
    assert (finding.kind, finding.heals) == (Kind.MISSED_EVENT, True)


def test_lines_of_a_document_belong_together() -> None:
    """Four pieces came from two lots; another document of three is in the base."""
    finding = judge(20, 16, moved(3, -3), moved(1, -9, "2026/48/1"), moved(3, -9, "2026/48/2"))
    assert reasons(finding) == [("2026/48", "entered before, seen late")]


def test_the_newest_of_what_came_late_together() -> None:
    lines = (moved(7, -90, "2026/40/1"), moved(2, -9, "2026/41/1"), moved(1, -5, "2026/42/1"))
    assert judge(20, 17, *lines).kind is Kind.MISSED_EVENT
    assert judge(20, 12, *lines).kind is Kind.UNEXPLAINED, "one of them is left out between"


def test_what_the_list_held_before_the_read_is_in_the_base() -> None:
    line = moved(3, -9)
    known = {line.document: Known(line.document, "R-1", Decimal(3), posted=True, in_base=True)}
    assert judge(20, 17, line, known=known).kind is Kind.UNEXPLAINED
    taken_back = moved(3, -9, posted=False)
    assert reasons(judge(20, 23, taken_back, known=known)) == [("2026/49", "taken back")]
    assert reasons(judge(20, 23, known=known, gone={line.document})) == [("2026/49", "deleted")]


def test_a_document_that_came_and_went_explains_nothing() -> None:
    assert judge(20, 17, moved(3, 1, posted=False)).kind is Kind.UNEXPLAINED


def test_only_sales_are_late_ones() -> None:
    lines = (moved(1, 1, reference="R-1"), moved(2, 1, "2026/50/1", reference="4711"))
    assert judge(20, 17, *lines, sales={"R-1"}).kind is Kind.MISSED_EVENT
    assert judge(20, 17, *lines, sales={"R-1", "4711"}).kind is Kind.LATE_POS


def test_a_package_is_taken_for_a_piece() -> None:
    assert judge(240, 20, factors=(6, 12)).evidence["factor"] == "12"
    assert judge(20, 8, moved(1, 1), factors=(12,)).kind is Kind.UNIT_OR_MAPPING
    assert judge(0, 12, factors=(12,)).kind is Kind.UNEXPLAINED, "nothing is a multiple of nothing"
    assert judge(20, 20 * 5, factors=(6, 12)).kind is Kind.UNEXPLAINED


def order(quantity: int) -> Waiting:
    return Waiting(LEVEL, "order", "45", "45", Decimal(quantity), Decimal(quantity), Decimal(0), BASE)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([moved(3, 5)], True),
        ([moved(2, 5, "2026/49/1"), moved(1, 5, "2026/49/2")], True),
        ([moved(3, 5, reference="delivery 80")], True),
        ([moved(3, 5, reference="r-9")], False),
        ([moved(2, 5)], False),
        ([moved(3, -60)], False),
        ([moved(3, 5, posted=False)], False),
        ([moved(3, 5), moved(-3, 6, "2026/50/1", reverses="2026/49/1")], False),
    ],
    ids=["exact", "two lots", "somebody's number", "our number", "fewer", "before", "un-audited", "cancelled"],
)
def test_who_posted_an_order_by_hand(lines: list[Movement], found: bool) -> None:  # noqa: FBT001
    finding = judge_waiting(order(3), Told(lines, ours={"R-9"}), (), set())
    assert (finding is not None) == found
    if finding:
        assert finding.kind is Kind.MANUAL_POSTING


def test_every_class_is_explained_to_people() -> None:
    page = (PROJECT_ROOT / "docs" / "reconciliation.md").read_text(encoding="utf-8")
    assert set(KINDS) == set(Kind)
    for kind in Kind:
        assert f"| `{kind}` |" in page


def test_the_report_is_a_table_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    found = Difference(
        *(7, "sap", "00123", "=cmd|' /C calc'!A0", "DC-SH", Kind.DUPLICATE, "R-1", {"sold": "2"}, BASE),
        *(None, None, "", ""),
    )
    table, book = write_report(tmp_path / "reports", "differences", [found], ZoneInfo("Asia/Shanghai"))
    with table.open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert list(row) == list(COLUMNS)
    assert (row["sku"], row["class"], row["state"]) == ("00123", "duplicate", "open")
    assert row["found_at"] == "2026-11-26 20:00:00"
    assert row["name"].startswith("'=")
    sheet: Any = openpyxl.load_workbook(book).active
    assert [cell.value for cell in sheet[2]][4:6] == ["00123", "'=cmd|' /C calc'!A0"]
    assert "f" not in {cell.data_type for cell in sheet[2]}
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["differences.csv", "differences.xlsx"]


def test_a_report_of_nothing_has_its_columns(tmp_path: Path) -> None:
    table, _ = write_report(tmp_path, "differences", [], ZoneInfo("UTC"))
    assert table.read_text(encoding="utf-8-sig").strip() == ",".join(COLUMNS)


def test_two_reports_of_the_same_name_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The full check and a slice that found something write the same files."""
    original = report._write_csv

    def write(frame: Any, path: Path) -> None:
        original(frame, path)
        monkeypatch.setattr(report, "_write_csv", original)
        write_report(tmp_path, "same", [], ZoneInfo("UTC"))

    monkeypatch.setattr(report, "_write_csv", write)
    write_report(tmp_path, "same", [], ZoneInfo("UTC"))
    assert {path.name for path in tmp_path.iterdir()} == {"same.csv", "same.xlsx"}
