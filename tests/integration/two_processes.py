"""Two processes of a hub on one database: what a shop, its tills and its people ask of them, and their reads.

Each call is a step: the clock moves on by a millisecond, and something is done. A read stands still at each call of the
ERP, before it is asked and before its answer arrives, until a later step lets it go on.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from hub.contracts import Changes, StockKey
from hub.db.session import Database, plain_url
from hub.stock import demand, reservations, stocktake
from hub.stock.expiry import sweep_expired
from hub.stock.pools import set_pool
from hub.stock.withheld import Rule, Scope, apply_rules, save_rule
from hub.sync.housekeeping import settle_posted
from hub.sync.inventory import InventorySync
from hub.sync.looks import find_gone, look
from tests.fake_erp import FakeErp
from tests.integration.stopped_clock import BEGINNING, set_clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
    from decimal import Decimal
    from uuid import UUID

    from hub.contracts import Cursor, Posting
    from hub.settings import StockSettings

LOOKING = frozenset({"asks for changes", "hears of changes", "asks for documents", "hears of documents"})
"""Where a read stands that looks at the ERP's changes or documents: others must wait for it."""
_TOLD_TWICE = 2
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"


def stand_still(at: str) -> None:
    """Let the read that calls the ERP stand still; whoever is no read goes on."""
    reader = threading.current_thread()
    if isinstance(reader, Reader):
        reader.stand_still(at)


