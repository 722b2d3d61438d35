"""HTTP for every connector: what is repeated, what is not, how fast, and what the log says of it."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
import responses
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from connectors import http
from connectors.calls import RequestBudget, RetryPolicy
from connectors.http import HttpClient, retry_after_seconds
from hub.errors import (
    AuthFailed,
    Locked,
    OutcomeUnknown,
    ProtocolViolation,
    RateLimited,
    Rejected,
    RemoteError,
    Retryable,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://erp.example.com/api/stock"
FACTS = {"system": "sap", "operation": "read"}


@pytest.fixture
def erp() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield mocked


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take the place of sleeping between attempts; return the seconds asked for."""
    asked: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", asked.append)
    return asked


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def client(**more: Any) -> HttpClient:
    return HttpClient("sap", budget=more.pop("budget", RequestBudget(1000)), **more)


def get(*, method: str = "GET", **more: Any) -> requests.Request:
    return requests.Request(method, URL, **more)


def text_of(response: requests.Response) -> str:
    return response.text


# --- what is repeated


def test_an_answer_is_read_once(erp: responses.RequestsMock, waits: list[float]) -> None:
    erp.get(URL, body="well")
    assert client().call("read", get, text_of) == "well"
    assert len(erp.calls) == 1
    assert waits == []


def test_each_attempt_is_built_and_read_anew(erp: responses.RequestsMock, waits: list[float]) -> None:
    for status in (503, 502, 504):
        erp.get(URL, status=status)
    erp.get(URL, body="well")
    built: list[str] = []

    def build() -> requests.Request:
        built.append("x")
        return get(headers={"X-Time": str(len(built))})

    assert client().call("read", build, text_of) == "well"
    assert [call.request.headers["X-Time"] for call in erp.calls] == ["1", "2", "3", "4"]
    assert len(waits) == 3
    assert all(0 <= wait <= 20 for wait in waits)


@pytest.mark.parametrize("error", [Locked, Unavailable, RateLimited, Retryable])
def test_what_the_reader_calls_retryable_is_repeated_up_to_the_policys_number(
    erp: responses.RequestsMock, waits: list[float], error: type[RemoteError]
) -> None:
    erp.get(URL, body="x")

    def read(_: requests.Response) -> str:
        raise error("later", **FACTS)

    with pytest.raises(error):
        client(retry=RetryPolicy(attempts=3)).call("read", get, read)
    assert len(erp.calls) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("error", [Rejected, AuthFailed, OutcomeUnknown, RemoteError, ValueError])
def test_anything_else_is_not(erp: responses.RequestsMock, waits: list[float], error: type[Exception]) -> None:
    erp.get(URL, body="x")

    def read(_: requests.Response) -> str:
        raise error("no", **FACTS) if issubclass(error, RemoteError) else error("no")

    with pytest.raises(error):
        client().call("read", get, read)
    assert len(erp.calls) == 1
    assert waits == []


@pytest.mark.parametrize("failure", [requests.ReadTimeout(), requests.ConnectTimeout(), requests.ConnectionError()])
def test_a_broken_connection_is_unavailable_and_repeated(
    erp: responses.RequestsMock, waits: list[float], failure: Exception
) -> None:
    erp.get(URL, body=failure)
    with pytest.raises(Unavailable) as caught:
        client().call("read", get, text_of)
    assert (caught.value.system, caught.value.operation) == ("sap", "read")
    assert type(failure).__name__ in caught.value.message
    assert len(erp.calls) == 4
    assert len(waits) == 3


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("0", 0.0), ("3600", 60.0)])
def test_a_pause_that_is_asked_for_is_kept_up_to_a_minute(
    erp: responses.RequestsMock, waits: list[float], asked: str, waited: float
) -> None:
    erp.get(URL, status=429, headers={"Retry-After": asked})
    erp.get(URL, status=503, headers={"Retry-After": asked})
    erp.get(URL, body="well")
    assert client().call("read", get, text_of) == "well"
    assert waits == [waited, waited]


