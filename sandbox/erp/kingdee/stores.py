"""Many shops at once: a warehouse (仓库) each, stocked without any bill.

For measuring with the stock of a whole chain. Real openings post bills; a hundred thousand of them would take longer
than all that is measured, and nobody reads bills of the past.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sandbox.erp.kingdee.credentials import ORG_NUM
from sandbox.erp.kingdee.database import BEIJING, QUANTITY_SCALE, beijing
from sandbox.erp.kingdee.stock import NO_TIME, OWN_OWNER_TYPE, SELLABLE

if TYPE_CHECKING:
    from sandbox.erp.kingdee.database import Database

_FIRST_ID: Final = 300_000
_UPDATED_DAYS_AGO: Final = 3
# 7919 is a prime: neighbours differ. What is managed by lot (批号) has the lot of the day it came.
_STOCK: Final = f"""
INSERT INTO inventory (fid, stock, material, colour, size, lot, produced, expires, status, owner_type, owner, keeper,
                       quantity, locked, updated)
SELECT printf('%08x-0000-4000-8000-%012x', :number, variant.rowid), :stock, material, colour, size,
       iif(shelf_days IS NULL, '', strftime('%Y%m%d', :day)), iif(shelf_days IS NULL, '', :day || '{NO_TIME}'),
       iif(shelf_days IS NULL, '', date(:day, '+' || shelf_days || ' days') || '{NO_TIME}'),
       '{SELLABLE}', '{OWN_OWNER_TYPE}', '{ORG_NUM}', '{ORG_NUM}',
       {QUANTITY_SCALE} * (20 + (variant.rowid * 7919 + :number) % 480), 0, :updated
FROM variant JOIN material ON material.number = variant.material WHERE (variant.rowid + :number) % :every = 0
"""


def store_code(number: int) -> str:
    """Return the warehouse number of a shop; numbers begin with 1."""
    return f"MD{number:03}"


def open_stores(database: Database, count: int, *, every: int = 1) -> None:
    """Open `count` shops; each carries one article of `every`, another share of them in each shop.

    Shops that are there already stay as they are.
    """
    now = datetime.now(UTC)
    updated = beijing(now - timedelta(days=_UPDATED_DAYS_AGO))
    fixed = {"every": every, "day": now.astimezone(BEIJING).date().isoformat(), "updated": updated}
    with database.transaction() as connection:
        for number in range(1, count + 1):
            stock = store_code(number)
            warehouse = (_FIRST_ID + number, stock, f"门店{number:03}", updated)
            added = connection.execute(
                "INSERT OR IGNORE INTO warehouse (id, number, name, modified) VALUES (?, ?, ?, ?)", warehouse
            )
            if added.rowcount:
                connection.execute(_STOCK, {**fixed, "number": number, "stock": stock})
