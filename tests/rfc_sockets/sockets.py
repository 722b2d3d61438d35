"""What the RFC connector makes of peers that are no SAP, with a real RFC library (erpl-pyrfc) on real sockets.

Not collected by `make test`: the library is installed for `make rfc-sockets` alone.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from connectors.calls import RetryPolicy
from connectors.erp.sap.rfc.client import RfcClient
from connectors.erp.sap.rfc.settings import RfcSettings
from connectors.registry import create_erp
from hub.errors import RemoteError, Unavailable
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSWORD = "geheim-秘密"
FIRST_PACKET = b"\x00\x00\x00\x40\x02\x03"
"""The NI length of the 64 bytes that follow, and how a gateway routing record begins."""


class Peer:
    """Listens where SAP's gateway would (port 3300 plus the instance number) and does one thing with each caller."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.sysnr, self._listener = _listen()
        self.received: list[bytes] = []
        self._answer = answer
        self._callers: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self._callers.append(caller)
                self.received.append(caller.recv(1024))
                self._answer(caller)

    def hang_up(self) -> None:
        self._listener.close()
        for caller in self._callers:
            with suppress(OSError):
                caller.shutdown(socket.SHUT_RDWR)
            caller.close()


def _listen() -> tuple[str, socket.socket]:
    for number in range(99, 0, -1):
        with suppress(OSError):
            return f"{number:02d}", socket.create_server(("127.0.0.1", 3300 + number))
    message = "no port from 3301 to 3399 is free"
    raise RuntimeError(message)


@contextmanager
def peer(answer: Callable[[socket.socket], None]) -> Iterator[Peer]:
    listening = Peer(answer)
    try:
        yield listening
    finally:
        listening.hang_up()


def settings(sysnr: str, **more: Any) -> dict[str, Any]:
    direct = {"ashost": "127.0.0.1", "sysnr": sysnr}
    return {**direct, "user": "HUB", "password": PASSWORD, "logon_timeout": 2.0, **more}


def refused(client: RfcClient) -> RemoteError:
    with pytest.raises(Unavailable) as caught:
        client.call("RFC_PING", {})
    assert PASSWORD not in str(caught.value)
    return caught.value


def client(sysnr: str, **more: Any) -> RfcClient:
    return RfcClient(RfcSettings.model_validate(settings(sysnr, **more)), retry=RetryPolicy(attempts=1))


def wait(client: RfcClient) -> None:
    """Wait until the library has let go and each conversation is closed."""
    ends_at = time.monotonic() + 10
    while client.pool.count:
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def close(caller: socket.socket) -> None:
    caller.close()


def stay_silent(caller: socket.socket) -> None:
    del caller


def answer_http(caller: socket.socket) -> None:
    caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_it_is_the_real_library() -> None:
    import pyrfc

    assert pyrfc.Connection.__module__.startswith("pyrfc")
    assert not hasattr(pyrfc.Connection, "is_valid"), "erpl-pyrfc lacks it"


def test_nothing_listens() -> None:
    sysnr, listener = _listen()
    listener.close()
    asking = client(sysnr)
    assert refused(asking).remote_code == "RFC_COMMUNICATION_FAILURE"
    wait(asking)


def test_the_peer_hangs_up_after_the_first_packet() -> None:
    with peer(close) as listening:
        asking = client(listening.sysnr)
        assert refused(asking).remote_code == "RFC_CLOSED"
        wait(asking)
    assert listening.received[0].startswith(FIRST_PACKET)


def test_the_peer_speaks_http() -> None:
    with peer(answer_http) as listening:
        asking = client(listening.sysnr)
        assert refused(asking).remote_code == "RFC_COMMUNICATION_FAILURE"
        wait(asking)


def test_a_silent_peer_is_given_up_in_time_and_holds_its_place_until_it_lets_go() -> None:
    with peer(stay_silent) as listening:
        asking = client(listening.sysnr, conversations=1)
        started = time.monotonic()
        assert "log-on" in refused(asking).message
        # the library's own time-out does not bound a log-on: it would take a minute
        assert time.monotonic() - started < 10
        assert asking.pool.count == 1
        assert "hang" in refused(asking).message
        assert len(listening.received) == 1
    wait(asking)


def test_a_message_server_is_asked_with_parameters_that_the_library_knows() -> None:
    balanced = {"mshost": "127.0.0.1", "msserv": "3699", "group": "PUBLIC", "sysid": "ECC"}
    asking = RfcClient(
        RfcSettings.model_validate({**balanced, "user": "HUB", "password": PASSWORD, "logon_timeout": 5.0}),
        retry=RetryPolicy(attempts=1),
    )
    assert refused(asking).remote_code == "RFC_COMMUNICATION_FAILURE"
    wait(asking)


def test_the_whole_connector_tells_what_is_the_matter() -> None:
    with peer(close) as listening:
        connection = {"transport": "rfc", **settings(listening.sysnr)}
        connector = create_erp("sap", "ecc", connection, ["1010/101A"], PROJECT_ROOT / "mappings")
        (result,) = connector.check()
    assert (result.name, result.ok) == ("log-on", False)
    assert "ashost" in result.advice
