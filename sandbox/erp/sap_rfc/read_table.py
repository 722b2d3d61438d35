"""RFC_READ_TABLE: rows of any table as text of fixed width, with the limits and habits of the real function module.

Packed numbers stand to the right with one place for the sign behind them, dates are eight digits, the initial one
`00000000`. The row is a CHAR 512. The order is the database's, which is no key order, unless GET_SORTED asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap.stirring import move_or_take_back
from sandbox.erp.sap_rfc.errors import abap_exception, short_dump
from sandbox.erp.sap_rfc.where import parse_where

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.erp.sap_rfc.dictionary import Column, Table
    from sandbox.erp.sap_rfc.system import AbapSystem
    from sandbox.erp.sap_rfc.where import Where

ROW_WIDTH: Final = 512
_SIGN: Final = "CASE WHEN {value} < 0 THEN '-' ELSE ' ' END"


@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks for, already in ABAP's types."""

    table: str
    fields: list[str]
    options: list[str]
    delimiter: str = ""
    no_data: bool = False
    skips: int = 0
    count: int = 0
    sorted: bool = False


@dataclass(frozen=True, slots=True)
class Twist:
    """What faults do to the rendering of values."""

    date: str | None = None
    text_length: int | None = None


@dataclass(slots=True)
class Answer:
    """The described fields and the rows."""

    fields: list[dict[str, str]]
    rows: list[str] = field(default_factory=list)


