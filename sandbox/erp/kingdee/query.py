"""ExecuteBillQuery and BillQuery: FieldKeys, filter, order and the vendor's paging rules.

TopRowCount is an absolute end row, not a page size; a Limit above the server's maximum is cut silently; without a
unique OrderString the order of equal rows changes from call to call.
"""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.credentials import ORG_NUM
from sandbox.erp.kingdee.database import QUANTITY_SCALE, wire_time
from sandbox.erp.kingdee.filters import Condition, no_such_field, parse_filter, parse_order
from sandbox.erp.kingdee.forms import Column, Form, Kind, query_forms
from sandbox.erp.kingdee.movement import Movement
from sandbox.erp.kingdee.stirring import move_or_take_back
from sandbox.erp.kingdee.stock import SELLABLE
from sandbox.erp.kingdee.wire import BAD_REQUEST, EMPTY_KEYS, ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.erp.kingdee.world import World
    from sandbox.faults import Switchboard

_INVENTORY: Final = "STK_Inventory"
_BEHIND_A_KEY: Final = re.compile(r"FMaterialId\.FNumber\s*>", re.IGNORECASE)
_PRIME: Final = 1_000_003
_NOISE: Final = 1e-10  # the vendor's databases keep ten decimals


@dataclass(frozen=True, slots=True)
class Query:
    """A query that has been understood."""

    form: Form
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    condition: Condition
    order: str
    start: int
    count: int
    later_page: bool


