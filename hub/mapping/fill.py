"""Compile fields and conditions into plain functions: no look at types or specs is left for run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.errors import MappingError, RecordError
from hub.mapping.plan import make_reader, table_key
from hub.mapping.values import RefusedValueError, read_storable, read_text, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.mapping.plan import FieldPlan, Raw, Stage
    from hub.mapping.spec import Condition
    from hub.mapping.transforms import Function

    Filler = Callable[[Raw], Any]


def compile_field(plan: FieldPlan) -> Filler:
    """Return the function that fills one field; it raises `RecordError` with the field's name."""
    if plan.const is not None:
        return constant(plan.const)
    read, finish = compile_reader(plan), compile_cell(plan)
    return lambda raw: finish(read(raw))


def compile_reader(plan: FieldPlan) -> Filler:
    """Return the function that takes a field's cell out of a record: a raw value, or a tuple of those that it joins."""
    readers = plan.readers
    if plan.join is not None:
        return lambda raw: tuple(read(raw) for read in readers)
    return readers[0]


def compile_cell(plan: FieldPlan) -> Callable[[Any], Any]:
    """Return the function from a field's cell to its value; it raises `RecordError` with the field's name."""
    run = _compile_join(plan) if plan.join is not None else _chain(plan.stages)
    absent = plan.absent or _refuse_absent(plan)
    if plan.table_name is not None:
        return _fill_from_table(plan, run, absent)
    if plan.finish is read_storable:
        return _fill_text(plan, run, absent)
    return _fill_typed(plan, run, absent)


def _fill_text(plan: FieldPlan, run: Function, absent: Callable[[], Any]) -> Function:
    def fill(cell: Any) -> Any:  # noqa: ANN401
        try:
            value = run(cell)
            if type(value) is str and value.isprintable():
                return value or absent()
            return absent() if value is None else read_storable(value) or absent()
        except RefusedValueError as error:
            raise record_error(plan, error) from None

    return fill


def _fill_typed(plan: FieldPlan, run: Function, absent: Callable[[], Any]) -> Function:
    finish = plan.finish

    def fill(cell: Any) -> Any:  # noqa: ANN401
        try:
            value = run(cell)
            if value is None:
                return absent()
            return value if finish is None else finish(value)
        except RefusedValueError as error:
            raise record_error(plan, error) from None

    return fill


def _fill_from_table(plan: FieldPlan, run: Function, absent: Callable[[], Any]) -> Function:
    look_up = make_look_up(plan)

    def fill(cell: Any) -> Any:  # noqa: ANN401
        try:
            value = run(cell)
            if value is None or value == "":
                return absent()
            found = look_up(value)
        except RefusedValueError as error:
            raise record_error(plan, error) from None
        return absent() if found is None else found

    return fill


def _refuse_absent(plan: FieldPlan) -> Callable[[], Any]:
    def refuse() -> None:
        raise missing(plan)

    return refuse


def constant(make: Callable[[], Any]) -> Filler:
    """Return a filler that looks at no record."""
    return lambda _raw: make()


def nothing() -> None:
    """Return None: what an optional field holds by default."""


def _compile_join(plan: FieldPlan) -> Function:
    run_part, run_rest = _chain(plan.part_stages), _chain(plan.stages)
    join = plan.join.run if plan.join is not None else "".join

    def run(cells: tuple[Any, ...]) -> Any:  # noqa: ANN401
        values = [run_part(cell) for cell in cells]
        return run_rest(join([table_key(value) for value in values if value is not None and value != ""]))

    return run


def _chain(stages: tuple[Stage, ...]) -> Function:
    functions = tuple(stage.run for stage in stages)
    if not functions:
        return lambda value: value
    if len(functions) == 1:
        only = functions[0]
        return lambda value: None if value is None else only(value)

    def run(value: Any) -> Any:  # noqa: ANN401
        for function in functions:
            if value is None:
                return None
            value = function(value)
        return value

    return run


def make_look_up(plan: FieldPlan) -> Callable[[Any], Any]:
    """Return the look-up of a field that has a table.

    Raises, when it is called:
        MappingError: the table is external and was never handed over.
    """
    table, on_unmapped = plan.table, plan.on_unmapped

    def look_up(value: Any) -> Any:  # noqa: ANN401
        if table is None:
            message = f"field {plan.name!r} looks up the external table {plan.table_name!r}: hand it to with_tables"
            raise MappingError(message)
        try:
            return table[value if type(value) is str else table_key(value)]
        except KeyError:
            if on_unmapped is not None:
                return on_unmapped()
        detail = f"{show(value)} is not in the table {plan.table_name!r}"
        raise RefusedValueError(reason="unmapped_value", detail=detail)

    return look_up


def compile_condition(condition: Condition) -> Callable[[Raw], bool]:
    """Return the function that tells whether a record meets a condition of `keep_when`."""
    read, words, path = make_reader(condition.path), condition.words, condition.path
    negative = condition.operator in {"not_in", "not_blank"}
    if condition.operator == "not_blank":
        words = frozenset({""})

    def holds(raw: Raw) -> bool:
        value = read(raw)
        try:
            text = value if type(value) is str else "" if value is None else read_text(value)
        except RefusedValueError as error:
            message = f"keep_when {path}: {error.detail}"
            raise RecordError(message, reason=error.reason) from None
        return (text in words) is not negative

    return holds


def record_error(plan: FieldPlan, error: RefusedValueError) -> RecordError:
    """Return the record's refusal for a value's."""
    message = f"{plan.name} (from {', '.join(plan.sources)}): {error.detail}"
    return RecordError(message, reason=error.reason, field=plan.name)


def missing(plan: FieldPlan) -> RecordError:
    """Return the refusal of a record that lacks a field."""
    message = f"{plan.name}: nothing in {', '.join(plan.sources)}"
    return RecordError(message, reason="missing_field", field=plan.name)
