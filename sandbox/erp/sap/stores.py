"""Many shops at once: each is a plant (门店即工厂) with one storage location, stocked without any document.

For measuring with the stock of a whole chain. Real openings post documents; a hundred thousand of them would take
longer than all that is measured, and nobody reads documents of the past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sandbox.erp.sap.store import Store

_STORAGE: Final = "0001"
# 7919 is a prime: neighbours differ. Batch-managed goods need a batch, which the material's number makes.
_STOCK: Final = """
INSERT OR IGNORE INTO stock
SELECT "Product", :plant, :location, CASE WHEN "IsBatchManagementRequired" THEN "Product" || 'A' ELSE '' END,
       '', '', '', '', '', '', '01', "BaseUnit", 1000 * (20 + ("Product" * 7919 + :number) % 480)
FROM product WHERE ("Product" + :number) % :every = 0
"""


def store_code(number: int) -> str:
    """Return plant and storage location of a shop; numbers begin with 1."""
    return f"S{number:03}/{_STORAGE}"


def open_stores(store: Store, count: int, *, every: int = 1) -> None:
    """Open `count` shops; each carries one article of `every`, another share of them in each shop.

    Shops that are there already stay as they are.
    """
    with store.transaction() as connection:
        for number in range(1, count + 1):
            plant, location = store_code(number).split("/")
            place = (plant, location, f"门店{number:03}", "卖场")
            if connection.execute("INSERT OR IGNORE INTO storage_location VALUES (?, ?, ?, ?)", place).rowcount:
                share = {"plant": plant, "location": location, "number": number, "every": every}
                connection.execute(_STOCK, share)
