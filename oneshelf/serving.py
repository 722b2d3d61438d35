"""Serve an app in one of several processes at the same port: `python -m oneshelf.serving FACTORY HOST PORT`.

Each listens for itself and the kernel spreads the connections evenly. (Of processes that share one socket, the first to
wake takes all that wait.) One that has died gets none.
"""

from __future__ import annotations

import socket
import sys

import uvicorn


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
        uvicorn.Server(uvicorn.Config(factory, factory=True, access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
