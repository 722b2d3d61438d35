"""The SQLite books: one table per entity set, made from the data model, plus counters, settings and locations."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap import model
from sandbox.erp.sap.model import BOOLEAN, DATE_TIME, DATE_TIME_OFFSET, STRING
from sandbox.files import start_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sandbox.erp.sap.model import EntitySet, Property

    SqlValue = str | int | None

_TABLES: Final = (
    model.STOCK,
    model.HEADER,
    model.ITEM,
    model.PRODUCT,
    model.DESCRIPTION,
    model.UNIT,
    model.EAN,
)
_EXTRA: Final = (
    "CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS storage_location (
        plant TEXT NOT NULL, location TEXT NOT NULL, plant_name TEXT NOT NULL, name TEXT NOT NULL,
        PRIMARY KEY (plant, location)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS posted_again (
        year TEXT NOT NULL, document TEXT NOT NULL, item TEXT NOT NULL,
        PRIMARY KEY (year, document, item)) WITHOUT ROWID""",
    """CREATE VIEW IF NOT EXISTS material_stock AS
        SELECT "Product" AS "Material", "BaseUnit" AS "MaterialBaseUnit" FROM product""",
    'CREATE INDEX IF NOT EXISTS header_created ON document_header ("CreationDate", "CreationTime")',
    'CREATE INDEX IF NOT EXISTS header_reference ON document_header ("ReferenceDocument")',
    'CREATE INDEX IF NOT EXISTS item_material ON document_item ("Material")',
)


class Store:
    """One SQLite file in WAL mode, shared by the server's threads: each statement or transaction has it alone.

    A commit survives a SIGKILL of the process (synchronous=NORMAL risks the last ones on a power cut only).
    """

    def __init__(self, database: Path | str) -> None:
        schema = (*map(_create_table, _TABLES), *_EXTRA)
        start_file(database, "".join(schema))
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(str(database), check_same_thread=False, isolation_level=None, timeout=10)
        self._connection.row_factory = sqlite3.Row
        self._connection.create_function("bucket", 1, _bucket, deterministic=True)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self.transaction() as connection:
            for statement in schema:
                connection.execute(statement)

    def rows(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(sql, tuple(parameters)).fetchall()

    def number(self, sql: str, parameters: Sequence[SqlValue] = ()) -> int:
        """Return the single whole number that a query answers, 0 for none."""
        rows = self.rows(sql, parameters)
        return int(rows[0][0] or 0) if rows else 0

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the books alone; commit at the end, roll back when an exception leaves the block."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete every row, inside the caller's transaction."""
        names = [entity_set.table for entity_set in _TABLES]
        for table in (*names, "counter", "setting", "storage_location", "posted_again"):
            connection.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _bucket(text: str) -> int:
    """Return a stable number from 0 to 999 for a text: what a partial answer leaves out is chosen by it."""
    return zlib.crc32(text.encode()) % 1000


def insert(connection: sqlite3.Connection, entity_set: EntitySet, values: dict[str, SqlValue]) -> None:
    """Insert one row; columns that are not given have their empty value."""
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {entity_set.table} ({columns}) VALUES ({marks})", tuple(values.values()))


def _create_table(entity_set: EntitySet) -> str:
    columns = ", ".join(_column(prop) for prop in entity_set.properties)
    key = ", ".join(f'"{prop.name}"' for prop in entity_set.keys)
    return f"CREATE TABLE IF NOT EXISTS {entity_set.table} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"


def _column(prop: Property) -> str:
    if prop.type == STRING:
        return f"\"{prop.name}\" TEXT NOT NULL DEFAULT ''"
    if prop.type in {DATE_TIME, DATE_TIME_OFFSET}:
        return f'"{prop.name}" INTEGER'
    check = f' CHECK ("{prop.name}" IN (0, 1))' if prop.type == BOOLEAN else ""
    return f'"{prop.name}" INTEGER NOT NULL DEFAULT 0{check}'
