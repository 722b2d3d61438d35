"""The difference of two files, and the schema for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hub.mapping import Difference, diff_mappings, mapping_schema
from hub.mapping.transforms import TRANSFORMS

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = {
    "FForbidStatus": "A",
    "FID": "1",
    "FMaterialId.FNumber": "a",
    "FStockId.FNumber": "s",
    "FBaseQty": "2",
    "FBaseUnitId.FNumber": "Pcs",
    "FStockStatusId.FNumber": "KCZT02_SYS",
}


def test_diff_names_what_changed_and_whom_it_touches(tmp_path: Path, stock_text: str) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(stock_text)
    new.write_text(
        stock_text.replace("KCZT02_SYS: quality", "KCZT02_SYS: blocked")
        .replace("transform: [decimal], required: true", "transform: [trailing_minus, decimal], required: true")
        .replace("not_in: [OTHER]", "not_in: [OTHER, THIRD]")
    )
    samples = [SAMPLE, SAMPLE | {"FBaseQty": "2-"}, SAMPLE | {"FOwner": "THIRD"}, SAMPLE | {"FForbidStatus": "B"}]

    found = diff_mappings(old, new, samples, tables={"units": {"Pcs": "EA"}})

    assert found[:5] == [
        Difference("file", "table status: KCZT02_SYS", "'quality'", "'blocked'"),
        Difference(
            "field", "quantity", "from FBaseQty, decimal, required", "from FBaseQty, trailing_minus, decimal, required"
        ),
        Difference("keep_when", "FOwner not_in", "'OTHER'", "'OTHER', 'THIRD'"),
        Difference("result", "1 status", "quality", "blocked"),
        Difference("result", "2", "error bad_number in quantity", "StockRow"),
    ]
    assert Difference("result", "2 quantity", "", "-2") in found
    assert Difference("result", "3", "StockRow", "skipped") in found
    assert not [item for item in found if item.name.startswith("4")]


def test_a_file_does_not_differ_from_itself(tmp_path: Path, stock_text: str) -> None:
    path = tmp_path / "stock.yaml"
    path.write_text(stock_text)

    assert diff_mappings(path, path, [SAMPLE], tables={"units": {"Pcs": "EA"}}) == []


def test_a_field_that_comes_or_goes_is_a_difference(tmp_path: Path, stock_text: str) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(stock_text)
    new.write_text("\n".join(line for line in stock_text.split("\n") if not line.startswith(("  lot:", "  owner:"))))

    assert diff_mappings(old, new) == [
        Difference("field", "owner", "const ''", ""),
        Difference("field", "lot", "from FLot.FNumber, strip", ""),
    ]


def valid(text: str) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    checker: Any = jsonschema.Draft202012Validator(mapping_schema())
    return bool(checker.is_valid(json.loads(json.dumps(yaml.safe_load(text), default=str))))


def test_the_schema_is_one_and_accepts_a_whole_file(stock_text: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")

    jsonschema.Draft202012Validator.check_schema(mapping_schema())
    assert valid(stock_text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 3", "version: x"),
        ("version: 3\n", ""),
        ("target: StockRow", "target: Nothing"),
        ("transform: [decimal]", "transform: [decimale]"),
        ("transform: [decimal]", "transform: [truncate]"),
        ("transform: [decimal]", "transform: [{date: {fromat: x}}]"),
        ('owner: {const: ""}', 'owner: {const: "", from: X}'),
        ("{equals: A}", "{equal: A}"),
        ("skip: true", "skip: false"),
        ("error: missing_field", "error: whatever"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(stock_text: str, old: str, new: str) -> None:
    assert old in stock_text
    assert not valid(stock_text.replace(old, new, 1))


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_the_schema_knows_every_transform(stock_text: str, name: str) -> None:
    examples: dict[str, str] = {
        "pad_zeros": "{pad_zeros: 18}",
        "truncate": "{truncate: {n: 3}}",
        "replace": '{replace: {old: a, new: ""}}',
        "null_if": "{null_if: [0, x]}",
        "join": '{join: "|"}',
    }

    assert valid(stock_text.replace("transform: [decimal]", f"transform: [{examples.get(name, name)}]"))
    assert TRANSFORMS[name].summary.endswith(".")
