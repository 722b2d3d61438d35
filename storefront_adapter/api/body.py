"""Bodies of stock answers, and the tag that tells whether one has changed."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from hub.stock.reading import Level

CACHE_CONTROL = "private, no-cache"
# Nothing inside a JSON string looks like this: a quote in it has a backslash before it.
_AGE = re.compile(r'"as_of":(?:null|"[^"]*")')


def quantity_text(quantity: Decimal) -> str:
    """Return a quantity as plain decimal text: `12`, `3.25`, `-4`."""
    text = format(quantity, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def time_text(time: datetime | None) -> str | None:
    """Return a time as RFC 3339 text in UTC, to the microsecond, so that it can be sent back without loss."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def level_body(level: Level) -> dict[str, Any]:
    """Return one level as the API tells it."""
    return {
        "location": level.location,
        "name": level.name,
        "kind": level.kind,
        "on_hand": quantity_text(level.on_hand),
        "available": quantity_text(level.offered),
        "unavailable": quantity_text(level.unavailable),
        "consigned": quantity_text(level.consigned),
        "sellable_online": level.sellable_online,
        "as_of": time_text(level.as_of),
        "stale": level.stale,
    }


def entity_tag(body: str) -> str:
    """Return a weak tag of a stock body without its ages, which move with every poll although no number does."""
    digest = hashlib.sha256(_AGE.sub("", body).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def tag_matches(if_none_match: str | None, tag: str) -> bool:
    """Tell whether an If-None-Match header names the tag, compared weakly."""
    if if_none_match is None:
        return False
    tags = [part.strip() for part in if_none_match.split(",")]
    return "*" in tags or any(part.removeprefix("W/") == tag.removeprefix("W/") for part in tags)


def json_text(body: object) -> str:
    """Return JSON without white space."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON in UTF-8."""
    return Response(json_text(body).encode("utf-8", "replace"), status, headers, media_type="application/json")
