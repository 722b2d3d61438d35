"""Goods movements (货物移动): what each movement type does to stock, and how a material document is posted.

All functions work inside the caller's transaction, so that a document and its effect on stock are one. Quantities are
whole thousandths of the base unit. The movement types and goods movement codes are SAP's standard ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap import model
from sandbox.erp.sap.errors import STOCK_DEFICIT
from sandbox.erp.sap.literals import decimal_text
from sandbox.erp.sap.store import insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from datetime import datetime

UNRESTRICTED: Final = "01"
QUALITY: Final = "02"
BLOCKED: Final = "07"
_RECEIPT_CODES: Final = frozenset({"01", "02", "05"})
_RECEIPT_RANGE: Final = 5_000_000_000
_ISSUE_RANGE: Final = 4_900_000_000


class PostingError(Exception):
    """Raised when a goods movement can't be posted; carries SAP's message code and the text in two languages."""

    def __init__(self, code: str, english: str, chinese: str | None = None) -> None:
        super().__init__(english)
        self.code = code
        self.english = english
        self.chinese = chinese or english


@dataclass(frozen=True, slots=True)
class MovementType:
    """What a movement type (移动类型) does: `direction` is in, out or transfer, between two stock types."""

    code: str
    goods_movement_codes: frozenset[str]
    direction: str
    source: str = UNRESTRICTED
    target: str = UNRESTRICTED
    reversal: str | None = None


def _pair(code: str, back: str, codes: str, direction: str, **types: str) -> tuple[MovementType, MovementType]:
    """Return a movement type and the one that reverses it."""
    allowed = frozenset(codes.split())
    forth = MovementType(code, allowed, direction, reversal=back, **types)
    opposite = {"in": "out", "out": "in", "transfer": "transfer"}[direction]
    return forth, MovementType(back, allowed, opposite, forth.target, forth.source, code)


MOVEMENT_TYPES: Final = {
    movement.code: movement
    for pair in (
        _pair("101", "102", "01 06", "in"),
        _pair("201", "202", "03 06", "out"),
        _pair("251", "252", "03 06", "out"),
        _pair("301", "302", "04 06", "transfer"),
        _pair("311", "312", "04 06", "transfer"),
        _pair("321", "322", "04 06", "transfer", source=QUALITY),
        _pair("343", "344", "04 06", "transfer", source=BLOCKED),
        _pair("501", "502", "05 06", "in"),
        _pair("551", "552", "03 06", "out"),
        _pair("653", "654", "05 06", "in"),
        _pair("701", "702", "", "in"),
    )
    for movement in pair
}


@dataclass(frozen=True, slots=True)
class StockKey:
    """The key of a stock row, its eleven parts in SAP's order."""

    material: str
    plant: str
    location: str
    batch: str = ""
    supplier: str = ""
    customer: str = ""
    wbs_element: str = ""
    sd_document: str = ""
    sd_item: str = ""
    special: str = ""
    stock_type: str = UNRESTRICTED

    def values(self) -> tuple[str, ...]:
        """Return the parts in the order of the table's key."""
        return tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a document to be: `change` is signed; a transfer has two, the second made automatically."""

    key: StockKey
    change: int
    movement_type: str
    counterpart: StockKey | None = None
    automatic: bool = False
    entry_unit: str = ""
    entry_factor: int = 1
    reverses: tuple[str, str, str] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What a document says of itself. Dates are milliseconds since 1970 at midnight."""

    code: str = ""
    reference: str = ""
    text: str = ""
    user: str = ""
    posting_date: int | None = None
    document_date: int | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement as somebody orders it, before batches are chosen. `quantity` is in thousandths."""

    movement_type: str
    material: str
    plant: str
    location: str
    quantity: int
    batch: str = ""
    to_plant: str = ""
    to_location: str = ""
    entry_unit: str = ""
    entry_factor: int = 1
    text: str = ""


def midnight_ms(moment: datetime) -> int:
    """Return a moment's date as Edm.DateTime stores it: midnight of that date, read as if it were UTC."""
    return (moment.date().toordinal() - 719_163) * 86_400_000


