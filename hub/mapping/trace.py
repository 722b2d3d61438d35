"""Show how a record is mapped, step by step, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.errors import RecordError
from hub.mapping.fill import compile_condition, make_look_up, missing, record_error
from hub.mapping.plan import make_reader, table_key
from hub.mapping.values import RefusedValueError

if TYPE_CHECKING:
    from hub.mapping.plan import FieldPlan, Raw, Stage
    from hub.mapping.spec import Condition


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one target field, or of one condition (`field` is then `keep_when`, `value` whether it holds).

    Attributes:
        inputs: each raw field that was read, and what stood there (None: nothing).
        results: each transform in turn and what came out of it; a source of a joined field shows as `strip[0]`.
        value: the final value; None when there is an error.
        error: why the record is refused.
    """

    field: str
    inputs: tuple[tuple[str, Any], ...]
    results: tuple[tuple[str, Any], ...]
    value: Any
    error: RecordError | None = None


def explain_condition(condition: Condition, raw: Raw) -> Step:
    """Show what a condition of `keep_when` read and whether it holds."""
    inputs = ((condition.path, make_reader(condition.path)(raw)),)
    try:
        holds = compile_condition(condition)(raw)
    except RecordError as error:
        return Step("keep_when", inputs, (), None, error)
    return Step("keep_when", inputs, ((condition.operator, holds),), holds)


def explain_field(plan: FieldPlan, raw: Raw) -> Step:
    """Show what a field read, what each transform made of it, and what came out."""
    inputs = tuple((path, read(raw)) for path, read in zip(plan.sources, plan.readers, strict=True))
    results: list[tuple[str, Any]] = []
    if plan.const is not None:
        value = plan.const()
        return Step(plan.name, inputs, (("const", value),), value)
    try:
        value = _trace(plan, [value for _, value in inputs], results)
    except RefusedValueError as error:
        return Step(plan.name, inputs, tuple(results), None, record_error(plan, error))
    if value is None or value == "":
        if plan.absent is None:
            return Step(plan.name, inputs, tuple(results), None, missing(plan))
        value = plan.absent()
        results.append(("default", value))
    return Step(plan.name, inputs, tuple(results), value)


def _trace(plan: FieldPlan, values: list[Any], results: list[tuple[str, Any]]) -> Any:  # noqa: ANN401
    value = values[0]
    if plan.join is not None:
        parts = [_trace_stages(plan.part_stages, part, results, f"[{n}]") for n, part in enumerate(values)]
        value = plan.join.run([table_key(part) for part in parts if part is not None and part != ""])
        results.append((plan.join.name, value))
    value = _trace_stages(plan.stages, value, results, "")
    if value is None or value == "":
        return value
    if plan.table_name is not None:
        value = make_look_up(plan)(value)
        results.append((f"lookup {plan.table_name}", value))
    elif plan.finish is not None:
        value = plan.finish(value)
    return value


def _trace_stages(stages: tuple[Stage, ...], value: Any, results: list[tuple[str, Any]], suffix: str) -> Any:  # noqa: ANN401
    for stage in stages:
        if value is None:
            return None
        value = stage.run(value)
        results.append((f"{stage.name}{suffix}", value))
    return value
