"""Clients that ask an HTTP server as fast as it answers, each on a connection that it keeps."""

from __future__ import annotations

import random
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_SUCCESS = b"HTTP/1.1 20"
UNIQUE = b"@@@@@@@@@@@@@@@@"
"""What stands in a request where each needs a value of its own: 16 characters."""
_CHUNK = 65536
_SILENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the clients heard: seconds of each answer, how many were no success, and the CPU time the clients took."""

    latencies: tuple[float, ...]
    errors: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Return the answers per second."""
        return len(self.latencies) / self.seconds


@dataclass
class _Client:
    connection: socket.socket
    asked_at: float = 0.0
    heard: bytes = b""
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    def ask(self, request: bytes) -> None:
        self.heard = b""
        self.asked_at = time.perf_counter()
        self.connection.sendall(request)

    def listen(self) -> bool:
        """Take what has come; True if the answer is whole."""
        more = self.connection.recv(_CHUNK)
        if not more:
            raise ConnectionError("the server closed a connection that was to be kept")
        self.heard += more
        head = self.heard.find(_HEAD_END)
        if head < 0:
            return False
        at = self.heard.lower().find(_LENGTH, 0, head) + len(_LENGTH)
        length = int(self.heard[at : self.heard.find(b"\r\n", at)])
        if len(self.heard) < head + len(_HEAD_END) + length:
            return False
        self.latencies.append(time.perf_counter() - self.asked_at)
        self.errors += not self.heard.startswith(_SUCCESS)
        return True


def ask_for(port: int, requests: Sequence[bytes], *, clients: int, seconds: float, seed: int) -> Heard:
    """Let `clients` ask random ones of `requests` for some seconds, with a value of its own for `UNIQUE` in each.

    Raises:
        ConnectionError: the server closed a connection or fell silent.
    """
    source = random.Random(seed)  # noqa: S311 - which article is asked for is no secret

    def choose() -> bytes:
        return source.choice(requests).replace(UNIQUE, b"%016x" % source.getrandbits(64))

    began, cpu_began = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as selector:
        asking = [_Client(socket.create_connection(("127.0.0.1", port))) for _ in range(clients)]
        for client in asking:
            client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client.connection, selectors.EVENT_READ, client)
            client.ask(choose())
        while (now := time.perf_counter()) < began + seconds:
            ready = selector.select(_SILENCE_SECONDS)
            if not ready:
                raise ConnectionError(f"no answer for {_SILENCE_SECONDS} s")
            for key, _ in ready:
                if key.data.listen():
                    key.data.ask(choose())
    for client in asking:
        client.connection.close()
    return Heard(
        latencies=tuple(latency for client in asking for latency in client.latencies),
        errors=sum(client.errors for client in asking),
        seconds=now - began,
        cpu_seconds=time.process_time() - cpu_began,
    )