def base_unit(connection: sqlite3.Connection, material: str) -> str:
    """Return a material's base unit.

    Raises:
        PostingError: there is no such material.
    """
    row = connection.execute('SELECT "BaseUnit" FROM product WHERE "Product" = ?', (material,)).fetchone()
    if row is None:
        raise PostingError(
            "M3/305",
            f"The material {material} does not exist or is not activated",
            f"物料 {material} 不存在或未激活",
        )
    return str(row[0])


def unit_factor(connection: sqlite3.Connection, material: str, unit: str) -> int:
    """Return how many base units one unit is (external key; none means the base unit).

    Raises:
        PostingError: there is no such material, or it has no such unit.
    """
    if unit in {"", base_unit(connection, material)}:
        return 1
    row = connection.execute(
        'SELECT "QuantityNumerator" / "QuantityDenominator" FROM product_unit'
        ' WHERE "Product" = ? AND "AlternativeUnit" = ?',
        (material, unit),
    ).fetchone()
    if row is None:
        raise PostingError(
            "M7/161",
            f"No conversion of unit {unit} for material {material}",
            f"物料 {material} 无单位 {unit} 的换算",
        )
    return int(row[0])


def lines_of(connection: sqlite3.Connection, order: Movement, *, allow_negative: bool = False) -> list[Line]:
    """Choose batches for a movement and return the document lines it needs.

    Issues take from the oldest batch on, as batch determination does; receipts go to the newest batch.

    Raises:
        PostingError: the material, the location or the quantity is impossible.
    """
    movement = MOVEMENT_TYPES[order.movement_type]
    base_unit(connection, order.material)
    if order.quantity <= 0:
        raise PostingError("M7/051", "Enter a quantity greater than zero", "请输入大于零的数量")
    _require_location(connection, order.plant, order.location)
    origin = StockKey(order.material, order.plant, order.location, order.batch)
    common = Line(
        origin, 0, movement.code, entry_unit=order.entry_unit, entry_factor=order.entry_factor, text=order.text
    )
    if movement.direction == "in":
        batch = order.batch or _receiving_batch(connection, order)
        return [replace(common, key=replace(origin, batch=batch, stock_type=movement.target), change=order.quantity)]
    taken = _allocate(connection, replace(origin, stock_type=movement.source), order.quantity, allow=allow_negative)
    if movement.direction == "out":
        return [replace(common, key=key, change=-quantity) for key, quantity in taken]
    place = (order.to_plant or order.plant, order.to_location or order.location)
    _require_location(connection, *place)
    lines = []
    for key, quantity in taken:
        target = replace(key, plant=place[0], location=place[1], stock_type=movement.target)
        if target == key:
            raise PostingError("M7/096", "Issuing and receiving stock are the same", "发出与接收的库存相同")
        lines.append(replace(common, key=key, change=-quantity, counterpart=target))
        lines.append(replace(common, key=target, change=quantity, counterpart=key, automatic=True))
    return lines


def document_lines(connection: sqlite3.Connection, code: str, movements: Iterable[Movement]) -> Iterator[Line]:
    """Yield the lines of a document whose goods movement code allows only some movement types.

    Raises:
        PostingError: a movement type does not fit the code, or a movement is impossible.
    """
    for movement in movements:
        known = MOVEMENT_TYPES.get(movement.movement_type)
        if known is None or code not in known.goods_movement_codes:
            raise PostingError(
                "M7/120",
                f"Movement type {movement.movement_type} is not allowed for code {code}",
                f"移动类型 {movement.movement_type} 不允许用于代码 {code}",
            )
        yield from lines_of(connection, movement)


