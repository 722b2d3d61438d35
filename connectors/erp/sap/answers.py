"""Reading what SAP Gateway answers: rows, single entities, `$metadata`, and errors told apart by their code."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from connectors.decoding import parse_json
from connectors.erp.sap.odata import Row, parse_count, parse_float
from hub.errors import AuthFailed, Locked, ProtocolViolation, Rejected, RemoteError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import requests

SYSTEM = "sap"
SERVICE_INACTIVE = "/IWFND/MED/170"
ACTIVATE_ADVICE = "activate the service in transaction /IWFND/MAINT_SERVICE and give it a system alias"

_BAD_REQUEST, _NOT_FOUND, _SERVER_ERROR = 400, 404, 500
_REFUSALS = {
    401: "user, password or token was refused; check them, the client, and whether the user is locked",
    403: "the user lacks a role for this service (S_SERVICE, or the service's own authorization objects)",
}
_XML_CODE = re.compile(r"<code>([^<]*)</code>")
_XML_MESSAGE = re.compile(r"<message[^>]*>([^<]*)</message>")
_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of one answer.

    Attributes:
        count: rows of the filter without paging (`__count`), None if the server did not say.
        next_link: the server's own address of the following page, None on the last.
    """

    rows: Sequence[Row]
    count: int | None = None
    next_link: str | None = None


def read_rows(response: requests.Response, operation: str) -> Answer:
    """Return the rows of `{"d": {"results": […]}}`.

    Raises:
        Unavailable: an HTML page, or JSON cut short.
        ProtocolViolation: something else than OData V2.
    """
    data = _read_d(response, operation)
    return parse_rows(data, operation)


def parse_rows(data: object, operation: str) -> Answer:
    """Return the rows of a collection as it stands under `d` or under an expanded navigation property."""
    holder: Mapping[str, Any] = data if isinstance(data, dict) else {"results": data}
    rows = holder.get("results")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProtocolViolation("the answer holds no list of rows", system=SYSTEM, operation=operation)
    link = holder.get("__next")
    return Answer(rows, parse_count(holder.get("__count")), link if isinstance(link, str) and link else None)


def read_entity(response: requests.Response, operation: str) -> Row:
    """Return the single entity of `{"d": {…}}`; raises as `read_rows`."""
    data = _read_d(response, operation)
    if not isinstance(data, dict) or "results" in data:
        raise ProtocolViolation("the answer holds no single entity", system=SYSTEM, operation=operation)
    return data


def read_metadata(response: requests.Response, operation: str) -> dict[str, frozenset[str]]:
    """Return the property names of each entity set in `$metadata` (EDMX), navigation properties included.

    Raises:
        Unavailable: an HTML page or a document cut short.
        ProtocolViolation: no EDMX, or a document with a DTD.
    """
    _refuse_html(response, operation)
    text = response.text
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ProtocolViolation("$metadata holds a DTD", system=SYSTEM, operation=operation)
    try:
        root = ET.fromstring(text)  # noqa: S314 - a document with a DTD was refused above, so no entity can expand
    except ET.ParseError as error:
        raise Unavailable(f"$metadata is not whole XML ({error})", system=SYSTEM, operation=operation) from error
    types = {
        element.get("Name", ""): frozenset(
            child.get("Name", "") for child in element if _tag(child) in {"Property", "NavigationProperty"}
        )
        for element in root.iter()
        if _tag(element) == "EntityType"
    }
    sets = {
        element.get("Name", ""): types.get(element.get("EntityType", "").rpartition(".")[2], frozenset())
        for element in root.iter()
        if _tag(element) == "EntitySet"
    }
    if not sets:
        raise ProtocolViolation("$metadata describes no entity set", system=SYSTEM, operation=operation)
    return sets


