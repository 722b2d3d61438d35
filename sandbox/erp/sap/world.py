"""The world behind the sandbox: what happens in the ERP, and what its own books say."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sandbox.erp.sap import model
from sandbox.erp.sap.auth import DEMO_OAUTH_CLIENT, DEMO_USER, SAP_CLIENT
from sandbox.erp.sap.errors import BAD_REQUEST
from sandbox.erp.sap.literals import decimal_text, thousandths
from sandbox.erp.sap.movements import (
    Header,
    Movement,
    PostingError,
    document_lines,
    lines_of,
    next_value,
    post,
    unit_factor,
)
from sandbox.erp.sap.reversals import header_again, repeated_lines, reversal_lines
from sandbox.erp.sap.seed import PLANT, RETURNS_LOCATION, SALES_LOCATION, seed_books

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

    from sandbox.erp.sap.movements import Line
    from sandbox.erp.sap.store import Store

# The application server's zone: creation dates and times are local to it and say so nowhere.
SERVER_ZONE: Final = ZoneInfo("Asia/Shanghai")
_KINDS: Final = {
    "sale": ("251", "03"),
    "receipt": ("501", "05"),
    "transfer": ("311", "04"),
    "block": ("344", "04"),
    "count": ("701", ""),
}
_SHORTAGE: Final = "702"  # what a count posts that finds less than the books say
_REFERENCE_LENGTH: Final = 16
_KIND_WEIGHTS: Final = {"sale": 75, "receipt": 10, "transfer": 6, "block": 4, "count": 5}
_SELLABLE: Final = "\"InventoryStockType\" = '01' AND \"InventorySpecialStockType\" = ''"
_STOCK_COLUMNS: Final = {
    "material": "Material",
    "plant": "Plant",
    "storage_location": "StorageLocation",
    "batch": "Batch",
    "stock_type": "InventoryStockType",
    "special_stock": "InventorySpecialStockType",
    "supplier": "Supplier",
    "unit": "MaterialBaseUnit",
}


@dataclass(frozen=True, slots=True)
class Posted:
    """A posted material document: its key and when it was entered (server's zone). None key: nothing to post."""

    year: str | None
    number: str | None
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as the control endpoints answer it."""
        return {
            "material_document": self.number,
            "year": self.year,
            "created_at": self.created_at.isoformat(timespec="seconds"),
        }


class World:
    """Posts movements and reports the books.

    `entry_lag` tells by how many seconds an entry time is too early; below zero it is still to come. The server's clock
    is `behind` at first, so that hours may pass on it.
    """

    def __init__(
        self,
        store: Store,
        *,
        articles: int,
        seed: int,
        entry_lag: Callable[[], int] = lambda: 0,
        behind: timedelta = timedelta(),
    ) -> None:
        self.store = store
        self._articles = articles
        self._seed = seed
        self._entry_lag = entry_lag
        self._behind = behind
        self._ahead = -behind
        if not store.rows("SELECT 1 FROM setting WHERE name = 'seed'"):
            self.reset()

    def now(self) -> datetime:
        """Return what the server's clock shows, in its own zone."""
        return datetime.now(SERVER_ZONE) + self._ahead

    def reset(self) -> None:
        """Throw the books away and open them anew from the seed."""
        self._ahead = -self._behind
        with self.store.transaction() as connection:
            self.store.clear(connection)
            seed_books(connection, self._articles, self._seed, self.now())

    def move(self, order: Mapping[str, Any]) -> Posted:
        """Post one document described as the control endpoint takes it.

        `kind` is sale, receipt, transfer, block or count; `quantity` is in `unit`, the base unit where there is none;
        `reference` goes into the document's header, whose field keeps 16 characters. A document of several lines has
        them in `lines`, each with what differs from the order.

        Raises:
            PostingError: the movement is impossible.
        """
        with self.store.transaction() as connection:
            return self._move(connection, order)

    def _move(self, connection: sqlite3.Connection, order: Mapping[str, Any]) -> Posted:
        kind, negative = str(order.get("kind", "")), bool(order.get("allow_negative"))
        if kind not in _KINDS:
            raise PostingError(BAD_REQUEST, f"Unknown kind of movement '{kind}'")
        ordered = [self._movement(connection, kind, {**order, **line}) for line in read_lines(order.get("lines"))]
        movements = [movement for movement in ordered if movement is not None]
        if not movements:
            return Posted(None, None, self.now())
        reference = str(order.get("reference") or "")[:_REFERENCE_LENGTH]
        header = Header(code=_KINDS[kind][1], reference=reference, user="STORE")
        lines = (line for moved in movements for line in lines_of(connection, moved, allow_negative=negative))
        return self._document(connection, header, lines, allow_negative=negative)

    def _movement(self, connection: sqlite3.Connection, kind: str, line: Mapping[str, Any]) -> Movement | None:
        """Return what one line orders; None where a count found what the books say."""
        material, unit = str(line.get("material", "")), str(line.get("unit") or "")
        factor = unit_factor(connection, material, unit)
        movement = Movement(
            movement_type=_KINDS[kind][0],
            material=material,
            plant=str(line.get("plant") or PLANT),
            location=str(line.get("storage_location") or SALES_LOCATION),
            quantity=read_quantity(line.get("quantity")) * factor,
            batch=str(line.get("batch") or ""),
            to_plant=str(line.get("to_plant") or ""),
            to_location=str(line.get("to_storage_location") or ""),
            entry_unit=unit,
            entry_factor=factor,
        )
        return _counted(connection, movement) if kind == "count" else movement

    def _document(
        self,
        connection: sqlite3.Connection,
        header: Header,
        lines: Iterable[Line],
        *,
        allow_negative: bool = False,
    ) -> Posted:
        moment = self.now() - timedelta(seconds=self._entry_lag())
        year, number = post(connection, header, lines, moment, allow_negative=allow_negative)
        return Posted(year, number, moment)

    def post_document(self, header: Header, movements: list[Movement]) -> Posted:
        """Post a document that came in through the API.

        Raises:
            PostingError: a movement type does not fit the code, or a movement is impossible.
        """
        with self.store.transaction() as connection:
            lines = document_lines(connection, header.code, movements)
            return self._document(connection, header, lines)

    def cancel(
        self,
        number: str,
        year: str,
        *,
        item: str | None = None,
        allow_negative: bool = False,
        posting_date: int | None = None,
        user: str = "STORE",
    ) -> Posted:
        """Post the reversal (冲销) of a document, or of one item of it.

        Raises:
            PostingError: there is no such document, it was cancelled before, or its stock is gone.
        """
        with self.store.transaction() as connection:
            lines = reversal_lines(connection, year, number, item)
            header = replace(header_again(connection, year, number), user=user, posting_date=posting_date)
            return self._document(connection, header, lines, allow_negative=allow_negative)

    def post_again(self, number: str, year: str, *, allow_negative: bool = False) -> Posted:
        """Post what was cancelled of a document once more: a new document under the same reference.

        Raises:
            PostingError: there is no such document, nothing of it was cancelled, that is posted again already, or its
                stock is gone.
        """
        with self.store.transaction() as connection:
            header = replace(header_again(connection, year, number), user="STORE")
            lines = repeated_lines(connection, year, number)
            return self._document(connection, header, lines, allow_negative=allow_negative)

    def random_moves(self, count: int, over_seconds: float = 0, *, everywhere: bool = False) -> list[Posted]:
        """Post `count` plausible movements in the demo's plant, or in all plants; mostly sales.

        So many seconds pass meanwhile on the server's clock, which then stays ahead.
        """
        documents: list[Posted] = []
        while len(documents) < count:
            self._ahead += timedelta(seconds=over_seconds / count)
            with self.store.transaction() as connection:
                turn = next_value(connection, "random_move")
                rng = random.Random(f"{self._seed}/moves/{turn}")
                posted = self._move(connection, self._random_order(connection, rng, everywhere=everywhere))
            if posted.number is not None:
                documents.append(posted)
        return documents

    def _random_order(self, connection: sqlite3.Connection, rng: random.Random, *, everywhere: bool) -> dict[str, Any]:
        kind = rng.choices(list(_KIND_WEIGHTS), list(_KIND_WEIGHTS.values()))[0]
        place = (PLANT, SALES_LOCATION)
        if everywhere:
            kind = "sale" if kind == "transfer" else kind  # a shop has one place only
            place = rng.choice(connection.execute("SELECT plant, location FROM storage_location").fetchall())
        material, unit, available = _random_row(connection, rng, *place)
        if kind == "receipt" or available < 1000:  # noqa: PLR2004 - less than one unit is left
            kind, quantity = "receipt", rng.randint(5, 30) * 1000
        elif kind == "count":
            quantity = max(0, available + rng.choice((-2, -1, 1)) * 1000)
        elif unit == "KG":
            quantity = rng.randint(200, min(2500, available))
        else:
            quantity = rng.randint(1, min(3, available // 1000)) * 1000
        order = {"kind": kind, "material": material, "quantity": decimal_text(quantity)}
        order |= {"plant": place[0], "storage_location": place[1]}
        return order | ({"to_storage_location": RETURNS_LOCATION} if kind == "transfer" else {})

    def shift_rows(self, change: str) -> None:
        """Post a movement that changes how many stock rows stand before the others in key order."""
        row = self.store.rows(
            'SELECT "Material", "Plant", "StorageLocation", "Batch", "MatlWrhsStkQtyInMatlBaseUnit" AS quantity'
            f' FROM stock WHERE "Plant" = ? AND {_SELLABLE} AND quantity > 0'
            ' ORDER BY "Material", "Plant", "StorageLocation", "Batch" LIMIT 1',
            (PLANT,),
        )[0]
        order = {
            "material": row["Material"],
            "plant": row["Plant"],
            "storage_location": row["StorageLocation"],
            "batch": row["Batch"],
        }
        if change == "appear":
            # A batch number that nobody used stands alone in a new row, before the rows of later materials.
            with self.store.transaction() as connection:
                order["batch"] = f"A{next_value(connection, 'shift'):09d}"
            self.move(order | {"kind": "receipt", "quantity": "1"})
        else:
            self.move(order | {"kind": "sale", "quantity": decimal_text(row["quantity"])})

    def stock(self) -> list[dict[str, str]]:
        """Return every stock row of the books."""
        rows = self.store.rows("SELECT * FROM stock")
        return [
            {name: row[column] for name, column in _STOCK_COLUMNS.items()}
            | {"quantity": decimal_text(row["MatlWrhsStkQtyInMatlBaseUnit"])}
            for row in rows
        ]

    def totals(self) -> dict[str, Any]:
        """Return the sellable quantity per location and article, and its sum per location."""
        rows = self.store.rows(
            'SELECT "Plant" || \'/\' || "StorageLocation" AS location, "Material" AS item,'
            f' SUM("MatlWrhsStkQtyInMatlBaseUnit") AS quantity FROM stock WHERE {_SELLABLE}'
            " GROUP BY location, item ORDER BY location, item",
        )
        sums: dict[str, int] = {}
        for row in rows:
            sums[row["location"]] = sums.get(row["location"], 0) + row["quantity"]
        return {
            "totals": [
                {"location": row["location"], "item": row["item"], "quantity": decimal_text(row["quantity"])}
                for row in rows
            ],
            "locations": {location: decimal_text(total) for location, total in sums.items()},
        }

    def info(self) -> dict[str, Any]:
        """Return what a reader of the demo wants to know of this world."""
        settings = {row["name"]: row["value"] for row in self.store.rows("SELECT * FROM setting")}
        tables = {"products": model.PRODUCT, "stock_rows": model.STOCK, "material_documents": model.HEADER}
        return {
            "seed": int(settings["seed"]),
            "counts": {
                name: self.store.number(f"SELECT COUNT(*) FROM {entity_set.table}")
                for name, entity_set in tables.items()
            },
            "users": [DEMO_USER],
            "oauth_clients": [DEMO_OAUTH_CLIENT],
            "sap_client": SAP_CLIENT,
            "server_zone": str(SERVER_ZONE),
            "locations": [dict(row) for row in self.store.rows("SELECT * FROM storage_location")],
        }


def read_quantity(given: object) -> int:
    """Return a quantity given as text or whole number in thousandths.

    Raises:
        PostingError: it is no such number.
    """
    try:
        value = Decimal(given) if isinstance(given, (str, int)) else None
    except InvalidOperation:
        value = None
    scaled = thousandths(value) if value is not None and value.is_finite() else None
    if scaled is None or scaled < 0:
        raise PostingError(BAD_REQUEST, f"'{given}' is not a quantity with at most three decimals")
    return scaled


def read_lines(given: object) -> list[dict[str, Any]]:
    """Return the lines of an order; one that says nothing of its own where none are given.

    Raises:
        PostingError: they are no list of objects.
    """
    lines = given or [{}]
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise PostingError(BAD_REQUEST, "'lines' is no list of objects")
    return lines


def _counted(connection: sqlite3.Connection, count: Movement) -> Movement | None:
    """Return the difference between a counted quantity and the books, as a physical inventory (盘点) posts it."""
    sql = (
        'SELECT SUM("MatlWrhsStkQtyInMatlBaseUnit") FROM stock WHERE "Material" = ? AND "Plant" = ?'
        f' AND "StorageLocation" = ? AND {_SELLABLE}'
    )
    place = [count.material, count.plant, count.location]
    if count.batch:
        sql += ' AND "Batch" = ?'
        place.append(count.batch)
    difference = count.quantity - int(connection.execute(sql, place).fetchone()[0] or 0)
    if difference < 0:
        return replace(count, movement_type=_SHORTAGE, quantity=-difference)
    return replace(count, quantity=difference) if difference else None


def _random_row(connection: sqlite3.Connection, rng: random.Random, plant: str, location: str) -> tuple[str, str, int]:
    """Choose an article; return it with its unit and what can be sold of it at a place."""
    count = connection.execute("SELECT COUNT(*) FROM product").fetchone()[0]
    product = connection.execute(
        'SELECT "Product", "BaseUnit" FROM product ORDER BY "Product" LIMIT 1 OFFSET ?',
        (rng.randrange(count),),
    ).fetchone()
    available = connection.execute(
        'SELECT SUM("MatlWrhsStkQtyInMatlBaseUnit") FROM stock'
        f' WHERE "Material" = ? AND "Plant" = ? AND "StorageLocation" = ? AND {_SELLABLE}',
        (product[0], plant, location),
    ).fetchone()[0]
    return str(product[0]), str(product[1]), int(available or 0)
