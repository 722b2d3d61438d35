from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.kingdee import filters


def test_quotes_are_doubled_so_that_no_value_ends_its_own_text() -> None:
    assert filters.equals("FNumber", "x' OR '1'='1") == "FNumber = 'x'' OR ''1''=''1'"


@given(st.text())
def test_a_text_is_one_sql_literal_whatever_it_holds(value: str) -> None:
    text = filters.literal(value)
    assert text[0] == text[-1] == "'"
    assert "'" not in text[1:-1].replace("''", "")
    assert text[1:-1].replace("''", "'") == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (100042, "100042"),
        (Decimal("1.50"), "1.50"),
        (None, "''"),
        (datetime(2026, 11, 22, 10, 11, 12, 123456), "'2026-11-22T10:11:12.123'"),  # noqa: DTZ001 - server time
    ],
)
def test_numbers_stand_bare_and_times_have_milliseconds(value: object, expected: str) -> None:
    assert filters.literal(value) == expected


@pytest.mark.parametrize("field", ["F'x", "FID; DROP", "", "F Number", "FNumber)", "FID\n"])
def test_a_field_name_is_checked(field: str) -> None:
    with pytest.raises(ValueError, match="not a field name"):
        filters.greater(field, 1)


def test_conditions() -> None:
    assert filters.one_of("FNumber", ["a"]) == "FNumber = 'a'"
    assert filters.one_of("FNumber", ["a", "b'"]) == "FNumber IN ('a', 'b''')"
    assert filters.all_of("", "a = 1", "b = 2") == "a = 1 AND b = 2"
    assert filters.any_of("a = 1") == "a = 1"
    assert filters.after(["M.N", "S.N"], ["m", "s'"]) == "M.N >= 'm' AND (M.N > 'm' OR S.N > 's''')"
    assert filters.ascending("a", "b.c") == "a ASC, b.c ASC"
    assert filters.descending("a", "b") == "a DESC, b DESC"


@given(st.lists(st.text(max_size=30)), st.integers(1, 100))
def test_chunks_keep_all_values_and_fit(values: list[str], room: int) -> None:
    found = list(filters.chunks(values, room=room))
    assert [value for chunk in found for value in chunk] == values
    for chunk in found:
        assert len(chunk) == 1 or sum(len(filters.literal(value)) + 2 for value in chunk) <= room


def test_folding_equates_what_the_servers_collation_equates() -> None:
    assert filters.fold("ab-1 ") == filters.fold("AB-1") == filters.fold("ＡＢ-１")
    assert filters.fold(None) == ""
    assert filters.fold(" a") != filters.fold("a")
