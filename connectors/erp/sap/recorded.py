"""What may be shown of an exchange with SAP: the services' own names, and nothing of the system's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from connectors.recording.redaction import Vocabulary
from connectors.recording.rules import RecordingRules
from connectors.spelling import read_spelled

if TYPE_CHECKING:
    from connectors.erp.sap.mapper import SapMapper
    from connectors.erp.sap.settings import SapSettings
    from connectors.http import Exchange
    from connectors.recording.redaction import Redactor

_ROOT = "/sap/opu/odata/sap/"
_HOST = "https://sap.invalid"
# Names of fields and sets, digits, and words that the connector itself wrote.
_OWN_OPTIONS = frozenset({"$orderby", "$select", "$expand", "$top", "$skip", "$inlinecount", "$format", "sap-language"})
_NAMED_OPTIONS = frozenset({"$filter", "$skiptoken", "sap-client"})
# The factor of a barcode is worked out from two small whole numbers: others would be no factor any more.
_PLAIN = ("__count", "QuantityNumerator", "QuantityDenominator", "Language")
_RELATIVE = re.compile(r"A_[A-Za-z]+")
_KEPT_SETTINGS = (
    "language",
    "fallback_language",
    "page_rows",
    "product_page_rows",
    "document_page_rows",
    "overlap_seconds",
    "filter_length",
)
_ERROR_CODE = re.compile(r"[A-Z0-9/_]{1,20}")
_NOT_FILLED = ("0", "0000")
_WORDS = {
    "InventorySpecialStockType": "BEKMOPQTVWY",
    "DebitCreditCode": "HS",
    "ReversedMaterialDocumentYear": _NOT_FILLED,
    "ReversedMaterialDocumentItem": _NOT_FILLED,
}
_KEPT_TAGS = frozenset(
    {"Edmx", "DataServices", "Schema", "EntityType", "Key", "PropertyRef", "Property", "NavigationProperty"}
    | {"EntityContainer", "EntitySet"}
)
_KEPT_ATTRIBUTES = frozenset({"Name", "Type", "EntityType", "Namespace", "Version", "MaxLength", "Precision", "Scale"})


def make_rules(mapper: SapMapper, settings: SapSettings) -> RecordingRules:
    """Return how exchanges are recorded: what the mapping files list may stay, and codes that are SAP's own."""
    mappings = (mapper.stock, mapper.article, mapper.barcode, mapper.movement)
    vocabulary = Vocabulary.of(mappings, words=_WORDS, plain=_PLAIN)
    return RecordingRules(vocabulary, redact_exchange, settings, _KEPT_SETTINGS, ("client",))


def redact_exchange(exchange: Exchange, redactor: Redactor) -> dict[str, Any] | None:
    """Return request and response without anything of the system's own; None for all that is no OData call."""
    url = str(exchange.request.url)
    if _ROOT not in urlsplit(url).path:
        return None
    path, query = _redact_address(url, redactor)
    shown = {"status": exchange.response.status_code, "headers": redactor.headers(exchange.response)}
    body = _redact_body(exchange.response.content, redactor)
    return {"request": {"method": exchange.request.method, "path": path, "query": query}, "response": {**shown, **body}}


def redact_address(url: str, redactor: Redactor) -> str:
    """Return an address at a host of nobody's, with the values in it replaced."""
    path, query = _redact_address(url, redactor)
    return f"{_HOST}{_ROOT}{path}" + (
        "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""
    )


def _redact_address(url: str, redactor: Redactor) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    _, found, inside = parts.path.partition(_ROOT)
    own = redactor.condition(unquote(inside)) if found else redactor.text(parts.path)
    path = parts.path if _RELATIVE.fullmatch(parts.path) else own
    query = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _OWN_OPTIONS:
            query[name] = value
        else:
            shown = name if name in _NAMED_OPTIONS else redactor.text(name)
            query[shown] = redactor.condition(value) if name == "$filter" else redactor.text(value)
    return path, query


def _redact_body(content: bytes, redactor: Redactor) -> dict[str, Any]:
    text = content.decode("utf-8-sig", errors="replace").strip()
    try:
        return {"body": _redact_json(read_spelled(text), redactor)}
    except ValueError:
        pass
    if "<!DOCTYPE" not in text and text.startswith("<"):
        try:
            return {"text": _redact_description(text)}
        except ET.ParseError:
            pass
    return {"text": "<html></html>" if text.startswith("<") else ""}


def _redact_json(value: Any, redactor: Redactor, name: str = "") -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_redact_json(below, redactor, name) for below in value]
    if not isinstance(value, dict):
        return redactor.value(name, value)
    shown = {}
    for key, below in value.items():
        is_link = isinstance(below, str) and (key == "__next" or (key == "uri" and name == "__deferred"))
        is_code = key == "code" and name in {"error", "errordetails"} and _ERROR_CODE.fullmatch(str(below))
        if is_link:
            shown[key] = redact_address(below, redactor)
        elif is_code:
            shown[key] = below
        elif key != "__metadata":
            # The addresses in it repeat the keys and take half of an answer's room; the connector does not read it.
            shown[redactor.key(key)] = _redact_json(below, redactor, key)
    return shown


def _redact_description(text: str) -> str:
    """Return the skeleton of `$metadata`: names and types, without texts, labels and annotations.

    Raises:
        ParseError: no XML.
    """
    root = ET.fromstring(text)  # noqa: S314 - a document with a DTD never comes here, so no entity can expand
    return ET.tostring(_skeleton(root), encoding="unicode")


def _skeleton(element: ET.Element) -> ET.Element:
    attributes = {name: value for name, value in element.attrib.items() if name in _KEPT_ATTRIBUTES}
    kept = ET.Element(element.tag, attributes)
    kept.extend(_skeleton(child) for child in element if child.tag.rpartition("}")[2] in _KEPT_TAGS)
    return kept
