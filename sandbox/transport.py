"""Answers that break, drag on or are damaged on their way, as any server behind any proxy can give them."""

from __future__ import annotations

import asyncio
import re
from itertools import count
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

NESTED_TOO_DEEPLY: Final = b"[" * 100_000
"""The beginning of JSON that no parser follows to its end."""
_TEXT_VALUE: Final = re.compile(rb'"\s*:\s*"(?=\w)|,"(?=\w)')


class DrippingResponse(Response):
    """Sends a body one byte at a time and goes on with blanks behind it, until the client hangs up."""

    def __init__(self, body: bytes, *, media_type: str, seconds: float) -> None:
        super().__init__(body, media_type=media_type)
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer that has no end."""
        del scope
        content = bytes(self.body)
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        for number in count():
            piece = content[number : number + 1] or b" "
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if await _hung_up(receive, self._seconds):
                return


async def _hung_up(receive: Receive, seconds: float) -> bool:
    try:
        message = await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        return False
    return bool(message["type"] == "http.disconnect")


def damage(body: bytes) -> bytes:
    """Return a body of the same length in which one byte, of a text in its middle if it is JSON, is no UTF-8."""
    values = list(_TEXT_VALUE.finditer(body))
    at = values[len(values) // 2].end() if values else len(body) - 1
    return body[:at] + b"\xff" + body[at + 1 :]
