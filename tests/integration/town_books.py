"""What truly is in the town of `tests.integration.town`: level by level, cart by cart, document by document.

The town keeps the books of the truth (`tests.model.world.Books`) apart from the hub, and holds what the hub says and
promises against them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.contracts import StockKey
from hub.stock.reservations import Line
from tests.integration.town_checks import Stand, load_stands, say_what_is_wrong
from tests.model.world import Books, Demand, Supply

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from hub.stock.reservations import Wish
    from tests.integration.two_processes import StreamingErp, TwoProcesses

PLACES = {"W1": "P/1", "W2": "P/2"}
SKUS = ("A", "B")
MOST_READS, MOST_SUPPLIES = 3, 4
KIT, PARTS = "C", {"A": 2, "B": 1}

Level = tuple[str, str]
LEVELS: tuple[Level, ...] = tuple((sku, place) for sku in SKUS for place in PLACES)
BUSY_LEVELS = (*LEVELS[:1] * 5, *LEVELS)
"""So that much happens to one of them."""


@dataclass
class Cart:
    """A reservation, as the town knows it: what it takes of which level, until when."""

    wish: Wish
    takes: dict[Level, int]
    ends_at: datetime
    open: bool = True


@dataclass
class Order:
    """Something sold: its demand at each level. `number` is the order's or the receipt's."""

    number: str
    lines: dict[Level, Demand]

    @property
    def state(self) -> str:
        return next(iter(self.lines.values())).state

    @property
    def reference(self) -> str:
        return next(iter(self.lines.values())).reference

    def all(self, **changed: object) -> None:
        for demand in self.lines.values():
            for name, value in changed.items():
                setattr(demand, name, value)


@dataclass
class Paper:
    """What the ERP posts at once under a number of ours: a document for each level, which it names."""

    reference: str
    documents: dict[Level, str]


@dataclass
class Day:
    """A business day of a store that posts one settlement for all it sold."""

    number: str
    place: str
    sold: Counter[Level] = field(default_factory=Counter)
    closed: bool = False


@dataclass
class TownBooks:
    """The state of it all, and what must hold."""

    hub: TwoProcesses
    erp: StreamingErp
    books: dict[Level, Books] = field(default_factory=lambda: {level: Books() for level in LEVELS})
    carts: list[Cart] = field(default_factory=list)
    refused: list[Wish] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    papers: list[Paper] = field(default_factory=list)
    days: list[Day] = field(default_factory=list)
    supplies: list[tuple[Level, Supply]] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    pooled: set[Level] = field(default_factory=set)
    """Of these, channels are refused what others could have."""
    safety: dict[str | None, int] = field(default_factory=dict)
    for_good: set[str] = field(default_factory=set)
    """Numbers of ours whose demand the hub calls posted: it relies on the ERP to tell at once if that changes."""
    made: int = 0

    def may_happen(self) -> dict[str, list[str]]:
        """Return the methods that have anything to happen to now, by what they are about."""
        conditions = {
            "buyers": {"order": True, "sell": True, "sell_on_a_day": True},
            "carts": {
                "reserve": True,
                "ask_again": self.carts or self.refused,
                "extend": self.carts,
                "release": self.carts,
                "move": self.carts,
                "pay": self.carts,
                "pass_time": True,
                "sweep": True,
            },
            "orders": {
                "push": self.unsent(),
                "push_again": True,
                "cancel": self.open_orders(),
                "say_no": self.unknown_to_the_erp(),
                "reverse": self.reversible(),
            },
            "documents": {
                "post": self.postable(),
                "settle_day": self.unsettled(),
                "take_back": self.papers_that(posted=True),
                "post_again": self.papers_that(posted=False),
                "delete": self.papers_that(posted=True),
                "take_back_late": self.papers_for_good() and not self.hub.is_looking(),
            },
            "goods": {
                "bring": len(self.supplies) < MOST_SUPPLIES,
                "receive": True,
                "push_supply": self.supplies_that(sent=False),
                "post_supply": self.supplies_that(sent=True),
                "end_supply": self.ended_supplies(),
            },
            "reads": {
                "begin_read": len(self.hub.readers) < MOST_READS,
                "go_on_reading": list(self.hub.that_go_on()),
                "look": not self.hub.is_looking(),
            },
            "people": {
                "die": True,
                "freeze_or_thaw": True,
                "set_pool": True,
                "set_safety_stock": True,
                "call_posted": not self.hub.is_looking(),
            },
        }
        may = {group: [name for name, can in names.items() if can] for group, names in conditions.items()}
        return {group: names for group, names in may.items() if names}

    def open_orders(self) -> list[Order]:
        return [order for order in self.orders if order.state == "open" and not self._over_the_counter(order)]

    def unsent(self) -> list[Order]:
        return [order for order in self.open_orders() if not all(demand.sent for demand in order.lines.values())]

    def postable(self) -> list[tuple[Order, Level]]:
        days = {day.number for day in self.days}
        return [
            (order, level)
            for order in self.orders
            if order.state in ("open", "cancel_pending") and order.reference not in days
            for level, demand in order.lines.items()
            if (demand.sent or demand.over_the_counter) and self._left(order, level) > 0
        ]

    def unsettled(self) -> list[Day]:
        settled = {paper.reference for paper in self.papers}
        return [day for day in self.days if day.number not in settled]

    def papers_that(self, *, posted: bool) -> list[Paper]:
        """Return papers that the ERP's people may touch: of what is live, and not posted for good."""
        live = {order.reference for order in self.orders if order.state == "open"} - self.for_good
        return [paper for paper in self.papers if paper.reference in live and self._stands(paper) == posted]

    def papers_for_good(self) -> list[Paper]:
        return [paper for paper in self.papers if paper.reference in self.for_good and self._stands(paper)]

    def unknown_to_the_erp(self) -> list[Order]:
        known = {paper.reference for paper in self.papers}
        return [o for o in self.orders if o.state == "cancel_pending" and o.reference not in known]

    def reversible(self) -> list[Order]:
        known = {paper.reference for paper in self.papers}
        return [o for o in self.orders if o.state == "cancel_pending" and o.reference in known]

    def supplies_that(self, *, sent: bool) -> list[tuple[Level, Supply]]:
        return [(level, supply) for level, supply in self.supplies if supply.sent == sent and not supply.posted]

    def ended_supplies(self) -> list[tuple[Level, Supply]]:
        return [(level, supply) for level, supply in self.supplies if supply.posted or not supply.sent]

    def check(self) -> None:
        """No level offers or has promised more than there truly is; counters and ledger agree with their rows."""
        stands = load_stands(self.hub.aside)
        assert say_what_is_wrong(self.hub.aside) == []
        for level in LEVELS:
            self._check_level(level, stands[level])

    def _check_level(self, level: Level, stand: Stand) -> None:
        sku, place = level
        books = self.books[level]
        assert self.erp.on_hand(StockKey(sku, PLACES[place])) == books.quantity
        assert stand.withheld == self._withheld(level)
        there = books.truth()
        known = stand.on_hand - stand.demand + stand.supply
        assert known <= there, f"the hub believes in {known} of {there} at {level}: {stand}"
        if place in self.frozen:
            assert stand.offered == 0
        else:
            promised = stand.offered + self._held(level) + stand.withheld
            assert promised <= there, f"{promised} of {there} promised at {level}: {stand}"

    def _promised(self, levels: Collection[Level]) -> None:
        """Something of these levels was promised anew: it is there, beside all that is promised and withheld."""
        for level in levels:
            promised, there = self._held(level) + self._withheld(level), self.books[level].truth()
            assert promised <= there, f"{promised} of {there} promised at {level}"

    def _lacks(self, wanted: Mapping[Level, int], problem: str) -> None:
        """A request was refused: something of it is not to be had, or is being counted."""
        if problem == "frozen":
            assert {place for _, place in wanted} & self.frozen
        elif not self.pooled & wanted.keys():
            stands = load_stands(self.hub.aside)
            assert any(stands[level].offered < quantity for level, quantity in wanted.items()), f"{wanted} of {stands}"

    def _kept(self, cart: Cart, *, honoured: bool) -> None:
        """What was promised until a moment is kept until then."""
        assert honoured or not self._is_active(cart), f"{cart} was not honoured"

    def _stands(self, paper: Paper) -> bool:
        level, name = next(iter(paper.documents.items()))
        return self.books[level].documents[name].posted

    def _left(self, order: Order, level: Level) -> int:
        documents = self.books[level].documents.values()
        posted = sum(d.quantity for d in documents if d.reference == order.reference and not d.deleted)
        return order.lines[level].quantity - posted

    def _over_the_counter(self, order: Order) -> bool:
        return any(demand.over_the_counter for demand in order.lines.values())

    def _is_active(self, cart: Cart) -> bool:
        return cart.open and self.hub.latest < cart.ends_at

    def _held(self, level: Level) -> int:
        return sum(cart.takes.get(level, 0) for cart in self.carts if self._is_active(cart))

    def _withheld(self, level: Level) -> int:
        return self.safety.get(level[0], self.safety.get(None, 0))

    def _name(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}{self.made}"

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return list(self.hub.aside.execute(statement, values))


def line_of(level: Level, quantity: int) -> Line:
    """Return a line of a level."""
    return Line(*level, Decimal(quantity))


def parts_of(lines: Sequence[Line]) -> dict[Level, int]:
    """Return what lines take from which level: kits as their parts."""
    takes: Counter[Level] = Counter()
    for line in lines:
        for sku, quantity in (PARTS if line.sku == KIT else {line.sku: 1}).items():
            takes[sku, line.location] += quantity * int(line.quantity)
    return dict(takes)
