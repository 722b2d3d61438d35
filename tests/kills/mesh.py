"""SAP Event Mesh in small: posts each event to the hub's hook until it is acknowledged, several at a time."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from queue import SimpleQueue
from typing import TYPE_CHECKING

from connectors.erp.sap.push import EVENT_TYPE
from tests.kills.victims import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "the-mesh-and-the-hub-know-it"
_PATH = "/hooks/sap/sap"
_SENDERS = 3
_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_ACCEPTED = "acknowledged"


@dataclass(frozen=True)
class Event:
    """One CloudEvent that names a material document."""

    id: str
    data: Mapping[str, str]

    @property
    def body(self) -> bytes:
        event = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/sap", "id": self.id, "data": self.data}
        return json.dumps(event).encode()


class EventMesh:
    """Sends what is pushed, in no order, each on a connection of its own; what is not acknowledged is sent again.

    `outcomes` counts what became of the deliveries.
    """

    def __init__(self, port: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.pushed: set[str] = set()
        self.acknowledged: set[str] = set()
        self._port = port
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._unanswered: dict[int, tuple[str, datetime]] = {}
        self._lock = threading.Lock()
        self._senders = [threading.Thread(target=self._send) for _ in range(_SENDERS)]
        for sender in self._senders:
            sender.start()

    def push(self, year: str, document: str) -> None:
        event = Event(f"{year}/{document}", {"MaterialDocumentYear": year, "MaterialDocument": document})
        self.pushed.add(event.id)
        self._queue.put(event)

    def unanswered(self) -> Mapping[int, tuple[str, datetime]]:
        """Return which event is on its way, and since when, by the sender's port."""
        with self._lock:
            return dict(self._unanswered)

    def close(self) -> None:
        for _ in self._senders:
            self._queue.put(None)
        for sender in self._senders:
            sender.join()

    def __str__(self) -> str:
        outcomes = ", ".join(f"{times} {outcome}" for outcome, times in self.outcomes.most_common())
        return f"{len(self.pushed)} pushes in {self.outcomes.total()} deliveries: {outcomes}"

    def _send(self) -> None:
        while (event := self._queue.get()) is not None:
            outcome = self._deliver(event)
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome == _ACCEPTED:
                    self.acknowledged.add(event.id)
            if outcome != _ACCEPTED:
                time.sleep(_PAUSE_SECONDS)
                self._queue.put(event)

    def _deliver(self, event: Event) -> str:
        connection = HTTPConnection(HOST, self._port, timeout=_ANSWER_SECONDS)
        try:
            connection.connect()
        except OSError:
            return "found nobody"
        port = connection.sock.getsockname()[1]
        with self._lock:
            self._unanswered[port] = (event.id, datetime.now(UTC))
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/cloudevents+json"}
        try:
            connection.request("POST", _PATH, event.body, headers)
            status = connection.getresponse().status
        except (OSError, HTTPException):
            return "broke off"
        finally:
            with self._lock:
                del self._unanswered[port]
            connection.close()
        return _ACCEPTED if status == 202 else f"answered {status}"
