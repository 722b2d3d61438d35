"""The sandbox's own SQLite file: tables, transactions, and the units that quantities and times are kept in."""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sandbox.files import start_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Quantities are integers of a millionth of the base unit, so that sums are exact.
QUANTITY_SCALE: Final = 1_000_000
_LARGEST: Final = Decimal(10) ** 11  # sums still fit SQLite's 64 bits
BEIJING: Final = timezone(timedelta(hours=8))

_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS warehouse (
    id INTEGER PRIMARY KEY, number TEXT UNIQUE NOT NULL, name TEXT NOT NULL, modified TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS material (
    id INTEGER PRIMARY KEY, number TEXT UNIQUE NOT NULL, name TEXT NOT NULL, specification TEXT NOT NULL,
    unit TEXT NOT NULL, group_number TEXT NOT NULL, group_name TEXT NOT NULL, barcode TEXT, shelf_days INTEGER,
    forbidden TEXT NOT NULL, modified TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS variant (
    material TEXT NOT NULL, colour TEXT NOT NULL, size TEXT NOT NULL, PRIMARY KEY (material, colour, size));
CREATE TABLE IF NOT EXISTS barcode (
    id INTEGER PRIMARY KEY, number TEXT UNIQUE NOT NULL, material TEXT NOT NULL, colour TEXT NOT NULL,
    size TEXT NOT NULL, unit TEXT NOT NULL, modified TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS unit (number TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS auxiliary (number TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inventory (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, fid TEXT UNIQUE NOT NULL,
    stock TEXT NOT NULL, material TEXT NOT NULL, colour TEXT NOT NULL, size TEXT NOT NULL, lot TEXT NOT NULL,
    produced TEXT NOT NULL, expires TEXT NOT NULL, status TEXT NOT NULL, owner_type TEXT NOT NULL,
    owner TEXT NOT NULL, keeper TEXT NOT NULL, quantity INTEGER NOT NULL, locked INTEGER NOT NULL,
    updated TEXT NOT NULL,
    UNIQUE (material, colour, size, stock, status, owner_type, owner, lot, produced, expires, keeper));
CREATE INDEX IF NOT EXISTS inventory_key ON inventory
    (rtrim(material) COLLATE NOCASE, rtrim(stock) COLLATE NOCASE, rtrim(fid) COLLATE NOCASE);
CREATE INDEX IF NOT EXISTS inventory_updated ON inventory (updated);
CREATE TABLE IF NOT EXISTS bill (
    id INTEGER PRIMARY KEY, form TEXT NOT NULL, number TEXT NOT NULL, date TEXT NOT NULL, status TEXT NOT NULL,
    created TEXT NOT NULL, modified TEXT NOT NULL, approved TEXT, model TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS bill_number ON bill (form, number);
CREATE INDEX IF NOT EXISTS bill_modified ON bill (form, modified);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, bill INTEGER NOT NULL REFERENCES bill (id) ON DELETE CASCADE, line INTEGER NOT NULL,
    material TEXT NOT NULL, colour TEXT NOT NULL, size TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    lot TEXT NOT NULL, produced TEXT NOT NULL, expires TEXT NOT NULL, from_status TEXT NOT NULL,
    to_status TEXT NOT NULL, quantity INTEGER NOT NULL, factor INTEGER NOT NULL, unit TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entry_bill ON entry (bill);
CREATE TABLE IF NOT EXISTS effect (
    id INTEGER PRIMARY KEY, bill INTEGER NOT NULL, stock TEXT NOT NULL, material TEXT NOT NULL, colour TEXT NOT NULL,
    size TEXT NOT NULL, lot TEXT NOT NULL, produced TEXT NOT NULL, expires TEXT NOT NULL, status TEXT NOT NULL,
    owner_type TEXT NOT NULL, owner TEXT NOT NULL, keeper TEXT NOT NULL, delta INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS effect_bill ON effect (bill);
"""
_TABLES = (
    "setting counter warehouse material variant barcode unit auxiliary inventory bill entry effect".split()  # noqa: SIM905
)


class Database:
    """One SQLite file in WAL mode behind one lock; what was committed survives a SIGKILL of the process."""

    def __init__(self, path: Path | str) -> None:
        start_file(path, _SCHEMA)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.create_function("mslike", 2, _like, deterministic=True)
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the database alone; commit at the end, undo everything when the block raises. May be nested."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
            except BaseException:
                if outermost:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if outermost:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    @contextmanager
    def savepoint(self) -> Iterator[sqlite3.Connection]:
        """Undo only this block when it raises: one bill of a batch fails without the others."""
        with self.transaction() as connection:
            connection.execute("SAVEPOINT part")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK TO part")
                connection.execute("RELEASE part")
                raise
            connection.execute("RELEASE part")

    def rows(self, statement: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of one SELECT."""
        with self._lock:
            return self._connection.execute(statement, parameters).fetchall()

    def next_number(self, counter: str, start: int = 1) -> int:
        """Draw the next number of a named, persistent counter."""
        with self.transaction() as connection:
            drawn = connection.execute(
                "INSERT INTO counter (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
                (counter, start),
            ).fetchone()
            return int(drawn[0])

    def setting(self, name: str, default: str = "") -> str:
        """Return a persistent setting."""
        found = self.rows("SELECT value FROM setting WHERE name = ?", (name,))
        return str(found[0]["value"]) if found else default

    def set_setting(self, name: str, value: str) -> None:
        """Keep a persistent setting."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (name, value))

    def wipe(self) -> None:
        """Empty every table."""
        with self.transaction() as connection:
            for table in _TABLES:
                connection.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def to_units(quantity: object) -> int:
    """Return a quantity (number or text, base unit) as millionths.

    Raises:
        ValueError: not a finite number, or finer than a millionth.
    """
    try:
        value = Decimal(str(quantity).strip())
    except InvalidOperation as error:
        raise ValueError(f"not a quantity: {quantity!r}") from error
    scaled = value * QUANTITY_SCALE
    if not value.is_finite() or abs(value) > _LARGEST or scaled != scaled.to_integral_value():
        raise ValueError(f"not a quantity: {quantity!r}")
    return int(scaled)


def from_units(units: int) -> Decimal:
    """Return millionths as an exact Decimal without trailing zeros."""
    value = (Decimal(units) / QUANTITY_SCALE).normalize()
    return value.quantize(Decimal(1)) if value == value.to_integral() else value


def beijing(moment: datetime | None = None) -> str:
    """Return a moment (default: now) as the vendor writes it: Beijing wall time, no zone, milliseconds."""
    local = (moment or datetime.now(UTC)).astimezone(BEIJING)
    return local.replace(tzinfo=None).isoformat(timespec="milliseconds")


def wire_time(kept: str | None) -> str | None:
    """Return a kept time as the vendor's JSON has it: without trailing zeros in its fraction."""
    return kept.rstrip("0").rstrip(".") if kept and "." in kept else kept


@lru_cache(maxsize=256)
def _like_pattern(pattern: str) -> re.Pattern[str]:
    # SQL Server's LIKE: % any text, _ one character, [a-f] and [^a-f] sets
    pieces = []
    for token in re.findall(r"\[\^?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if token == "%":
            pieces.append(".*")
        elif token == "_":
            pieces.append(".")
        elif len(token) > 1:
            inverted = token.startswith("[^")
            members = re.sub(r"([\\\[\]^&|~])", r"\\\1", token[2 if inverted else 1 : -1])
            pieces.append(f"[{'^' if inverted else ''}{members}]" if members else re.escape(token))
        else:
            pieces.append(re.escape(token))
    try:
        return re.compile("".join(pieces), re.IGNORECASE | re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern), re.IGNORECASE)


def _like(text: str | None, pattern: str | None) -> bool | None:
    if text is None or pattern is None:
        return None
    return _like_pattern(pattern).fullmatch(text.rstrip()) is not None or (
        _like_pattern(pattern).fullmatch(text) is not None
    )
