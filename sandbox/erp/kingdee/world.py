"""The sandbox's world: bills that move stock when they are audited (审核) and give it back when un-audited (反审核)."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sandbox.catalogue import DEMO_SEED
from sandbox.erp.kingdee.credentials import ORG_NUM
from sandbox.erp.kingdee.database import QUANTITY_SCALE, Database, beijing, from_units
from sandbox.erp.kingdee.forms import ORG_NAME, BillForm, bill_forms
from sandbox.erp.kingdee.movement import Movement, carton
from sandbox.erp.kingdee.seeding import seed_world
from sandbox.erp.kingdee.stock import (
    KEY_COLUMNS,
    NO_TIME,
    OWN_OWNER_TYPE,
    SELLABLE,
    NumberTakenError,
    StockError,
    StockKey,
    change,
    key_of,
    place_for,
    plan_taking,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_KINDS: Final = {
    "sale": "SAL_OUTSTOCK",
    "receipt": "STK_InStock",
    "transfer": "STK_TransferDirect",
    "return": "SAL_RETURNSTOCK",
    "status": "STK_StatusConvert",
}
_PACKED: Final = "SELECT 1 FROM barcode WHERE material = ? AND colour = ? AND size = ? AND unit = ?"


@dataclass(frozen=True, slots=True)
class Line:
    """One entry (分录) of a bill; quantity in millionths of the base unit, always positive, entered in `factor`s."""

    material: str
    colour: str
    size: str
    quantity: int
    source: str = ""
    target: str = ""
    lot: str = ""
    produced: str = ""
    expires: str = ""
    from_status: str = SELLABLE
    to_status: str = SELLABLE
    factor: int = 1

    def key(self, stock: str, status: str) -> StockKey:
        """Return this line's own, sellable-by-us stock row in a warehouse."""
        where = StockKey(stock, self.material, self.colour, self.size, status=status)
        return replace(where, lot=self.lot, produced=self.produced, expires=self.expires)


@dataclass(frozen=True, slots=True)
class Posted:
    """A bill that now exists."""

    form: str
    bill_no: str
    bill_id: int


