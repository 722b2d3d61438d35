"""A small world of one level: an ERP, a hub that reads it, and all that may happen between the two.

Every call takes time: it is sent at one step, takes effect at the ERP at a later one, and its answer arrives later
still. Reads overlap, and their answers arrive out of order; looks follow one another. Postings are taken back, posted
again and deleted at any moment. The hub is a parameter: the pure rule, or the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

START = 12
MOST = 4
"""So many sales are open, and so many goods come back in all, so that much happens to each."""

MOST_READS = 2

Choice = tuple[str, "Callable[[], None]"]


@dataclass
class Document:
    """A document of the ERP with a number of ours; `version` rises each time it is posted anew."""

    reference: str
    quantity: int
    posted: bool = True
    version: int = 1
    deleted: bool = False


@dataclass
class Told:
    """A line of what a look answers."""

    document: str
    reference: str
    quantity: int
    posted: bool
    version: int


class Hub(Protocol):
    """What the world asks of a hub. Ticks are the hub's own."""

    def tick(self) -> int:
        """Draw a tick."""

    def available(self) -> int:
        """Return what may be promised now."""

    def place(self, number: str, reference: str, quantity: int) -> None:
        """Book demand."""

    def claim(self, number: str) -> None:
        """Note that demand is about to be sent."""

    def cancel(self, number: str) -> None:
        """Cancel demand."""

    def end(self, number: str, state: str) -> None:
        """End demand that was sent."""

    def supply(self, number: str, quantity: int) -> None:
        """Count supply."""

    def claim_supply(self, number: str) -> None:
        """Note that supply is about to be sent."""

    def note(self, told: Sequence[Told], missing: Sequence[str]) -> None:
        """Keep what a look has answered."""

    def standing(self) -> list[str]:
        """Return the documents that stand in the list for live demand."""

    def apply(self, quantity: int, began: int, ended: int) -> None:
        """Take a read as the base, if it began later than the one in force."""


@dataclass
class Demand:
    """Something sold, as the truth knows it; over the counter it is gone, and the ERP hears of it from the till."""

    number: str
    reference: str
    quantity: int
    state: str = "open"
    sent: bool = False
    over_the_counter: bool = False
    dead: bool = False
    document: str | None = None


@dataclass
class Supply:
    """Something that came back, as the truth knows it."""

    number: str
    quantity: int
    sent: bool = False
    posted: bool = False


@dataclass
class Books:
    """The truth of one level: what stands on the ERP's books, and what is gone or came back and is not posted there."""

    quantity: int = START
    demands: list[Demand] = field(default_factory=list)
    supplies: list[Supply] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)

    def truth(self) -> int:
        """Return what truly is there to sell: on the ERP's books, without what is gone or promised and not posted."""
        owed = sum(
            demand.quantity - self.posted(demand)
            for demand in self.demands
            if demand.state == "open" or (demand.state == "cancel_pending" and not demand.dead)
        )
        return self.quantity - owed + sum(supply.quantity for supply in self.supplies if not supply.posted)

    def posted(self, demand: Demand) -> int:
        """Return how much of a demand the ERP has posted."""
        documents = [document for document in self.documents.values() if document.reference == demand.reference]
        return min(sum(d.quantity for d in documents if d.posted and not d.deleted), demand.quantity)

    def post(self, name: str, reference: str, quantity: int) -> None:
        """Post a document with a number of ours."""
        self.documents[name] = Document(reference, quantity)
        self.quantity -= quantity

    def take_back(self, name: str) -> None:
        """Take a posting back."""
        document = self.documents[name]
        document.posted = False
        self.quantity += document.quantity

    def post_again(self, name: str) -> None:
        """Post a document once more that was taken back."""
        document = self.documents[name]
        document.posted, document.version = True, document.version + 1
        self.quantity -= document.quantity

    def delete(self, name: str) -> None:
        """Take a posting back and delete its document."""
        self.take_back(name)
        self.documents[name].deleted = True

    def post_supply(self, supply: Supply) -> None:
        """Post something that came back."""
        supply.posted = True
        self.quantity += supply.quantity


@dataclass
class Read:
    """A read on its way: begun, answered by the ERP, ended, listed."""

    began: int
    quantity: int | None = None
    ended: int | None = None
    listed: bool = False