def post(
    connection: sqlite3.Connection,
    header: Header,
    lines: Iterable[Line],
    moment: datetime,
    *,
    allow_negative: bool = False,
    number: str | None = None,
) -> tuple[str, str]:
    """Post a material document (物料凭证) and change stock; return its year and number.

    `moment` is the entry time in the server's zone. `number` is one that was drawn before, None to draw it now. Each
    line is posted before the next one is asked for, which so chooses its batches from what those before it left.

    Raises:
        PostingError: a row would fall below zero and that is not allowed.
    """
    year = f"{moment.year:04d}"
    number = number or draw_number(connection, header.code)
    today = midnight_ms(moment)
    insert(
        connection,
        model.HEADER,
        {
            "MaterialDocumentYear": year,
            "MaterialDocument": number,
            "InventoryTransactionType": _transaction_type(header.code),
            "DocumentDate": today if header.document_date is None else header.document_date,
            "PostingDate": today if header.posting_date is None else header.posting_date,
            "CreationDate": today,
            "CreationTime": moment.hour * 3600 + moment.minute * 60 + moment.second,
            "CreatedByUser": header.user,
            "MaterialDocumentHeaderText": header.text,
            "ReferenceDocument": header.reference,
            "GoodsMovementCode": header.code,
        },
    )
    for index, line in enumerate(lines, start=1):
        _post_line(connection, (year, number), index, line, allow_negative=allow_negative)
    return year, number


def _post_line(
    connection: sqlite3.Connection,
    document: tuple[str, str],
    index: int,
    line: Line,
    *,
    allow_negative: bool,
) -> None:
    unit = base_unit(connection, line.key.material)
    _change_stock(connection, line, unit, allow_negative=allow_negative)
    other = line.counterpart
    quantity = abs(line.change)
    values: dict[str, Any] = {
        "MaterialDocumentYear": document[0],
        "MaterialDocument": document[1],
        "MaterialDocumentItem": f"{index:04d}",
        "Material": line.key.material,
        "Plant": line.key.plant,
        "StorageLocation": line.key.location,
        "Batch": line.key.batch,
        "GoodsMovementType": line.movement_type,
        "InventoryStockType": line.key.stock_type,
        "InventorySpecialStockType": line.key.special,
        "Supplier": line.key.supplier,
        "Customer": line.key.customer,
        "SalesOrder": line.key.sd_document,
        "SalesOrderItem": line.key.sd_item,
        "MaterialBaseUnit": unit,
        "QuantityInBaseUnit": quantity,
        "EntryUnit": line.entry_unit or unit,
        "QuantityInEntryUnit": quantity // line.entry_factor,
        "MaterialDocumentItemText": line.text,
        "IsAutomaticallyCreated": "X" if line.automatic else "",
        "MaterialDocumentLine": f"{index:06d}",
        "MaterialDocumentParentLine": f"{index - 1:06d}" if line.automatic else "000000",
        "DebitCreditCode": "S" if line.change > 0 else "H",
    }
    if other is not None:
        values |= {
            "IssgOrRcvgMaterial": other.material,
            "IssgOrRcvgBatch": other.batch,
            "IssuingOrReceivingPlant": other.plant,
            "IssuingOrReceivingStorageLoc": other.location,
            "IssuingOrReceivingStockType": other.stock_type,
        }
    if line.reverses is not None:
        reversed_key = ("ReversedMaterialDocumentYear", "ReversedMaterialDocument", "ReversedMaterialDocumentItem")
        values |= dict(zip(reversed_key, line.reverses, strict=True))
    insert(connection, model.ITEM, values)


def _change_stock(connection: sqlite3.Connection, line: Line, unit: str, *, allow_negative: bool) -> None:
    """Add to a stock row. A row that becomes zero disappears: the real API shows no zero rows."""
    where = " AND ".join(f'"{prop.name}" = ?' for prop in model.STOCK.keys)
    key = line.key.values()
    row = connection.execute(f'SELECT "MatlWrhsStkQtyInMatlBaseUnit" FROM stock WHERE {where}', key).fetchone()
    before = int(row[0]) if row else 0
    after = before + line.change
    if after < 0 and line.change < 0 and not allow_negative:
        raise _deficit(line.key, -after, unit)
    if after == 0:
        connection.execute(f"DELETE FROM stock WHERE {where}", key)
    elif row:
        connection.execute(f'UPDATE stock SET "MatlWrhsStkQtyInMatlBaseUnit" = ? WHERE {where}', (after, *key))
    else:
        connection.execute(f"INSERT INTO stock VALUES ({', '.join('?' * 13)})", (*key, unit, after))


