"""A push receiver that needs no vendor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hub.contracts import PushedEvent
from hub.errors import AuthFailed, RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "let-me-in"


class StubReceiver:
    """Takes `{"id": …}` from whoever knows the secret."""

    def __init__(self, source: str) -> None:
        self.source = source

    def receive(self, headers: Mapping[str, str], body: bytes) -> PushedEvent:
        """Verify and parse."""
        if headers.get("x-secret") != SECRET:
            raise AuthFailed("wrong secret", system="stub", operation="push")
        data = json.loads(body)
        if not data.get("id"):
            raise RecordError("the event has no id", reason="missing_field", field="id")
        return PushedEvent(data["id"], "stub.changed", data)
