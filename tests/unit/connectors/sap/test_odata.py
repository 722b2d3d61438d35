# ruff: noqa: DTZ001 - the application server's clock has no zone
"""Literals, filters and values of OData V2."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.erp.sap import odata


def test_literals_double_quotes_and_pad() -> None:
    assert odata.text_literal("O'Neil's") == "'O''Neil''s'"
    assert odata.datetime_literal(date(2026, 1, 2)) == "datetime'2026-01-02T00:00:00'"
    assert odata.time_literal(datetime(2026, 1, 2, 3, 4, 5)) == "time'PT03H04M05S'"
    assert odata.equals("Material", "A") == "Material eq 'A'"


def test_created_since_takes_all_later_days() -> None:
    day = "datetime'2026-11-22T00:00:00'"
    assert odata.created_since(datetime(2026, 11, 22, 10, 6, 12)) == (
        f"((CreationDate gt {day}) or (CreationDate eq {day} and CreationTime ge time'PT10H06M12S'))"
    )


def test_query_encodes_what_is_special_in_a_url_and_no_space_as_plus() -> None:
    query = odata.build_query({"$filter": "Material eq 'A+B&C#1 50%'", "x": "衬"})
    assert query == "$filter=Material%20eq%20'A%2BB%26C%231%2050%25'&x=%E8%A1%AC"


def test_key_path_keeps_a_slash_inside_its_key() -> None:
    assert odata.build_key_path("A_Set", {"Year": "2026", "No": "4/9'"}) == "A_Set(Year='2026',No='4%2F9''')"


def test_chunk_respects_the_limit_and_never_drops_a_piece() -> None:
    assert list(odata.chunk(["aaaa", "bbbb", "cccc"], 12, joint=4)) == [["aaaa", "bbbb"], ["cccc"]]
    assert list(odata.chunk(["a" * 20, "b"], 10, joint=4)) == [["a" * 20], ["b"]]
    assert list(odata.chunk([], 10, joint=4)) == []


@pytest.mark.parametrize(("value", "expected"), [("8", 8), (7, 7), (0, 0), (None, None), ("x", None), (True, None)])
def test_count_comes_as_text_or_number(value: object, expected: int | None) -> None:
    assert odata.parse_count(value) == expected


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        ("/Date(1795305600000)/", "PT17H57M48S", datetime(2026, 11, 22, 17, 57, 48)),
        ("/Date(1795305600000+0000)/", "PT0S", datetime(2026, 11, 22)),
        ("/Date(1795276800000+0480)/", "PT1H", datetime(2026, 11, 22, 1)),
        ("/Date(1795327200000-0360)/", "PT1H", datetime(2026, 11, 22, 1)),
        ("2026-11-22T00:00:00", "PT10M", datetime(2026, 11, 22, 0, 10)),
        ("/Date(1795305600000)/", "PT24H00M00S", datetime(2026, 11, 23)),
        ("/Date(1795305600000)/", None, None),
        (None, "PT1H", None),
        ("/Date(99999999999999999)/", "PT1H", None),
        ("soon", "PT1H", None),
    ],
)
def test_creation_is_read_from_day_and_time(day: object, time: object, expected: datetime | None) -> None:
    assert odata.parse_created({"CreationDate": day, "CreationTime": time}) == expected


def test_duration() -> None:
    assert odata.parse_duration("PT1H2M3.5S") == timedelta(hours=1, minutes=2, seconds=3)
    assert odata.parse_duration("1H") is None


@pytest.mark.parametrize(
    ("above", "below", "expected"),
    [
        ("12", "1", "12"),
        (24, 1, "24"),
        ("1", "8", "0.125"),
        (Decimal("1.50"), "3", "0.5"),
        ("99999", "65536", "1.5258636474609375"),
        ("1", "3", "1/3"),
        ("1", "0", "1/0"),
        (None, "1", "None/1"),
        ("x", "1", "x/1"),
    ],
)
def test_quotient_is_exact_or_left_as_it_is(above: object, below: object, expected: str) -> None:
    assert odata.exact_quotient(above, below) == expected