def test_throttling_without_a_pause_falls_back_on_growing_waits(
    erp: responses.RequestsMock, waits: list[float]
) -> None:
    erp.get(URL, status=429)
    with pytest.raises(RateLimited) as caught:
        client(retry=RetryPolicy(attempts=2, longest_wait=0.5)).call("read", get, text_of)
    assert (caught.value.retry_after, caught.value.http_status) == (None, 429)
    assert len(waits) == 1
    assert waits[0] <= 0.5


def _answer(retry_after: str) -> requests.Response:
    response = requests.Response()
    response.headers["Retry-After"] = retry_after
    return response


def test_a_pause_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    monkeypatch.setattr(http, "utc_now", lambda: now)
    later = now + timedelta(seconds=90)
    assert retry_after_seconds(_answer(format_datetime(later, usegmt=True))) == 90
    assert retry_after_seconds(_answer(later.strftime("%a, %d %b %Y %H:%M:%S -0000"))) == 90
    assert retry_after_seconds(_answer(later.strftime("%a %b %d %H:%M:%S %Y"))) == 90
    assert retry_after_seconds(_answer(format_datetime(now - timedelta(days=1), usegmt=True))) == 0


@settings(deadline=None, max_examples=50)
@given(st.text() | st.from_regex(r"[0-9 +-]{0,8}[A-Za-z, :.-]*[²0-9:]*", fullmatch=True))
def test_whatever_stands_in_the_header_is_a_pause_or_nothing(text: str) -> None:
    pause = retry_after_seconds(_answer(text))
    assert pause is None or pause >= 0


# --- writes


def test_a_write_that_may_have_happened_is_unknown_and_not_repeated(
    erp: responses.RequestsMock, waits: list[float]
) -> None:
    for failure in (
        requests.ReadTimeout(),
        requests.ConnectionError("reset"),
        requests.exceptions.ChunkedEncodingError(),
    ):
        erp.post(URL, body=failure)
        with pytest.raises(OutcomeUnknown):
            client().call("create_order", lambda: get(method="POST"), text_of, repeatable=False)
        erp.reset()
    assert waits == []


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}], ids=["plain", "pause"])
def test_a_write_that_a_gateway_gave_up_on_is_unknown(
    erp: responses.RequestsMock, waits: list[float], status: int, headers: dict[str, str]
) -> None:
    erp.post(URL, status=status, headers=headers)
    with pytest.raises(OutcomeUnknown) as caught:
        client().call("create_order", lambda: get(method="POST"), text_of, repeatable=False)
    assert caught.value.http_status == status
    assert len(erp.calls) == 1
    assert waits == []


def test_a_write_that_was_throttled_has_not_happened(erp: responses.RequestsMock, waits: list[float]) -> None:
    erp.post(URL, status=429, headers={"Retry-After": "9"})
    with pytest.raises(RateLimited) as caught:
        client().call("create_order", lambda: get(method="POST"), text_of, repeatable=False)
    assert caught.value.retry_after == 9
    assert (len(erp.calls), waits) == (1, [])


def test_a_write_whose_connection_was_refused_has_not_happened() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unavailable, match="ConnectionError"):
        client().call(
            "create_order", lambda: requests.Request("POST", f"http://127.0.0.1:{port}/"), text_of, repeatable=False
        )


@pytest.mark.parametrize("cause", [NewConnectionError, NameResolutionError])
def test_a_write_to_a_host_that_was_never_reached_has_not_happened(
    erp: responses.RequestsMock, cause: type[Exception]
) -> None:
    reason = cause("erp", "x", OSError()) if cause is NameResolutionError else cause(None, "refused")  # type: ignore[arg-type, call-arg]
    erp.post(URL, body=requests.ConnectionError(MaxRetryError(None, URL, reason)))  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        client().call("create_order", lambda: get(method="POST"), text_of, repeatable=False)


