"""Let the examples of a mapping file prove it: a file whose examples fail is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from hub.errors import MappingError, RecordError
from hub.mapping.names import unknown
from hub.mapping.values import write_text

if TYPE_CHECKING:
    from hub.mapping.engine import Mapping
    from hub.mapping.spec import Example, MappingSpec


def prove(mapping: Mapping, spec: MappingSpec) -> None:
    """Run every example, with the tables of `example_tables` in place of the external ones.

    `out` names the fields that it checks; it may leave out others. Values are compared as the field's type: the
    decimals "3" and "3.0" are equal, so are two writings of one instant.

    Raises:
        MappingError: an example does not come out as it says.
    """
    tables = {name: table.entries for name, table in spec.example_tables.items()}
    ready = mapping.with_tables(tables) if tables else mapping
    for number, example in enumerate(spec.examples, start=1):
        _prove_one(ready, example, spec.file, number)


def _prove_one(mapping: Mapping, example: Example, file: str, number: int) -> None:
    try:
        record = mapping.apply(example.raw)
    except RecordError as error:
        if example.error == error.reason:
            return
        _refuse(example, file, number, f"error {error.reason}: {error.message}")
    except MappingError as error:
        _refuse(example, file, number, f"{error.message}; give it a value in example_tables")
    if record is None:
        if not example.skip:
            _refuse(example, file, number, "skipped by keep_when")
        return
    if example.out is None:
        _refuse(example, file, number, f"the record {record}")
    for name, word in example.out.items():
        _compare(mapping, record, name, word, (example, file, number))


def _compare(mapping: Mapping, record: Any, name: str, word: str | None, place: tuple[Example, str, int]) -> None:  # noqa: ANN401
    example, file, number = place
    targets = mapping.targets
    line = example.out_lines[name]
    if name not in targets:
        raise MappingError(unknown(f"field of {mapping.record.__name__}", name, targets), file=file, line=line)
    actual = getattr(record, name)
    try:
        expected = None if word is None else targets[name].read_word(word)
    except ValueError as error:
        message = f"example {number}, {name}: {error}"
        raise MappingError(message, file=file, line=line) from None
    if actual != expected:
        message = f"example {number}, {name}: expected {write_text(expected)!r}, got {write_text(actual)!r}"
        raise MappingError(message, file=file, line=line)


def _refuse(example: Example, file: str, number: int, got: str) -> NoReturn:
    expected = "a record" if example.out is not None else "skip" if example.skip else f"error {example.error}"
    message = f"example {number}: expected {expected}, got {got}"
    raise MappingError(message, file=file, line=example.line)
