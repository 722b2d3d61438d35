"""Compare two versions of a mapping file: what it says, and what it makes of sample records."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from hub.errors import RecordError
from hub.mapping.loader import load_mapping
from hub.mapping.targets import RECORDS
from hub.mapping.values import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Dictionary
    from os import PathLike

    from hub.mapping.engine import Mapping
    from hub.mapping.spec import FieldSpec, MappingSpec

_ABSENT = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two mapping files.

    Attributes:
        kind: `file` for the target, the source or a table, `field` for how a field is made, `keep_when` for a
            condition, `result` for what becomes of a sample.
        name: what differs, for instance `target`, `table status: KCZT09_SYS`, `quantity`; for a result the number of
            the sample from 1 up and the field, `2 quantity`, or the number alone for a whole record.
        old: what the old file says or makes; blank when it has nothing there.
        new: what the new file says or makes; blank when it has nothing there.
    """

    kind: Literal["file", "field", "keep_when", "result"]
    name: str
    old: str
    new: str


def diff_mappings(
    old_path: str | PathLike[str],
    new_path: str | PathLike[str],
    samples: Iterable[Dictionary[str, Any]] = (),
    *,
    tables: Dictionary[str, Dictionary[str, str]] | None = None,
    records: Dictionary[str, type[Any]] = RECORDS,
) -> list[Difference]:
    """Return every difference between two files, and every sample whose result changes; `tables` are external ones.

    Raises:
        MappingError: one of the files is refused, or needs an external table that `tables` does not have.
    """
    old, new = (load_mapping(path, records).with_tables(tables or {}) for path in (old_path, new_path))
    said = [
        *_compare("file", _describe_file(old.spec), _describe_file(new.spec)),
        *_compare("field", _describe_fields(old.spec), _describe_fields(new.spec)),
        *_compare("keep_when", _describe_conditions(old.spec), _describe_conditions(new.spec)),
    ]
    made = [
        difference
        for number, raw in enumerate(samples, start=1)
        for difference in _compare("result", _result(old, raw, number), _result(new, raw, number))
    ]
    return [*said, *made]


def _compare(
    kind: Literal["file", "field", "keep_when", "result"], old: dict[str, str], new: dict[str, str]
) -> list[Difference]:
    names = dict.fromkeys([*old, *new])
    pairs = [(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in names]
    return [Difference(kind, name, before, after) for name, before, after in pairs if before != after]


def _describe_file(spec: MappingSpec) -> dict[str, str]:
    facts = {"target": spec.target, "source.system": spec.system, "source.object": spec.object}
    facts["external_tables"] = ", ".join(sorted(spec.external_tables))
    for table in spec.tables.values():
        facts |= {f"table {table.name}: {key}": repr(word) for key, word in table.entries.items()}
    return facts


def _describe_fields(spec: MappingSpec) -> dict[str, str]:
    return {field.name: _describe_field(field) for field in spec.fields}


def _describe_field(field: FieldSpec) -> str:
    if field.const is not None:
        return f"const {field.const!r}"
    chain = [item.name if item.argument is None else f"{item.name} {item.argument!r}" for item in field.transforms]
    words = ["from " + " + ".join(field.sources), *chain]
    if field.lookup is not None:
        words.append(f"lookup {field.lookup}")
    if field.default is not None:
        words.append(f"default {field.default!r}")
    if field.required:
        words.append("required")
    return ", ".join(words)


def _describe_conditions(spec: MappingSpec) -> dict[str, str]:
    return {
        f"{condition.path} {condition.operator}": ", ".join(sorted(map(repr, condition.words))) or "true"
        for condition in spec.keep_when
    }


def _result(mapping: Mapping, raw: Dictionary[str, Any], number: int) -> dict[str, str]:
    try:
        record = mapping.apply(raw)
    except RecordError as error:
        return {f"{number}": f"error {error.reason} in {error.field}"}
    if record is None:
        return {f"{number}": "skipped"}
    return {f"{number}": mapping.record.__name__} | {
        f"{number} {field.name}": write_text(getattr(record, field.name)) for field in fields(record)
    }
