"""What is refused when a file is loaded: the line, and words that help."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hub.errors import MappingError
from hub.mapping import MappingErrors, load_mapping, load_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from pathlib import Path

    from hub.mapping import Mapping

    Load = Callable[..., Mapping]

GOOD = """\
version: 1
source: {system: sap, object: T001L}
target: LocationRecord
tables:
  names: {A: Store A}
fields:
  code: {from: LGORT, transform: [strip]}
  name: {from: LGOBE, lookup: names}
keep_when:
  X: {not_in: [z]}
examples:
  - in: {LGORT: a1, LGOBE: A}
    out: {code: a1, name: Store A}
"""


def refusal(load: Load, text: str, records: Any = None) -> MappingError:
    with pytest.raises(MappingError) as caught:
        load(text) if records is None else load(text, records)
    assert caught.value.file is not None
    assert caught.value.file.endswith("stock.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("version: 1", "verison: 1", 1, "unknown key 'verison'; did you mean 'version'? allowed: example_tables,"),
        ("version: 1\n", "", 1, "the key 'version' is missing"),
        ("version: 1", "version: 1.0", 1, "whole number from 1"),
        ("version: 1", "version: 0", 1, "whole number from 1"),
        ("version: 1", "version:", 1, "version is null"),
        ("system: sap", "sytem: sap", 2, "did you mean 'system'? allowed: object, system"),
        ("system: sap", 'system: ""', 2, "source.system must not be blank"),
        ("{system: sap, object: T001L}", "sap", 2, "source must be a mapping"),
        ("target: LocationRecord", "target: LocationRecrd", 3, "did you mean 'LocationRecord'? allowed: ArticleRow,"),
        ("target: LocationRecord", "target: [A]", 3, "target must be one value"),
        ("names: {A: Store A}", "names: {A: null}", 5, "names.A is null"),
        ("names: {A: Store A}", "names: {A: x, A: y}", 5, "duplicate key 'A': it already stands in line 5"),
        ("names: {A: Store A}", "names: {A: x}\n  other: {A: x}", 6, "table 'other' is not used"),
        ("names: {A: Store A}", "names: {? [A] : x}", 5, "a key must be text"),
        ("  code: {", "  cod: {", 7, "unknown field of LocationRecord 'cod'; did you mean 'code'? allowed: code, name"),
        ("  code: {from: LGORT, transform: [strip]}\n", "", 7, "LocationRecord needs these fields too: code"),
        ("fields:\n", "fields:\n  code: {from: X}\n", 8, "duplicate key 'code': it already stands in line 7"),
        ("{from: LGORT, ", "{form: LGORT, ", 7, "unknown key of field 'code' 'form'; did you mean 'from'?"),
        ("{from: LGORT, ", "{", 7, "needs from: RAW_FIELD or const: VALUE"),
        ("{from: LGORT, ", "{from: LGORT, const: x, ", 7, "const stands alone; take out from, transform"),
        ("{from: LGORT, ", "{from: LGORT, required: yes, ", 7, "required must be true or false, not 'yes'"),
        ("{from: LGORT, ", "{from: LGORT, required: true, default: x, ", 7, "exclude each other"),
        ("{from: LGORT, ", "{from: [A, B], ", 7, "several sources need exactly one join"),
        ("{from: LGORT, ", "{from: [], ", 7, "from must be a list with at least one value"),
        ("[strip]", "[stripp]", 7, "unknown transform 'stripp'; did you mean 'strip'? allowed: boolean, date,"),
        ("[strip]", "strip", 7, "transform is a list"),
        ("[strip]", "[[strip]]", 7, "a transform is a name or {name: argument}"),
        ("[strip]", "[strip,\n    {upper: x}]", 8, "transform upper takes no argument"),
        ("[strip]", "[strip,\n    truncate]", 8, "truncate needs a whole number from 1 to 1000"),
        ("[strip]", '[strip, {join: "|"}]', 7, "join needs a list of sources"),
        ("[strip]", "[decimal]", 7, "the transforms give a decimal; end them with a text transform"),
        ("[strip]", "[decimal, strip]", 7, "transform strip takes text, and a decimal comes before it"),
        ("[strip]", "[date, {null_if: [x]}]", 7, "transform null_if takes text, and a date comes before it"),
        ("lookup: names", "lookup: nams", 8, "unknown table 'nams'; did you mean 'names'? allowed: names;"),
        (
            "lookup: names",
            "transform: [boolean], lookup: names",
            8,
            "lookup needs a text, and the transforms give a boolean",
        ),
        ("lookup: names", "lookup: names, default: ~", 8, "default is null"),
        ("{not_in: [z]}", "{notin: [z]}", 10, "did you mean 'not_in'? allowed: equals, in, not_blank, not_in"),
        ("{not_in: [z]}", "{}", 10, "needs one of: in, not_in, equals, not_blank"),
        ("{not_in: [z]}", "{not_in: z}", 10, "not_in must be a list"),
        ("{not_in: [z]}", "{not_blank: false}", 10, "not_blank can only be true"),
        ("{not_in: [z]}", "[z]", 10, "must be a mapping"),
        ("  - in:", "  - inn:", 12, "unknown key of an example 'inn'; did you mean 'in'?"),
        ("    out: {code: a1, name: Store A}\n", "", 12, "an example needs `in` and one of"),
        ("    out: {code: a1, name: Store A}\n", '    skip: "false"\n', 12, "an example needs `in` and one of"),
        ("    out: {code: a1, name: Store A}\n", "    error: mising_field\n", 13, "did you mean 'missing_field'?"),
        ("    out: {code: a1, name: Store A}\n", "    skip: true\n", 12, "at least one example must have `out`"),
        ("    out: {code:", "    out: {cod:", 13, "unknown field of LocationRecord 'cod'; did you mean 'code'?"),
        ("out: {code: a1", "out: {code: a2", 13, "example 1, code: expected 'a2', got 'a1'"),
        ("out: {code: a1", "out: {code: null", 13, "example 1, code: expected 'null', got 'a1'"),
        (
            "LGOBE: A}",
            "LGOBE: B}",
            12,
            "example 1: expected a record, got error unmapped_value: name (from LGOBE): 'B'",
        ),
        ("LGOBE: A}", "LGOBE: A, X: z}", 12, "example 1: expected a record, got skipped by keep_when"),
        ("{LGORT: a1", "{LGORT: !!str a1", 12, "tag tag:yaml.org,2002:str is not allowed"),
        ("{LGORT: a1", "{LGORT: &x a1", 12, "anchor &x is not allowed"),
        ("{LGORT: a1", "{LGORT: *x", 12, "alias *x is not allowed"),
        ("{LGORT: a1", "{LGORT: [a1", 12, "not valid YAML"),
        ("fields:\n", "fields: {}\nfeilds:\n", 7, "did you mean 'fields'?"),
    ],
)
def test_a_mistake_is_refused_with_its_line(load: Load, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD

    error = refusal(load, GOOD.replace(old, new, 1))

    assert words in error.message
    assert error.line == line
    assert str(error).startswith(f"{error.file}:{line}: ")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("KCZT02_SYS: quality", "KCZT02_SYS: qualty", 7, "entry 'KCZT02_SYS': unknown value for status 'qualty'"),
        ("default: other", "default: othr", 12, "did you mean 'other'? allowed: blocked, other, quality,"),
        ("[decimal]", "[strip]", 13, "the transforms give a text; end them with decimal or integer"),
        ("  quantity: {", "  lot2: {", 13, "unknown field of StockRow 'lot2'; did you mean 'lot'?"),
        (
            "  quantity: {from: FBaseQty, transform: [decimal], required: true}\n",
            "",
            9,
            "needs these fields too: quantity",
        ),
        ("[{datetime: {tz: Asia/Shanghai}}]", "[date]", 18, "end them with datetime or odata_datetime"),
        ("[{datetime: {tz: Asia/Shanghai}}]", "[{datetime: {tz: Asia/Shangai}}]", 18, "did you mean 'Asia/Shanghai'?"),
        ("[{datetime: {tz: Asia/Shanghai}}]", "[datetime]", 21, "has no offset, and the mapping names no tz"),
        ("example_tables: {units: {Pcs: EA}}\n", "", 20, "hand it to with_tables; give it a value in example_tables"),
        (
            "example_tables: {units:",
            "example_tables: {unit:",
            5,
            "unknown external table 'unit'; did you mean 'units'?",
        ),
        ("external_tables: [units]\nexample_tables: {units: {Pcs: EA}}\n", "", 12, "is named in external_tables"),
        ("  status: {KCZT01", "  units: {a: b}\n  status: {KCZT01", 7, "table 'units' stands in external_tables too"),
        ("quantity: 3,", "quantity: three,", 23, "'three' is not a plain decimal number"),
        ("quantity: 3,", "quantity: 4,", 23, "example 1, quantity: expected '4', got '3.0'"),
        ("expires_on: null", "expires_on: soon", 23, "'soon' is not a date like 2026-11-22"),
        ("02:11:12.123Z", "02:11:12.123", 24, "is not a time with an offset"),
        ("    skip: true", "    error: bad_date", 25, "expected error bad_date, got skipped by keep_when"),
        ("    error: missing_field", "    error: bad_date", 27, "expected error bad_date, got error missing_field"),
        ("    error: missing_field", "    skip: true", 27, "expected skip, got error missing_field"),
    ],
)
def test_a_mistake_in_types_is_refused_with_its_line(
    load: Load, stock_text: str, old: str, new: str, line: int, words: str
) -> None:
    assert old in stock_text
    text = stock_text.replace(old, new, 1)

    error = refusal(load, text)

    assert words in error.message
    assert error.line == line


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "a: " + "[" * 1200, "just text\n", "a: 1\n---\nb: 2\n", "a: {\n", "\t- x", "a: \x07"]
)
def test_what_is_no_mapping_is_refused(load: Load, text: str) -> None:
    refusal(load, text)


def test_values_stay_the_text_they_are(load: Load) -> None:
    text = (
        GOOD.replace("{A: Store A}", "{NO: off, 0012: 3.0, 1e3: 2026-11-22, yes: 0x1F}")
        .replace("LGOBE: A}", "LGOBE: NO}")
        .replace("name: Store A", "name: off")
    )
    mapping = load(text)

    names = [mapping.apply({"LGORT": "x", "LGOBE": key}).name for key in ("NO", "0012", "1e3", "yes")]
    assert names == ["off", "3.0", "2026-11-22", "0x1F"]


def test_a_quoted_null_is_text(load: Load) -> None:
    mapping = load(GOOD.replace("{A: Store A}", '{A: Store A, "null": "~"}'))

    assert mapping.apply({"LGORT": "x", "LGOBE": "null"}).name == "~"


def test_an_unquoted_null_in_an_example_is_absent(load: Load) -> None:
    text = GOOD + "  - in: {LGORT: null, LGOBE: A}\n    error: missing_field\n"

    assert load(text).object == "T001L"


def test_the_version_follows_every_change_of_the_file(load: Load) -> None:
    assert load(GOOD).version == load(GOOD).version
    assert load(GOOD).version != load(GOOD + "\n").version


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="can't be read"):
        load_mapping(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: Größe".encode("latin-1"))
    with pytest.raises(MappingError, match="can't be read"):
        load_mapping(tmp_path / "latin.yaml")


@dataclass(frozen=True)
class Own:
    """A target of one's own."""

    key: str
    count: int
    on: bool = True
    tags: tuple[str, ...] = ()
    factor: Decimal | None = None


