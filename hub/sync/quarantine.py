"""Quarantine: records that could not be used, kept with reason and raw text until a later read finds them well."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from hub.contracts import StockKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    import psycopg

    from hub.contracts import Rejection

_UPSERT = """
INSERT INTO quarantine (source, kind, key, reason, detail, digest, raw)
VALUES (%(source)s, %(kind)s, %(key)s, %(reason)s, %(detail)s, %(digest)s, %(raw)s::jsonb)
ON CONFLICT (source, kind, key, reason, digest) WHERE resolved_at IS NULL
DO UPDATE SET last_seen_at = clock_timestamp(), times = quarantine.times + 1
"""
# What an earlier read rejected of a key is history once the key was read again.
_SUPERSEDE = """
UPDATE quarantine SET resolved_at = clock_timestamp()
WHERE source = %(source)s AND kind = %(kind)s AND resolved_at IS NULL AND key = ANY(%(keys)s)
  AND (key, digest) NOT IN (SELECT * FROM unnest(%(keys)s::text[], %(digests)s::text[]))
"""


def rejection_key(rejection: Rejection) -> str:
    """Return the key under which a rejection is kept: item@location, or a digest of the raw record."""
    if rejection.item is not None or rejection.location is not None:
        return f"{rejection.item or '?'}@{rejection.location or '?'}"
    return hashlib.sha256(to_json(rejection.raw).encode()).hexdigest()[:16]


def to_json(value: Any) -> str:  # noqa: ANN401 - any raw record
    """Return JSON text of a raw record; what neither JSON nor PostgreSQL can carry exactly becomes text."""
    return json.dumps(_storable(value), ensure_ascii=False, sort_keys=True, default=lambda other: _clean(str(other)))


def _storable(value: Any) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {_clean(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value


def _clean(text: str) -> str:
    """Return text with what PostgreSQL can't hold, NUL and halves of characters, replaced."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def quarantine(connection: psycopg.Connection, source: str, kind: str, rejections: Iterable[Rejection]) -> None:
    """Store rejections in the caller's transaction; one that is there already counts one time more."""
    rows = [_row(source, kind, rejection) for rejection in rejections]
    whole = [row for row in rows if "?" not in row["key"] and "@" in row["key"]]
    if whole:
        named = {"keys": [row["key"] for row in whole], "digests": [row["digest"] for row in whole]}
        connection.execute(_SUPERSEDE, {"source": source, "kind": kind, **named})
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_UPSERT, rows)


def _row(source: str, kind: str, rejection: Rejection) -> dict[str, str]:
    raw, detail = to_json(rejection.raw), _clean(rejection.detail)
    return {
        "source": source,
        "kind": kind,
        "key": _clean(rejection_key(rejection)),
        "reason": rejection.reason,
        "detail": detail,
        "digest": hashlib.sha256(f"{detail}\n{raw}".encode()).hexdigest()[:16],
        "raw": raw,
    }


def resolve_keys(connection: psycopg.Connection, source: str, kind: str, keys: Collection[str]) -> None:
    """Close open entries of these keys: they were read again and are well."""
    if keys:
        connection.execute(
            "UPDATE quarantine SET resolved_at = clock_timestamp()"
            " WHERE source = %s AND kind = %s AND key = ANY(%s) AND resolved_at IS NULL",
            (source, kind, list(keys)),
        )


def resolve_not_seen(connection: psycopg.Connection, source: str, kind: str, since: datetime) -> None:
    """Close open entries that a complete read which began at `since` (database time) did not meet again."""
    connection.execute(
        "UPDATE quarantine SET resolved_at = clock_timestamp()"
        " WHERE source = %s AND kind = %s AND resolved_at IS NULL AND last_seen_at < %s",
        (source, kind, since),
    )


def keys_in_quarantine(connection: psycopg.Connection, source: str, kind: str, reason: str) -> set[StockKey]:
    """Return the stock keys of open entries whose item and location are known."""
    rows = connection.execute(
        "SELECT key FROM quarantine WHERE source = %s AND kind = %s AND reason = %s AND resolved_at IS NULL",
        (source, kind, reason),
    )
    pairs = (str(key).rsplit("@", 1) for (key,) in rows)
    return {StockKey(*pair) for pair in pairs if len(pair) == 2 and "?" not in pair}  # noqa: PLR2004 - a pair


def open_entries(connection: psycopg.Connection, limit: int = 200) -> list[Mapping[str, Any]]:
    """Return the newest open entries, for people to look at."""
    cursor = connection.execute(
        "SELECT source, kind, key, reason, detail, times, first_seen_at, last_seen_at"
        " FROM quarantine WHERE resolved_at IS NULL ORDER BY last_seen_at DESC, id DESC LIMIT %s",
        (limit,),
    )
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]
