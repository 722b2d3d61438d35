"""Many buyers, few pieces, and servers that die.

Buyers on 64 connections reserve against two processes of the adapter as fast as these answer: one article that all
want, kits with shared components, carts of 15 lines. Most of what they get they give back or let expire, some they
order. All the while one of the processes is killed by SIGKILL every few seconds and started again; a buyer whose
connection breaks sends the same request with the same key until it is answered. In the end the database must agree with
each answer; and of a share of the refusals it is looked up whether what was asked for was there all the while.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import uvloop

from benchmarks.hub import scratch_server
from benchmarks.measure import Figure, Stopwatch
from benchmarks.refusals import Refusal, find_false
from benchmarks.serving import supervised
from hub.access import create_key, load_roles
from hub.db.session import Database, plain_url
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oneshelf.processes import Supervisor

_BUYERS, _BUYER_PROCESSES = 64, 2
_ATTEMPTS, _KILL_SECONDS = 1_000_000, 4.0
_PARTS, _KITS, _CART_LINES = 40, 5, 15
_HOT_PIECES, _PART_PIECES = 500, 3000
_KIT_PIECES = 2
_REFUSALS_KEPT = 20_000
"""About so many of all are looked up."""
_SEED = """
INSERT INTO feed (source, read_at, full_read_at, stale_after_seconds) VALUES ('sap', now(), now(), 3600);
INSERT INTO location (code, name, kind, stock_source, sellable_online, pickup, time_zone)
VALUES ('DC', 'DC', 'warehouse', 'sap', true, false, 'Asia/Shanghai');
INSERT INTO item (sku, name, unit) VALUES ('HOT', 'what all want', 'EA');
INSERT INTO item (sku, name, unit) SELECT 'PART' || n, 'part', 'EA' FROM generate_series(1, {parts}) AS n;
INSERT INTO item (sku, name, unit) SELECT 'KIT' || n, 'kit', 'EA' FROM generate_series(1, {kits}) AS n;
INSERT INTO kit_component (kit_id, item_id, quantity)
SELECT kit.id, part.id, {kit_pieces} FROM item AS kit JOIN item AS part
  ON part.sku IN ('PART1', 'PART2', 'PART' || (2 + substr(kit.sku, 4)::int)) WHERE kit.sku LIKE 'KIT%';
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, CASE WHEN sku = 'HOT' THEN {hot} ELSE {pieces} END, 1, 2
FROM item, location WHERE sku NOT LIKE 'KIT%';
"""
_OVERSOLD = """
SELECT count(*) FROM stock_level AS level
LEFT JOIN (
    SELECT line.item_id, line.location_id, sum(line.quantity) AS quantity
    FROM reservation AS held JOIN reservation_line AS line ON line.reservation_id = held.id
    WHERE held.state = 'committed'
       OR held.state = 'active' AND held.expires_second > EXTRACT(EPOCH FROM clock_timestamp())
    GROUP BY 1, 2) AS taken USING (item_id, location_id)
WHERE COALESCE(taken.quantity, 0) > level.on_hand OR level.room < 0
   OR level.demand <> (SELECT COALESCE(sum(quantity), 0) FROM stock_demand AS demand
                       WHERE demand.item_id = level.item_id AND demand.location_id = level.location_id)
   OR level.held <> (SELECT COALESCE(sum(quantity), 0) FROM hold_bucket AS bucket
                     WHERE bucket.item_id = level.item_id AND bucket.location_id = level.location_id)
