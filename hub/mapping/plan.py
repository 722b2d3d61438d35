"""Check a field against its target and make the functions that fill it: no look at types is left for run time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from hub.errors import MappingError
from hub.mapping.names import unknown
from hub.mapping.transforms import TRANSFORMS
from hub.mapping.values import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hub.mapping.shapes import TargetField
    from hub.mapping.spec import FieldSpec, MappingSpec, Table, TransformSpec
    from hub.mapping.transforms import Function, Kind

    Raw = Mapping[str, Any]
    Reader = Callable[[Raw], Any]

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Stage:
    """One transform of a field, ready to run."""

    name: str
    run: Function


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """How a target field is made from a raw record.

    Attributes:
        part_stages: run on each source of a field that joins several; `join` then puts them together.
        table: look-up table with values of the field's type; None when the field looks nothing up, or when its
            external table has not been handed over yet (`table_name` tells the two apart).
        absent: makes the value of an absent one; None when absence is refused.
        on_unmapped: makes the value of one that the table does not know; None when that is refused.
    """

    name: str
    sources: tuple[str, ...]
    readers: tuple[Reader, ...]
    part_stages: tuple[Stage, ...]
    join: Stage | None
    stages: tuple[Stage, ...]
    table_name: str | None
    table: Mapping[str, Any] | None
    finish: Function | None
    absent: Callable[[], Any] | None
    on_unmapped: Callable[[], Any] | None
    const: Callable[[], Any] | None = None


def make_reader(path: str) -> Reader:
    """Return a function that finds a raw field: as one literal key first, then step by step at the dots."""
    steps = path.split(".")
    if len(steps) == 1:
        return lambda raw: raw.get(path)

    def read(raw: Raw) -> Any:  # noqa: ANN401
        value = raw.get(path, _MISSING)
        if value is not _MISSING:
            return value
        value = raw
        for step in steps:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        return value

    return read


def make_plan(field: FieldSpec, target: TargetField, spec: MappingSpec) -> FieldPlan:
    """Check one field of a file against the record's field and compile it.

    Raises:
        MappingError: a transform's argument or order is wrong, the chain can't give the field's type, the table is
            not there, or a constant, default or table value is none of the field's type.
    """
    return _Planner(field, target, spec).plan()


def convert_table(table: Table, target: TargetField, file: str | None) -> dict[str, Any]:
    """Return the table with its values read as the field's type; blank values are None (absent).

    Raises:
        MappingError: a value is none of the field's type.
    """
    converted: dict[str, Any] = {}
    for key, word in table.entries.items():
        try:
            converted[key] = target.read_word(word) if word else None
        except ValueError as error:
            message = f"table {table.name!r}, entry {key!r}: {error}"
            raise MappingError(message, file=file, line=table.lines.get(key)) from None
    return converted


class _Planner:
    def __init__(self, field: FieldSpec, target: TargetField, spec: MappingSpec) -> None:
        self._field = field
        self._target = target
        self._spec = spec

    def plan(self) -> FieldPlan:
        field = self._field
        if self._target.type is None:
            self._refuse("its type can't be filled by a mapping", field.line)
        before, joiner, after = self._split()
        kind = self._check_kinds(before, joiner, after)
        default = self._word("default", field.default)
        return FieldPlan(
            name=field.name,
            sources=field.sources,
            readers=tuple(make_reader(path) for path in field.sources),
            part_stages=tuple(self._stage(item) for item in before),
            join=self._stage(joiner) if joiner else None,
            stages=tuple(self._stage(item) for item in after),
            table_name=self._table_name(),
            table=self._table(),
            finish=None if self._table_name() else self._target.finisher(kind),
            absent=default or self._absent(),
            on_unmapped=default,
            const=self._word("const", field.const),
        )

    def _split(self) -> tuple[tuple[TransformSpec, ...], TransformSpec | None, tuple[TransformSpec, ...]]:
        field = self._field
        places = [place for place, item in enumerate(field.transforms) if item.name == "join"]
        if field.several and len(places) != 1:
            line = field.lines.get("transform", field.line)
            self._refuse('several sources need exactly one join, for instance {join: "|"}', line)
        if not field.several and places:
            self._refuse("join needs a list of sources in from", field.transforms[places[0]].line)
        if not places:
            return (), None, field.transforms
        place = places[0]
        return field.transforms[:place], field.transforms[place], field.transforms[place + 1 :]

    def _check_kinds(
        self, before: tuple[TransformSpec, ...], joiner: TransformSpec | None, after: tuple[TransformSpec, ...]
    ) -> Kind:
        kind = self._follow("any", before)
        if joiner is not None:
            kind = self._follow(kind, (joiner,))
        kind = self._follow(kind, after)
        line = self._field.lines.get("transform", self._field.line)
        if self._field.const is not None:
            return kind
        if self._table_name() is not None:
            if kind not in {"any", "text", "integer"}:
                self._refuse(f"lookup needs a text, and the transforms give a {kind}", line)
        elif not self._target.accepts(kind):
            given = "an untyped value" if kind == "any" else f"a {kind}"
            self._refuse(f"the transforms give {given}; end them with {self._target.advice()}", line)
        return kind

    def _follow(self, kind: Kind, chain: tuple[TransformSpec, ...]) -> Kind:
        for item in chain:
            transform = TRANSFORMS[item.name]
            if kind not in transform.takes:
                takes = ", ".join(sorted(transform.takes - {"any"}))
                self._refuse(f"transform {item.name} takes {takes}, and a {kind} comes before it", item.line)
            kind = transform.gives if transform.gives != "any" or kind == "any" else kind
        return kind

    def _stage(self, item: TransformSpec) -> Stage:
        try:
            return Stage(item.name, TRANSFORMS[item.name].build(item.argument))
        except ValueError as error:
            self._refuse(str(error), item.line)

    def _table_name(self) -> str | None:
        """Return the table to look up in; a StrEnum without one is looked up among its own members."""
        if self._field.lookup is None and self._target.members():
            return self._target.members_name()
        return self._field.lookup

    def _table(self) -> Mapping[str, Any] | None:
        name = self._field.lookup
        if name is None:
            return self._target.members()
        if name in self._spec.tables:
            return convert_table(self._spec.tables[name], self._target, self._spec.file)
        if name not in self._spec.external_tables:
            known = (*self._spec.tables, *self._spec.external_tables)
            hint = "; a table that the connector hands over is named in external_tables"
            self._refuse(unknown("table", name, known) + hint, self._field.lines["lookup"])
        return None

    def _word(self, key: str, text: str | None) -> Callable[[], Any] | None:
        if text is None:
            return None
        try:
            value = self._target.read_word(text)
        except ValueError as error:
            self._refuse(f"{key}: {error}", self._field.lines[key])
        return lambda: value

    def _absent(self) -> Callable[[], Any] | None:
        if self._field.required:
            return None
        if self._target.default is not None:
            return self._target.default
        return (lambda: None) if self._target.optional else None

    def _refuse(self, message: str, line: int) -> NoReturn:
        message = f"field {self._field.name!r}: {message}"
        raise MappingError(message, file=self._spec.file, line=line)


def table_key(value: Any) -> str:  # noqa: ANN401
    """Return what is looked up in a table."""
    return value if type(value) is str else read_text(value)
