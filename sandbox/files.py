"""The sandboxes' SQLite files: one that an older version of a sandbox wrote is started anew."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

_POSITIVE_INT32 = 0x7FFFFFFF


def start_file(database: Path | str, schema: str) -> None:
    """Make sure that the file holds `schema`; a world of another schema is forgotten, since none can continue it."""
    if str(database) == ":memory:":
        return
    version = zlib.crc32(schema.encode()) & _POSITIVE_INT32
    path = Path(database)
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != version:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