class World:
    """The ERP's books and the bills behind them; every public method is one transaction.

    `strike` tells whether a fault strikes now, by its parameters. The server's clock is `behind` at first, so that
    hours may pass on it.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        articles: int,
        seed: int = DEMO_SEED,
        strike: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
        behind: timedelta = timedelta(),
    ) -> None:
        self.database = Database(path)
        self._strike = strike
        self._articles = articles
        self._seed = seed
        self._behind = behind
        self._ahead = -behind
        if not self.database.rows("SELECT 1 FROM warehouse LIMIT 1"):
            seed_world(self.database, articles, seed)

    # --- settings -------------------------------------------------------------------------------------------------
    @property
    def keep_zero_rows(self) -> bool:
        """Whether a row that becomes zero stays in the books."""
        return self.database.setting("keep_zero_rows") == "true"

    def set_keep_zero_rows(self, keep: bool) -> None:  # noqa: FBT001 - a setting's value
        """Choose whether a row that becomes zero stays in the books."""
        self.database.set_setting("keep_zero_rows", "true" if keep else "false")

    def now(self) -> str:
        """Return what the server's clock shows, as the vendor writes it."""
        return beijing(datetime.now(UTC) + self._ahead)

    def _entered(self) -> str:
        """Return the time that what is written now carries."""
        late = self._strike("late-commit")
        lag = timedelta(seconds=0 if late is None else float(late.get("seconds", 30)))
        return beijing(datetime.now(UTC) + self._ahead - lag)

    def reset(self) -> None:
        """Forget everything and seed again with this process's arguments."""
        self._ahead = -self._behind
        with self.database.transaction():
            self.database.wipe()
            seed_world(self.database, self._articles, self._seed)

    # --- what happens in the shops --------------------------------------------------------------------------------
    def move(self, movement: Movement, *further: Movement) -> Posted | None:
        """Post one movement, or several of its kind, as one bill; None when a count finds what the books say.

        Raises:
            StockError: unknown article or warehouse, not enough stock, a kind that does not exist, or a number that
                another bill has.
        """
        movements = (movement, *further)
        with self.database.transaction() as connection:
            for line in movements:
                self._check(connection, line)
            if movement.kind == "count":
                return self._count(connection, *movements)
            form = bill_forms()[_KINDS[movement.kind].lower()]
            return self._post(form, self._lines(connection, form, movements), movement)

    def _check(self, connection: sqlite3.Connection, movement: Movement) -> None:
        if movement.kind != "count" and movement.kind not in _KINDS:
            raise StockError(f"unknown kind of movement: {movement.kind}")
        if movement.kind != "count" and movement.quantity <= 0:
            raise StockError("quantity must be above zero")
        if not self.variant_exists(movement.material, movement.colour, movement.size):
            raise StockError(f"unknown article: {movement.material} {movement.colour} {movement.size}")
        unit = carton(movement.factor)
        packed = (movement.material, movement.colour, movement.size, unit)
        if unit and not connection.execute(_PACKED, packed).fetchone():
            raise StockError(f"{movement.material} is not packed in {unit}")
        stocks = [movement.stock, *([movement.to_stock] if movement.kind == "transfer" else [])]
        for stock in stocks:
            if not connection.execute("SELECT 1 FROM warehouse WHERE number = ?", (stock,)).fetchone():
                raise StockError(f"unknown warehouse: {stock!r}")

    def variant_exists(self, material: str, colour: str, size: str) -> bool:
        """Return whether the catalogue has this material with exactly these auxiliary properties."""
        wanted = (material, colour, size)
        return bool(self.database.rows("SELECT 1 FROM variant WHERE material = ? AND colour = ? AND size = ?", wanted))

    def _count(self, connection: sqlite3.Connection, movement: Movement, *further: Movement) -> Posted | None:
        """Make the sellable own quantity (of one lot, if named) what was counted (盘点)."""
        if further:
            raise StockError("a count has one line: what is found and what is missing are different bills")
        lot_clause, lot = ("AND lot = ?", (movement.lot,)) if movement.lot else ("", ())
        booked = connection.execute(
            "SELECT COALESCE(sum(quantity), 0) FROM inventory WHERE stock = ? AND material = ? AND colour = ? "
            f"AND size = ? AND status = ? AND owner = ? {lot_clause}",
            (movement.stock, movement.material, movement.colour, movement.size, SELLABLE, ORG_NUM, *lot),
        ).fetchone()[0]
        difference = movement.quantity - int(booked)
        if difference == 0:
            return None
        form = bill_forms()["stk_stockcountgain" if difference > 0 else "stk_stockcountloss"]
        found = replace(movement, quantity=abs(difference), allow_negative=True)
        return self._post(form, self._lines(connection, form, [found]), found)

    def _lines(self, connection: sqlite3.Connection, form: BillForm, movements: Sequence[Movement]) -> list[Line]:
        """Return a bill's lines: one per lot that the goods come from, or the one that they go into."""
        taken: Counter[StockKey] = Counter()
        return [line for movement in movements for line in self._lines_of(connection, form, movement, taken)]

    def _lines_of(
        self, connection: sqlite3.Connection, form: BillForm, movement: Movement, taken: Counter[StockKey]
    ) -> list[Line]:
        target = movement.to_stock or movement.stock
        bare = Line(
            movement.material,
            movement.colour,
            movement.size,
            movement.quantity,
            source=movement.stock if form.takes else "",
            target=target if form.puts else "",
            lot=movement.lot,
            from_status=movement.from_status if movement.kind == "status" else SELLABLE,
            to_status=movement.status if movement.kind == "status" else SELLABLE,
            factor=movement.factor,
        )
        if not form.takes:
            place = place_for(connection, bare.key(target, bare.to_status), fresh=movement.kind == "receipt")
            return [replace(bare, lot=place.lot, produced=place.produced, expires=place.expires)]
        wanted = bare.key(movement.stock, bare.from_status)
        parts = plan_taking(
            connection, wanted, movement.quantity, allow_negative=movement.allow_negative, spoken_for=taken
        )
        taken.update(dict(parts))
        return [
            replace(bare, quantity=part, lot=key.lot, produced=key.produced, expires=key.expires) for key, part in parts
        ]

    def _post(self, form: BillForm, lines: Sequence[Line], movement: Movement) -> Posted:
        if self.is_taken(form.form_id, movement.reference):
            raise NumberTakenError(f"{form.form_id} {movement.reference} exists already")
        audited = movement.document_status == "C"
        status = "B" if audited else movement.document_status
        posted = self.create_bill(form, lines, status=status, number=movement.reference)
        if audited:
            self.audit(posted.bill_id, allow_negative=movement.allow_negative)
        return posted

    # --- bills ----------------------------------------------------------------------------------------------------
    def create_bill(
        self,
        form: BillForm,
        lines: Sequence[Line],
        *,
        status: str,
        number: str = "",
        model: Mapping[str, Any] | None = None,
        date: str = "",
    ) -> Posted:
        """Write a new bill without touching stock; without a number it draws the form's next one."""
        now = self._entered()
        with self.database.transaction() as connection:
            bill_id = self.database.next_number("bill-id", 100001)
            number = number or f"{form.prefix}{self.database.next_number(f'bill-no/{form.form_id}'):06d}"
            connection.execute(
                "INSERT INTO bill (id, form, number, date, status, created, modified, model) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (bill_id, form.form_id, number, date or now[:10] + NO_TIME, status, now, now, dump_model(model)),
            )
            self.write_lines(bill_id, lines)
        return Posted(form.form_id, number, bill_id)

    def write_lines(self, bill_id: int, lines: Sequence[Line], first: int = 1) -> None:
        """Append lines to a bill, numbered from `first`."""
        columns = Line.__slots__
        with self.database.transaction() as connection:
            for number, line in enumerate(lines, start=first):
                connection.execute(
                    f"INSERT INTO entry (id, bill, line, {', '.join(columns)}, unit) "
                    f"VALUES (?, ?, ?{', ?' * len(columns)}, IFNULL(?, (SELECT unit FROM material WHERE number = ?)))",
                    (
                        *(self.database.next_number("entry-id", 500001), bill_id, number),
                        *(getattr(line, column) for column in columns),
                        *(carton(line.factor), line.material),
                    ),
                )

    def change_line(self, entry_id: int, line: Line) -> None:
        """Rewrite one entry in place; its id and number stay."""
        columns = Line.__slots__
        with self.database.transaction() as connection:
            connection.execute(
                f"UPDATE entry SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*(getattr(line, column) for column in columns), entry_id),
            )

    def is_taken(self, form: str, number: str) -> bool:
        """Return whether a number may not be given to another bill of a form."""
        taken = bool(number) and self.find_bill(form, number=number) is not None
        return taken and self._strike("number-repeated") is None

    def find_bill(self, form: str, *, number: str = "", bill_id: int = 0) -> sqlite3.Row | None:
        """Return a bill by number or id, or None."""
        found = self.database.rows(
            "SELECT * FROM bill WHERE form = ? COLLATE NOCASE AND (number = ? COLLATE NOCASE OR id = ?)",
            (form, number, bill_id),
        )
        return found[0] if found else None

    def audit(self, bill_id: int, *, allow_negative: bool = False) -> None:
        """Audit a bill: its stock effect, its state C and its times change together.

        Raises:
            NegativeStockError: there is not enough stock and `allow_negative` is off.
        """
        now = self._entered()
        keep_zero = self.keep_zero_rows
        with self.database.transaction() as connection:
            form_id = connection.execute("SELECT form FROM bill WHERE id = ?", (bill_id,)).fetchone()["form"]
            form = bill_forms()[form_id.lower()]
            entries = connection.execute("SELECT * FROM entry WHERE bill = ? ORDER BY line", (bill_id,)).fetchall()
            for entry in entries:
                for key, delta in _effects(connection, form, entry, allow_negative=allow_negative):
                    change(connection, key, delta, keep_zero=keep_zero, at=now)
                    connection.execute(
                        f"INSERT INTO effect (bill, {', '.join(KEY_COLUMNS)}, delta) "
                        f"VALUES (?{', ?' * len(KEY_COLUMNS)}, ?)",
                        (bill_id, *(getattr(key, column) for column in KEY_COLUMNS), delta),
                    )
            self._set_status(connection, bill_id, "C", now, approved=now)

    def unaudit(self, bill_id: int) -> None:
        """Take an audited bill back: its stock effect is undone row by row and its state becomes D (重新审核)."""
        now = self._entered()
        keep_zero = self.keep_zero_rows
        with self.database.transaction() as connection:
            effects = connection.execute("SELECT * FROM effect WHERE bill = ? ORDER BY id DESC", (bill_id,)).fetchall()
            for effect in effects:
                change(connection, key_of(effect), -effect["delta"], keep_zero=keep_zero, at=now)
            connection.execute("DELETE FROM effect WHERE bill = ?", (bill_id,))
            self._set_status(connection, bill_id, "D", now, approved=None)

    def delete(self, bill_id: int) -> None:
        """Delete a bill; its stock effect, if it is audited, is undone with it."""
        with self.database.transaction() as connection:
            self.unaudit(bill_id)
            connection.execute("DELETE FROM bill WHERE id = ?", (bill_id,))

    def set_status(self, bill_id: int, status: str) -> None:
        """Set a bill's document state (Z, A, B, D) without a stock effect."""
        with self.database.transaction() as connection:
            self._set_status(connection, bill_id, status, self._entered(), approved=None)

    @staticmethod
    def _set_status(
        connection: sqlite3.Connection, bill_id: int, status: str, now: str, *, approved: str | None
    ) -> None:
        connection.execute(
            "UPDATE bill SET status = ?, modified = ?, approved = ? WHERE id = ?", (status, now, approved, bill_id)
        )

    # --- random life ----------------------------------------------------------------------------------------------
    def random_move(self, after_seconds: float = 0) -> Posted | None:
        """Post one plausible movement; the n-th of a seed always draws the same dice.

        So many seconds pass before it on the server's clock, which then stays ahead.
        """
        self._ahead += timedelta(seconds=after_seconds)
        with self.database.transaction():
            return self._random_move()

    def _random_move(self) -> Posted | None:
        drawn = self.database.next_number("random-move")
        rng = random.Random(f"{self._seed}/move/{drawn}")
        [(oldest, newest)] = self.database.rows("SELECT COALESCE(min(seq), 0), COALESCE(max(seq), 0) FROM inventory")
        row = self._next_row(oldest + rng.randint(0, newest - oldest)) or self._next_row(oldest)
        if row is None:
            return None
        kinds, weights = zip(*_RANDOM_KINDS, strict=True)
        kind = rng.choices(kinds, weights)[0]
        whole = int(row["quantity"]) // QUANTITY_SCALE
        pieces = min(whole, rng.choice((1, 1, 1, 2, 3)))
        if kind == "receipt":
            pieces = rng.randint(5, 30)
        elif kind == "count":
            pieces = max(0, whole + rng.choice((-2, -1, 0, 1, 2)))
        others = [r["number"] for r in self.database.rows("SELECT number FROM warehouse WHERE number <> 'CK900'")]
        others.remove(row["stock"])
        movement = Movement(
            *(kind, row["material"], row["colour"], row["size"], row["stock"], pieces * QUANTITY_SCALE),
            to_stock=rng.choice(others) if kind == "transfer" else "",
            lot=row["lot"] if kind != "receipt" else "",
        )
        return self.move(movement)

    def _next_row(self, seq: int) -> sqlite3.Row | None:
        """Return the first row from `seq` on that a piece can be sold of."""
        found = self.database.rows(
            "SELECT * FROM inventory WHERE seq >= ? AND status = ? AND owner = ? AND quantity >= ? "
            "AND stock <> 'CK900' ORDER BY seq LIMIT 1",
            (seq, SELLABLE, ORG_NUM, QUANTITY_SCALE),
        )
        return found[0] if found else None

    # --- the books, as the ERP's own people see them --------------------------------------------------------------
    def stock_rows(self) -> list[dict[str, Any]]:
        """Return every row of the books with all its facts; quantities as exact decimal text."""
        rows = self.database.rows(
            "SELECT i.*, m.unit FROM inventory i JOIN material m ON m.number = i.material ORDER BY i.seq"
        )
        return [{**dict(row), "quantity": _text(row["quantity"]), "locked": _text(row["locked"])} for row in rows]

    def totals(self) -> dict[str, Any]:
        """Return own, sellable stock (可用) per warehouse and article, summed over lots whatever their expiry."""
        rows = self.database.rows(
            "SELECT stock, material, colour, size, sum(quantity) AS quantity, sum(locked) AS locked FROM inventory "
            "WHERE status = ? AND owner_type = ? AND owner = ? GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            (SELLABLE, OWN_OWNER_TYPE, ORG_NUM),
        )
        locations: dict[str, int] = {}
        for row in rows:
            locations[row["stock"]] = locations.get(row["stock"], 0) + row["quantity"]
        return {
            "totals": [
                {
                    "location": row["stock"],
                    "item": "|".join(part for part in (row["material"], row["colour"], row["size"]) if part),
                    "quantity": _text(row["quantity"]),
                    "locked": _text(row["locked"]),
                }
                for row in rows
            ],
            "locations": {stock: _text(units) for stock, units in locations.items()},
        }

    def describe(self) -> dict[str, Any]:
        """Return what the sandbox holds, in numbers."""
        tables = ("material", "variant", "barcode", "inventory", "bill")
        counts = {table: self.database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables}
        warehouses = {row["number"]: row["name"] for row in self.database.rows("SELECT * FROM warehouse ORDER BY id")}
        return {
            "system": "Kingdee K/3 Cloud WebAPI (sandbox)",
            "organisation": {"number": ORG_NUM, "name": ORG_NAME},
            "warehouses": warehouses,
            "counts": counts,
            "articles": int(self.database.setting("articles", "0")),
            "seed": int(self.database.setting("seed", "0")),
            "keep_zero_rows": self.keep_zero_rows,
            "beijing_time": self.now(),
        }