@dataclass
class Look:
    """A look on its way: what the ERP answered, once it has; for the read behind which it looks."""

    read: Read | None
    told: list[Told] | None = None
    missing: list[str] = field(default_factory=list)


@dataclass
class World:
    """The state of it all, and what may happen next."""

    hub: Hub
    books: Books = field(default_factory=Books)
    untold: list[str] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    look: Look | None = None
    made: int = 0

    def start(self) -> None:
        """Give the hub its first base."""
        began = self.hub.tick()
        self.hub.apply(self.books.quantity, began, self.hub.tick())

    def truth(self) -> int:
        """Return what truly is there to sell."""
        return self.books.truth()

    def groups(self) -> list[list[Choice]]:
        """Return what may happen now, by what it concerns."""
        groups = (
            self._of_shop(),
            self._of_demands(),
            self._of_documents(),
            self._of_supplies(),
            self._of_reads(),
            self._of_looks(),
        )
        return [choices for group in groups if (choices := list(group))]

    def _of_shop(self) -> Iterator[Choice]:
        if sum(demand.state == "open" for demand in self.books.demands) < MOST:
            for quantity in (1, 2):
                if self.hub.available() >= quantity:
                    yield f"sell {quantity}", lambda quantity=quantity: self._sell(quantity)
            yield "sell over the counter", lambda: self._sell(1, over_the_counter=True)
        if len(self.books.supplies) < MOST:
            yield "take back goods", self._bring

    def _of_demands(self) -> Iterator[Choice]:
        for demand in self.books.demands:
            name = demand.number
            if demand.state == "open" and not demand.sent and not demand.over_the_counter:
                yield f"push {name}", lambda d=demand: self._push(d)
            known = demand.sent or demand.over_the_counter
            may_post = known and not demand.dead and demand.document is None
            if may_post and demand.state in ("open", "cancel_pending"):
                yield f"post {name}", lambda d=demand: self._post(d, d.quantity)
                if demand.quantity > 1:
                    yield f"post a part of {name}", lambda d=demand: self._post(d, 1)
            if demand.state == "open" and not demand.over_the_counter:
                yield f"cancel {name}", lambda d=demand: self._cancel(d)
            if demand.state == "cancel_pending" and demand.document is None:
                yield f"{name} is unknown to the ERP", lambda d=demand: self._withdraw(d)
            if demand.state == "cancel_pending" and demand.document and self.books.documents[demand.document].posted:
                yield f"reverse {name}", lambda d=demand: self._reverse(d)

    def _of_documents(self) -> Iterator[Choice]:
        for demand in self.books.demands:
            if demand.state != "open" or demand.document is None:
                continue
            name, document = demand.document, self.books.documents[demand.document]
            if document.posted:
                yield f"take back {name}", lambda n=name: self._take_back(n)
                yield f"delete {name}", lambda n=name: self._delete(n)
            elif not document.deleted:
                yield f"post again {name}", lambda n=name: self._post_again(n)

    def _of_supplies(self) -> Iterator[Choice]:
        for supply in self.books.supplies:
            if not supply.sent:
                yield f"push {supply.number}", lambda s=supply: self._push_supply(s)
            elif not supply.posted:
                yield f"post {supply.number}", lambda s=supply: self._post_supply(s)

    def _of_reads(self) -> Iterator[Choice]:
        if len(self.reads) < MOST_READS:
            yield "begin a read", lambda: self.reads.append(Read(self.hub.tick()))
        for number, read in enumerate(self.reads):
            if read.quantity is None:
                yield f"the ERP answers read {number}", lambda r=read: setattr(r, "quantity", self.books.quantity)
            elif read.ended is None:
                yield f"read {number} ends", lambda r=read: setattr(r, "ended", self.hub.tick())
            elif read.listed:
                yield f"apply read {number}", lambda r=read: self._apply(r)

    def _of_looks(self) -> Iterator[Choice]:
        if self.look is not None and self.look.told is None:
            yield "the ERP answers a look", self._answer_look
        elif self.look is not None:
            yield "a look ends", self._end_look
        else:
            yield "begin a look", lambda: self._begin_look(None)
            for number, read in enumerate(self.reads):
                if read.ended is not None and not read.listed:
                    yield f"begin the look behind read {number}", lambda r=read: self._begin_look(r)

    def _name(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}{self.made}"

    def _sell(self, quantity: int, *, over_the_counter: bool = False) -> None:
        number = self._name("O")
        self.books.demands.append(Demand(number, number, quantity, over_the_counter=over_the_counter))
        self.hub.place(number, number, quantity)

    def _push(self, demand: Demand) -> None:
        demand.sent = True
        self.hub.claim(demand.number)

    def _post(self, demand: Demand, quantity: int) -> None:
        name = demand.document = self._name("D")
        self.books.post(name, demand.reference, quantity)
        self.untold.append(name)

    def _cancel(self, demand: Demand) -> None:
        demand.state = "cancel_pending" if demand.sent else "released"
        self.hub.cancel(demand.number)

    def _withdraw(self, demand: Demand) -> None:
        demand.dead, demand.state = True, "released"
        self.hub.end(demand.number, "released")

    def _reverse(self, demand: Demand) -> None:
        assert demand.document
        self._take_back(demand.document)
        demand.state = "reversed"
        self.hub.end(demand.number, "reversed")

    def _take_back(self, name: str) -> None:
        self.books.take_back(name)
        self.untold.append(name)

    def _post_again(self, name: str) -> None:
        self.books.post_again(name)
        self.untold.append(name)

    def _delete(self, name: str) -> None:
        self.books.delete(name)
        self.untold = [other for other in self.untold if other != name]
        for demand in self.books.demands:
            if demand.document == name:
                demand.document = None

    def _bring(self) -> None:
        supply = Supply(self._name("R"), 1)
        self.books.supplies.append(supply)
        self.hub.supply(supply.number, supply.quantity)

    def _push_supply(self, supply: Supply) -> None:
        supply.sent = True
        self.hub.claim_supply(supply.number)

    def _post_supply(self, supply: Supply) -> None:
        self.books.post_supply(supply)

    def _begin_look(self, read: Read | None) -> None:
        self.look = Look(read)

    def _answer_look(self) -> None:
        """The ERP tells what changed; behind a read, how the documents stand that stood in the list before."""
        assert self.look
        if self.look.read:
            names = self.hub.standing()
            self.look.missing = [name for name in names if self.books.documents[name].deleted]
        else:
            names, self.untold = self.untold, []
        told = {name: self.books.documents[name] for name in names if not self.books.documents[name].deleted}
        self.look.told = [Told(n, d.reference, d.quantity, d.posted, d.version) for n, d in told.items()]

    def _end_look(self) -> None:
        look, self.look = self.look, None
        assert look
        assert look.told is not None
        self.hub.note(look.told, look.missing)
        if look.read:
            look.read.listed = True

    def _apply(self, read: Read) -> None:
        self.reads.remove(read)
        assert read.quantity is not None
        assert read.ended is not None
        self.hub.apply(read.quantity, read.began, read.ended)

    def drain(self) -> None:
        """Let all that is under way come to its end, and read once more."""
        for demand in self.books.demands:
            if demand.state == "cancel_pending" and demand.document is None:
                self._withdraw(demand)
            elif demand.state in ("open", "cancel_pending"):
                self._settle(demand)
        for supply in self.books.supplies:
            if not supply.sent:
                self._push_supply(supply)
            if not supply.posted:
                self._post_supply(supply)
        self.read_once()

    def read_once(self) -> None:
        """Let the hub go once through all it does to read: a look, the quantity, the look behind it."""
        if self.look is not None:
            if self.look.told is None:
                self._answer_look()
            self._end_look()
        self._look_once(None)
        read = Read(self.hub.tick())
        read.quantity = self.books.quantity
        read.ended = self.hub.tick()
        self._look_once(read)
        self.reads.append(read)
        self._apply(read)

    def on_their_way(self) -> int:
        """Return how many goods that came back were sent to the ERP and are not posted there."""
        return sum(supply.quantity for supply in self.books.supplies if supply.sent and not supply.posted)

    def _settle(self, demand: Demand) -> None:
        if not demand.sent and not demand.over_the_counter:
            self._push(demand)
        if demand.document is None:
            self._post(demand, demand.quantity)
        elif not self.books.documents[demand.document].posted:
            self._post_again(demand.document)
        if (rest := demand.quantity - self.books.posted(demand)) > 0:
            self._post(demand, rest)

    def _look_once(self, read: Read | None) -> None:
        self._begin_look(read)
        self._answer_look()
        self._end_look()
