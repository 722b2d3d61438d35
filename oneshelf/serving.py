"""Serve an app in one of several processes at the same port: `python -m oneshelf.serving FACTORY HOST PORT`.

Each listens for itself and the kernel spreads the connections evenly. (Of processes that share one socket, the first to
wake takes all that wait.) One that has died gets none.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.importer import import_from_string

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

_GRACE_SECONDS = 4
"""A client that does not take its answer keeps a process no longer from ending; its supervisor waits 8 s."""


class Server(uvicorn.Server):
    """A server that tells its app when it stops: it waits for answers to end, and streams do not by themselves.

    Args:
        create_app: called once signals are heard.
    """

    def __init__(self, create_app: Callable[[], Starlette]) -> None:
        super().__init__(
            uvicorn.Config(self._create, factory=True, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS)
        )
        self._create_app = create_app
        self._app: Starlette | None = None

    def _create(self) -> Starlette:
        self._app = self._create_app()
        return self._app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, as soon as answers have ended or their time is over."""
        if self._app is not None and (end_streams := getattr(self._app.state, "end_streams", None)):
            end_streams()
        await super().shutdown(sockets)


def arguments(factory: str, host: str, port: int) -> tuple[str, ...]:
    """Return what follows the interpreter in the command of one process."""
    return ("-m", "oneshelf.serving", factory, host, str(port))


def main() -> None:
    """Serve until told to end."""
    factory, host, port = sys.argv[1:]
    family, kind, protocol, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    # With the protocol named, asyncio sets TCP_NODELAY; without it each answer may wait 40 ms for an ACK.
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        Server(import_from_string(factory)).run(sockets=[listener])


if __name__ == "__main__":
    main()
