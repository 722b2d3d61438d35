"""The world behind the sandbox: what happens in the ERP, and what its own books say."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sandbox.erp.sap import model
from sandbox.erp.sap.auth import DEMO_OAUTH_CLIENT, DEMO_USER, SAP_CLIENT
from sandbox.erp.sap.errors import BAD_REQUEST
from sandbox.erp.sap.literals import decimal_text, thousandths
from sandbox.erp.sap.movements import (
    MOVEMENT_TYPES,
    Header,
    Movement,
    PostingError,
    lines_of,
    next_value,
    post,
    reversal_lines,
)
from sandbox.erp.sap.seed import PLANT, RETURNS_LOCATION, SALES_LOCATION, seed_books

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from sandbox.erp.sap.store import Store

# The application server's zone: creation dates and times are local to it and say so nowhere.
SERVER_ZONE: Final = ZoneInfo("Asia/Shanghai")
_KINDS: Final = {"sale": ("251", "03"), "receipt": ("501", "05"), "transfer": ("311", "04"), "block": ("344", "04")}
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
    """Posts movements and reports the books. `entry_lag` tells by how many seconds an entry time is too early."""

    def __init__(self, store: Store, *, articles: int, seed: int, entry_lag: Callable[[], int] = lambda: 0) -> None:
        self.store = store
        self._articles = articles
        self._seed = seed
        self._entry_lag = entry_lag
        if not store.rows("SELECT 1 FROM setting WHERE name = 'seed'"):
            self.reset()

    def reset(self) -> None:
        """Throw the books away and open them anew from the seed."""
        with self.store.transaction() as connection:
            self.store.clear(connection)
            seed_books(connection, self._articles, self._seed, datetime.now(SERVER_ZONE))

    def move(self, order: Mapping[str, Any]) -> Posted:
        """Post one movement described as the control endpoint takes it.

        `kind` is sale, receipt, transfer, block or count; `quantity` is in the base unit; `reference` goes into the
        document's header.

        Raises:
            PostingError: the movement is impossible.
        """
        with self.store.transaction() as connection:
            return self._move(connection, order)

    def _move(self, connection: sqlite3.Connection, order: Mapping[str, Any]) -> Posted:
        kind = str(order.get("kind", ""))
        quantity = read_quantity(order.get("quantity"))
        if kind == "count":
            return self._count(connection, order, quantity)
        if kind not in _KINDS:
            raise PostingError(BAD_REQUEST, f"Unknown kind of movement '{kind}'")
        movement_type, code = _KINDS[kind]
        return self._post_one(connection, order, movement_type, code, quantity)

    def _post_one(
        self,
        connection: sqlite3.Connection,
        order: Mapping[str, Any],
        movement_type: str,
        code: str,
        quantity: int,
    ) -> Posted:
        negative = bool(order.get("allow_negative"))
        movement = Movement(
            movement_type=movement_type,
            material=str(order.get("material", "")),
            plant=str(order.get("plant") or PLANT),
            location=str(order.get("storage_location") or SALES_LOCATION),
            quantity=quantity,
            batch=str(order.get("batch") or ""),
            to_plant=str(order.get("to_plant") or ""),
            to_location=str(order.get("to_storage_location") or ""),
        )
        lines = lines_of(connection, movement, allow_negative=negative)
        header = Header(code=code, reference=str(order.get("reference") or "")[:16], user="STORE")
        return self._document(connection, header, lines, allow_negative=negative)

    def _document(
        self,
        connection: sqlite3.Connection,
        header: Header,
        lines: list[Any],
        *,
        allow_negative: bool = False,
    ) -> Posted:
        moment = datetime.now(SERVER_ZONE) - timedelta(seconds=self._entry_lag())
        year, number = post(connection, header, lines, moment, allow_negative=allow_negative)
        return Posted(year, number, moment)

    def _count(self, connection: sqlite3.Connection, order: Mapping[str, Any], counted: int) -> Posted:
        """Post the difference between the counted quantity and the books, as a physical inventory (盘点) does."""
        sql = (
            'SELECT SUM("MatlWrhsStkQtyInMatlBaseUnit") FROM stock WHERE "Material" = ? AND "Plant" = ?'
            f' AND "StorageLocation" = ? AND {_SELLABLE}'
        )
        place = [
            str(order.get("material", "")),
            str(order.get("plant") or PLANT),
            str(order.get("storage_location") or SALES_LOCATION),
        ]
        if order.get("batch"):
            sql += ' AND "Batch" = ?'
            place.append(str(order["batch"]))
        difference = counted - int(connection.execute(sql, place).fetchone()[0] or 0)
        if difference == 0:
            return Posted(None, None, datetime.now(SERVER_ZONE))
        return self._post_one(connection, order, "701" if difference > 0 else "702", "", abs(difference))

    def post_document(self, header: Header, movements: list[Movement]) -> Posted:
        """Post a document that came in through the API.

        Raises:
            PostingError: a movement type does not fit the code, or a movement is impossible.
        """
        with self.store.transaction() as connection:
            lines = []
            for movement in movements:
                known = MOVEMENT_TYPES.get(movement.movement_type)
                if known is None or header.code not in known.goods_movement_codes:
                    raise PostingError(
                        "M7/120",
                        f"Movement type {movement.movement_type} is not allowed for code {header.code}",
                        f"移动类型 {movement.movement_type} 不允许用于代码 {header.code}",
                    )
                lines.extend(lines_of(connection, movement))
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
            row = connection.execute(
                'SELECT "ReferenceDocument", "GoodsMovementCode" FROM document_header'
                ' WHERE "MaterialDocumentYear" = ? AND "MaterialDocument" = ?',
                (year, number),
            ).fetchone()
            header = Header(code=row[1], reference=row[0], user=user, posting_date=posting_date)
            return self._document(connection, header, lines, allow_negative=allow_negative)

    def random_moves(self, count: int) -> list[Posted]:
        """Post `count` plausible movements in the demo's plant; mostly sales."""
        documents: list[Posted] = []
        while len(documents) < count:
            with self.store.transaction() as connection:
                turn = next_value(connection, "random_move")
                rng = random.Random(f"{self._seed}/moves/{turn}")
                posted = self._move(connection, self._random_order(connection, rng))
            if posted.number is not None:
                documents.append(posted)
        return documents

    def _random_order(self, connection: sqlite3.Connection, rng: random.Random) -> dict[str, Any]:
        kind = rng.choices(list(_KIND_WEIGHTS), list(_KIND_WEIGHTS.values()))[0]
        material, unit, available = _random_row(connection, rng)
        if kind == "receipt" or available < 1000:  # noqa: PLR2004 - less than one unit is left
            kind, quantity = "receipt", rng.randint(5, 30) * 1000
        elif kind == "count":
            quantity = max(0, available + rng.choice((-2, -1, 1)) * 1000)
        elif unit == "KG":
            quantity = rng.randint(200, min(2500, available))
        else:
            quantity = rng.randint(1, min(3, available // 1000)) * 1000
        order = {"kind": kind, "material": material, "quantity": decimal_text(quantity)}
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


def _random_row(connection: sqlite3.Connection, rng: random.Random) -> tuple[str, str, int]:
    """Choose an article; return it with its unit and what can be sold of it in the sales location."""
    count = connection.execute("SELECT COUNT(*) FROM product").fetchone()[0]
    product = connection.execute(
        'SELECT "Product", "BaseUnit" FROM product ORDER BY "Product" LIMIT 1 OFFSET ?',
        (rng.randrange(count),),
    ).fetchone()
    available = connection.execute(
        'SELECT SUM("MatlWrhsStkQtyInMatlBaseUnit") FROM stock'
        f' WHERE "Material" = ? AND "Plant" = ? AND "StorageLocation" = ? AND {_SELLABLE}',
        (product[0], PLANT, SALES_LOCATION),
    ).fetchone()[0]
    return str(product[0]), str(product[1]), int(available or 0)
