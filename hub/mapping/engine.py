"""Run a compiled mapping over raw records.

The same stages serve `apply`, which is fast, and `explain`, which shows every step; a property test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hub.errors import MappingError, RecordError
from hub.mapping.columns import compile_column, refusals, repeat
from hub.mapping.fill import compile_condition, compile_field, constant, nothing
from hub.mapping.plan import convert_table
from hub.mapping.spec import Table
from hub.mapping.trace import explain_condition, explain_field

if TYPE_CHECKING:
    from collections.abc import Mapping as Dictionary
    from collections.abc import Sequence

    from hub.mapping.columns import Column
    from hub.mapping.fill import Filler
    from hub.mapping.plan import FieldPlan, Raw
    from hub.mapping.shapes import TargetField
    from hub.mapping.spec import MappingSpec
    from hub.mapping.trace import Step


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything a checked file says, from which a `Mapping` is compiled."""

    spec: MappingSpec
    version: str
    record: type[Any]
    targets: Dictionary[str, TargetField]
    plans: tuple[FieldPlan, ...]


class Mapping:
    """A mapping file, checked and compiled: raw records in, hub records out. Immutable and safe between threads.

    Attributes:
        version: file name, version and the first eight hex digits of the file's SHA-256: `stock.yaml@3-1a2b3c4d`.
        system: the system whose records it reads.
        object: the name of the raw object there.
        file: the path it was loaded from; `spec` is what stands there.
        record: the class of what comes out; `targets` describes its fields.
        external_tables: the look-up tables that `with_tables` must hand over.
        source_fields: every raw field that is read, in the order of the file, each once.
    """

    def __init__(self, definition: Definition) -> None:
        """Compile a checked file; `load_mapping` is the ordinary way to get one."""
        spec = definition.spec
        self._definition = definition
        self.version = definition.version
        self.spec = spec
        self.file = spec.file
        self.system = spec.system
        self.object = spec.object
        self.record = definition.record
        self.targets = definition.targets
        self.external_tables = spec.external_tables
        paths = [path for plan in definition.plans for path in plan.sources]
        self.source_fields = tuple(dict.fromkeys([*paths, *(condition.path for condition in spec.keep_when)]))
        self._plans = {plan.name: plan for plan in definition.plans}
        self._fillers = {plan.name: compile_field(plan) for plan in definition.plans}
        self._tests = tuple(compile_condition(condition) for condition in spec.keep_when)
        self._row = self._compile_row()
        self._columns = self._compile_columns()

    def apply(self, raw: Raw) -> Any:  # noqa: ANN401 - a record of the file's target
        """Map one raw record; None when `keep_when` leaves it out.

        Raises:
            RecordError: the record can't be used; `reason` is one of `REASONS`, `field` the target field.
            MappingError: the file needs an external table that `with_tables` never handed over.
        """
        for test in self._tests:
            if not test(raw):
                return None
        return self.record(*[fill(raw) for fill in self._row])

    def apply_all(self, raws: Sequence[Raw]) -> list[Any]:
        """Map many raw records at once, much faster than one by one.

        Returns:
            For each raw record, in order: its record, None when `keep_when` leaves it out, or the `RecordError` for
            which it can't be used. The same error may stand for several records.

        Raises:
            MappingError: the file needs an external table that `with_tables` never handed over.
        """
        if not self._tests:
            return self._fill_all(raws)
        kept = [self._keeps(raw) for raw in raws]
        filled = iter(self._fill_all([raw for raw, keep in zip(raws, kept, strict=True) if keep is True]))
        return [next(filled) if keep is True else keep or None for keep in kept]

    def _keeps(self, raw: Raw) -> bool | RecordError:
        try:
            return all(test(raw) for test in self._tests)
        except RecordError as error:
            return error

    def _fill_all(self, raws: Sequence[Raw]) -> list[Any]:
        columns = [fill(raws) for fill in self._columns]
        outcomes = list(map(self.record, *(column.values for column in columns)))
        for place, error in refusals(columns).items():
            outcomes[place] = error
        return outcomes

    def field(self, raw: Raw, name: str) -> Any:  # noqa: ANN401 - any field's type
        """Return one field's value of a record that may be refused, or None when it can't be had."""
        fill = self._fillers.get(name)
        if fill is None:
            return None
        try:
            return fill(raw)
        except (RecordError, MappingError):
            return None

    def explain(self, raw: Raw) -> list[Step]:
        """Show how a record is mapped: first each condition, then each field with every step in between."""
        conditions = [explain_condition(condition, raw) for condition in self._definition.spec.keep_when]
        return [*conditions, *(explain_field(plan, raw) for plan in self._definition.plans)]

    def with_tables(self, tables: Dictionary[str, Dictionary[str, str]]) -> Mapping:
        """Return this mapping with the external tables filled; names that the file does not declare are left aside.

        Raises:
            MappingError: a value does not have the type of the field that looks it up.
        """
        given = {name: table for name, table in tables.items() if name in self.external_tables}
        plans = tuple(self._refill(plan, given) for plan in self._definition.plans)
        return Mapping(replace(self._definition, plans=plans))

    def _refill(self, plan: FieldPlan, given: Dictionary[str, Dictionary[str, str]]) -> FieldPlan:
        if plan.table_name is None or plan.table_name not in given:
            return plan
        table = Table(plan.table_name, dict(given[plan.table_name]), {}, 0)
        return replace(plan, table=convert_table(table, self._definition.targets[plan.name], self.file))

    def _compile_row(self) -> tuple[Filler, ...]:
        return tuple(
            self._fillers[name] if name in self._fillers else constant(target.default or nothing)
            for name, target in self._definition.targets.items()
        )

    def _compile_columns(self) -> tuple[Column, ...]:
        return tuple(
            compile_column(self._plans[name]) if name in self._plans else repeat(target.default or nothing)
            for name, target in self._definition.targets.items()
        )
