"""A counter that sells stock of a real ERP's stand-in, and the ERP's people who post, take back and delete."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from hub.clock import utc_now
from hub.stock.demand import record_sale
from hub.stock.reservations import Line
from tests.erp_sandboxes import LOCATIONS
from tests.hub_shop import make_shop

if TYPE_CHECKING:
    from random import Random

    from hub.contracts import StockKey
    from hub.db.session import Database
    from tests.erp_sandboxes import ErpSandbox
    from tests.hub_shop import Shop

PLACES = {place.erp_codes[place.stock_from]: place.code for place in LOCATIONS}


@dataclass
class Sold:
    """Something that was sold, and its document at the ERP."""

    number: str
    key: StockKey
    quantity: int
    document: Any = None
    posted: bool = False


@dataclass
class Counter:
    """A hub, the ERP that it follows, and what was sold of a few articles."""

    shop: Shop
    world: ErpSandbox
    keys: list[StockKey]
    sold: list[Sold] = field(default_factory=list)

    @classmethod
    def open(cls, worlds: dict[str, ErpSandbox], database: Database) -> Self:
        """Open at the last of some stand-ins, which a fresh hub has read in full, with three articles of some stock."""
        for world in worlds.values():
            world.reset()
        shop = make_shop(database, worlds)
        shop.read_items()
        world = list(worlds.values())[-1]
        assert shop.sync(world.system).snapshot().state == "applied"
        stocked = [key for key, held in world.books().items() if held >= 8]
        keys = sorted(stocked, key=lambda key: (key.location, key.item))
        world.move("sale", keys[3], 1)  # of what no document at all can be seen, none is taken for deleted
        return cls(shop, world, keys[:3])

    @property
    def system(self) -> str:
        return self.world.system

    def sell(self, key: StockKey, quantity: int, number: str | None = None, *, day: str = "") -> Sold:
        number = number or f"R-{len(self.sold) + 1}"
        line = Line(key.item, PLACES[key.location], Decimal(quantity))
        with self.shop.database.driver() as connection, connection.transaction():
            unknown = record_sale(
                connection, number, day or number, [self._by_sku(line)], utc_now(), channel="pos", whole=bool(day)
            )
        assert unknown == []
        self.sold.append(Sold(number, key, quantity))
        return self.sold[-1]

    def _by_sku(self, line: Line) -> Line:
        with self.shop.database.driver() as connection:
            [(sku,)] = connection.execute(
                "SELECT sku FROM item JOIN external_reference ON our_id = item.id"
                " WHERE system = %s AND kind = 'item' AND external_id = %s",
                (self.system, line.sku),
            ).fetchall()
        return Line(sku, line.location, line.quantity)

    def post(self, sold: Sold) -> None:
        if sold.document is None:
            sold.document = self.world.sell(sold.key, sold.quantity, sold.number, allow_negative=True)
        else:
            sold.document = self.world.post_again(sold.document)
        sold.posted = True

    def take_back(self, sold: Sold) -> None:
        self.world.take_back(sold.document)
        sold.posted = False

    def delete(self, sold: Sold) -> None:
        self.world.delete(sold.document)
        sold.document, sold.posted = None, False

    def offered(self, key: StockKey) -> Decimal:
        """Return what the hub says may be promised."""
        with self.shop.database.driver() as connection:
            [(room,)] = connection.execute(
                "SELECT level.room FROM stock_level AS level"
                " JOIN external_reference AS item ON item.our_id = level.item_id AND item.kind = 'item'"
                " JOIN external_reference AS place ON place.our_id = level.location_id AND place.kind = 'location'"
                " WHERE item.system = %(system)s AND place.system = %(system)s"
                " AND item.external_id = %(item)s AND place.external_id = %(place)s",
                {"system": self.system, "item": key.item, "place": key.location},
            ).fetchall()
        return Decimal(room)

    def truth(self, key: StockKey) -> Decimal:
        """Return what is there by the ERP's books, without what was sold and is not posted."""
        owed = sum(sold.quantity for sold in self.sold if sold.key == key and not sold.posted)
        return self.world.books().get(key, Decimal(0)) - owed

    def follow(self) -> None:
        sync = self.shop.sync(self.system)
        while sync.delta() is not None:
            pass


def happen(counter: Counter, random: Random) -> None:
    """Let something happen at the counter or at the ERP."""
    waiting = [sold for sold in counter.sold if not sold.posted]
    posted = [sold for sold in counter.sold if sold.posted]
    choice = random.random()
    if choice < 0.3 or not counter.sold:
        counter.sell(random.choice(counter.keys), random.randint(1, 2))
    elif choice < 0.6 and waiting:
        counter.post(random.choice(waiting))
    elif choice < 0.85 and posted:
        counter.take_back(random.choice(posted))
    elif posted and counter.world.deletes:
        counter.delete(random.choice(posted))
