"""A client of Server-Sent Events that follows the standard of the browsers, and a relay."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from hub.sync.outbox import publish_waiting, write_outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.api.conftest import Api

PATH = "/v1/stock/stream"


@dataclass(frozen=True)
class Event:
    """One event, with the position of the client behind it."""

    name: str
    data: dict[str, Any]
    position: str


class Client:
    """Reads one stream. `position` is what the next one sends as Last-Event-ID."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.position = ""
        self.comments = 0
        self._lines = response.iter_lines()
        assert self.block() is None  # the opening, unless it says that all must be read again

    def block(self) -> Event | None:
        """Return the event of the next block, None if it is none. Raises StopIteration at the end of the stream."""
        name, data = "message", ""
        while line := next(self._lines):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "":
                    self.comments += 1
                case "id":
                    self.position = value
                case "event":
                    name = value
                case "data":
                    data += value
                case _:
                    assert field == "retry"
        return Event(name, json.loads(data), self.position) if data else None

    def next(self) -> Event:
        """Return the next event."""
        while (event := self.block()) is None:
            pass
        return event

    def take(self, number: int) -> list[Event]:
        """Return the next events."""
        return [self.next() for _ in range(number)]

    def ends(self) -> bool:
        """Read to the end of the stream and tell whether it ended as it should."""
        return list(self._lines) == []


@contextmanager
def answer(api: Api, query: str = "", last: str | None = None, base: str = "") -> Iterator[httpx.Response]:
    """Open a stream and give the answer."""
    headers = {} if last is None else {b"Last-Event-ID": last.encode("latin-1")}
    with api.client.stream("GET", f"{base}{PATH}{query}", headers=headers) as response:
        yield response


@contextmanager
def stream(api: Api, query: str = "", last: str | None = None, base: str = "") -> Iterator[Client]:
    """Follow changes for the length of the block."""
    with answer(api, query, last, base) as response:
        assert response.status_code == httpx.codes.OK, response.read()
        yield Client(response)


def publish(connection: psycopg.Connection) -> None:
    """Number what waits, as the near-real-time loop does."""
    while True:
        with connection.transaction():
            if not publish_waiting(connection):
                return


def tell(connection: psycopg.Connection, sku: str, place: str) -> None:
    """Say that a number has changed, and number it."""
    write_outbox(connection, "stock.held", sku, {"sku": sku, "location": place})
    publish(connection)


def tell_read(connection: psycopg.Connection, skus: list[str] | None) -> None:
    """Say what a read of the ERP has changed, and number it."""
    write_outbox(connection, "stock.changed", "sap", {"source": "sap", "batch": 1, "changed": 1, "skus": skus})
    publish(connection)
