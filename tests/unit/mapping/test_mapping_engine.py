"""What a loaded mapping makes of raw records."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contracts import StockRow, StockStatus
from hub.errors import MappingError, RecordError
from hub.mapping import REASONS, MovedKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.mapping import Mapping

    Load = Callable[..., Mapping]

RAW: dict[str, Any] = {
    "FID": 1001,
    "FMaterialId.FNumber": "ab-1",
    "FAuxPropId.FF100001.FNumber": "RED",
    "FStockId.FNumber": "CK001",
    "FBaseQty": "3.0",
    "FBaseUnitId.FNumber": "Pcs",
    "FLot.FNumber": "L1",
    "FExpiryDate": "2027-01-01T00:00:00",
    "FUpdateTime": "2026-11-22T10:11:12.123",
    "FStockStatusId.FNumber": "KCZT01_SYS",
    "FForbidStatus": "A",
}

ARTICLE = """\
version: 1
source: {{system: x, object: Y}}
target: ArticleRow
tables:
  units: {{ST: EA, BLANK: ""}}
fields:
  item: {{from: a.b, transform: [strip]}}
  name: {{const: Tea}}
  unit: {{const: EA}}
{fields}
keep_when: {{{keep}}}
examples:
  - in: {{a.b: X}}
    out: {{item: X}}
