"""Cancelling (冲销) a material document, and posting a cancelled one again: nothing that was posted is ever deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.erp.sap.errors import BAD_REQUEST
from sandbox.erp.sap.movements import MOVEMENT_TYPES, Header, Line, PostingError, StockKey

if TYPE_CHECKING:
    import sqlite3


def header_again(connection: sqlite3.Connection, year: str, number: str) -> Header:
    """Return what the reversal or the repetition of a document takes over from its header: code and reference.

    Raises:
        PostingError: there is no such document.
    """
    row = connection.execute(
        'SELECT "GoodsMovementCode", "ReferenceDocument" FROM document_header'
        ' WHERE "MaterialDocumentYear" = ? AND "MaterialDocument" = ?',
        (year, number),
    ).fetchone()
    if row is None:
        raise PostingError("M7/061", f"Document {number} {year} does not exist", f"凭证 {number} {year} 不存在")
    return Header(code=row[0], reference=row[1])


def reversal_lines(connection: sqlite3.Connection, year: str, number: str, item: str | None = None) -> list[Line]:
    """Return the lines that undo a document or one item of it, and mark the undone items as cancelled.

    Raises:
        PostingError: there is nothing to undo, or it was undone before, or can't be.
    """
    rows = _items(connection, year, number)
    if item is not None:
        chosen = item.zfill(4)
        rows = [
            row
            for row in rows
            if row["MaterialDocumentItem"] == chosen or row["MaterialDocumentParentLine"] == chosen.zfill(6)
        ]
    if not rows:
        raise PostingError("M7/061", f"Document {number} {year} does not exist", f"凭证 {number} {year} 不存在")
    for row in rows:
        movement = MOVEMENT_TYPES.get(row["GoodsMovementType"])
        if row["GoodsMovementIsCancelled"] or row["ReversedMaterialDocument"] or movement is None:
            raise PostingError(
                BAD_REQUEST,
                f"Material document {number} {year} can't be cancelled (again)",
                f"物料凭证 {number} {year} 不能（再次）冲销",
            )
    connection.executemany(
        'UPDATE document_item SET "GoodsMovementIsCancelled" = 1 WHERE "MaterialDocumentYear" = ?'
        ' AND "MaterialDocument" = ? AND "MaterialDocumentItem" = ?',
        [(year, number, row["MaterialDocumentItem"]) for row in rows],
    )
    return [_undoing(row) for row in rows]


def repeated_lines(connection: sqlite3.Connection, year: str, number: str) -> list[Line]:
    """Return the cancelled lines of a document as they were, batches and all, for a new document; each only once.

    Raises:
        PostingError: nothing of it was cancelled, or all that was is posted again already.
    """
    done = connection.execute("SELECT item FROM posted_again WHERE year = ? AND document = ?", (year, number))
    repeated = {row["item"] for row in done}
    rows = [
        row
        for row in _items(connection, year, number)
        if row["GoodsMovementIsCancelled"] and row["MaterialDocumentItem"] not in repeated
    ]
    if not rows:
        raise PostingError(
            BAD_REQUEST,
            f"Nothing of material document {number} {year} is to be posted (again)",
            f"物料凭证 {number} {year} 没有可（再次）过账的项目",
        )
    connection.executemany(
        "INSERT INTO posted_again VALUES (?, ?, ?)",
        [(year, number, row["MaterialDocumentItem"]) for row in rows],
    )
    return [_line_of(row) for row in rows]


def _items(connection: sqlite3.Connection, year: str, number: str) -> list[sqlite3.Row]:
    return connection.execute(
        'SELECT * FROM document_item WHERE "MaterialDocumentYear" = ? AND "MaterialDocument" = ?'
        ' ORDER BY "MaterialDocumentItem"',
        (year, number),
    ).fetchall()


def _undoing(row: sqlite3.Row) -> Line:
    line = _line_of(row)
    return replace(
        line,
        change=-line.change,
        movement_type=MOVEMENT_TYPES[line.movement_type].reversal or "",
        reverses=(row["MaterialDocumentYear"], row["MaterialDocument"], row["MaterialDocumentItem"]),
        text="",
    )


def _line_of(row: sqlite3.Row) -> Line:
    """Return the line that an item was posted from."""
    key = StockKey(
        row["Material"],
        row["Plant"],
        row["StorageLocation"],
        row["Batch"],
        stock_type=row["InventoryStockType"],
    )
    other = None
    if row["IssuingOrReceivingPlant"]:
        other = replace(
            key,
            plant=row["IssuingOrReceivingPlant"],
            location=row["IssuingOrReceivingStorageLoc"],
            batch=row["IssgOrRcvgBatch"],
            stock_type=row["IssuingOrReceivingStockType"],
        )
    quantity = row["QuantityInBaseUnit"]
    entered = row["QuantityInEntryUnit"] or quantity
    return Line(
        key,
        quantity if row["DebitCreditCode"] == "S" else -quantity,
        row["GoodsMovementType"],
        counterpart=other,
        automatic=bool(row["IsAutomaticallyCreated"]),
        entry_unit=row["EntryUnit"],
        entry_factor=quantity // entered,
        text=row["MaterialDocumentItemText"],
    )