def raise_for_error(response: requests.Response, operation: str, lock_codes: Collection[str]) -> None:
    """Raise what an error answer means.

    SAP's code decides before the status: an inactive service is 403 like a missing role, a lock is 400 like a typing
    error. 429, 502, 503 and 504 never come here (`connectors.http`).

    Raises:
        Locked: one of `lock_codes` stands in the answer, at its top or among its details.
        AuthFailed: credentials (401) or a role (403).
        Unavailable: a fault of the server, or a page for people where data is due.
        Rejected: everything else.
    """
    status = response.status_code
    if status < _BAD_REQUEST:
        return
    codes, text, transaction = _read_error(response)
    code = codes[0] if codes else None
    kind, message = _classify(status, codes, text, lock_codes, html=_is_html(response))
    raise kind(
        message, system=SYSTEM, operation=operation, http_status=status, remote_code=code, request_id=transaction
    )


def _classify(
    status: int, codes: Sequence[str], text: str, lock_codes: Collection[str], *, html: bool
) -> tuple[type[RemoteError], str]:
    if SERVICE_INACTIVE in codes:
        return Rejected, f"{text or 'the service is not active'}; {ACTIVATE_ADVICE}"
    if any(code in lock_codes for code in codes):
        return Locked, text or "another user holds the record"
    if status in _REFUSALS:
        return AuthFailed, text or _REFUSALS[status]
    if status >= _SERVER_ERROR or (html and status != _NOT_FOUND):
        return Unavailable, text or "the server failed"
    return Rejected, text or "the request was refused; check base_url and whether this release has the service"


def _read_d(response: requests.Response, operation: str) -> object:
    _refuse_html(response, operation)
    try:
        # strictly: one damaged character makes another article of a row, and its own article would seem to be gone
        text = response.content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise Unavailable("the answer is damaged: it is not UTF-8", system=SYSTEM, operation=operation) from error
    try:
        body = parse_json(text, parse_float)
    except RecursionError as error:
        raise ProtocolViolation("the answer is nested too deeply", system=SYSTEM, operation=operation) from error
    except ValueError as error:
        # JSON that stops in the middle lost its tail on the way (a cut gzip stream decodes without complaint), and
        # may be whole next time
        ends = isinstance(error, json.JSONDecodeError) and error.pos >= len(text)
        if ends or (text.startswith(("{", "[")) and not text.endswith(("}", "]"))):
            raise Unavailable("the answer is cut short", system=SYSTEM, operation=operation) from error
        raise ProtocolViolation("the answer is not JSON", system=SYSTEM, operation=operation) from error
    if not isinstance(body, dict) or "d" not in body:
        raise ProtocolViolation('the answer holds no "d"', system=SYSTEM, operation=operation)
    return body["d"]


def _refuse_html(response: requests.Response, operation: str) -> None:
    if _is_html(response):
        raise Unavailable(
            "a web page came where data is due (log-in or maintenance page?)",
            system=SYSTEM,
            operation=operation,
            http_status=response.status_code,
        )


def _is_html(response: requests.Response) -> bool:
    # a server may call its JSON text/html; what it holds decides
    start = response.content[:200].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    named_html = "text/html" in response.headers.get("Content-Type", "") and start.startswith(b"<")
    return named_html or start.startswith((b"<!doctype html", b"<html"))


def _read_error(response: requests.Response) -> tuple[list[str], str, str | None]:
    """Return the codes (the main one first), the message and the transaction id of an error body, JSON or XML."""
    text = response.content.decode("utf-8", errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        codes = [found.strip() for found in _XML_CODE.findall(text)]
        message = _XML_MESSAGE.search(text)
        return codes, _shorten(message[1]) if message else "", None
    error = _dict(_dict(body).get("error"))
    inner = _dict(error.get("innererror"))
    details = inner.get("errordetails")
    details = details if isinstance(details, list) else []
    codes = [code for part in (error, *details) if isinstance(code := _dict(part).get("code"), str) and code]
    message_part = error.get("message")
    value = message_part.get("value") if isinstance(message_part, dict) else message_part
    transaction = inner.get("transactionid")
    return codes, _shorten(value), transaction if isinstance(transaction, str) else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shorten(value: object) -> str:
    return value.strip()[:_LONGEST_MESSAGE] if isinstance(value, str) else ""


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
