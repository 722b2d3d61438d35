"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562), so that indexes grow at their end."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

_VERSION, _VARIANT = 0x7 << 76, 0b10 << 62


def new_id() -> UUID:
    """Return a new identifier: 48 bits of Unix time in milliseconds, 74 random ones."""
    moment = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80
    return UUID(int=moment | _VERSION | secrets.randbits(12) << 64 | _VARIANT | secrets.randbits(62))
