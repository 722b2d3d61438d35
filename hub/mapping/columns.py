"""Run compiled fields over many records at once, column by column.

Most cells of a page repeat: places, units, states, owners, even articles. What was made of a cell once is taken again,
so that a million rows cost little more than reading them. The outcome is that of the same records one by one; a
property test holds the two equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hub.errors import RecordError
from hub.mapping.fill import compile_cell, compile_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hub.mapping.plan import FieldPlan, Raw
    from hub.mapping.transforms import Function

    Column = Callable[[Sequence[Raw]], "Filled"]


class Filled(NamedTuple):
    """One field of many records; in place of a refused value stands its `RecordError`."""

    values: Sequence[Any]
    refused: bool


def compile_column(plan: FieldPlan) -> Column:
    """Return the function that fills one field of many records."""
    if plan.const is not None:
        return repeat(plan.const)
    finish = compile_cell(plan)
    read_one = compile_reader(plan)
    paths = plan.sources
    joined = plan.join is not None

    def read(raws: Sequence[Raw]) -> Sequence[Any]:
        try:
            columns = [[raw[path] for raw in raws] for path in paths]
        except KeyError:  # a field is absent, or lies deeper
            return [read_one(raw) for raw in raws]
        return list(zip(*columns, strict=True)) if joined else columns[0]

    return lambda raws: _finish(finish, read(raws))


def repeat(make: Callable[[], Any]) -> Column:
    """Return a column that looks at no record."""
    return lambda raws: Filled([make() for _ in raws], refused=False)


def refusals(columns: Sequence[Filled]) -> dict[int, RecordError]:
    """Return the first refusal of each record that has one, by the record's place."""
    found: dict[int, RecordError] = {}
    for column in reversed([column for column in columns if column.refused]):
        found.update((place, value) for place, value in enumerate(column.values) if isinstance(value, RecordError))
    return found


class _Memo(dict[Any, Any]):
    """What was made of each cell so far.

    Only texts, None and tuples of them are remembered: 1, True and 1.0 are equal as keys, yet not the same text.
    """

    def __init__(self, finish: Function) -> None:
        super().__init__()
        self._finish = finish
        self.refused = False

    def __missing__(self, cell: Any) -> Any:  # noqa: ANN401
        value = self.attempt(cell)
        if type(cell) is str or cell is None or (type(cell) is tuple and all(map(_is_plain, cell))):
            self[cell] = value
        return value

    def attempt(self, cell: Any) -> Any:  # noqa: ANN401
        try:
            return self._finish(cell)
        except RecordError as error:
            self.refused = True
            return error


def _is_plain(part: Any) -> bool:  # noqa: ANN401
    return type(part) is str or part is None


def _finish(finish: Function, cells: Sequence[Any]) -> Filled:
    memo = _Memo(finish)
    try:
        values = list(map(memo.__getitem__, cells))
    except TypeError:  # a list or an object, which can't be a key
        values = [memo.attempt(cell) for cell in cells]
    return Filled(values, memo.refused)