"""
_MADE = """
SELECT key.key, held.id::text FROM idempotency_key AS key JOIN reservation AS held ON held.id = key.reservation_id
"""


@dataclass
class Answers:
    """What some buyers were answered: the reservation of each key that got one, and what they ordered."""

    attempts: int = 0
    refused: int = 0
    broken: int = 0
    reserved: dict[str, str] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)
    """Of each so many refusals (`keep_each`) one."""
    keep_each: int = 1


@dataclass(frozen=True, slots=True)
class Race:
    """How a race ended."""

    attempts: int
    reserved: int
    refused: int
    ordered: int
    broken: int
    kills: int
    seconds: float
    oversold: int
    lost: int
    doubled: int
    refusals_looked_at: int
    refused_though_there: float
    """In unit-seconds: pieces, times how long it took to refuse them."""


def run(runs: int, *, quick: bool) -> Iterator[Figure]:
    """Hold one race: a million attempts count once."""
    del runs
    ended = race(3_000 if quick else _ATTEMPTS, kill_seconds=2.0 if quick else _KILL_SECONDS)
    for name, limit in (("oversold levels", 0), ("lost", 0), ("doubled", 0)):
        yield Figure(name, "", (float(getattr(ended, name.partition(" ")[0])),), at_most=limit)
    looked_at = f"of {ended.refusals_looked_at:,} refusals"
    yield Figure("refused though there", "unit-seconds", (ended.refused_though_there,), at_most=0, note=looked_at)
    for name in ("attempts", "reserved", "refused", "ordered", "kills"):
        yield Figure(name, "", (float(getattr(ended, name)),))
    yield Figure("answers that broke off", "", (float(ended.broken),))
    yield Figure("attempts per second", "attempts/s", (ended.attempts / ended.seconds,))


def race(attempts: int, *, kill_seconds: float, pieces: int = _HOT_PIECES) -> Race:
    """Hold a race of so many attempts for so many pieces; compare every answer with the database."""
    watch = Stopwatch()
    with scratch_server() as url, ExitStack() as serving:
        key = _seed(url, pieces)
        folder = Path(serving.enter_context(tempfile.TemporaryDirectory()))
        supervisor, port = serving.enter_context(supervised("oneshelf.asgi", url, folder))
        each = attempts // _BUYER_PROCESSES
        with multiprocessing.get_context("spawn").Pool(_BUYER_PROCESSES) as pool, watch.part("race"):
            buying = [pool.apply_async(_buy, (port, key, each, number)) for number in range(_BUYER_PROCESSES)]
            kills = _kill_until(supervisor, buying, kill_seconds)
            heard = [done.get() for done in buying]
        return _compare(plain_url(url), heard, kills, watch.seconds["race"])


def _seed(url: str, pieces: int) -> str:
    with closing(Database(url)) as database, database.driver() as connection:
        values = {"parts": _PARTS, "kits": _KITS, "hot": pieces, "pieces": _PART_PIECES, "kit_pieces": _KIT_PIECES}
        connection.execute(_SEED.format(**values))
        connection.execute("VACUUM ANALYZE")
        return create_key(connection, "buyers", "storefront", load_roles(PROJECT_ROOT / "config" / "roles.yaml"))


def _kill_until(supervisor: Supervisor, buying: Sequence[Any], seconds: float) -> int:
    """Kill a process of the adapter every few seconds and start it again until the buyers are done; count the kills."""
    source, kills = random.Random(0), 0  # noqa: S311 - which one dies is no secret
    while not all(one.ready() for one in buying):
        time.sleep(seconds * source.uniform(0.5, 1.5))
        child = source.choice(supervisor.children)
        if child.process is not None:
            child.process.kill()
            child.process.wait()
            kills += 1
        supervisor.restart_dead()
    return kills


def _compare(url: str, heard: Sequence[Answers], kills: int, seconds: float) -> Race:
    told = {key: reservation for answers in heard for key, reservation in answers.reserved.items()}
    ordered = {reservation for answers in heard for reservation in answers.ordered}
    with psycopg.connect(url) as connection:
        [(oversold,)] = connection.execute(_OVERSOLD).fetchall()
        refusals = [refusal for answers in heard for refusal in answers.refusals]
        unit_seconds = sum(refusal.unit_seconds for refusal in find_false(connection, refusals))
        made = {str(key): str(reservation) for key, reservation in connection.execute(_MADE)}
        committed = {
            str(reservation)
            for (reservation,) in connection.execute("SELECT id FROM reservation WHERE state = 'committed'")
        }
    lost = sum(made.get(key) != reservation for key, reservation in told.items()) + len(ordered - committed)
    doubled = len(made.keys() - told.keys()) + len(made) - len(set(made.values())) + len(committed - ordered)
    return Race(
        attempts=sum(answers.attempts for answers in heard),
        reserved=len(told),
        refused=sum(answers.refused for answers in heard),
        ordered=len(ordered),
        broken=sum(answers.broken for answers in heard),
        kills=kills,
        seconds=seconds,
        oversold=oversold,
        lost=lost,
        doubled=doubled,
        refusals_looked_at=len(refusals),
        refused_though_there=unit_seconds,
    )


def _pieces(lines: Sequence[Mapping[str, str]]) -> Mapping[str, int]:
    """Return the pieces of each article that some lines ask for."""
    pieces: Counter[str] = Counter()
    for line in lines:
        sku = line["sku"]
        if sku.startswith("KIT"):
            parts = ("PART1", "PART2", f"PART{2 + int(sku.removeprefix('KIT'))}")
            pieces.update(dict.fromkeys(parts, _KIT_PIECES))
        else:
            pieces[sku] += 1
    return pieces


def _buy(port: int, key: str, attempts: int, number: int) -> Answers:
    """Let the buyers of one process make their attempts."""
    answers = Answers(keep_each=max(attempts * _BUYER_PROCESSES // _REFUSALS_KEPT, 1))
    uvloop.run(_buy_together(port, key, attempts, number, answers))
    return answers


async def _buy_together(port: int, key: str, attempts: int, number: int, answers: Answers) -> None:
    async with asyncio.TaskGroup() as group:
        for buyer in range(_BUYERS // _BUYER_PROCESSES):
            source = random.Random(f"{number}/{buyer}")  # noqa: S311 - what is bought is no secret
            group.create_task(Buyer(port, key, source, f"{number}-{buyer}", answers).buy(attempts))


class Buyer:
    """Reserves, gives back and orders on one connection; what is not answered is sent again."""

    def __init__(self, port: int, key: str, source: random.Random, name: str, answers: Answers) -> None:
        self._port = port
        self._key = key
        self._random = source
        self._name = name
        self._answers = answers
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def buy(self, attempts: int) -> None:
        """Reserve until all buyers of the process together have made their attempts."""
        number = 0
        while self._answers.attempts < attempts:
            self._answers.attempts += 1
            number += 1
            await self._attempt(f"{self._name}-{number}")
        if self._streams is not None:
            self._streams[1].close()

    async def _attempt(self, key: str) -> None:
        body: dict[str, Any] = {"lines": self._lines(), "ttl_seconds": self._random.choice((1, 3))}
        asked_at = time.time()
        status, answer = await self._ask("POST", "/v1/reservations", body, key)
        if status == 409:  # noqa: PLR2004 - there was not enough
            self._answers.refused += 1
            if self._answers.refused % self._answers.keep_each == 0:
                self._answers.refusals.append(Refusal(asked_at, time.time(), _pieces(body["lines"])))
            return
        if status != 201:  # noqa: PLR2004 - made
            raise RuntimeError(f"{status}: {answer}")
        reservation = str(answer["id"])
        self._answers.reserved[key] = reservation
        choice = self._random.random()
        if choice < 0.6:  # noqa: PLR2004 - most is given back
            await self._ask("DELETE", f"/v1/reservations/{reservation}", None, "")
        elif choice < 0.6005:  # noqa: PLR2004 - some is ordered
            await self._order(reservation, key)

    async def _order(self, reservation: str, key: str) -> None:
        body = {"order_no": key, "if_expired": "refuse"}
        status, answer = await self._ask("POST", f"/v1/reservations/{reservation}/commit", body, "")
        if status == 200:  # noqa: PLR2004 - ordered
            self._answers.ordered.add(reservation)
        elif answer.get("code") != "reservation-expired":
            raise RuntimeError(f"{status}: {answer}")

    def _lines(self) -> list[dict[str, str]]:
        choice = self._random.random()
        if choice < 0.5:  # noqa: PLR2004 - half of them want the same
            skus = ["HOT"]
        elif choice < 0.8:  # noqa: PLR2004 - some a kit
            skus = [f"KIT{self._random.randint(1, _KITS)}"]
        else:
            parts = self._random.sample(range(1, _PARTS + 1), _CART_LINES - 2)
            skus = [f"KIT{self._random.randint(1, _KITS)}", "HOT", *(f"PART{part}" for part in parts)]
        return [{"sku": sku, "location": "DC", "quantity": "1"} for sku in skus]

    async def _ask(self, method: str, path: str, body: object, key: str) -> tuple[int, dict[str, Any]]:
        """Send a request until it is answered by something else than a server in trouble."""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        )
        request = (head + (f"Idempotency-Key: {key}\r\n" if key else "") + "\r\n").encode() + content
        while True:
            try:
                status, answer = await self._exchange(request)
            except (OSError, asyncio.IncompleteReadError):
                self._answers.broken += 1
                self._streams = None
                await asyncio.sleep(0.05)
                continue
            if status < 500:  # noqa: PLR2004 - the server is well
                return status, answer
            await asyncio.sleep(0.05)

    async def _exchange(self, request: bytes) -> tuple[int, dict[str, Any]]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        at = head.index(b"content-length:") + len(b"content-length:")
        content = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        return int(head[9:12]), json.loads(content)
