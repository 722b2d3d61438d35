"""What holds for every call to another system: a budget, and repeats of what may be repeated."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from hub.errors import RateLimited, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a retryable call is repeated; waits grow exponentially, in seconds, with jitter.

    No attempt begins later than `give_up_after` seconds behind the first: a failure must show while it lasts.
    """

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 20.0
    give_up_after: float = 120.0


class RequestBudget:
    """At most `per_minute` calls within any minute, shared by all threads of a connection; `take` waits for its turn.

    Tenants have quotas, and a hub that uses them up stops the shop's own people from working.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_minute = per_minute
        self._taken: deque[float] = deque()
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._sleep = sleep

    def take(self) -> float:
        """Wait until one more call fits into the budget; return the seconds waited."""
        waited = 0.0
        while (pause := self._try_take()) > 0:
            self._sleep(pause)
            waited += pause
        return waited

    def _try_take(self) -> float:
        with self._lock:
            now = self._monotonic()
            while self._taken and now - self._taken[0] >= _MINUTE:
                self._taken.popleft()
            if len(self._taken) < self.per_minute:
                self._taken.append(now)
                return 0.0
            return max(_MINUTE - (now - self._taken[0]), 0.001)


def retrying(policy: RetryPolicy, operation: str, log: FilteringBoundLogger) -> tenacity.Retrying:
    """Return what repeats a call while it raises `Retryable`, after the pause that the system asked for, if it did."""
    exponential = tenacity.wait_random_exponential(policy.first_wait, policy.longest_wait)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return min(error.retry_after, _MINUTE)
        return exponential(state)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("remote_call_repeated", operation=operation, attempt=state.attempt_number, error=str(error))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Retryable),
        stop=tenacity.stop_after_attempt(policy.attempts) | tenacity.stop_before_delay(policy.give_up_after),
        wait=wait,
        before_sleep=tell,
        reraise=True,
    )
