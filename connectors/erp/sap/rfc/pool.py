"""Conversations with SAP: few, each in a thread of its own, bounded by our clock, and always closed.

A connection belongs to the thread that opened it (two threads on one crash SAP's library), a log-on can't be cancelled
(the library's own time-out does not bound it), and each forgotten connection counts against SAP's limit of
conversations. So a conversation is a thread: it logs on, answers one request after the other, and closes before it
ends. Whoever waits for it may stop waiting; it then closes whenever it gets loose, and counts until then.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from connectors.erp.sap.rfc.errors import is_abap_exception

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.erp.sap.rfc.library import RfcConnection

T = TypeVar("T")


class DeadlineError(Exception):
    """Raised when SAP or the library did not come back in time."""


class BusyError(Exception):
    """Raised when all conversations are in use, or hang."""


class Conversation:
    """One connection in a thread of its own.

    Args:
        retire: asked when nothing was to do for `idle_timeout` seconds; True ends the conversation.
        end: told when it is closed.
    """

    def __init__(
        self,
        connect: Callable[[], RfcConnection],
        retire: Callable[[Conversation], bool],
        end: Callable[[Conversation], None],
        idle_timeout: float,
    ) -> None:
        self.usable = True
        self.used_at = time.monotonic()
        self._connect = connect
        self._retire = retire
        self._end = end
        self._idle_timeout = idle_timeout
        self._connection: RfcConnection | None = None
        self._requests: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="sap-rfc", daemon=True).start()

    @property
    def logged_on(self) -> bool:
        """Tell whether there is a connection."""
        return self._connection is not None

    def log_on(self, seconds: float) -> None:
        """Open the connection."""

        def open_it() -> None:
            self._connection = self._connect()

        self._run(open_it, seconds)

    def run(self, work: Callable[[RfcConnection], T], seconds: float) -> T:
        """Do `work` with the connection.

        Raises:
            DeadlineError: it did not end in time; the conversation is given up.
            Exception: whatever `work` raised; unless it was an ABAP exception, the conversation is given up.
        """
        connection = self._connection
        if connection is None:
            raise DeadlineError
        return self._run(lambda: work(connection), seconds)

    def give_up(self) -> None:
        """Close as soon as the thread is free."""
        self.usable = False
        self._requests.put(None)

    def _run(self, work: Callable[[], T], seconds: float) -> T:
        future: Future[T] = Future()
        self._requests.put((work, future))
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():  # at the last moment, or it was the library's own
                return future.result()
            self.give_up()
            raise DeadlineError from None
        finally:
            self.used_at = time.monotonic()

    def _serve(self) -> None:
        try:
            while self.usable and (request := self._next()) is not None:
                self._answer(*request)
        finally:
            self.usable = False
            if self._connection is not None:
                # what fails here is gone already
                with suppress(Exception):
                    self._connection.close()
            self._end(self)

    def _answer(self, work: Callable[[], Any], future: Future[Any]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits; a native library may raise anything
            if not is_abap_exception(error):
                self.usable = False
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
        else:
            future.set_result(result)

    def _next(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        while True:
            try:
                return self._requests.get(timeout=self._idle_timeout)
            except queue.Empty:
                if self._retire(self):
                    return None


class ConversationPool:
    """At most `size` conversations, those that hang included.

    Args:
        connect: logs on; runs in the conversation's own thread.
        logon_timeout: seconds for a log-on or a ping, and to wait for a free conversation.
        ping_after: seconds without use after which a conversation is tried first.
        idle_timeout: seconds without use after which a conversation is closed.
    """

    def __init__(
        self,
        connect: Callable[[], RfcConnection],
        *,
        size: int,
        logon_timeout: float,
        ping_after: float,
        idle_timeout: float,
    ) -> None:
        self._connect = connect
        self._size = size
        self._logon_timeout = logon_timeout
        self._ping_after = ping_after
        self._idle_timeout = idle_timeout
        self._changed = threading.Condition()
        self._idle: list[Conversation] = []
        self._count = 0

    @property
    def count(self) -> int:
        """How many conversations there are."""
        with self._changed:
            return self._count

    @property
    def has_free(self) -> bool:
        """Whether a conversation that is logged on waits for work."""
        with self._changed:
            return any(conversation.usable for conversation in self._idle)

    @contextmanager
    def lease(self) -> Iterator[Conversation]:
        """Lend a conversation that is logged on, to one thread at a time.

        Raises:
            BusyError: none came free in time.
            DeadlineError: the log-on took too long.
            Exception: whatever the library raised at the log-on.
        """
        conversation = self._take()
        try:
            while not self._is_ready(conversation):
                conversation = self._take()
            yield conversation
        finally:
            self._give_back(conversation)

    def close(self) -> None:
        """Close the conversations that nobody uses; those in use close when they come back idle."""
        with self._changed:
            idle, self._idle = self._idle, []
        for conversation in idle:
            conversation.give_up()

    def _is_ready(self, conversation: Conversation) -> bool:
        """Log on, or try a connection that was idle; False: it was dead, and another one must be taken."""
        if not conversation.logged_on:
            conversation.log_on(self._logon_timeout)
        elif time.monotonic() - conversation.used_at >= self._ping_after:
            try:
                conversation.run(lambda connection: connection.ping(), self._logon_timeout)
            except Exception:  # noqa: BLE001 - whatever it was, a fresh log-on tells what is the matter
                conversation.give_up()
                return False
        return True

    def _take(self) -> Conversation:
        ends_at = time.monotonic() + self._logon_timeout
        with self._changed:
            while True:
                while self._idle:
                    if (conversation := self._idle.pop()).usable:
                        return conversation
                if self._count < self._size:
                    self._count += 1
                    return Conversation(self._connect, self._retire, self._forget, self._idle_timeout)
                if not self._changed.wait(ends_at - time.monotonic()):
                    raise BusyError

    def _give_back(self, conversation: Conversation) -> None:
        with self._changed:
            if conversation.usable:
                self._idle.append(conversation)
                self._changed.notify()

    def _retire(self, conversation: Conversation) -> bool:
        with self._changed:
            if conversation in self._idle:
                self._idle.remove(conversation)
                return True
            return not conversation.usable

    def _forget(self, conversation: Conversation) -> None:
        with self._changed:
            self._count -= 1
            if conversation in self._idle:
                self._idle.remove(conversation)
            self._changed.notify()