"""


def article(load: Load, fields: str = "  brand: {from: BRAND, lookup: units}", keep: str = "") -> Mapping:
    return load(ARTICLE.format(fields=fields, keep=keep))


def outcome(mapping: Mapping, raw: dict[str, Any]) -> Any:
    """Return the record, None for a skipped one, or the error itself."""
    try:
        return mapping.apply(raw)
    except RecordError as error:
        return error


def reason(mapping: Mapping, raw: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(RecordError) as caught:
        mapping.apply(raw)
    return caught.value.reason, caught.value.field


def test_a_record_comes_out_whole(stock: Mapping) -> None:
    assert stock.apply(RAW) == StockRow(
        row_id="1001",
        item="ab-1|RED",
        location="CK001",
        status=StockStatus.SELLABLE,
        quantity=Decimal("3.0"),
        unit="EA",
        lot="L1",
        expires_on=date(2027, 1, 1),
        changed_at=datetime(2026, 11, 22, 2, 11, 12, 123000, tzinfo=UTC),
    )


def test_the_file_tells_its_version_object_and_raw_fields(stock: Mapping) -> None:
    assert stock.version.startswith("stock.yaml@3-")
    assert len(stock.version) == len("stock.yaml@3-1a2b3c4d")
    assert (stock.system, stock.object) == ("kingdee", "STK_Inventory")
    assert stock.source_fields == (
        "FID",
        "FMaterialId.FNumber",
        "FAuxPropId.FF100001.FNumber",
        "FStockId.FNumber",
        "FStockStatusId.FNumber",
        "FBaseQty",
        "FBaseUnitId.FNumber",
        "FLot.FNumber",
        "FExpiryDate",
        "FUpdateTime",
        "FForbidStatus",
        "FOwner",
    )


def test_blank_parts_are_left_out_by_join(stock: Mapping) -> None:
    assert stock.apply(RAW | {"FAuxPropId.FF100001.FNumber": " "}).item == "ab-1"
    assert stock.apply(RAW | {"FMaterialId.FNumber": None}).item == "RED"
    assert reason(stock, RAW | {"FMaterialId.FNumber": " ", "FAuxPropId.FF100001.FNumber": ""}) == (
        "missing_field",
        "item",
    )


@pytest.mark.parametrize("blank", [None, "", "absent"])
@pytest.mark.parametrize(
    ("key", "field"),
    [("FBaseQty", "quantity"), ("FStockId.FNumber", "location"), ("FBaseUnitId.FNumber", "unit"), ("FID", "row_id")],
)
def test_a_field_the_record_needs_is_never_made_up(stock: Mapping, key: str, field: str, blank: str | None) -> None:
    raw = {name: value for name, value in RAW.items() if name != key}
    if blank != "absent":
        raw[key] = blank

    assert reason(stock, raw) == ("missing_field", field)


def test_absent_optional_fields_take_the_record_s_default(stock: Mapping) -> None:
    row = stock.apply(RAW | {"FLot.FNumber": " ", "FExpiryDate": "", "FUpdateTime": None})

    assert (row.lot, row.expires_on, row.changed_at) == ("", None, None)


def test_default_stands_in_for_an_absent_or_unmapped_value(stock: Mapping) -> None:
    for value in ("KCZT99", "", None):
        assert stock.apply(RAW | {"FStockStatusId.FNumber": value}).status is StockStatus.OTHER


def test_an_unmapped_value_without_default_is_refused(stock: Mapping, load: Load) -> None:
    assert reason(stock, RAW | {"FBaseUnitId.FNumber": "Box"}) == ("unmapped_value", "unit")
    mapping = article(load)
    assert reason(mapping, {"a.b": "X", "BRAND": "nope"}) == ("unmapped_value", "brand")
    assert mapping.apply({"a.b": "X"}).brand == ""
    assert mapping.apply({"a.b": "X", "BRAND": "BLANK"}).brand == ""


def test_a_status_without_table_must_be_a_member(load: Load, stock_text: str) -> None:
    mapping = load(
        stock_text.replace("lookup: status, default: other", "transform: [lower]")
        .replace("  status: {KCZT01_SYS: sellable, KCZT02_SYS: quality}\n", "")
        .replace("tables:\nfields", "fields")
        .replace("FStockStatusId.FNumber: KCZT01_SYS", "FStockStatusId.FNumber: Sellable")
    ).with_tables({"units": {"Pcs": "EA"}})

    assert mapping.apply(RAW | {"FStockStatusId.FNumber": "BLOCKED"}).status is StockStatus.BLOCKED
    assert reason(mapping, RAW) == ("unmapped_value", "status")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"FBaseQty": "1,000"}, ("bad_number", "quantity")),
        ({"FBaseQty": 1.5}, ("bad_number", "quantity")),
        ({"FUpdateTime": "soon"}, ("bad_datetime", "changed_at")),
        ({"FExpiryDate": "soon"}, ("bad_date", "expires_on")),
        ({"FID": 1.0}, ("bad_value", "row_id")),
        ({"FID": ["1"]}, ("bad_value", "row_id")),
        ({"FID": "1\x002"}, ("bad_value", "row_id")),
        ({"FID": "\ud800"}, ("bad_value", "row_id")),
        ({"FForbidStatus": 1.0}, ("bad_value", None)),
    ],
)
def test_bad_values_name_their_reason_and_field(stock: Mapping, change: dict[str, Any], expected: Any) -> None:
    assert reason(stock, RAW | change) == expected


def test_text_that_is_unusual_but_storable_passes(stock: Mapping) -> None:
    assert stock.apply(RAW | {"FID": "一\t行\u200b😀"}).row_id == "一\t行\u200b😀"


@pytest.mark.parametrize(
    ("keep", "value", "kept"),
    [
        ("K: {in: [A, B]}", "A", True),
        ("K: {in: [A, B]}", "C", False),
        ("K: {in: [A, B]}", None, False),
        ("K: {in: [7]}", 7, True),
        ("K: {equals: A}", "A", True),
        ("K: {equals: A}", "a", False),
        ("K: {equals: 'true'}", True, True),
        ('K: {equals: ""}', None, True),
        ("K: {not_in: [A]}", "A", False),
        ("K: {not_in: [A]}", None, True),
        ("K: {not_blank: true}", "x", True),
        ("K: {not_blank: true}", "", False),
        ("K: {not_blank: true}", None, False),
        ("K: {not_blank: true, not_in: [A]}", "A", False),
        ("a.b: {equals: X}, K: {equals: A}", "B", False),
    ],
)
def test_keep_when(load: Load, keep: str, value: Any, *, kept: bool) -> None:
    text = ARTICLE.format(fields="  brand: {from: B, lookup: units}", keep=keep)
    proof = "  - in: {a.b: X, K: A}\n    out: {item: X}\n" if "not_in: [A]" not in keep else ""
    text = text.partition("examples:")[0] + "examples:\n" + (proof or "  - in: {a.b: X, K: B}\n    out: {item: X}\n")
    text = text.replace("K: A}\n", "K: 7}\n") if "[7]" in keep else text
    text = text.replace("K: A}\n", "K: 'true'}\n") if "'true'" in keep else text
    text = text.replace("K: A}\n", "K: ''}\n") if '""' in keep else text
    mapping = load(text)

    assert (mapping.apply({"a.b": "X", "K": value}) is not None) is kept


def test_a_path_is_a_literal_key_first_and_nested_otherwise(load: Load) -> None:
    mapping = article(load)

    assert mapping.apply({"a.b": "flat", "a": {"b": "nested"}}).item == "flat"
    assert mapping.apply({"a": {"b": "nested"}}).item == "nested"
    assert reason(mapping, {"a": "text"}) == ("missing_field", "item")
    assert reason(mapping, {"a": None}) == ("missing_field", "item")
    assert reason(mapping, {}) == ("missing_field", "item")


def test_field_gives_what_it_can_of_a_bad_record(stock: Mapping, load: Load, stock_text: str) -> None:
    bad = RAW | {"FBaseQty": "x", "FID": None}

    assert stock.field(bad, "item") == "ab-1|RED"
    assert stock.field(bad, "quantity") is None
    assert stock.field(bad, "row_id") is None
    assert stock.field(bad, "no_such_field") is None
    assert load(stock_text).field(bad, "unit") is None


def test_an_external_table_must_be_handed_over(load: Load, stock_text: str) -> None:
    bare = load(stock_text)

    with pytest.raises(MappingError, match=r"external table 'units'.*with_tables"):
        bare.apply(RAW)
    ready = bare.with_tables({"units": {"Pcs": "PCS"}, "unused": {"a": "b"}})
    assert ready.apply(RAW).unit == "PCS"
    assert ready.version == bare.version
    assert ready.with_tables({"units": {"Pcs": "ST"}}).apply(RAW).unit == "ST"


def test_values_of_an_external_table_are_checked(load: Load, stock_text: str) -> None:
    text = (
        stock_text.replace("external_tables: [units]", "external_tables: [units, states]")
        .replace("lookup: status, default", "lookup: states, default")
        .replace("tables:\n  status: {KCZT01_SYS: sellable, KCZT02_SYS: quality}\n", "")
        .replace("units: {Pcs: EA}}", "units: {Pcs: EA}, states: {KCZT01_SYS: sellable}}")
    )
    mapping = load(text)

    with pytest.raises(MappingError, match="'selable'; did you mean 'sellable'"):
        mapping.with_tables({"states": {"K": "selable"}})


def test_other_types_of_field(load: Load) -> None:
    mapping = article(
        load,
        "  active: {from: BLOCKED, transform: [{boolean: {true: ['false', ''], false: ['true', X]}}]}\n"
        "  gtin: {from: EAN, transform: [gtin]}\n"
        "  category: {from: CAT, transform: [{null_if: [none]}], default: various}\n"
        "  brand: {from: B, lookup: units}",
    )

    assert mapping.apply({"a.b": "X", "BLOCKED": "X"}).active is False
    assert mapping.apply({"a.b": "X", "BLOCKED": False}).active is True
    assert mapping.apply({"a.b": "X"}).active is True
    assert mapping.apply({"a.b": "X", "EAN": ""}).gtin is None
    assert mapping.apply({"a.b": "X", "CAT": "none"}).category == "various"
    assert mapping.apply({"a.b": "X", "CAT": 12}).category == "12"
    assert reason(mapping, {"a.b": "X", "EAN": "1"}) == ("bad_gtin", "gtin")


def test_constants_and_defaults_have_the_field_s_type(load: Load) -> None:
    mapping = load(
        """\