OWN = """\
version: 1
source: {system: x, object: Y}
target: Own
fields:
  key: {const: k}
  count: {from: N, transform: [integer]}
  on: {const: "false"}
examples:
  - in: {N: "7"}
    out: {key: k, count: 7, on: false, factor: null}
"""


def test_records_of_one_s_own(load: Load) -> None:
    assert load(OWN, {"Own": Own}).apply({"N": 3}) == Own("k", 3, on=False)
    own = {"Own": Own}
    assert "can't be filled by a mapping" in refusal(load, OWN.replace("on: {", "tags: {"), own).message
    assert "'no' is not one of: true, false" in refusal(load, OWN.replace('const: "false"', "const: no"), own).message
    assert "end them with integer" in refusal(load, OWN.replace("[integer]", "[decimal]"), own).message
    assert (
        "'' is not a number"
        in refusal(load, OWN.replace("{from: N, transform: [integer]}", '{const: ""}'), own).message
    )
    assert "an untyped value; end them" in refusal(load, OWN.replace(", transform: [integer]", ""), own).message


def test_a_tree_is_loaded_by_its_paths(tmp_path: Path, stock_text: str) -> None:
    (tmp_path / "erp" / "sap").mkdir(parents=True)
    (tmp_path / "erp" / "sap" / "locations.yaml").write_text(GOOD)
    (tmp_path / "erp" / "stock.yaml").write_text(stock_text)

    assert sorted(load_tree(tmp_path)) == ["erp/sap/locations.yaml", "erp/stock.yaml"]
    assert load_tree(tmp_path / "none") == {}


def test_a_tree_shows_the_mistakes_of_all_its_files(tmp_path: Path, stock_text: str) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("[strip]", "[stripp]"))
    (tmp_path / "b.yaml").write_text(stock_text)
    (tmp_path / "c.yml").write_text(GOOD)
    (tmp_path / "d.yaml").write_text("")

    with pytest.raises(MappingErrors) as caught:
        load_tree(tmp_path)

    assert [error.line for error in caught.value.errors] == [7, None, 1]
    lines = str(caught.value).split("\n")
    assert [line.partition(":")[0].rpartition("/")[2] for line in lines] == ["a.yaml", "c.yml", "d.yaml"]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert [str(error) for error in copy.errors] == [str(error) for error in caught.value.errors]
