"""HTTP answers: compression, the pages that are not OData, and answers that break on their way."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

JSON: Final = "application/json;charset=utf-8"
XML: Final = "application/xml;charset=utf-8"
ATOM_SERVICE: Final = "application/atomsvc+xml;charset=utf-8"
TEXT: Final = "text/plain;charset=utf-8"
HTML: Final = "text/html;charset=utf-8"
_WORTH_COMPRESSING: Final = 1000


@dataclass(slots=True)
class Reply:
    """An answer before it meets the network; `lost` means that only its status line arrives."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    lost: bool = False

    def compress(self) -> None:
        """Compress the body with gzip where that is worth while."""
        if len(self.body) >= _WORTH_COMPRESSING:
            self.body = gzip.compress(self.body, compresslevel=1)
            self.headers["content-encoding"] = "gzip"

    def cut_gzip(self) -> None:
        """Compress the body, then drop its second half; the length header fits what is left."""
        compressed = gzip.compress(self.body, compresslevel=1)
        self.body = compressed[: len(compressed) // 2]
        self.headers["content-encoding"] = "gzip"

    def response(self, *, stall_seconds: float = 0, cut: bool = False) -> Response:
        """Return the answer for the server, stalling or breaking half-way if asked."""
        if self.lost:
            answer: Response = HalvedResponse(self, first=0, complete=False)
        elif stall_seconds or cut:
            answer = HalvedResponse(self, first=len(self.body) // 2, seconds=stall_seconds, complete=not cut)
        else:
            answer = Response(self.body, self.status, media_type=self.media_type)
        for name, value in self.headers.items():
            answer.headers[name] = value
        for cookie in self.cookies:
            answer.headers.append("set-cookie", cookie)
        return answer


class HalvedResponse(Response):
    """Sends the first bytes of a body, waits, and then sends the rest or breaks the connection."""

    def __init__(self, reply: Reply, *, first: int, seconds: float = 0, complete: bool) -> None:
        super().__init__(reply.body, reply.status, media_type=reply.media_type)
        self._first = first
        self._seconds = seconds
        self._complete = complete

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; ending before the announced length makes the server close the connection."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        content = bytes(self.body)
        await send({"type": "http.response.body", "body": content[: self._first], "more_body": True})
        await asyncio.sleep(self._seconds)
        if self._complete:
            await send({"type": "http.response.body", "body": content[self._first :], "more_body": False})


def html_page(status: int, title: str, text: str, **headers: str) -> Reply:
    """Build one of the HTML pages that the servers before the Gateway answer."""
    body = (
        f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p>"
        "<p>SAP NetWeaver Application Server</p></body></html>"
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, body.encode(), HTML, named)


def logon_failed() -> Reply:
    """Build the answer to a failed log-on: an HTML page with the Basic challenge."""
    challenge = 'Basic realm="SAP NetWeaver Application Server [S4H/100]"'
    return html_page(401, "Logon Error Message", "Logon failed", www_authenticate=challenge)


def logon_page() -> Reply:
    """Build the log-on form that some landscapes answer with status 200."""
    return html_page(200, "Logon", '<form name="loginForm" method="post">sap-user sap-password</form>')
