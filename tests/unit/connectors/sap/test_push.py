"""Events that SAP Event Mesh posts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.erp.sap.push import EVENT_TYPE, MaterialDocumentReceiver
from hub.errors import AuthFailed, RecordError

DATA = {"MaterialDocument": "4900000001", "MaterialDocumentYear": "2026"}
SECRET = "push-secret"
RECEIVER = MaterialDocumentReceiver("sap-cn", SECRET)
BEARER = {"Authorization": f"Bearer {SECRET}"}
STRUCTURED = {**BEARER, "Content-Type": "application/cloudevents+json; charset=UTF-8"}
BINARY = {
    **BEARER,
    "Content-Type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "a%20b",
    "ce-type": EVENT_TYPE,
    "ce-source": "/default/sap.s4.beh/S4",
}


def event(**changes: Any) -> bytes:
    whole = {"specversion": "1.0", "id": "e-1", "type": EVENT_TYPE, "source": "/default/sap.s4.beh/S4", "data": DATA}
    return json.dumps({**whole, **changes}).encode()


def test_structured_mode() -> None:
    pushed = RECEIVER.receive(STRUCTURED, event())
    assert (pushed.event_id, pushed.kind, pushed.payload) == ("e-1", EVENT_TYPE, DATA)


def test_binary_mode() -> None:
    pushed = RECEIVER.receive(BINARY, json.dumps(DATA).encode())
    assert (pushed.event_id, pushed.payload) == ("a b", DATA)


def test_more_data_than_the_key_is_left_aside() -> None:
    body = event(data={**DATA, "Other": "x"})
    assert RECEIVER.receive(STRUCTURED, body).payload == DATA


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (BEARER, event()),
        ({**BEARER, "Content-Type": "application/json"}, event()),
        ({**BEARER, "Content-Type": "application/cloudevents-batch+json"}, b"[]"),
        (STRUCTURED, b"{"),
        (STRUCTURED, b"[]"),
        (STRUCTURED, b"\xff"),
        (STRUCTURED, b"[" * 100_000),
        (STRUCTURED, event(specversion="0.3")),
        (STRUCTURED, event(type="sap.s4.beh.businesspartner.v1.BusinessPartner.Created.v1")),
        (STRUCTURED, event(id="")),
        (STRUCTURED, event(id=7)),
        (STRUCTURED, event(id="x" * 300)),
        (STRUCTURED, event(data=None)),
        (STRUCTURED, event(data={"MaterialDocument": "49"})),
        (STRUCTURED, event(data={**DATA, "MaterialDocument": "49')/x"})),
        (STRUCTURED, event(data={**DATA, "MaterialDocumentYear": 2026})),
        (BINARY, b"[]"),
    ],
)
def test_anything_else_is_no_event(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(RecordError):
        RECEIVER.receive(headers, body)


def test_secret_is_asked_for() -> None:
    receiver = MaterialDocumentReceiver("sap-cn", "geheim")
    assert receiver.receive({**STRUCTURED, "authorization": "bearer geheim"}, event()).event_id == "e-1"


@pytest.mark.parametrize("given", [None, "", "geheim", "Basic geheim", "Bearer", "Bearer gehei", "Bearer 密"])
def test_wrong_secret(given: str | None) -> None:
    headers = STRUCTURED if given is None else {**STRUCTURED, "Authorization": given}
    with pytest.raises(AuthFailed) as caught:
        MaterialDocumentReceiver("sap-cn", "geheim").receive(headers, event())
    assert "gehei" not in str(caught.value)


def test_without_a_secret_nothing_is_let_in() -> None:
    with pytest.raises(AuthFailed, match="hook_secret"):
        MaterialDocumentReceiver("sap-cn").receive(STRUCTURED, event())
