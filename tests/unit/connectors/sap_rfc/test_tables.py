"""What is sent to RFC_READ_TABLE and what its fixed-width rows mean: lines, parts, ranges."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.sap.rfc.conditions import (
    LINE_LENGTH,
    all_of,
    any_of,
    compare,
    literal,
    one_of,
    since,
    to_lines,
)
from connectors.erp.sap.rfc.keys import MaterialNumbers, Place, StockName, at_places, named
from connectors.erp.sap.rfc.movements import find_last
from connectors.erp.sap.rfc.ranges import KeyRange, Smaller, chunk, cut_list, iter_whole
from connectors.erp.sap.rfc.tables import Column, join_rows, parse_columns, parse_row, split_fields
from hub.contracts import StockKey
from hub.errors import ConfigError, ProtocolViolation
from tests.unit.connectors.sap_rfc.fake import holds

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)


# --- conditions


def test_a_quote_ends_no_literal() -> None:
    assert literal("it's") == "'it''s'"
    assert to_lines(compare("MATNR", "=", "x' OR '1' = '1")) == ["MATNR = 'x'' OR ''1'' = ''1'"]


@given(values=st.lists(VALUES, min_size=1, max_size=12, unique=True), other=VALUES)
def test_a_condition_keeps_its_meaning_in_lines(values: list[str], other: str) -> None:
    lines = to_lines(all_of([one_of("MATNR", values), compare("WERKS", "=", "1010")]))
    assert all(len(line) <= LINE_LENGTH for line in lines)
    for value in (*values, other):
        row = {"MATNR": value, "WERKS": "1010"}
        assert holds(lines, row) is (value.rstrip() in {v.rstrip() for v in values})
        assert not holds(lines, {**row, "WERKS": "1020"})


@given(tokens=st.lists(st.text("abc'(", min_size=1, max_size=20)), length=st.integers(20, 71))
def test_tokens_are_never_torn_and_lines_are_as_few_as_can_be(tokens: list[str], length: int) -> None:
    lines = to_lines(tuple(tokens), length)
    assert [token for line in lines for token in line.split(" ")] == tokens
    assert all(len(line) <= length for line in lines)
    assert all(len(line) + 1 + len(after.split(" ")[0]) > length for line, after in pairwise(lines))


def test_what_does_not_fit_into_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        to_lines(compare("MATNR", "=", "x" * 70))


def test_no_alternative_never_becomes_no_condition() -> None:
    with pytest.raises(ValueError, match="without a condition"):
        any_of([])
    with pytest.raises(ValueError, match="without a condition"):
        any_of([compare("A", "=", "1"), ()])
    assert all_of([(), compare("A", "=", "1"), ()]) == ("A", "=", "'1'")


@given(
    at=st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - SAP's own clock
    other=st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
)
def test_since_holds_early_on_later_days(at: datetime, other: datetime) -> None:
    at, other = at.replace(microsecond=0), other.replace(microsecond=0)
    lines = to_lines(since("CPUDT", "CPUTM", at))
    assert holds(lines, {"CPUDT": f"{other:%Y%m%d}", "CPUTM": f"{other:%H%M%S}"}) is (other >= at)


def test_keys_and_places_in_conditions() -> None:
    places = [Place("1010", "101A"), Place("1010", "101B"), Place("1020", "101A")]
    lines = to_lines(at_places(places))
    for plant, storage in (("1010", "101A"), ("1020", "101B")):
        assert holds(lines, {"WERKS": plant, "LGORT": storage}) is (Place(plant, storage) in places)
    names = [StockName(places[0], "A"), StockName(places[0], "B"), StockName(places[2], "C")]
    lines = to_lines(named(names))
    for name in (*names, StockName(places[2], "A"), StockName(places[1], "A")):
        row = {"MATNR": name.material, "WERKS": name.place.plant, "LGORT": name.place.storage}
        assert holds(lines, row) is (name in names)


@pytest.mark.parametrize(
    ("item", "length", "zeros", "stored"),
    [
        ("47", 18, True, "000000000000000047"),
        ("SHIRT-1", 18, True, "SHIRT-1"),
        ("47", 40, True, "47".zfill(40)),
        ("47", 18, False, "47"),
        ("٤٧", 18, True, "٤٧"),
    ],
)
def test_material_numbers(item: str, length: int, zeros: bool, stored: str) -> None:  # noqa: FBT001
    numbers = MaterialNumbers(length, zeros)
    assert numbers.to_sap(item) == stored
    assert numbers.name(StockKey(item, "1010/101A")) == StockName(Place("1010", "101A"), stored)
    with pytest.raises(ConfigError):
        numbers.name(StockKey(item, "1010"))


# --- rows


def layout(widths: dict[str, int]) -> list[Column]:
    columns, offset = [], 0
    for name, width in widths.items():
        columns.append(Column(name, offset, width))
        offset += width
    return columns


NAMES = st.lists(st.text("ABCDEFG", min_size=1, max_size=4), min_size=1, max_size=8, unique=True)


@given(names=NAMES, data=st.data())
def test_a_row_of_fixed_width_is_read_back_though_it_ends_early(names: list[str], data: st.DataObject) -> None:
    values = {name: data.draw(VALUES) for name in names}
    units = {name: len(value.encode("utf-16-le")) // 2 for name, value in values.items()}
    spare = data.draw(st.integers(0, 3))
    text = "".join(value + " " * spare for value in values.values()).rstrip()
    columns = layout({name: units[name] + spare for name in names})
    assert parse_row(text, columns) == {name: value.rstrip() for name, value in values.items()}


def test_columns_are_numbers_in_text() -> None:
    field = {"FIELDNAME": "MATNR", "OFFSET": "000000", "LENGTH": "000018", "TYPE": "C", "FIELDTEXT": "Material"}
    assert parse_columns([field]) == [Column("MATNR", 0, 18)]
    with pytest.raises(ValueError, match="invalid literal"):
        parse_columns([{**field, "LENGTH": "wide"}])


@given(names=NAMES, data=st.data(), limit=st.integers(20, 60))
def test_fields_are_split_so_that_every_row_fits(names: list[str], data: st.DataObject, limit: int) -> None:
    widths = {name: data.draw(st.integers(1, 40)) for name in names}
    key = names[: data.draw(st.integers(0, min(2, len(names))))]
    room = limit - sum(widths[name] for name in key)
    if any(widths[name] > room for name in names if name not in key):
        with pytest.raises(ValueError, match="does not fit"):
            split_fields(widths, key, limit)
        return
    parts = split_fields(widths, key, limit)
    assert all(part[: len(key)] == key for part in parts)
    assert [name for part in parts for name in part[len(key) :]] == [name for name in names if name not in key]
    if len(parts) > 1 or len(names) > len(key):
        assert all(sum(widths[name] for name in part) <= limit for part in parts)


def test_fields_that_belong_together_stand_in_one_row() -> None:
    widths = {"K": 10, "A": 60, "B": 20, "C": 60, "D": 20}
    assert split_fields(widths, ["K"], 130) == [["K", "A", "B"], ["K", "C", "D"]]
    assert split_fields(widths, ["K"], 130, together=("A", "C")) == [["K", "A", "C"], ["K", "B", "D"]]
    assert split_fields(widths, ["K"], 130, together=("B", "D")) == [["K", "B", "D", "A"], ["K", "C"]]
    with pytest.raises(ValueError, match="A, C, D together have 140 characters and do not fit"):
        split_fields(widths, ["K"], 130, together=("A", "C", "D"))


def test_parts_are_joined_by_key_and_rows_that_came_between_are_seen() -> None:
    first = [{"K": "1", "A": "a"}, {"K": "2", "A": "b"}, {"K": "1", "A": "a"}]
    second = [{"K": "2", "B": "d"}, {"K": "1", "B": "c"}]
    assert join_rows([first, second], ["K"]) == [{"K": "2", "A": "b", "B": "d"}, {"K": "1", "A": "a", "B": "c"}]
    assert join_rows([first, second[:1]], ["K"]) is None
    assert join_rows([[], []], ["K"]) == []


# --- ranges

KEYS = st.lists(st.text("ABC019-", min_size=1, max_size=4), max_size=60)


@given(keys=KEYS, limit=st.integers(1, 10), data=st.data())
def test_ranges_are_the_whole_whatever_part_an_answer_shows(keys: list[str], limit: int, data: st.DataObject) -> None:
    def read(part: KeyRange) -> Sequence[str] | Smaller[KeyRange]:
        lines = to_lines(part.where())
        inside = [key for key in keys if holds(lines, {"MATNR": key})]
        if len(inside) > limit:
            shown = data.draw(st.permutations(inside))[: limit + 1]
            return Smaller(part.cut(shown))
        return inside

    if any(keys.count(key) > limit for key in keys):
        with pytest.raises(ProtocolViolation):
            list(iter_whole([KeyRange("MATNR")], read))
        return
    answers = list(iter_whole([KeyRange("MATNR")], read))
    assert [complete for _, complete in answers] == [False] * (len(answers) - 1) + [True]
    assert sorted(key for rows, _ in answers for key in rows) == sorted(keys)


def test_ranges_follow_each_other_without_a_gap() -> None:
    parts = KeyRange("MATNR", "B", "Y").cut_at(["A", "B", "K", "M", "Y", "Z"])
    assert parts == [KeyRange("MATNR", "B", "K"), KeyRange("MATNR", "K", "M"), KeyRange("MATNR", "M", "Y")]
    with pytest.raises(ProtocolViolation, match="page_rows"):
        KeyRange("MATNR", "B", "Y").cut_at(["A", "Y"])


def test_lists_are_halved_and_cut_to_size() -> None:
    assert cut_list([1, 2, 3]) == [[1], [2, 3]]
    assert chunk([1, 2, 3], 2) == [[1, 2], [3]]
    with pytest.raises(ProtocolViolation):
        cut_list([1])


def test_a_read_in_order_takes_few_answers() -> None:
    """Most databases answer in the order of the key: then hardly more is read than there is."""
    keys = [f"{number:05d}" for number in range(10_000)]
    reads = 0

    def read(part: KeyRange) -> Sequence[str] | Smaller[KeyRange]:
        nonlocal reads
        reads += 1
        inside = [key for key in keys if (part.after or "") < key and (part.upto is None or key <= part.upto)]
        return Smaller(part.cut(inside[:1001])) if len(inside) > 1000 else inside

    assert sum(len(rows) for rows, _ in iter_whole([KeyRange("MATNR")], read)) == len(keys)
    assert reads <= 30


# --- the newest document without a maximum


@given(newest=st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))  # noqa: DTZ001 - SAP's own clock
def test_the_last_moment_is_closed_in_on(newest: datetime) -> None:
    newest = newest.replace(microsecond=0)
    asked = []

    def any_since(moment: datetime) -> bool:
        asked.append(moment)
        return moment <= newest

    assert find_last(any_since) == newest
    assert len(asked) < 40
    assert find_last(lambda _: False) is None
