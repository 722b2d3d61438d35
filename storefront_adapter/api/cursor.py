"""Opaque cursors: the key of the last row and the filters they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hub.stock.reading import Position
from storefront_adapter.problems import ProblemError
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_ID = 2**63 - 1
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a walk stands, and from when on the next walk must look (`next_since`, set when this one began)."""

    position: Position
    next_since: datetime


def filter_digest(filters: Mapping[str, object]) -> str:
    """Return a short digest of the filters of a walk."""
    text = json.dumps(filters, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_cursor(cursor: Cursor, digest: str) -> str:
    """Return the cursor as text that callers send back as it is."""
    at = cursor.position
    fields = [digest, at.changed_at.isoformat(), at.item_id, at.location_id, cursor.next_since.isoformat()]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def read_cursor(text: str, digest: str) -> Cursor:
    """Read a cursor that was made with the same filters.

    Raises:
        ProblemError: it is no cursor, or one of other filters.
    """
    try:
        raw = base64.b64decode(text[:_LONGEST] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        made_with, changed_at, item_id, location_id, next_since = json.loads(raw)
        position = Position(datetime.fromisoformat(changed_at), _id(item_id), _id(location_id))
        cursor = Cursor(position, datetime.fromisoformat(next_since))
        if position.changed_at.tzinfo is None or cursor.next_since.tzinfo is None:
            raise ValueError("a time without a zone")  # noqa: TRY301 - all that is wrong with a cursor ends below
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise ProblemError("invalid-cursor", N_("The text is not a cursor of this API.")) from error
    if made_with != digest:
        raise ProblemError("invalid-cursor", N_("The cursor was made with other filters."))
    return cursor


def _id(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_ID:
        raise ValueError("not an id")
    return value