_RANDOM_KINDS = (("sale", 60), ("receipt", 12), ("transfer", 12), ("return", 8), ("count", 4), ("status", 4))


def load_model(text: str) -> dict[str, Any]:
    """Return a bill's head as saved, with lower-case keys."""
    return dict(json.loads(text))


def dump_model(model: Mapping[str, Any] | None) -> str:
    """Return a bill's model as JSON with lower-case head keys, so that a query may use any case."""
    lowered = {str(name).lower(): value for name, value in (model or {}).items()}
    return json.dumps(lowered, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def _text(units: int) -> str:
    return f"{from_units(units):f}"


def _effects(
    connection: sqlite3.Connection, form: BillForm, entry: sqlite3.Row, *, allow_negative: bool
) -> list[tuple[StockKey, int]]:
    """Return what one entry does to the books, worked out from the stock of this moment."""
    line = Line(**{name: entry[name] for name in Line.__slots__})
    if not form.takes:
        if not form.puts:
            return []
        wanted = line.key(line.target, line.to_status)
        return [(place_for(connection, wanted, fresh=form.form_id == "STK_InStock"), line.quantity)]
    wanted = line.key(line.source, line.from_status)
    taken = plan_taking(connection, wanted, line.quantity, allow_negative=allow_negative)
    effects = [(key, -part) for key, part in taken]
    if form.puts:
        target = line.target or line.source
        effects += [(replace(key, stock=target, status=line.to_status), part) for key, part in taken]
    return effects
