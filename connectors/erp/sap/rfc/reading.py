"""Reading tables over RFC_READ_TABLE: fields in parts that fit, answers known to be whole or known to be cut."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.rfc.conditions import ANYTHING, Condition, to_lines
from connectors.erp.sap.rfc.errors import TooLarge
from connectors.erp.sap.rfc.tables import PLACES, Column, Row, Table, join_rows, parse_columns, parse_row, split_fields
from hub.errors import ConfigError, ProtocolViolation, RemoteError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from connectors.erp.sap.rfc.client import RfcClient

_TOO_WIDE = "DATA_BUFFER_EXCEEDED"
_NO_PARAMETER = "RFC_INVALID_PARAMETER"
_FEWEST_ROWS = 10
_TRIES = 3
_GOOD_ANSWERS = 5
_MOST_PATIENCE = 640


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a table; when `cut`, they are any part of the whole, and good only to tell where to cut."""

    rows: Sequence[Row]
    cut: bool


class PageSize:
    """How many rows to ask for: half as many when SAP can't hold them, twice as many again when it can.

    Memory may be short for good: each time a size fails that was tried again, twice as many good answers must come
    before the next trial, so that short dumps stay few. So many at full size, and all is forgotten. Threads may share
    it.

    Args:
        most: rows of an answer at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows = most
        self._good = 0
        self._patience = _GOOD_ANSWERS
        self._tried_again = False
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        """Rows of an answer at most, for now."""
        return self._rows

    def succeed(self, rows: int) -> None:
        """Note that an answer of at most so many rows came."""
        with self._lock:
            if rows != self._rows:  # another thread was faster
                return
            self._good += 1
            if self._good < self._patience:
                return
            self._good = 0
            if rows == self._most:
                self._patience, self._tried_again = _GOOD_ANSWERS, False
            else:
                self._rows, self._tried_again = min(2 * rows, self._most), True

    def fail(self, rows: int) -> bool:
        """Note that SAP could not hold so many rows; False when fewer are not worth trying."""
        with self._lock:
            if rows // 2 < _FEWEST_ROWS:
                return False
            if rows == self._rows:
                if self._tried_again:
                    self._patience = min(2 * self._patience, _MOST_PATIENCE)
                self._rows, self._good, self._tried_again = rows // 2, 0, False
            return True


class TableReader:
    """Reads tables of one SAP system. Threads may share it.

    Args:
        function: RFC_READ_TABLE or what stands for it.
        page_rows: rows of an answer at most; fewer for a while when SAP runs out of memory.
    """

    def __init__(self, client: RfcClient, function: str, page_rows: int) -> None:
        self._client = client
        self._function = function
        self._page_size = PageSize(page_rows)
        self._widths: dict[tuple[str, str], int] = {}
        self._log = structlog.get_logger().bind(system=SYSTEM)

    @property
    def logged_on(self) -> bool:
        """Whether a conversation is open and free."""
        return self._client.pool.has_free

    def read(
        self, table: Table, fields: Sequence[str], where: Condition = ANYTHING, *, together: Collection[str] = ()
    ) -> Answer:
        """Read the rows that meet a condition, or as many as fit.

        Args:
            fields: beside the key, which is always read.
            together: those of them that must be of one moment, however many calls the others take.

        Raises:
            RemoteError: SAP refuses, or does not answer properly.
            ConfigError: a field is too wide, or those that stand together are, or a value of the condition is.
        """
        parts = self._plan(table, fields, together)
        for _ in range(_TRIES):
            answers: list[list[Row]] = []
            for part in parts:
                limit, rows = self._read_limited(table, part, where)
                if len(rows) > limit:
                    return Answer(rows, cut=True)
                answers.append(rows)
            if (joined := join_rows(answers, table.key)) is not None:
                return Answer(joined, cut=False)
        raise Unavailable("rows come and go between the parts of a read", system=SYSTEM, operation=self._name(table))

    def read_some(self, table: Table, where: Condition = ANYTHING, fields: Sequence[str] = ()) -> list[Row]:
        """Read one row at most: to see whether there is any."""
        return self._read_rows(table, [*table.key, *fields], where, 1)

    def knows_order(self) -> bool:
        """Ask whether the function has GET_SORTED, which most ECC releases lack; nothing depends on it."""
        parameters = {"QUERY_TABLE": PLACES.name, "NO_DATA": "X", "FIELDS": [{"FIELDNAME": "WERKS"}]}
        try:
            self._client.call(self._function, {**parameters, "GET_SORTED": "X"}, PLACES.name)
        except RemoteError as error:
            if error.remote_code != _NO_PARAMETER:
                raise
            return False
        return True

    def widths(self, table: Table, fields: Sequence[str]) -> dict[str, int]:
        """Return the characters that each field takes in a row, asked of SAP once."""
        names = list(dict.fromkeys([*table.key, *fields]))
        unknown = [name for name in names if (table.name, name) not in self._widths]
        if unknown:
            for column in self._describe(table, unknown):
                self._widths[table.name, column.name] = column.length
        missing = [name for name in names if (table.name, name) not in self._widths]
        if missing:
            raise ProtocolViolation(
                f"the answer describes no {', '.join(missing)}", system=SYSTEM, operation=self._name(table)
            )
        return {name: self._widths[table.name, name] for name in names}

    def _describe(self, table: Table, fields: Sequence[str]) -> list[Column]:
        """Ask for the description of fields without any row; in halves where even that is too wide."""
        try:
            return self._columns(table, self._call(table, fields, ANYTHING, 1, no_data=True))
        except RemoteError as error:
            if error.remote_code != _TOO_WIDE or len(fields) == 1:
                raise
        middle = len(fields) // 2
        return [*self._describe(table, fields[:middle]), *self._describe(table, fields[middle:])]

    def _plan(self, table: Table, fields: Sequence[str], together: Collection[str]) -> list[list[str]]:
        try:
            return split_fields(self.widths(table, fields), table.key, together=together)
        except ValueError as error:
            raise ConfigError(f"table {table.name} can't be read: {error}; take it out of the mapping") from error

    def _read_limited(self, table: Table, fields: Sequence[str], where: Condition) -> tuple[int, list[Row]]:
        """Return the limit and at most one row more; the limit falls when SAP can't hold so many rows."""
        while True:
            limit = self._page_size.rows
            try:
                rows = self._read_rows(table, fields, where, limit + 1)
            except TooLarge:
                if not self._page_size.fail(limit):
                    raise
                self._log.warning("page_rows_halved", table=table.name, page_rows=self._page_size.rows)
            else:
                self._page_size.succeed(limit)
                return limit, rows

    def _read_rows(self, table: Table, fields: Sequence[str], where: Condition, count: int) -> list[Row]:
        answer = self._call(table, fields, where, count, no_data=False)
        columns = self._columns(table, answer)
        missing = set(fields) - {column.name for column in columns}
        data = answer.get("DATA")
        if missing or not isinstance(data, list):
            lacking = ", ".join(sorted(missing)) or "DATA"
            raise ProtocolViolation(f"the answer lacks {lacking}", system=SYSTEM, operation=self._name(table))
        try:
            return [parse_row(line["WA"], columns) for line in data]
        except (KeyError, TypeError, AttributeError) as error:
            raise ProtocolViolation("a row is no text", system=SYSTEM, operation=self._name(table)) from error

    def _call(
        self, table: Table, fields: Sequence[str], where: Condition, count: int, *, no_data: bool
    ) -> dict[str, Any]:
        try:
            lines = to_lines(where)
        except ValueError as error:
            raise ConfigError(f"table {table.name} can't be asked: {error}") from error
        parameters: dict[str, Any] = {
            "QUERY_TABLE": table.name,
            "ROWCOUNT": count,
            "OPTIONS": [{"TEXT": line} for line in lines],
            "FIELDS": [{"FIELDNAME": name} for name in fields],
        }
        if no_data:
            parameters["NO_DATA"] = "X"
        return self._client.call(self._function, parameters, table.name)

    def _columns(self, table: Table, answer: Mapping[str, Any]) -> list[Column]:
        try:
            return parse_columns(answer["FIELDS"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation(
                "the answer does not describe its fields", system=SYSTEM, operation=self._name(table)
            ) from error

    def _name(self, table: Table) -> str:
        return f"{self._function} {table.name}"