@pytest.mark.parametrize("url", ["http://[", "s4.example.com/x", "https://", "http://.example.com/"])
def test_an_address_that_is_none_is_one_of_our_errors(url: str, waits: list[float]) -> None:
    with pytest.raises(Unavailable) as caught:
        client().call("read", lambda: requests.Request("GET", url), text_of)
    assert caught.value.operation == "read"
    assert len(waits) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(erp: responses.RequestsMock, waits: list[float], status: int) -> None:
    erp.get(URL, status=status, headers={"Location": "https://evil.example.com/"})
    with pytest.raises(Unavailable, match="redirected") as caught:
        client(retry=RetryPolicy(attempts=2)).call("read", lambda: get(auth=("u", "geheim")), text_of)
    assert caught.value.http_status == status
    assert {call.request.url for call in erp.calls} == {URL}
    assert len(waits) == 1


# --- how long and how large an answer may be


@contextmanager
def peer(*pieces: bytes | float) -> Iterator[str]:
    """Serve one answer to each connection, piece by piece (a number: seconds to wait), and close it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):  # the client hangs up, or the test is over
            while True:
                connection, _ = listener.accept()
                with connection, suppress(ConnectionError):
                    connection.recv(65536)
                    for piece in pieces:
                        time.sleep(piece) if isinstance(piece, float) else connection.sendall(piece)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(url: str, **more: Any) -> bytes:
    http = client(retry=RetryPolicy(attempts=1), timeout=(1.0, 1.0), **more)
    return http.call("read", lambda: requests.Request("GET", url), lambda response: response.content)


HEAD = b"HTTP/1.1 200 OK\r\n"
ZIPPED = gzip.compress(b"0123456789" * 1000)


def test_a_body_is_whole_whichever_way_it_comes() -> None:
    chunked = (b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nwe\r\n", b"2\r\nll\r\n0\r\n\r\n")
    for pieces in ((b"Content-Length: 4\r\n\r\nwe", b"ll"), chunked, (b"\r\nwell",)):
        with peer(HEAD, *pieces) as url:
            assert ask(url) == b"well"
    with peer(HEAD, b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED), ZIPPED) as url:
        assert ask(url) == b"0123456789" * 1000


@pytest.mark.parametrize(
    "pieces",
    [
        (b"Content-Length: 40\r\n\r\nwell",),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"40\r\nwell"),
        (b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED), ZIPPED[:20]),
        (b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nwell",),
        (b"Content-Length: 9\r\n\r\n", *[b"x", 0.05] * 8),
        (b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n", 0.05] * 8),
    ],
    ids=["cut", "cut chunks", "cut gzip", "no gzip", "dripping", "dripping chunks"],
)
def test_a_body_that_never_comes_to_its_end_is_no_answer(pieces: tuple[bytes | float, ...]) -> None:
    with peer(HEAD, *pieces) as url:
        with pytest.raises(Unavailable):
            ask(url, longest_answer=0.15)
        with pytest.raises(OutcomeUnknown):
            client(longest_answer=0.15).call(
                "write", lambda: requests.Request("POST", url), lambda response: response.content, repeatable=False
            )


def test_an_answer_that_is_too_large_is_not_taken_in_and_not_asked_for_again() -> None:
    bomb = gzip.compress(bytes(20 << 20))
    for encoding, body in ((b"identity", bytes(3 << 20)), (b"gzip", bomb)):
        head = b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding, len(body))
        with peer(HEAD, head, body) as url, pytest.raises(ProtocolViolation, match="larger than 2 MiB"):
            ask(url, largest_answer=2 << 20)


def test_no_attempt_begins_when_it_has_lasted_too_long(erp: responses.RequestsMock, waits: list[float]) -> None:
    erp.get(URL, status=429, headers={"Retry-After": "50"})
    with pytest.raises(RateLimited):
        client(retry=RetryPolicy(attempts=9, give_up_after=40.0)).call("read", get, text_of)
    assert waits == []


# --- how it is sent


def test_timeouts_and_tls_are_those_of_the_connection(
    erp: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp.get(URL, body="x")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere.pem")
    client(timeout=(1.5, 7.0), verify=False).call("read", get, text_of)
    client(timeout=(1.5, 7.0), verify="/own.pem").call("read", get, text_of)
    sent = [call.request.req_kwargs for call in erp.calls]  # type: ignore[attr-defined]
    assert [(kwargs["timeout"], kwargs["verify"]) for kwargs in sent] == [((1.5, 7.0), False), ((1.5, 7.0), "/own.pem")]


def test_a_call_is_one_line_without_query_or_secret(
    erp: responses.RequestsMock, log: list[Any], waits: list[float]
) -> None:
    erp.get(URL, status=503)
    erp.get(URL, body="geheim")
    request = get(params={"password": "geheim"}, headers={"X-Token": "geheim"}, auth=("user", "geheim"))
    client().call("read", lambda: request, text_of)
    calls = [line for line in log if line["event"] == "remote_call"]
    assert [line["status"] for line in calls] == [503, 200]
    assert calls[0] | {"duration_ms": 0} == {
        "event": "remote_call",
        "log_level": "info",
        "system": "sap",
        "operation": "read",
        "method": "GET",
        "path": "/api/stock",
        "status": 503,
        "duration_ms": 0,
        "waited_ms": 0,
    }
    assert [line["attempt"] for line in log if line["event"] == "remote_call_repeated"] == [1]
    assert "geheim" not in str(log)
    assert len(waits) == 1


def test_a_call_that_failed_is_logged_too(erp: responses.RequestsMock, log: list[Any]) -> None:
    erp.get(URL, body=requests.ReadTimeout(f"{URL}?password=geheim"))
    with pytest.raises(Unavailable) as caught:
        client(retry=RetryPolicy(attempts=1)).call("read", lambda: get(params={"password": "geheim"}), text_of)
    assert [line["status"] for line in log] == ["failed"]
    assert "geheim" not in str(log) + str(caught.value)


# --- the budget


class Clock:
    """A clock that only sleeping (and `now += …`) moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 6),
    st.lists(st.floats(0, 45) | st.just(0.0) | st.sampled_from([59.999, 60.0, 60.001]), max_size=40),
)
def test_no_minute_ever_holds_more_calls_than_the_budget(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    budget = RequestBudget(per_minute, monotonic=lambda: clock.now, sleep=clock.sleep)
    taken: list[float] = []
    for pause in pauses:
        clock.now += pause
        before = clock.now
        waited = budget.take()
        assert waited == pytest.approx(clock.now - before, abs=1e-6)
        taken.append(clock.now)
    for first, beyond in zip(taken, taken[per_minute:], strict=False):
        assert beyond - first >= 60


def test_the_budget_waits_no_longer_than_it_must() -> None:
    clock = Clock()
    budget = RequestBudget(2, monotonic=lambda: clock.now, sleep=clock.sleep)
    assert [budget.take(), budget.take()] == [0, 0]
    clock.now += 40
    assert budget.take() == pytest.approx(20)
    clock.now += 60
    assert budget.take() == 0


def test_every_attempt_costs_the_budget(erp: responses.RequestsMock, waits: list[float], log: list[Any]) -> None:
    erp.get(URL, status=503)
    clock = Clock()
    budget = RequestBudget(2, monotonic=lambda: clock.now, sleep=clock.sleep)
    with pytest.raises(Unavailable):
        client(budget=budget).call("read", get, text_of)
    assert clock.now == pytest.approx(1060)
    assert [line["waited_ms"] for line in log if line["event"] == "remote_call"] == [0, 0, 60_000, 0]
    assert len(waits) == 3