class QueryEngine:
    """Answers queries from the world's books."""

    def __init__(self, world: World, faults: Switchboard, max_rows: int) -> None:
        self._world = world
        self._faults = faults
        self._max_rows = max_rows
        self._calls = itertools.count(1)
        self._lock = threading.Lock()

    def lists(self, data: Mapping[str, Any]) -> list[list[Any]]:
        """Answer ExecuteBillQuery: one list per row, in FieldKeys' order.

        Raises:
            ApiError: in the vendor's form, MsgCode 4, 8 or 9.
        """
        return self._run(self._understand(data))

    def objects(self, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answer BillQuery: one object per row, its keys spelt as they were asked for."""
        query = self._understand(data)
        return [dict(zip(query.names, row, strict=True)) for row in self._run(query)]

    def _understand(self, data: Mapping[str, Any]) -> Query:
        given = {str(name).lower(): value for name, value in data.items()}
        form_id = str(given.get("formid") or "").strip()
        where, start = _filter_text(given.get("filterstring")), max(0, _number(given, "startrow"))
        form = query_forms().get(form_id.lower())
        if form is None:
            raise ApiError(f"业务对象{form_id}不存在，请检查FormId。", BAD_REQUEST)
        names = _names(given.get("fieldkeys"))
        if not names:
            raise ApiError("FieldKeys不能为空，请检查！", EMPTY_KEYS)
        columns = tuple(_column(form, name) for name in names)
        return Query(
            form=form,
            names=names,
            columns=columns,
            condition=parse_filter(form, where),
            order=self._order(form, str(given.get("orderstring") or "")),
            start=start,
            count=self._count(form, given),
            later_page=start > 0 or _BEHIND_A_KEY.search(where) is not None,
        )

    def _order(self, form: Form, order_string: str) -> str:
        terms = parse_order(form, order_string)
        if self._strike("unstable-order", form) is not None:
            terms = []
        with self._lock:
            call = next(self._calls)
        # reproducible, and different in every call: what the order is not told to be, it is not
        return ", ".join([*terms, f"({form.tiebreak} * {call * 7919 % _PRIME}) % {_PRIME}", form.tiebreak])

    def _count(self, form: Form, given: Mapping[str, Any]) -> int:
        limit = _number(given, "limit")
        count = min(limit, self._max_rows) if limit > 0 else self._max_rows
        cut = self._strike("limit-truncated", form)
        if cut is not None:
            count = min(count, int(cut.get("rows", 100)))
        end_rows = [_number(given, "toprowcount")]
        own_end = self._strike("toprow-end-row", form)
        if own_end is not None:
            end_rows.append(int(own_end.get("rows", 500)))
        for end_row in end_rows:
            if end_row > 0:
                count = min(count, max(0, end_row - max(0, _number(given, "startrow"))))
        return count

    def _strike(self, fault_id: str, form: Form) -> Mapping[str, Any] | None:
        return self._faults.strike(fault_id, form=form.form_id)

    # --- running
    def _run(self, query: Query) -> list[list[Any]]:
        form = query.form
        error = self._strike("error-row", form)
        if error is not None:
            raise ApiError(str(error.get("message", "系统内部错误")), int(error.get("msg_code", BAD_REQUEST)))
        if self._strike("empty-answer", form) is not None:
            return []
        self._stir(query)
        rows = self._fetch(query)
        noise = self._strike("float-noise", form) is not None
        return [
            [_on_the_wire(value, column.kind, noise=noise) for value, column in zip(row, query.columns, strict=True)]
            for row in rows
        ]

    def _fetch(self, query: Query) -> Sequence[Sequence[Any]]:
        fields = ", ".join(column.sql for column in query.columns)
        statement = f"SELECT {fields} FROM {query.form.source} WHERE {query.condition.sql} ORDER BY {query.order}"
        reshaped = self._reshaped(query, statement)
        if reshaped is not None:
            return reshaped[query.start : query.start + query.count]
        return self._world.database.rows(
            f"{statement} LIMIT ? OFFSET ?", (*query.condition.parameters, query.count, query.start)
        )

    def _reshaped(self, query: Query, statement: str) -> Sequence[Sequence[Any]] | None:
        """Return the whole result as a fault makes it look, or None when none strikes."""
        truncated = self._strike("snapshot-truncated", query.form)
        shrunk = self._strike("shrunk-answer", query.form)
        doubled = self._strike("duplicate-fid", query.form)
        if truncated is None and shrunk is None and doubled is None:
            return None
        rows: Sequence[Sequence[Any]] = self._world.database.rows(statement, query.condition.parameters)
        if shrunk is not None:
            every = max(2, round(1 / max(float(shrunk.get("share", 0.1)), 0.001)))
            rows = rows[::every]
        if doubled is not None:
            twice = _contradict if doubled.get("conflict") else tuple
            rows = [
                copy for number, row in enumerate(rows) for copy in ((row, twice(row)) if number % 50 == 0 else (row,))
            ]
        if truncated is not None and len(rows) > int(truncated.get("rows", 100)):
            rows = rows[: int(len(rows) * float(truncated.get("share", 0.6)))]
        return rows

    # --- faults that really change the books, so that the books stay the truth
    def _stir(self, query: Query) -> None:
        if self._strike("bills-taken-back", query.form) is not None:
            move_or_take_back(self._world)
        if query.form.form_id != _INVENTORY:
            return
        if self._strike("negative-quantity", query.form) is not None:
            self._sell_first(query, extra=2 * QUANTITY_SCALE)
        if query.later_page and self._strike("rows-move-between-pages", query.form) is not None:
            self._sell_first(query, extra=0)

    def _sell_first(self, query: Query, extra: int) -> None:
        """Sell the first own, sellable row of the result (one without lots) out, or `extra` below zero."""
        found = self._world.database.rows(
            f"SELECT i.* FROM {query.form.source} WHERE {query.condition.sql} AND i.quantity > 0 AND i.status = ? "
            f"AND i.owner = ? AND m.shelf_days IS NULL ORDER BY {query.order} LIMIT 1",
            (*query.condition.parameters, SELLABLE, ORG_NUM),
        )
        for row in found:
            sold = row["quantity"] + extra
            sale = Movement(
                "sale", row["material"], row["colour"], row["size"], row["stock"], sold, allow_negative=True
            )
            self._world.move(sale)


def _contradict(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row with another quantity: what is no text and no blank is one more."""
    return tuple(value + QUANTITY_SCALE if isinstance(value, int) else value for value in row)


def _names(field_keys: object) -> tuple[str, ...]:
    parts = field_keys if isinstance(field_keys, list) else str(field_keys or "").split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _filter_text(given: object) -> str:
    # an empty list is how newer documents spell "no filter"; the list form itself is not understood here
    if given is None or given == []:
        return ""
    if not isinstance(given, str):
        raise ApiError("过滤条件错误：FilterString应为字符串。", BAD_REQUEST)
    return given


def _column(form: Form, name: str) -> Column:
    column = form.column(name)
    if column is None:
        raise no_such_field(name)
    return column


def _number(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if value is None or value == "":
        return 0
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ApiError(f"参数{name}格式错误。", BAD_REQUEST) from error


def _on_the_wire(value: Any, kind: Kind, *, noise: bool) -> Any:  # noqa: ANN401 - JSON
    """Return a stored value as the vendor's JSON has it: quantities are floats, times lose their trailing zeros."""
    if value is None:
        return None
    if kind is Kind.QUANTITY:
        number = value / QUANTITY_SCALE
        return number + (-_NOISE if int(number) % 2 else _NOISE) if noise else number
    return wire_time(value) if kind is Kind.DATE else value
