"""Material document events that SAP Event Mesh posts to the hub as CloudEvents 1.0; no network."""

from __future__ import annotations

import hmac
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from connectors.erp.sap.answers import SYSTEM
from hub.contracts import PushedEvent
from hub.errors import AuthFailed, RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_TYPE = "sap.s4.beh.materialdocument.v1.MaterialDocument.Created.v1"

_STRUCTURED = "application/cloudevents+json"
_JSON = "application/json"
_KEY = {"MaterialDocument": re.compile(r"[0-9A-Z]{1,10}"), "MaterialDocumentYear": re.compile(r"[0-9]{4}")}
_LONGEST_ID = 200


class MaterialDocumentReceiver:
    """Reads `MaterialDocument.Created` events, in either mode of CloudEvents (a `hub.contracts.PushReceiver`).

    The event is thin: it names the document and nothing else, so the document is read again from SAP.

    Args:
        source: name of the connection.
        secret: what `Authorization: Bearer …` must carry; without one nothing is let in, since each push costs the
            hub reads of SAP.
    """

    def __init__(self, source: str, secret: str | None = None) -> None:
        self.source = source
        self._secret = secret

    def receive(self, headers: Mapping[str, str], body: bytes) -> PushedEvent:
        """Verify and parse one event.

        Raises:
            AuthFailed: the secret is missing or wrong.
            RecordError: the body is no event of this kind.
        """
        given = {name.lower(): value for name, value in headers.items()}
        self._authenticate(given.get("authorization", ""))
        kind = given.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _STRUCTURED:
            event = _parse_object(body)
            data = event.get("data")
        elif kind == _JSON and "ce-specversion" in given:
            event = {name[3:]: unquote(value) for name, value in given.items() if name.startswith("ce-")}
            data = _parse_object(body)
        else:
            raise RecordError("the push is no CloudEvent in JSON", reason="unknown_format")
        return _read_event(event, data)

    def _authenticate(self, authorization: str) -> None:
        if self._secret is None:
            raise AuthFailed("pushes are refused until hook_secret is set", system=SYSTEM, operation="push")
        scheme, _, token = authorization.partition(" ")
        # bytes, since compare_digest takes no text beyond ASCII
        same = hmac.compare_digest(token.strip().encode(), self._secret.encode())
        if scheme.lower() != "bearer" or not same:
            raise AuthFailed("the push has no valid bearer token", system=SYSTEM, operation="push")


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RecordError("the body is not JSON", reason="bad_json") from error
    if not isinstance(value, dict):
        raise RecordError("the body is no JSON object", reason="bad_json")
    return value


def _read_event(event: Mapping[str, Any], data: object) -> PushedEvent:
    if event.get("specversion") != "1.0":
        raise RecordError("only CloudEvents 1.0 are known", reason="unknown_version", field="specversion")
    if event.get("type") != EVENT_TYPE:
        raise RecordError(f"only {EVENT_TYPE} is known", reason="unknown_event", field="type")
    event_id = event.get("id")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= _LONGEST_ID or not event_id.isprintable():
        raise RecordError("the event has no usable id", reason="missing_field", field="id")
    if not isinstance(data, dict):
        raise RecordError("the event has no data", reason="missing_field", field="data")
    payload: dict[str, str] = {}
    for name, form in _KEY.items():
        value = data.get(name)
        if not isinstance(value, str) or form.fullmatch(value) is None:
            raise RecordError(f"the event has no usable {name}", reason="missing_field", field=name)
        payload[name] = value
    return PushedEvent(event_id, EVENT_TYPE, payload)