class TableReader:
    """Reads tables of one system. `itab_rows` is how many rows fit into an internal table."""

    def __init__(self, system: AbapSystem, tables: Mapping[str, Table], *, itab_rows: int) -> None:
        self._system = system
        self._tables = tables
        self._itab_rows = itab_rows
        self._reads = 0

    def read(self, request: Request) -> Answer:
        """Answer one call.

        Raises:
            ABAPApplicationError: one of the declared exceptions.
            ABAPRuntimeError: the rows do not fit into memory, or a literal is too long.
        """
        table = self._table(request.table)
        columns = self._columns(table, request.fields)
        described = self._describe(table, columns, request)
        where = parse_where(request.options, table)
        if request.no_data:
            return Answer(described)
        stirred = self._strike("documents-taken-back", table.name)
        for _ in range(0 if stirred is None else int(stirred.get("documents", 1))):
            move_or_take_back(self._system.world)
        return Answer(described, self._rows(table, columns, where, request))

    def _strike(self, fault_id: str, table: str) -> Mapping[str, Any] | None:
        return self._system.strike(fault_id, function="RFC_READ_TABLE", table=table)

    def _table(self, name: str) -> Table:
        table = self._tables.get(name)
        if self._strike("not-authorized", name) is not None:
            raise abap_exception("NOT_AUTHORIZED")
        if self._strike("table-without-data", name) is not None or name in self._system.structures:
            raise abap_exception("TABLE_WITHOUT_DATA")
        if table is None:
            raise abap_exception("TABLE_NOT_AVAILABLE", "SV", "029", name)
        return table

    def _columns(self, table: Table, names: list[str]) -> list[Column]:
        if not names:
            return list(table.columns)
        unknown = [name for name in names if name not in table.by_name]
        if unknown:
            raise abap_exception("FIELD_NOT_VALID")
        return [table.by_name[name] for name in names]

    def _describe(self, table: Table, columns: list[Column], request: Request) -> list[dict[str, str]]:
        """Return FIELDS with offsets and lengths.

        The message of DATA_BUFFER_EXCEEDED (AD 559 with table and width) was seen on release 7.54.
        """
        narrow = self._strike("buffer-exceeded", table.name)
        limit = ROW_WIDTH if narrow is None else int(narrow.get("width", 40))
        described: list[dict[str, str]] = []
        offset = 0
        for column in columns:
            if described:
                offset += len(request.delimiter)
            described.append(
                {
                    "FIELDNAME": column.name,
                    "OFFSET": f"{offset:06d}",
                    "LENGTH": f"{column.width:06d}",
                    "TYPE": column.type,
                    "FIELDTEXT": column.text,
                },
            )
            offset += column.width
            if offset > limit and not request.no_data:
                raise abap_exception("DATA_BUFFER_EXCEEDED", "AD", "559", table.name, str(limit))
        return described

    def _rows(self, table: Table, columns: list[Column], where: Where, request: Request) -> list[str]:
        short = self._strike("page-alloc-failed", table.name)
        most = self._itab_rows if short is None else int(short.get("rows", 100))
        if self._strike("empty-answer", table.name) is not None:
            return []
        limit = min(request.count, most + 1) if request.count > 0 else most + 1
        order = self._order(table, request)
        twist = self._twist(table)
        separator = request.delimiter.replace("'", "''")
        row = f" || '{separator}' || ".join(_rendered(column, twist) for column in columns)
        needed = dict.fromkeys([*(column.name for column in columns), *(key.name for key in table.keys)])
        needed |= dict.fromkeys(sorted(where.columns))
        inner = ", ".join(f'{table.by_name[name].stored} AS "{name}"' for name in needed)
        found = self._system.store.rows(
            f"SELECT rtrim({row}) FROM (SELECT {inner} FROM {table.source}) WHERE {where.sql}"
            f" ORDER BY {order} LIMIT {limit} OFFSET {max(request.skips, 0)}",
            where.parameters,
        )
        if len(found) > most:
            text = "No more storage space available for extending an internal table."
            raise short_dump("TSV_TNEW_PAGE_ALLOC_FAILED", text)
        return self._shortened(table, [str(line[0]) for line in found])

    def _order(self, table: Table, request: Request) -> str:
        """Return ORDER BY: key order if asked for, else one that clients can't guess, the same for every call."""
        keys = [f'"{column.name}"' for column in table.keys] or ['"MANDT"']
        if request.sorted:
            return ", ".join(keys)
        self._reads += 1
        if self._strike("unstable-rowskips", table.name) is not None:
            return f"bucket({' || '.join(keys)} || '{self._reads}'), {', '.join(keys)}"
        return ", ".join([f"substr({keys[0]}, -1)", *(f"{key} DESC" for key in keys)])

    def _twist(self, table: Table) -> Twist:
        wrong = self._strike("wrong-date", table.name)
        cut = self._strike("truncated-char", table.name)
        return Twist(
            None if wrong is None else str(wrong.get("value", "00000000"))[:8].replace("'", ""),
            None if cut is None else int(cut.get("length", 6)),
        )

    def _shortened(self, table: Table, rows: list[str]) -> list[str]:
        short = self._strike("short-answer", table.name)
        return rows if short is None else rows[: int(len(rows) * (1 - float(short.get("share", 0.5))))]


def _rendered(column: Column, twist: Twist) -> str:
    """Return SQL that gives a column's value as text of its full width."""
    name = f'"{column.name}"'
    if column.type == "P":
        return _packed(column, name)
    if column.type == "D":
        if twist.date is not None:
            return f"printf('%-8s', '{twist.date}')"
        return f"COALESCE(strftime('%Y%m%d', {name} / 1000, 'unixepoch'), '00000000')"
    if column.type == "T":
        return f"printf('%02d%02d%02d', {name} / 3600, {name} / 60 % 60, {name} % 60)"
    length = column.length
    if twist.text_length is not None and column.type == "C" and not column.key:
        length = min(length, twist.text_length)
    return f"printf('%!-{column.length}.{length}s', {name})"


def _packed(column: Column, name: str) -> str:
    sign = _SIGN.format(value=name)
    digits = column.length - column.decimals
    if column.decimals:
        return f"printf('%{digits}d.%03d%s', abs({name}) / 1000, abs({name}) % 1000, {sign})"
    return f"printf('%{digits}d%s', abs({name}) / 1000, {sign})"
