"""HTTP for every connector: time-outs, retries of what may be retried, a request budget, one log line per call."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import structlog
import tenacity
from urllib3.exceptions import NewConnectionError

from hub.clock import utc_now
from hub.errors import OutcomeUnknown, RateLimited, Retryable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TOO_MANY_REQUESTS = 429
_GATEWAY_FAILURES = frozenset({502, 503, 504})
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a retryable call is repeated; waits grow exponentially, in seconds, with jitter."""

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 20.0


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


class HttpClient:
    """One connection to one system: a `requests` session with the rules that hold for every call.

    Args:
        system: the name that errors and log lines carry, for instance `sap`.
        timeout: seconds to connect and seconds to wait for each read.
        budget: shared by everything that talks to the same tenant.
    """

    def __init__(
        self,
        system: str,
        *,
        budget: RequestBudget,
        timeout: tuple[float, float] = (5.0, 60.0),
        retry: RetryPolicy | None = None,
        verify: bool | str = True,
    ) -> None:
        self.system = system
        self.session = requests.Session()
        self.session.verify = verify
        self._budget = budget
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._log = structlog.get_logger().bind(system=system)

    def call(
        self,
        operation: str,
        build: Callable[[], requests.Request],
        read: Callable[[requests.Response], T],
        *,
        repeatable: bool = True,
    ) -> T:
        """Send what `build` makes and return what `read` makes of the answer, repeating both on `Retryable`.

        `build` is called anew for each attempt, since signatures carry a time. `read` classifies the vendor's own
        errors; throttling, gateway failures and broken connections are classified here, before it sees the answer.

        Raises:
            RemoteError: after the last attempt. For a call that is not `repeatable` (a write) anything that leaves
                open whether it happened is `OutcomeUnknown`, and it is not repeated.
        """

        def once() -> T:
            response = self._send(operation, build(), repeatable=repeatable)
            self._raise_for_transport(operation, response, repeatable=repeatable)
            return read(response)

        if not repeatable:
            return once()
        return self._retrying(operation)(once)

    def _retrying(self, operation: str) -> tenacity.Retrying:
        exponential = tenacity.wait_random_exponential(self._retry.first_wait, self._retry.longest_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, RateLimited) and error.retry_after is not None:
                return min(error.retry_after, _MINUTE)
            return exponential(state)

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._log.warning(
                "remote_call_repeated", operation=operation, attempt=state.attempt_number, error=str(error)
            )

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Retryable),
            stop=tenacity.stop_after_attempt(self._retry.attempts),
            wait=wait,
            before_sleep=tell,
            reraise=True,
        )

    def _send(self, operation: str, request: requests.Request, *, repeatable: bool) -> requests.Response:
        try:
            prepared = self.session.prepare_request(request)
        except requests.RequestException as error:
            message = f"the request can't be made ({type(error).__name__}); is the address in the settings right?"
            raise Unavailable(message, system=self.system, operation=operation) from error
        waited = self._budget.take()
        # verify is named, else REQUESTS_CA_BUNDLE in the environment would win over the connection's own setting
        environment = self.session.merge_environment_settings(prepared.url or "", {}, None, self.session.verify, None)
        started = time.monotonic()
        status: int | str = "failed"
        try:
            response = self.session.send(prepared, timeout=self._timeout, allow_redirects=False, **environment)
            status = response.status_code
        except requests.RequestException as error:
            # A connection that was never made can't have done anything; everything later may have.
            unsent = isinstance(error, (requests.ConnectTimeout, requests.exceptions.InvalidURL)) or _refused(error)
            kind = Unavailable if repeatable or unsent else OutcomeUnknown
            raise kind(f"no usable answer ({type(error).__name__})", system=self.system, operation=operation) from error
        finally:
            self._log.info(
                "remote_call",
                operation=operation,
                method=prepared.method,
                path=prepared.path_url.partition("?")[0],
                status=status,
                duration_ms=round((time.monotonic() - started) * 1000),
                waited_ms=round(waited * 1000),
            )
        return response

    def _raise_for_transport(self, operation: str, response: requests.Response, *, repeatable: bool) -> None:
        facts: dict[str, Any] = {
            "system": self.system,
            "operation": operation,
            "http_status": response.status_code,
        }
        if response.is_redirect:
            # Never followed: it would carry credentials or a signature to wherever the answer says.
            raise Unavailable("redirected elsewhere; is the address in the settings the final one?", **facts)
        if response.status_code == _TOO_MANY_REQUESTS:
            raise RateLimited("asked to slow down", retry_after=retry_after_seconds(response), **facts)
        if response.status_code in _GATEWAY_FAILURES:
            if not repeatable:
                # The gateway may have given up on a system that went on working.
                raise OutcomeUnknown("the gateway had no answer from the system behind it", **facts)
            if "Retry-After" in response.headers:
                raise RateLimited("busy", retry_after=retry_after_seconds(response), **facts)
            raise Unavailable("the gateway has no working system behind it", **facts)


def _refused(error: requests.RequestException) -> bool:
    """Tell whether no connection was made: refused, or no such host."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectionError) and isinstance(cause, NewConnectionError)


def retry_after_seconds(response: requests.Response) -> float | None:
    """Return the pause that the `Retry-After` header asks for, in seconds, in either of its two forms (RFC 9110)."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        # HTTP dates are GMT, whether they say so or not
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max((moment - utc_now()).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
