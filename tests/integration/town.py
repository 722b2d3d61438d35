"""A town with a shop, two stores and an ERP: what may happen in it.

Everything that happens is a method that chooses by itself among what it could happen to; who calls it gives the way to
choose. Every answer of the hub is held against what truly is (`tests.integration.town_books`): nothing is promised that
is not there, and what was promised is kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from hub.contracts import StockKey
from hub.idempotency import RequestKey
from hub.stock.reservations import Held, Line, Outcome, Refused, Wish
from tests.integration.town_books import (
    BUSY_LEVELS,
    KIT,
    LEVELS,
    PLACES,
    SKUS,
    Cart,
    Day,
    Level,
    Order,
    Paper,
    TownBooks,
    line_of,
    parts_of,
)
from tests.integration.town_checks import load_stands
from tests.model.world import START, Demand, Supply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.integration.two_processes import StreamingErp, TwoProcesses

CHANNELS = ("online", "shop")


class Pick(Protocol):
    """A way to choose."""

    def __call__(self, options: Sequence[Any], /) -> Any:
        """Choose one of some."""


@dataclass
class Town(TownBooks):
    """Lets things happen."""

    @classmethod
    def open(cls, hub: TwoProcesses, erp: StreamingErp) -> Town:
        """Open, with some of each article at each place, which the hub has read."""
        town = cls(hub, erp)
        for sku, place in LEVELS:
            erp.set(sku, PLACES[place], START)
        town.hub.do("begin", 0, "all", frozenset())
        town.let_reads_end()
        return town

    # What customers do.

    def reserve(self, pick: Pick) -> None:
        """One request, or some in one statement."""
        wishes = [self._wish(pick) for _ in range(pick((1, 1, 2, 3)))]
        outcomes = self.hub.do("reserve", pick((0, 1)), wishes)
        promised: set[Level] = set()
        for wish, outcome in zip(wishes, outcomes, strict=True):
            if isinstance(outcome, Held):
                self.carts.append(Cart(wish, parts_of(wish.lines), outcome.expires_at))
                promised |= self.carts[-1].takes.keys()
            else:
                assert isinstance(outcome, Refused), outcome
                self.refused.append(wish)
                if wish is wishes[-1]:  # after it, nothing has been taken
                    self._lacks(parts_of(wish.lines), outcome.problem)
        assert not {place for _, place in promised} & self.frozen
        self._promised(promised)

    def ask_again(self, pick: Pick) -> None:
        """The answer was lost: the same request comes again, and is answered as before."""
        wish = pick([cart.wish for cart in self.carts] + self.refused)
        [outcome] = self.hub.do("reserve", pick((0, 1)), [wish])
        assert isinstance(outcome, Refused if wish in self.refused else Held), outcome
        assert isinstance(outcome, Refused) or outcome.id == wish.id

    def extend(self, pick: Pick) -> None:
        cart, ttl = pick(self.carts), pick((1, 60, 3600))
        state = self.hub.do("extend", pick((0, 1)), cart.wish.id, ttl)
        in_time = self._is_active(cart)
        self._kept(cart, honoured=state == "active")
        if state == "active":
            [(cart.ends_at,)] = self._rows(
                "SELECT to_timestamp(expires_second) FROM reservation WHERE id = %s", cart.wish.id
            )
            if not in_time:
                self._promised(cart.takes)

    def release(self, pick: Pick) -> None:
        cart = pick(self.carts)
        state = self.hub.do("release", pick((0, 1)), cart.wish.id)
        self._kept(cart, honoured=state == "released")
        cart.open = False

    def move(self, pick: Pick) -> None:
        """Transfer what a cart holds to another place."""
        cart, place = pick(self.carts), pick(list(PLACES))
        outcome = self.hub.do("transfer", pick((0, 1)), cart.wish.id, place)
        self._kept(cart, honoured=outcome.state == "active")
        if outcome.state == "active" and outcome.problem is None:
            takes: Counter[Level] = Counter()
            for (sku, _), quantity in cart.takes.items():
                takes[sku, place] += quantity
            cart.takes = dict(takes)
            self._promised(cart.takes)

    def pay(self, pick: Pick) -> None:
        """Make an order of a cart, in time or late."""
        cart, number = pick(self.carts), self._name("O")
        outcome: Outcome = self.hub.do("commit", pick((0, 1)), cart.wish.id, number, again=pick((True, False)))
        in_time = self._is_active(cart)
        self._kept(cart, honoured=outcome.state == "committed")
        if outcome.problem:
            self._lacks(cart.takes, outcome.problem)
        if outcome.order_no != number:
            return
        self.orders.append(Order(number, {level: Demand(number, number, sold) for level, sold in cart.takes.items()}))
        self._book(self.orders[-1])
        cart.open = False
        self.carts.remove(cart)
        if not in_time:
            self._promised(cart.takes)

    def order(self, pick: Pick) -> None:
        """Reserve, pay and send at once, if there is enough."""
        level, number = pick(BUSY_LEVELS), self._name("O")
        wish = Wish(self._key(), pick(CHANNELS), (line_of(level, pick((1, 1, 3))),), 900)
        [outcome] = self.hub.do("reserve", 0, [wish])
        if isinstance(outcome, Refused):
            self._lacks(parts_of(wish.lines), outcome.problem)
            return
        assert self.hub.do("commit", 1, wish.id, number, again=False).state == "committed"
        self.orders.append(Order(number, {level: Demand(number, number, int(wish.lines[0].quantity))}))
        self._book(self.orders[-1])
        self._promised([level])
        assert self.hub.do("claim", number)
        self.orders[-1].all(sent=True)

    def sell(self, pick: Pick) -> None:
        """Something goes over a store's counter, whatever the hub says, and the till tells of it."""
        level, quantity, number = pick(BUSY_LEVELS), pick((1, 2)), self._name("R")
        self._sell(pick, number, number, level, quantity, whole=False)

    def sell_on_a_day(self, pick: Pick) -> None:
        """The same at a store that settles its days."""
        level = pick(BUSY_LEVELS)
        days = [day for day in self.days if day.place == level[1] and not day.closed]
        if not days:
            days = [Day(self._name("Z"), level[1])]
            self.days += days
        days[0].sold[level] += 1
        self._sell(pick, self._name("R"), days[0].number, level, 1, whole=True)

    def bring(self, pick: Pick) -> None:
        """Something comes back, and is usable at once."""
        level, supply = pick(BUSY_LEVELS), Supply(self._name("S"), pick((1, 2)))
        self.hub.do("add_supply", supply.number, line_of(level, supply.quantity), self.hub.now)
        self.supplies.append((level, supply))
        self.books[level].supplies.append(supply)

    # What becomes of it at the ERP.

    def push(self, pick: Pick) -> None:
        """An order is sent; whether it arrives shows when the ERP posts it."""
        order = pick(self.unsent())
        assert self.hub.do("claim", order.number)
        order.all(sent=True)

    def push_again(self, pick: Pick) -> None:
        """The answer was lost: it is sent again."""
        sent = [("claim", order.number) for order in self.open_orders() if order not in self.unsent()]
        sent += [("claim_supply", supply.number) for _, supply in self.supplies if supply.sent]
        if sent:
            self.hub.do(*pick(sent))

    def post(self, pick: Pick) -> None:
        """The ERP posts what it was told of, all of a line or a part."""
        order, level = pick(self.postable())
        left = self._left(order, level)
        self._post(order.reference, {level: pick((left, 1))})

    def settle_day(self, pick: Pick) -> None:
        self._settle_day(pick(self.unsettled()))

    def take_back(self, pick: Pick) -> None:
        paper = pick(self.papers_that(posted=True))
        for level, name in paper.documents.items():
            self.erp.take_back(name)
            self.books[level].take_back(name)

    def post_again(self, pick: Pick) -> None:
        self._post_again(pick(self.papers_that(posted=False)))

    def delete(self, pick: Pick) -> None:
        """A document is taken back and deleted; nothing tells of it."""
        paper = pick(self.papers_that(posted=True))
        for level, name in paper.documents.items():
            self.erp.delete(name)
            self.books[level].delete(name)
        self.papers.remove(paper)

    def cancel(self, pick: Pick) -> None:
        order = pick(self.open_orders())
        sent = any(demand.sent for demand in order.lines.values())
        state = self.hub.do("cancel", order.number)
        assert state == ("cancel_pending" if sent else "released")
        order.all(state=state)
        self.for_good.discard(order.reference)

    def say_no(self, pick: Pick) -> None:
        """The ERP does not know a cancelled order, and can't post it any more."""
        self._say_no(pick(self.unknown_to_the_erp()))

    def reverse(self, pick: Pick) -> None:
        """The ERP posts and answers the reversal of a cancelled order."""
        self._reverse(pick(self.reversible()))

    def receive(self, pick: Pick) -> None:
        """Goods come in at the ERP."""
        level, quantity = pick(BUSY_LEVELS), pick((1, START))
        self._bring_in(level, quantity)
        self.books[level].quantity += quantity

    def push_supply(self, pick: Pick) -> None:
        _, supply = pick(self.supplies_that(sent=False))
        assert self.hub.do("claim_supply", supply.number)
        supply.sent = True

    def post_supply(self, pick: Pick) -> None:
        level, supply = pick(self.supplies_that(sent=True))
        self.books[level].post_supply(supply)
        self._bring_in(level, supply.quantity)

    def end_supply(self, pick: Pick) -> None:
        """What came back is posted for good, or never was there."""
        level, supply = pick(self.ended_supplies())
        assert self.hub.do("end_supply", supply.number, "posted" if supply.posted else "withdrawn")
        self.supplies.remove((level, supply))
        self.books[level].supplies.remove(supply)

    # What the hub does, and its people.

    def begin_read(self, pick: Pick) -> None:
        kind = pick([kind for kind in ("keys", "keys", "changes", "all") if self.hub.may_begin(kind)])
        self.hub.do("begin", pick((0, 1)), kind, self._some_keys(pick))

    def go_on_reading(self, pick: Pick) -> None:
        number = pick(list(self.hub.that_go_on()))
        reader = self.hub.readers[number]
        for _ in range(pick((1, 2, 3, 5))):
            if reader.at is not None and self.hub.readers.index(reader) in self.hub.that_go_on():
                self.hub.do("go_on", self.hub.readers.index(reader))

    def look(self, _: Pick) -> None:
        """A process looks at what changed, and gets no further for now."""
        self.hub.do("look")

    def die(self, pick: Pick) -> None:
        """A process dies with all its reads, and is started again."""
        self.hub.do("kill", pick((0, 1)))

    def pass_time(self, pick: Pick) -> None:
        """Time passes, or a clock is set back."""
        self.hub.pass_time(pick((1, 30, 900, 3600, -1, -600)))

    def sweep(self, _: Pick) -> None:
        self.hub.do("sweep")

    def freeze_or_thaw(self, pick: Pick) -> None:
        place = pick(list(PLACES))
        self.hub.do("thaw" if place in self.frozen else "freeze", place)
        self.frozen ^= {place}

    def set_pool(self, pick: Pick) -> None:
        sku, place = pick(BUSY_LEVELS)
        fenced, percent = pick(((Decimal(4), None), (None, Decimal(30)), (None, None)))
        self.hub.do("set_pool", sku, place, fenced, percent)
        self.pooled.add((sku, place))

    def set_safety_stock(self, pick: Pick) -> None:
        sku, safety = pick((None, *SKUS)), pick((0, 1, 3))
        self.hub.do("set_rule", sku, Decimal(safety))
        self.safety[sku] = safety

    def call_posted(self, _: Pick) -> None:
        """Three days pass, and what the base contains is posted for good."""
        self.hub.pass_time(73 * 3600)
        self.hub.do("settle_posted")
        posted = self._rows("SELECT DISTINCT reference FROM stock_demand WHERE state = 'posted'")
        self.for_good = {reference for (reference,) in posted}

    def take_back_late(self, pick: Pick) -> None:
        """What was posted for good is taken back, and the loop looks at the changes before anything is read."""
        paper = pick(self.papers_for_good())
        for level, name in paper.documents.items():
            self.erp.take_back(name)
            self.books[level].take_back(name)
        self.hub.do("look")
        self.for_good.discard(paper.reference)

    # How all ends.

    def let_reads_end(self) -> None:
        while numbers := list(self.hub.that_go_on()):
            self.hub.do("go_on", numbers[0])

    def drain(self) -> None:
        """Let all that is under way come to its end, read once more, and compare: nothing is lost, nothing doubled."""
        self.let_reads_end()
        for place in sorted(self.frozen):
            self.hub.do("thaw", place)
        self.frozen = set()
        self._end_orders()
        for day in self.unsettled():
            self._settle_day(day)
        for level, supply in self.supplies_that(sent=False) + self.supplies_that(sent=True):
            if not supply.sent:
                assert self.hub.do("claim_supply", supply.number)
            self.books[level].post_supply(supply)
            self._bring_in(level, supply.quantity)
        self.hub.pass_time(int((self.hub.latest - self.hub.now).total_seconds()) + 8 * 3600)
        self.hub.do("sweep")
        for kind in ("changes", "all"):
            self.hub.do("begin", 0, kind, frozenset())
            self.let_reads_end()
        self.check()
        for level, stand in load_stands(self.hub.aside).items():
            assert stand.offered == self.books[level].truth() - self._withheld(level), (level, stand)
            assert (stand.demand, stand.supply, stand.reserved) == (0, 0, 0), (level, stand)

    # How it is done.

    def _end_orders(self) -> None:
        for order in self.orders:
            if order.state == "cancel_pending" and order in self.unknown_to_the_erp():
                self._say_no(order)
        for order in self.reversible():
            self._reverse(order)
        for order in self.unsent():
            assert self.hub.do("claim", order.number)
            order.all(sent=True)
        for paper in self.papers_that(posted=False):
            self._post_again(paper)
        while postable := self.postable():
            order, level = postable[0]
            self._post(order.reference, {level: self._left(order, level)})

    def _wish(self, pick: Pick) -> Wish:
        skus = pick((("A",), ("A",), ("B",), (KIT,), ("A", "B"), ("A", KIT), ("A", "A")))
        lines = tuple(Line(sku, pick(("W1", "W1", "W2")), Decimal(pick((1, 1, 2)))) for sku in skus)
        return Wish(self._key(), pick(CHANNELS), lines, pick((1, 60, 900)))

    def _key(self) -> RequestKey:
        return RequestKey("shop", self._name("key"), "POST /v1/reservations", "00")

    def _sell(self, pick: Pick, number: str, reference: str, level: Level, quantity: int, *, whole: bool) -> None:
        sold_at = self.hub.now + timedelta(hours=pick((-30, 0, 5)))  # a till's clock may be wrong
        self.hub.do("sell", number, reference, line_of(level, quantity), sold_at, whole=whole)
        demand = Demand(number, reference, quantity, over_the_counter=True)
        self.orders.append(Order(number, {level: demand}))
        self._book(self.orders[-1])

    def _book(self, order: Order) -> None:
        for level, demand in order.lines.items():
            self.books[level].demands.append(demand)

    def _post(self, reference: str, quantities: Mapping[Level, int]) -> None:
        documents = {}
        for (sku, place), quantity in quantities.items():
            name = self.erp.post(reference, StockKey(sku, PLACES[place]), quantity)
            self.books[sku, place].post(name, reference, quantity)
            documents[sku, place] = name
        self.papers.append(Paper(reference, documents))

    def _post_again(self, paper: Paper) -> None:
        for level, name in paper.documents.items():
            self.erp.post_again(name)
            self.books[level].post_again(name)

    def _settle_day(self, day: Day) -> None:
        day.closed = True
        self._post(day.number, day.sold)

    def _say_no(self, order: Order) -> None:
        assert self.hub.do("end", order.number, "released") == "released"
        order.all(state="released", dead=True)

    def _reverse(self, order: Order) -> None:
        for paper in [paper for paper in self.papers if paper.reference == order.reference]:
            for level, name in paper.documents.items():
                if self.books[level].documents[name].posted:
                    self.erp.take_back(name)
                    self.books[level].take_back(name)
        assert self.hub.do("end", order.number, "reversed") == "reversed"
        order.all(state="reversed")

    def _bring_in(self, level: Level, quantity: int) -> None:
        key = StockKey(level[0], PLACES[level[1]])
        self.erp.set(key.item, key.location, str(self.erp.on_hand(key) + quantity))

    def _some_keys(self, pick: Pick) -> frozenset[StockKey]:
        levels = {pick(BUSY_LEVELS), pick(BUSY_LEVELS)}
        return frozenset(StockKey(sku, PLACES[place]) for sku, place in levels)