class Reader(threading.Thread):
    """A read in a thread of its own. `at` tells where it stands still; None: it has ended."""

    def __init__(self, process: int, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.at: str | None = "begins"
        self.error: Exception | None = None
        self._work = work
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - whoever lets it go on looks at it
            self.error = error
        self.at = None
        self._stands.release()

    def stand_still(self, at: str) -> None:
        self.at = at
        self._stands.release()
        self._go.acquire()

    def go_on(self) -> None:
        """Let it go on to where it stands still next, or to its end."""
        if self.at == "begins":
            self.start()
        else:
            self._go.release()
        assert self._stands.acquire(timeout=60), f"a read that stood at {self.at!r} does not come back"


class StreamingErp(FakeErp):
    """Tells of changes by a cursor, as real ERPs do: whoever died is told again, and the last ones are told twice."""

    def __init__(self, source: str = "sap") -> None:
        super().__init__(source, page_keys=2)
        self.stream: list[StockKey | str] = []
        self.on_ask = lambda _: stand_still("asks for stock")
        self.on_page = lambda _: stand_still("hears of stock")
        self.on_list = lambda: stand_still("asks for documents")

    def set(self, item: str, location: str, quantity: str | int) -> None:
        super().set(item, location, quantity)
        self.stream.append(StockKey(item, location))

    def _book(self, document: str, sign: int) -> str:
        super()._book(document, sign)
        self.stream.append(document)
        return document

    def read_documents(self, documents: Collection[str]) -> Sequence[Posting]:
        told = super().read_documents(documents)
        stand_still("hears of documents")
        return told

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        stand_still("asks for changes")
        told = self._changes(cursor)
        stand_still("hears of changes")
        return told

    def _changes(self, cursor: Cursor | None) -> Changes:
        end = len(self.stream)
        since = end if cursor is None else int(cursor["told"])
        changes = self.stream[max(since - _TOLD_TWICE, 0) :] if since < end else []
        keys = frozenset(change for change in changes if isinstance(change, StockKey))
        names = dict.fromkeys(change for change in changes if isinstance(change, str))
        postings = tuple(self.documents[name] for name in names if name in self.documents)
        return Changes(keys, {"told": end}, postings)


class Process:
    """One process of the hub: its connections, and its way to read the ERP."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        separator = "&" if "?" in url else "?"
        self.database = Database(f"{url}{separator}application_name={name}")
        self._engine = self.database.planned_engine()
        self._runner = asyncio.Runner()

    def run(self, work: Callable[..., Awaitable[Any]], *values: object, **named: object) -> Any:
        """Run something on an asynchronous connection."""

        async def inside() -> Any:
            async with self._engine.connect() as connection:
                return await work(connection, *values, **named)

        return self._runner.run(inside())

    def reserve(self, wishes: Sequence[reservations.Wish]) -> list[Any]:
        async def inside() -> list[Any]:
            return list(await reservations.reserve(self._engine, wishes))

        return self._runner.run(inside())

    def close(self) -> None:
        self._runner.run(self._engine.dispose())
        self._runner.close()
        self.database.close()


@dataclass
class TwoProcesses:
    """The steps. `now` is where the clock stands, `latest` the latest that anybody has seen."""

    url: str
    database: Database
    erp: FakeErp
    rules: StockSettings
    now: datetime = BEGINNING
    latest: datetime = BEGINNING
    readers: list[Reader] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.aside = psycopg.connect(plain_url(self.url), autocommit=True)  # for who looks on, and for the clock
        self.processes = [self._start(number) for number in range(2)]

    def do(self, step: str, *values: Any, **named: Any) -> Any:
        """Take a step by its name."""
        self._move_clock(timedelta(milliseconds=1))
        return getattr(self, step)(*values, **named)

    def pass_time(self, seconds: float) -> None:
        """Move the clock; a negative number sets it back."""
        self._move_clock(timedelta(seconds=seconds))

    def reserve(self, process: int, wishes: Sequence[reservations.Wish]) -> list[Any]:
        return self.processes[process].reserve(wishes)

    def extend(self, process: int, wanted: UUID, ttl: int) -> str | None:
        return self.processes[process].run(reservations.extend, wanted, ttl)

    def release(self, process: int, wanted: UUID) -> str | None:
        return self.processes[process].run(reservations.release, wanted)

    def transfer(self, process: int, wanted: UUID, place: str) -> reservations.Outcome:
        return self.processes[process].run(reservations.transfer, wanted, place, everywhere=False)

    def commit(self, process: int, wanted: UUID, number: str, *, again: bool) -> reservations.Outcome:
        return self.processes[process].run(reservations.commit, wanted, number, number, again=again)

    def sell(self, number: str, reference: str, line: reservations.Line, sold_at: datetime, *, whole: bool) -> None:
        with self.database.driver() as connection, connection.transaction():
            told = demand.record_sale(connection, number, reference, [line], sold_at, channel="pos", whole=whole)
        assert told == []

    def claim(self, number: str) -> bool:
        return self._with(demand.claim_push, "order", number)

    def cancel(self, number: str) -> str | None:
        return self._with(demand.cancel, "order", number)

    def end(self, number: str, state: str) -> str | None:
        return self._with(demand.end_reversed if state == "reversed" else demand.end_unposted, "order", number)

    def add_supply(self, number: str, line: reservations.Line, usable_at: datetime) -> None:
        assert self._with(demand.add_supply, "return", number, [line], usable_at) == []

    def claim_supply(self, number: str) -> bool:
        return self._with(demand.claim_supply_push, "return", number)

    def end_supply(self, number: str, state: str) -> bool:
        return self._with(demand.end_supply, "return", number, state)

    def freeze(self, place: str) -> None:
        self._with(stocktake.freeze, place)

    def thaw(self, place: str) -> None:
        self._with(stocktake.thaw, place)

    def set_pool(self, sku: str, place: str, fenced: Decimal | None, percent: Decimal | None) -> None:
        assert self._with(set_pool, sku, place, "online", fenced, percent)

    def set_rule(self, sku: str | None, safety: Decimal) -> None:
        self._with(save_rule, Rule(Scope(sku), safety))
        self._with(apply_rules)

    def sweep(self) -> None:
        rounds = iter(range(20))
        while self._with(sweep_expired):
            assert next(rounds, None) is not None, "what has expired is never all given back"

    def settle_posted(self) -> None:
        """Call posted what is, once the ERP was asked for all documents: nothing tells of one that is lost later."""
        documents = [name for (name,) in self.aside.execute("SELECT DISTINCT document FROM stock_posting WHERE posted")]
        with self.database.driver() as connection:
            find_gone(connection, self.erp, documents)
            settle_posted(connection, hours=72)

    def look(self) -> None:
        self._with(look, self.erp)

    def begin(self, process: int, kind: str, keys: frozenset[StockKey]) -> None:
        """Begin a read: of what changed, of named keys, or of all."""
        sync = InventorySync(self.processes[process].database, self.erp, self.rules)
        works = {
            "changes": sync.delta,
            "keys": lambda: sync.refresh(keys),
            "all": lambda: sync.snapshot(accept_shrink=True),
        }
        self.readers.append(Reader(process, self.work_of_read(works[kind])))
        self.go_on(len(self.readers) - 1)

    def work_of_read(self, work: Callable[[], object]) -> Callable[[], object]:
        """Return what the thread of a read does."""
        return work

    def go_on(self, number: int) -> None:
        """Let a read go on to where it stands still next."""
        reader = self.readers[number]
        reader.go_on()
        if reader.at is None:
            self.readers.remove(reader)
            reader.join()
            if reader.error:
                raise reader.error

    def kill(self, process: int) -> None:
        """End a process with all its connections, in the midst of what it reads, and start it anew."""
        self.aside.execute(_END, (self.processes[process].name,))
        for reader in [reader for reader in self.readers if reader.process == process]:
            while reader.at is not None:
                reader.go_on()
            self.readers.remove(reader)
            reader.join()
        self.processes[process].close()
        self.processes[process] = self._start(process)

    def may_begin(self, kind: str) -> bool:
        """Tell whether a read can begin without waiting for one that looks at the ERP's documents."""
        return kind == "keys" or not self.is_looking()

    def that_go_on(self) -> Iterator[int]:
        """Yield the numbers of the reads that can go on without waiting for another."""
        for number, reader in enumerate(self.readers):
            if reader.at in LOOKING or reader.at == "asks for stock" or not self.is_looking():
                yield number

    def is_looking(self) -> bool:
        return any(reader.at in LOOKING for reader in self.readers)

    def close(self) -> None:
        for process in range(2):
            self.kill(process)
            self.processes[process].close()
        self.aside.close()

    def _start(self, number: int) -> Process:
        return Process(self.url, f"process-{number}")

    def _with(self, work: Callable[..., Any], *values: object) -> Any:
        with self.database.driver() as connection:
            return work(connection, *values)

    def _move_clock(self, by: timedelta) -> None:
        self.now += by
        self.latest = max(self.latest, self.now)
        set_clock(self.aside, self.now)
