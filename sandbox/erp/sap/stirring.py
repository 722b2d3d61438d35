"""What the ERP's own people do while somebody reads: real documents, so that the books stay the truth."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap.literals import decimal_text
from sandbox.erp.sap.movements import PostingError, next_value

if TYPE_CHECKING:
    import sqlite3

    from sandbox.erp.sap.world import World

_REFERRING_SHARE: Final = 0.5
# Not a document that an import wrote: taking the opening stock back would empty the shop.
_NEWEST: Final = """
SELECT item."MaterialDocumentYear", item."MaterialDocument"
FROM document_item AS item JOIN document_header AS header USING ("MaterialDocumentYear", "MaterialDocument")
GROUP BY 1, 2
HAVING COUNT(*) <= 2 AND SUM("GoodsMovementIsCancelled") = 0 AND MAX("ReversedMaterialDocument") = ''
ORDER BY MAX("CreationDate") DESC, MAX("CreationTime") DESC, 2 DESC LIMIT 1
"""
# Those that stand, and those that were cancelled as a whole and are not posted again yet.
_REFERRING: Final = """
SELECT "MaterialDocumentYear" AS year, "MaterialDocument" AS number, MAX("GoodsMovementIsCancelled") AS cancelled
FROM document_item JOIN document_header AS header USING ("MaterialDocumentYear", "MaterialDocument")
LEFT JOIN posted_again AS repeated
ON (year, document, item) = ("MaterialDocumentYear", "MaterialDocument", "MaterialDocumentItem")
WHERE header."ReferenceDocument" > '' AND "ReversedMaterialDocument" = ''
GROUP BY 1, 2
HAVING MIN("GoodsMovementIsCancelled") = MAX("GoodsMovementIsCancelled") AND COUNT(repeated.item) = 0
"""
_FIRST_ROW: Final = """
SELECT "Material", "Plant", "StorageLocation", "Batch", "MatlWrhsStkQtyInMatlBaseUnit" AS quantity FROM stock
WHERE "InventoryStockType" = '01' AND "InventorySpecialStockType" = '' AND quantity > 0
ORDER BY "Material", "Plant", "StorageLocation", "Batch" LIMIT 1
"""


def move_or_take_back(world: World) -> None:
    """Post a random movement, or cancel (冲销) the newest document that can be, in turns.

    Half the time it is one of the documents with a reference instead, if there are any: it is cancelled or, when it was
    and nobody did so yet, posted again.
    """
    with world.store.transaction() as connection:
        turn = next_value(connection, "stirring")
    dice = random.Random(f"stirring/{turn}")
    referring = world.store.rows(_REFERRING) if dice.random() < _REFERRING_SHARE else []
    if referring:
        _turn(world, dice.choice(referring))
        return
    newest = world.store.rows(_NEWEST) if turn % 2 == 0 else []
    for year, number in newest:
        world.cancel(str(number), str(year), allow_negative=True)
    if not newest:
        world.random_moves(1)


def _turn(world: World, document: sqlite3.Row) -> None:
    post = world.post_again if document["cancelled"] else world.cancel
    with suppress(PostingError):  # somebody else was faster
        post(document["number"], document["year"], allow_negative=True)


def sell_below_zero(world: World) -> None:
    """Sell two more of the first row in stock than there are."""
    for row in world.store.rows(_FIRST_ROW):
        order = {
            "kind": "sale",
            "material": row["Material"],
            "plant": row["Plant"],
            "storage_location": row["StorageLocation"],
            "batch": row["Batch"],
            "quantity": decimal_text(row["quantity"] + 2000),
            "allow_negative": True,
        }
        world.move(order)
