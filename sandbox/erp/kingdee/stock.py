"""The stock books (即时库存): rows by their full key, taking from them and putting into them.

One material in one warehouse is many rows: by auxiliary property, lot (批号), dates, status (库存状态), owner (货主).
"""

from __future__ import annotations

import uuid
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sandbox.erp.kingdee.credentials import ORG_NUM
from sandbox.erp.kingdee.database import BEIJING, beijing

if TYPE_CHECKING:
    import random
    import sqlite3
    from collections.abc import Mapping

SELLABLE: Final = "KCZT01_SYS"  # 可用
OWN_OWNER_TYPE: Final = "BD_OwnerOrg"
NO_TIME: Final = "T00:00:00.000"


class StockError(Exception):
    """Raised when a movement can't be posted as asked."""


class NegativeStockError(StockError):
    """Raised when a movement would take more than there is (负库存) and nobody allowed that."""


class NumberTakenError(StockError):
    """Raised when a bill is to have a number that another one of its form has."""


@dataclass(frozen=True, slots=True)
class StockKey:
    """What tells one stock row from another; text, empty where it does not apply."""

    stock: str
    material: str
    colour: str = ""
    size: str = ""
    lot: str = ""
    produced: str = ""
    expires: str = ""
    status: str = SELLABLE
    owner_type: str = OWN_OWNER_TYPE
    owner: str = ORG_NUM
    keeper: str = ORG_NUM


KEY_COLUMNS: Final = tuple(field.name for field in fields(StockKey))
_WHERE_KEY = " AND ".join(f"{column} = ?" for column in KEY_COLUMNS)


def key_of(row: sqlite3.Row) -> StockKey:
    """Return the key of a stored row or effect."""
    return StockKey(*(row[column] for column in KEY_COLUMNS))


def change(connection: sqlite3.Connection, key: StockKey, delta: int, *, keep_zero: bool, at: str) -> None:
    """Add `delta` (millionths) to one row; a row that becomes zero disappears unless `keep_zero`."""
    found = connection.execute(f"SELECT seq, quantity FROM inventory WHERE {_WHERE_KEY}", astuple(key)).fetchone()
    if found is None:
        if delta:
            insert(connection, key, delta, fid=str(uuid.uuid4()), at=at)
        return
    quantity = found["quantity"] + delta
    if quantity == 0 and not keep_zero:
        connection.execute("DELETE FROM inventory WHERE seq = ?", (found["seq"],))
        return
    connection.execute(
        "UPDATE inventory SET quantity = ?, locked = min(locked, max(?, 0)), updated = ? WHERE seq = ?",
        (quantity, quantity, at, found["seq"]),
    )


def insert(connection: sqlite3.Connection, key: StockKey, quantity: int, *, fid: str, at: str, locked: int = 0) -> None:
    """Write a new row; `fid` is a GUID, as real tenants have it."""
    connection.execute(
        f"INSERT INTO inventory (fid, {', '.join(KEY_COLUMNS)}, quantity, locked, updated) "
        f"VALUES (?{', ?' * len(KEY_COLUMNS)}, ?, ?, ?)",
        (fid, *astuple(key), quantity, locked, at),
    )


def plan_taking(
    connection: sqlite3.Connection,
    wanted: StockKey,
    quantity: int,
    *,
    allow_negative: bool,
    spoken_for: Mapping[StockKey, int] = MappingProxyType({}),
) -> list[tuple[StockKey, int]]:
    """Return which rows `quantity` (millionths) comes from: the lot asked for, else the earliest expiry first.

    `spoken_for` is what other lines of the same bill will take.

    Raises:
        NegativeStockError: there is not as much and `allow_negative` is off.
    """
    lot_clause, lot = ("AND lot = ?", (wanted.lot,)) if wanted.lot else ("", ())
    rows = connection.execute(
        "SELECT * FROM inventory WHERE stock = ? AND material = ? AND colour = ? AND size = ? AND status = ? "
        f"AND owner_type = ? AND owner = ? {lot_clause} ORDER BY expires = '', expires, seq",
        (
            *(wanted.stock, wanted.material, wanted.colour, wanted.size, wanted.status),
            *(wanted.owner_type, wanted.owner, *lot),
        ),
    ).fetchall()
    taken: dict[StockKey, int] = {}
    left = quantity
    for row in rows:
        part = min(left, max(row["quantity"] - spoken_for.get(key_of(row), 0), 0))
        if part:
            taken[key_of(row)] = part
            left -= part
    if left:
        if not allow_negative:
            raise NegativeStockError(f"{wanted.material} {wanted.colour} {wanted.size} {wanted.stock}".strip())
        last = next(reversed(taken), None) or (key_of(rows[-1]) if rows else wanted)
        taken[last] = taken.get(last, 0) + left
    return list(taken.items())


def place_for(connection: sqlite3.Connection, wanted: StockKey, *, fresh: bool) -> StockKey:
    """Complete the key that goods are put into: the lot's dates, or a lot where the material must have one.

    `fresh` goods (a receipt) without a lot get today's lot; others join the lot that expires last, if there is one.
    """
    shelf_days = connection.execute("SELECT shelf_days FROM material WHERE number = ?", (wanted.material,)).fetchone()[
        0
    ]
    if wanted.lot:
        known = connection.execute(
            "SELECT lot, produced, expires FROM inventory WHERE material = ? AND lot = ? LIMIT 1",
            (wanted.material, wanted.lot),
        ).fetchone()
    elif shelf_days is None:
        return wanted
    else:
        known = None if fresh else _latest_lot(connection, wanted)
    if known is not None:
        return replace(wanted, lot=known["lot"], produced=known["produced"], expires=known["expires"])
    if shelf_days is None or wanted.expires:
        return wanted
    today = datetime.now(UTC).astimezone(BEIJING).date()
    return replace(
        wanted,
        lot=wanted.lot or f"{today:%Y%m%d}",
        produced=f"{today.isoformat()}{NO_TIME}",
        expires=f"{(today + timedelta(days=shelf_days)).isoformat()}{NO_TIME}",
    )


def _latest_lot(connection: sqlite3.Connection, wanted: StockKey) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute(
        "SELECT lot, produced, expires FROM inventory WHERE material = ? AND colour = ? AND size = ? AND lot <> '' "
        "ORDER BY stock = ? DESC, expires DESC LIMIT 1",
        (wanted.material, wanted.colour, wanted.size, wanted.stock),
    ).fetchone()
    return found


def seeded_guid(rng: random.Random) -> str:
    """Return a GUID that the same seed gives again."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def seeded_moment(rng: random.Random, days: int) -> str:
    """Return a moment within the last `days` days, as Beijing wall time."""
    return beijing(datetime.now(UTC) - timedelta(milliseconds=rng.randint(60_000, days * 86_400_000)))
