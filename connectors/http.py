"""HTTP for every connector: time-outs, retries of what may be retried, a request budget, one log line per call."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import structlog
from urllib3.exceptions import HTTPError, NewConnectionError

from connectors.calls import RetryPolicy, retrying
from hub.clock import utc_now
from hub.errors import OutcomeUnknown, ProtocolViolation, RateLimited, Unavailable
from hub.telemetry import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.calls import RequestBudget

T = TypeVar("T")

_TOO_MANY_REQUESTS = 429
_GATEWAY_FAILURES = frozenset({502, 503, 504})
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its whole answer, as who watches a client sees them; secrets are still in both.

    `seconds` go from the request to the end of the answer.
    """

    request: requests.PreparedRequest
    response: requests.Response
    seconds: float


class HttpClient:
    """One connection to one system: a `requests` session with the rules that hold for every call.

    Args:
        system: the name that errors and log lines carry, for instance `sap`.
        timeout: seconds to connect and seconds to wait for each read.
        budget: shared by everything that talks to the same tenant.
        longest_answer: seconds from the request to the end of its answer. Looked at after each read, so one that waits
            may add its own time.
        largest_answer: bytes of an answer, unpacked.
        secret_path: keep the path of the address out of the log, for systems whose address is the secret.
    """

    def __init__(
        self,
        system: str,
        *,
        budget: RequestBudget,
        timeout: tuple[float, float] = (5.0, 60.0),
        retry: RetryPolicy | None = None,
        verify: bool | str = True,
        longest_answer: float = 120.0,
        largest_answer: int = 64 << 20,
        secret_path: bool = False,
    ) -> None:
        self.system = system
        self.session = requests.Session()
        self.session.verify = verify
        self._budget = budget
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._longest_answer = longest_answer
        self._largest_answer = largest_answer
        self._secret_path = secret_path
        self._watched: list[Exchange] | None = None
        self._log = structlog.get_logger().bind(system=system)

    @contextmanager
    def watching(self) -> Iterator[list[Exchange]]:
        """Collect the exchanges of a block, refused ones too: for a look at a real system, and for recordings."""
        exchanges: list[Exchange] = []
        self._watched = exchanges
        try:
            yield exchanges
        finally:
            self._watched = None

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
        return retrying(self._retry, operation, self._log)(once)

    def _send(self, operation: str, request: requests.Request, *, repeatable: bool) -> requests.Response:
        try:
            prepared = self.session.prepare_request(request)
        except requests.RequestException as error:
            message = f"the request can't be made ({type(error).__name__}); is the address in the settings right?"
            raise Unavailable(message, system=self.system, operation=operation) from error
        waited = self._budget.take()
        # verify is named, else REQUESTS_CA_BUNDLE in the environment would win over the connection's own setting.
        # stream: `_read_body` reads the body, since `requests` bounds the wait for each piece of it, never the whole.
        environment = self.session.merge_environment_settings(
            prepared.url or "", {}, stream=True, verify=self.session.verify, cert=None
        )
        started = time.monotonic()
        status: int | str = "failed"
        try:
            response = self.session.send(prepared, timeout=self._timeout, allow_redirects=False, **environment)
            self._read_body(response, ends_at=started + self._longest_answer)
            status = response.status_code
            if self._watched is not None:
                self._watched.append(Exchange(prepared, response, time.monotonic() - started))
        except _TooLargeError as error:
            too_large = ProtocolViolation if repeatable else OutcomeUnknown
            raise too_large(str(error), system=self.system, operation=operation) from error
        except (requests.RequestException, HTTPError) as error:
            # A connection that was never made can't have done anything; everything later may have.
            unsent = isinstance(error, (requests.ConnectTimeout, requests.exceptions.InvalidURL)) or _refused(error)
            kind = Unavailable if repeatable or unsent else OutcomeUnknown
            raise kind(f"no usable answer ({type(error).__name__})", system=self.system, operation=operation) from error
        finally:
            self._log.info(
                "remote_call",
                operation=operation,
                method=prepared.method,
                path=MASK if self._secret_path else prepared.path_url.partition("?")[0],
                status=status,
                duration_ms=round((time.monotonic() - started) * 1000),
                waited_ms=round(waited * 1000),
            )
        return response

    def _read_body(self, response: requests.Response, *, ends_at: float) -> None:
        """Read the whole body into `response.content`.

        Raises:
            requests.ReadTimeout: it is not at its end by `ends_at`, though each piece may have come in time.
            _TooLargeError: it is larger than an answer may be.
            urllib3.exceptions.HTTPError: it breaks off, stalls, or can't be unpacked.
        """
        body = bytearray()
        with response:
            while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
                body += piece
                if len(body) > self._largest_answer:
                    raise _TooLargeError(f"the answer is larger than {self._largest_answer >> 20} MiB")
                if time.monotonic() > ends_at:
                    raise requests.ReadTimeout
        response._content = bytes(body)  # noqa: SLF001 - where `requests` itself puts what it has read

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


class _TooLargeError(Exception):
    """Raised when an answer is larger than any that makes sense."""


def _refused(error: Exception) -> bool:
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
