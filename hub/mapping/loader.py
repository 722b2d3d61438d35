"""Load mapping files: read, check against the target, compile, and let the examples prove the result."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hub.errors import MappingError
from hub.mapping.engine import Definition, Mapping
from hub.mapping.examples import prove
from hub.mapping.names import unknown
from hub.mapping.plan import make_plan
from hub.mapping.reader import read_spec
from hub.mapping.shapes import describe
from hub.mapping.targets import RECORDS

if TYPE_CHECKING:
    from collections.abc import Mapping as Dictionary
    from os import PathLike

    from hub.mapping.shapes import TargetField
    from hub.mapping.spec import MappingSpec

_HASH_DIGITS = 8


class MappingErrors(MappingError):  # noqa: N818 - several of them
    """Raised when files of a tree are refused; the message has one line per file, `errors` holds them one by one."""

    def __init__(self, message: str, *, errors: tuple[MappingError, ...] = ()) -> None:
        """Keep the errors of the single files."""
        super().__init__(message)
        self.errors = errors
        self._details = {"errors": errors}


def load_mapping(path: str | PathLike[str], records: Dictionary[str, type[Any]] = RECORDS) -> Mapping:
    """Load one mapping file whose target is one of `records`.

    Raises:
        MappingError: the file can't be read, is wrong in itself or for its target, or one of its examples fails.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"the file can't be read: {error}"
        raise MappingError(message, file=str(place)) from error
    spec = read_spec(text, str(place))
    digest = hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]
    mapping = Mapping(_define(spec, f"{place.name}@{spec.version}-{digest}", records))
    prove(mapping, spec)
    return mapping


def load_tree(root: str | PathLike[str], records: Dictionary[str, type[Any]] = RECORDS) -> dict[str, Mapping]:
    """Load every `*.yaml` under `root`, by its path from there, for instance `erp/kingdee/stock.yaml`.

    Raises:
        MappingErrors: at least one file is refused; all files are tried first.
    """
    top = Path(root)
    mappings: dict[str, Mapping] = {}
    errors: list[MappingError] = []
    for path in sorted([*top.rglob("*.yaml"), *top.rglob("*.yml")]):
        try:
            if path.suffix == ".yml":
                _refuse("name the file .yaml: .yml files are not loaded", str(path), None)
            mappings[path.relative_to(top).as_posix()] = load_mapping(path, records)
        except MappingError as error:
            errors.append(error)
    if errors:
        raise MappingErrors("\n".join(str(error) for error in errors), errors=tuple(errors))
    return mappings


def _define(spec: MappingSpec, version: str, records: Dictionary[str, type[Any]]) -> Definition:
    if spec.target not in records:
        _refuse(unknown("target", spec.target, records), spec.file, spec.target_line)
    record = records[spec.target]
    targets = describe(record)
    _check_tables(spec)
    _check_fields(spec, targets)
    plans = tuple(make_plan(field, targets[field.name], spec) for field in spec.fields)
    _check_use(spec)
    return Definition(spec, version, record, targets, plans)


def _check_tables(spec: MappingSpec) -> None:
    for name in spec.external_tables:
        if name in spec.tables:
            _refuse(f"table {name!r} stands in external_tables too", spec.file, spec.tables[name].line)
    for name, table in spec.example_tables.items():
        if name not in spec.external_tables:
            _refuse(unknown("external table", name, spec.external_tables), spec.file, table.line)


def _check_use(spec: MappingSpec) -> None:
    used = {field.lookup for field in spec.fields}
    for name, table in spec.tables.items():
        if name not in used:
            _refuse(f"table {name!r} is not used by any lookup", spec.file, table.line)


def _check_fields(spec: MappingSpec, targets: Dictionary[str, TargetField]) -> None:
    for field in spec.fields:
        if field.name not in targets:
            _refuse(unknown(f"field of {spec.target}", field.name, targets), spec.file, field.line)
    mapped = {field.name for field in spec.fields}
    missing = [name for name, target in targets.items() if target.must_be_mapped and name not in mapped]
    if missing:
        _refuse(f"{spec.target} needs these fields too: {', '.join(missing)}", spec.file, spec.fields_line)


def _refuse(message: str, file: str, line: int | None) -> NoReturn:
    raise MappingError(message, file=file, line=line)
