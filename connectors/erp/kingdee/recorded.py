"""What may be shown of an exchange with Kingdee: the names of forms and fields, and nothing of the tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.recording.redaction import Vocabulary
from connectors.recording.rules import RecordingRules
from connectors.spelling import read_spelled

if TYPE_CHECKING:
    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.settings import KingdeeSettings
    from connectors.http import Exchange
    from connectors.recording.redaction import Redactor

_SERVICES = "Kingdee.BOS.WebApi.ServicesStub.DynamicFormService."
_OWN_PARTS = frozenset({"FormId", "FieldKeys", "OrderString", "TopRowCount", "StartRow", "Limit", "SubSystemId"})
_NAMING_KEYS = frozenset({"Key", "FieldName", "PropertyName", "PkFieldName", "EntryPkFieldName", "MasterPkFieldName"})
_PLAIN = ("MsgCode", "ErrorCode", "IsSuccess", "IsSuccessByAPI", "DIndex", *_NAMING_KEYS)
_KEPT_SETTINGS = (
    "auth",
    "lcid",
    "query_service",
    "page_rows",
    "overlap_seconds",
    "time_zone",
    "movement_forms",
    "barcode_form",
)
_RENAMED_SETTINGS = ("org_number", "owner_numbers", "stock_org_numbers")
_TEXT_ERROR = "response_error:"


def make_rules(mapper: KingdeeMapper, settings: KingdeeSettings) -> RecordingRules:
    """Return how exchanges are recorded: what the mapping files list may stay, and codes that are Kingdee's own."""
    words = {"FDocumentStatus": "ZABCD", "FForbidStatus": "AB"}
    vocabulary = Vocabulary.of(mapper.mappings, words=words, plain=_PLAIN)
    return RecordingRules(vocabulary, redact_exchange, settings, _KEPT_SETTINGS, _RENAMED_SETTINGS)


def redact_exchange(exchange: Exchange, redactor: Redactor) -> dict[str, Any] | None:
    """Return request and response without anything of the tenant's own; None for all that is no question for data."""
    _, found, service = str(exchange.request.url).partition(_SERVICES)
    if not found:
        return None
    content = exchange.request.body or b"{}"
    asked = read_spelled(content.decode() if isinstance(content, bytes) else content)["data"]
    question = {name: value if name in _OWN_PARTS else redactor.condition(str(value)) for name, value in asked.items()}
    shown = {"status": exchange.response.status_code, "headers": redactor.headers(exchange.response)}
    fields = str(asked.get("FieldKeys", "")).split(",")
    body = _redact_body(exchange.response.content, fields, redactor, describes=service.startswith("QueryBusinessInfo"))
    request = {"method": exchange.request.method, "path": _SERVICES + service, "body": {"data": question}}
    return {"request": request, "response": {**shown, **body}}


def _redact_body(content: bytes, fields: list[str], redactor: Redactor, *, describes: bool) -> dict[str, Any]:
    text = content.decode("utf-8-sig", errors="replace").strip()
    try:
        value = read_spelled(text)
        inside = isinstance(value, str)
        value = read_spelled(value) if inside else value
    except ValueError:
        start = next((start for start in (_TEXT_ERROR, "<") if text.startswith(start)), "")
        return {"text": f"{start} {redactor.text(text.removeprefix(start))}" if start == _TEXT_ERROR else start}
    shown = _describe(value, redactor) if describes else _redact_rows(value, fields, redactor)
    return {"inside": shown} if inside else {"body": shown}


def _redact_rows(value: Any, fields: list[str], redactor: Redactor) -> Any:  # noqa: ANN401 - any JSON
    """Replace the values of rows by name, or by position where they have no names."""
    if isinstance(value, list) and value and all(isinstance(row, list) and len(row) == len(fields) for row in value):
        return [[redactor.value(name, cell) for name, cell in zip(fields, row, strict=True)] for row in value]
    return redactor.value("", value)


def _describe(value: Any, redactor: Redactor) -> Any:  # noqa: ANN401 - any JSON
    """Return the skeleton of a form's description: what names fields and entries, without captions and the rest."""
    if isinstance(value, list):
        return [found for below in value if (found := _describe(below, redactor)) not in ({}, [])]
    if not isinstance(value, dict):
        return {}
    named = {key: redactor.value(key, word) for key, word in value.items() if key in _NAMING_KEYS}
    below = {
        redactor.key(key): _describe(part, redactor) for key, part in value.items() if isinstance(part, (dict, list))
    }
    if "IsSuccess" in value:
        named["IsSuccess"] = value["IsSuccess"]
    return {**named, **{key: part for key, part in below.items() if part}}
