"""Who may do what: roles with scopes from `config/roles.yaml`, and API keys that carry a role.

A key reads `osk_<id>_<secret>`. Its secret has 256 random bits, so a plain SHA-256 of it is safe to keep; the text
itself is shown once and kept nowhere.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.errors import ConfigError
from hub.mapping.document import Block, Scalar, Sequence, load_document
from hub.stock.reading import is_storable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    import psycopg
    from sqlalchemy.ext.asyncio import AsyncEngine

    from hub.mapping.document import Node

SCOPES = ("stock:read", "stock:explain", "stock:hold", "sales:write", "locations:read", "ops:read")
DEFAULT_CHANNEL = "online"
_PREFIX = "osk"
_CACHE_SECONDS = 2.0
_CACHE_SIZE = 2000
_LONGEST_KEY = 200

Roles = dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, proven by a key."""

    key_id: str
    name: str
    role: str
    channel: str
    scopes: frozenset[str]
    secret_sha256: bytes


def load_roles(path: Path) -> Roles:
    """Read the roles file.

    Raises:
        ConfigError: says file, line and what is allowed.
    """
    if not path.is_file():
        raise ConfigError("the roles file is missing", file=str(path))
    block = load_document(path)
    roles = block.entries.get("roles") if set(block.entries) == {"roles"} else None
    if not isinstance(roles, Block) or not roles.entries:
        raise ConfigError("must hold one mapping named `roles`: role to list of scopes", file=str(path), line=1)
    return {role: _scopes(role, node, str(path), roles.key_lines[role]) for role, node in roles.entries.items()}


def _scopes(role: str, node: Node, file: str, line: int) -> frozenset[str]:
    if not isinstance(node, Sequence):
        raise ConfigError(f"{role}: must be a list of scopes; there is {', '.join(SCOPES)}", file=file, line=line)
    found: set[str] = set()
    for entry in node.items:
        scope = entry.text if isinstance(entry, Scalar) else ""
        if scope not in SCOPES:
            near = difflib.get_close_matches(scope, SCOPES, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            message = f"{role}: unknown scope {scope or 'in brackets'}{hint}; there is {', '.join(SCOPES)}"
            raise ConfigError(message, file=file, line=entry.line)
        found.add(scope)
    return frozenset(found)


def create_key(
    connection: psycopg.Connection,
    name: str,
    role: str,
    roles: Mapping[str, frozenset[str]],
    *,
    channel: str = DEFAULT_CHANNEL,
) -> str:
    """Store a new key in the caller's transaction and return its text, which can't be had again.

    `channel` is the sales channel for which its holder reserves.

    Raises:
        ConfigError: there is no such role.
    """
    if role not in roles:
        raise ConfigError(f"no role {role}; there is {', '.join(roles)}")
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    connection.execute(
        "INSERT INTO api_key (id, name, role, channel, secret_sha256) VALUES (%s, %s, %s, %s, %s)",
        (key_id, name, role, channel, _digest(secret)),
    )
    return f"{_PREFIX}_{key_id}_{secret}"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What may be shown of a key."""

    id: str
    name: str
    role: str
    created_at: datetime


def list_keys(connection: psycopg.Connection) -> list[KeyFacts]:
    """Return the keys that are in force, oldest first."""
    rows = connection.execute(
        "SELECT id, name, role, created_at FROM api_key WHERE revoked_at IS NULL ORDER BY created_at, id"
    )
    return [KeyFacts(*row) for row in rows]


def revoke_key(connection: psycopg.Connection, key_id: str) -> bool:
    """Revoke a key for good; True if it was in force. Every process forgets it within 2 seconds."""
    cursor = connection.execute(
        "UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = %s AND revoked_at IS NULL", (key_id,)
    )
    return cursor.rowcount == 1


def split_key(text: str) -> tuple[str, str] | None:
    """Return id and secret of a key's text, or None if it is no key at all."""
    parts = text.split("_")
    if len(text) > _LONGEST_KEY or not text.isascii() or not is_storable(text):
        return None
    match parts:
        case [prefix, key_id, secret] if prefix == _PREFIX and key_id and secret:
            return key_id, secret
        case _:
            return None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class KeyRing:
    """Verifies keys against the database and remembers the answer for at most 2 seconds."""

    def __init__(self, engine: AsyncEngine, roles: Mapping[str, frozenset[str]]) -> None:
        self._engine = engine
        self._roles = roles
        self._known: dict[str, tuple[float, Principal | None]] = {}

    async def verify(self, text: str) -> Principal | None:
        """Return who the key belongs to, or None if it is wrong or revoked."""
        parts = split_key(text)
        if parts is None:
            return None
        principal = await self.holder(parts[0])
        if principal is None or not hmac.compare_digest(principal.secret_sha256, _digest(parts[1])):
            return None
        return principal

    async def holder(self, key_id: str) -> Principal | None:
        """Return whose key has this id, or None if there is none in force. It proves nothing about the caller."""
        now = time.monotonic()
        known = self._known.get(key_id)
        if known is not None and now < known[0]:
            return known[1]
        principal = await self._load(key_id)
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[key_id] = (now + _CACHE_SECONDS, principal)
        return principal

    async def _load(self, key_id: str) -> Principal | None:
        async with self._engine.connect() as connection:
            result = await connection.exec_driver_sql(
                "SELECT name, role, channel, secret_sha256 FROM api_key WHERE id = %(id)s AND revoked_at IS NULL",
                {"id": key_id},
            )
            row = result.first()
        if row is None:
            return None
        return Principal(key_id, row[0], row[1], row[2], self._roles.get(row[1], frozenset()), bytes(row[3]))
