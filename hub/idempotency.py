"""Requests that count once: a key of the caller, kept in the transaction of what the request changed."""

from __future__ import annotations

from dataclasses import dataclass

from hub.errors import DomainError


class KeyReusedError(DomainError):
    """Raised when a key that belongs to one request comes with another."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key} was used for another request", code="idempotency-key-reused")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """`key` makes a request of `principal` count once; `digest` (hexadecimal) tells whether it is the same again."""

    principal: str
    key: str
    route: str
    digest: str