def _deficit(key: StockKey, missing: int, unit: str) -> PostingError:
    where = f"{key.material} {key.plant} {key.location}"
    return PostingError(
        STOCK_DEFICIT,
        f"Deficit of SL Unrestricted-use {decimal_text(missing)} {unit} : {where}",
        f"非限制使用库存短缺 {decimal_text(missing)} {unit}：{where}",
    )


def _allocate(
    connection: sqlite3.Connection,
    origin: StockKey,
    quantity: int,
    *,
    allow: bool,
) -> list[tuple[StockKey, int]]:
    """Take a quantity from the rows of a place, batch by batch; what is missing goes below zero if `allow`."""
    condition, parameters = "", [origin.material, origin.plant, origin.location, origin.stock_type]
    if origin.batch:
        condition = ' AND "Batch" = ?'
        parameters.append(origin.batch)
    rows = connection.execute(
        'SELECT "Batch", "MatlWrhsStkQtyInMatlBaseUnit" FROM stock WHERE "Material" = ? AND "Plant" = ?'
        ' AND "StorageLocation" = ? AND "InventoryStockType" = ? AND "InventorySpecialStockType" = \'\''
        f'{condition} AND "MatlWrhsStkQtyInMatlBaseUnit" > 0 ORDER BY "Batch"',
        parameters,
    ).fetchall()
    taken: list[tuple[StockKey, int]] = []
    for batch, available in rows:
        part = min(quantity, int(available))
        taken.append((replace(origin, batch=batch), part))
        quantity -= part
        if quantity == 0:
            return taken
    if not allow:
        raise _deficit(origin, quantity, base_unit(connection, origin.material))
    if not taken:
        return [(origin, quantity)]
    key, part = taken[-1]
    return [*taken[:-1], (key, part + quantity)]


def _receiving_batch(connection: sqlite3.Connection, order: Movement) -> str:
    managed = connection.execute(
        'SELECT "IsBatchManagementRequired" FROM product WHERE "Product" = ?',
        (order.material,),
    ).fetchone()
    if not managed[0]:
        return ""
    newest = connection.execute('SELECT MAX("Batch") FROM stock WHERE "Material" = ?', (order.material,)).fetchone()
    return newest[0] or f"{next_value(connection, 'batch'):010d}"


def _require_location(connection: sqlite3.Connection, plant: str, location: str) -> None:
    known = connection.execute(
        "SELECT 1 FROM storage_location WHERE plant = ? AND location = ?",
        (plant, location),
    ).fetchone()
    if known is None:
        raise PostingError(
            "M7/001",
            f"Check table T001L: entry {plant} {location} does not exist",
            f"检查表 T001L：条目 {plant} {location} 不存在",
        )


def next_value(connection: sqlite3.Connection, name: str) -> int:
    """Draw the next value of a counter, from 1 on."""
    row = connection.execute(
        "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        (name,),
    ).fetchone()
    return int(row[0])


def draw_number(connection: sqlite3.Connection, code: str) -> str:
    """Draw a document number.

    Numbers come from two ranges (receipts and the others), so they do not follow the time of entry.
    """
    if code in _RECEIPT_CODES:
        return str(_RECEIPT_RANGE + next_value(connection, "receipt"))
    return str(_ISSUE_RANGE + next_value(connection, "issue"))


def _transaction_type(code: str) -> str:
    if code in _RECEIPT_CODES:
        return "WE"
    return "WA" if code else "WI"
