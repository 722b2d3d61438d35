"""The shape of a mapping file, after its keys are checked and before it meets its target record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.mapping.transforms import Argument

FILE_KEYS = (
    "version",
    "source",
    "target",
    "tables",
    "external_tables",
    "example_tables",
    "fields",
    "keep_when",
    "examples",
)
SOURCE_KEYS = ("system", "object")
FIELD_KEYS = ("from", "transform", "lookup", "default", "const", "required")
CONDITION_KEYS = ("in", "not_in", "equals", "not_blank")
EXAMPLE_KEYS = ("in", "out", "skip", "error")


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """One named transform of a field, with its argument as plain texts, lists and dicts."""

    name: str
    argument: Argument
    line: int


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """How one target field is made."""

    name: str
    line: int
    sources: tuple[str, ...] = ()
    several: bool = False
    transforms: tuple[TransformSpec, ...] = ()
    lookup: str | None = None
    default: str | None = None
    const: str | None = None
    required: bool = False
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of `keep_when` on a raw field; `operator` is one of `CONDITION_KEYS`."""

    path: str
    operator: str
    words: frozenset[str]
    line: int


@dataclass(frozen=True, slots=True)
class Example:
    """One proof: a raw record, and the fields that come out, or that it is skipped, or the reason of its refusal.

    `out` names the fields that are compared, by their text in the file (None: an unquoted null).
    """

    raw: dict[str, Any]
    line: int
    out: dict[str, str | None] | None = None
    out_lines: dict[str, int] = field(default_factory=dict)
    skip: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A look-up table with the line of each entry."""

    name: str
    entries: dict[str, str]
    lines: dict[str, int]
    line: int


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A whole file."""

    file: str
    version: str
    system: str
    object: str
    target: str
    target_line: int
    tables: dict[str, Table]
    external_tables: tuple[str, ...]
    example_tables: dict[str, Table]
    fields: tuple[FieldSpec, ...]
    fields_line: int
    keep_when: tuple[Condition, ...]
    examples: tuple[Example, ...]