version: 1
source: {system: x, object: Y}
target: BarcodeRow
fields:
  item: {from: I}
  code: {from: C}
  unit: {from: U, default: EA}
  factor: {from: F, transform: [integer], default: 6}
examples:
  - in: {I: 1, C: 2}
    out: {item: 1, code: 2, unit: EA, factor: 6.0}
"""
    )

    factor = mapping.apply({"I": "1", "C": "2", "F": "12"}).factor
    assert (factor, type(factor)) == (Decimal(12), Decimal)


def test_a_key_record(load: Load) -> None:
    mapping = load(
        """\
version: 1
source: {system: sap, object: MSEG}
target: MovedKey
fields:
  item: {from: MATNR, transform: [strip_zeros]}
  location: {from: [WERKS, LGORT], transform: [{join: /}, upper]}
  changed_at: {from: AT, transform: [odata_datetime]}
examples:
  - in: {MATNR: 0012, WERKS: "1000", LGORT: a1, AT: /Date(1492041600000)/}
    out: {item: 12, location: 1000/A1, changed_at: 2017-04-13T02:00:00+02:00}
"""
    )

    assert mapping.apply({"MATNR": "0012", "WERKS": "1", "LGORT": ""}) == MovedKey("12", "1")


def test_explain_shows_every_step(stock: Mapping) -> None:
    steps = {step.field: step for step in stock.explain(RAW | {"FBaseQty": "x"})}

    assert steps["item"].inputs == (("FMaterialId.FNumber", "ab-1"), ("FAuxPropId.FF100001.FNumber", "RED"))
    assert steps["item"].results == (("strip[0]", "ab-1"), ("strip[1]", "RED"), ("join", "ab-1|RED"))
    assert steps["item"].value == "ab-1|RED"
    assert steps["status"].results == (("lookup status", StockStatus.SELLABLE),)
    assert steps["owner"].results == (("const", ""),)
    assert steps["quantity"].value is None
    assert steps["quantity"].error is not None
    assert steps["quantity"].error.reason == "bad_number"
    assert "FBaseQty" in str(steps["quantity"].error)


VALUES = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "A", "B", "OTHER", "Pcs", "KCZT01_SYS", "KCZT09", "3.0", "-2", "1e3", "2026-11-22"]),
    st.sampled_from(["2026-11-22T10:11:12", "0001-01-01T00:00:00", "2026-11-22T10:11:12+08:00", "\x00"]),
    st.text(st.sampled_from("aA0-.: \x00\ud800一😀"), max_size=5),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.decimals(),
    st.lists(st.integers(), max_size=2),
)
RAWS = st.builds(
    lambda changes: RAW | changes,
    st.dictionaries(st.sampled_from([*RAW, "FOwner"]), VALUES, max_size=3),
)


@given(raw=RAWS)
def test_apply_and_explain_agree(stock: Mapping, raw: dict[str, Any]) -> None:
    steps = stock.explain(raw)
    conditions = [step for step in steps if step.field == "keep_when"]
    made = {step.field: step for step in steps if step.field != "keep_when"}
    stopped = next((step for step in conditions if step.error or not step.value), None)
    errors = {name: step.error for name, step in made.items() if step.error}

    record = outcome(stock, raw)
    if isinstance(record, RecordError):
        expected = errors[record.field] if stopped is None and record.field else stopped and stopped.error
        assert expected
        assert (record.reason, record.message) == (expected.reason, expected.message)
        assert record.reason in REASONS
        return
    if record is None:
        assert stopped is not None
        return
    assert stopped is None
    assert not errors
    assert {name: getattr(record, name) for name in made} == {name: step.value for name, step in made.items()}


@given(raw=RAWS)
def test_what_comes_out_has_the_record_s_types_and_never_a_float(stock: Mapping, raw: dict[str, Any]) -> None:
    row = outcome(stock, raw)
    if isinstance(row, RecordError):
        return
    if row is None:
        return
    for field in dataclasses.fields(row):
        assert not isinstance(getattr(row, field.name), float)
    assert type(row.quantity) is Decimal
    assert row.quantity.is_finite()
    assert type(row.row_id) is type(row.item) is type(row.location) is type(row.unit) is str
    assert row.row_id
    assert row.item
    assert row.location
    assert row.status in StockStatus
    assert row.changed_at is None or row.changed_at.tzinfo is UTC


@given(raw=RAWS)
def test_field_agrees_with_apply(stock: Mapping, raw: dict[str, Any]) -> None:
    row = outcome(stock, raw)
    if isinstance(row, RecordError):
        assert row.field is None or stock.field(raw, row.field) is None
    elif row is not None:
        assert stock.field(raw, "item") == row.item


def comparable(result: Any) -> Any:
    """Return a result so that two can be compared to the letter: 1, True and 1.0 are equal, and not the same."""
    if isinstance(result, RecordError):
        return result.message, result.reason, result.field
    return repr(result)


@given(raws=st.lists(RAWS, max_size=6), again=st.data())
def test_many_records_at_once_come_out_as_one_by_one(
    stock: Mapping, raws: list[dict[str, Any]], again: st.DataObject
) -> None:
    raws += again.draw(st.lists(st.sampled_from(raws), max_size=4)) if raws else []
    assert [*map(comparable, stock.apply_all(raws))] == [comparable(outcome(stock, raw)) for raw in raws]


def test_equal_keys_that_are_not_the_same_text_are_told_apart(stock: Mapping) -> None:
    raws = [RAW | {"FID": value} for value in (1, True, Decimal("1.0"), "1", Decimal(1), 1)]
    assert [row.row_id for row in stock.apply_all(raws)] == ["1", "true", "1.0", "1", "1", "1"]


def test_nested_and_flat_records_may_stand_side_by_side(load: Load) -> None:
    mapping = article(load)
    rows = mapping.apply_all([{"a.b": "X"}, {"a": {"b": "Y"}}, {"a": {"b": "Z"}, "BRAND": "ST"}])
    assert [(row.item, row.brand) for row in rows] == [("X", ""), ("Y", ""), ("Z", "EA")]
