"""Pushes: stored once, acknowledged after the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.sync.inbox import CHANNEL
from tests.api.receiver import SECRET

if TYPE_CHECKING:
    import httpx
    import psycopg

    from tests.api.conftest import Api


def push(api: Api, body: object, path: str = "/hooks/sap/main", secret: str = SECRET) -> httpx.Response:
    return api.client.post(path, json=body, headers={"X-Secret": secret, "Authorization": ""})


def test_the_same_event_is_stored_once_and_answered_alike(api: Api, connection: psycopg.Connection) -> None:
    connection.execute(f"LISTEN {CHANNEL}")
    answers = [push(api, {"id": "e-1", "数": 1}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    rows = connection.execute("SELECT source, event_id, kind, payload, state FROM inbox").fetchall()
    assert rows == [("main", "e-1", "stub.changed", {"id": "e-1", "数": 1}, "pending")]
    assert len(list(connection.notifies(timeout=1, stop_after=1))) == 1


def test_unknown_connections_are_not_found(api: Api) -> None:
    for path in ("/hooks/sap/other", "/hooks/kingdee/main"):
        answer = push(api, {"id": "e-1"}, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "connection-not-found")


def test_strangers_are_refused(api: Api, connection: psycopg.Connection) -> None:
    answer = push(api, {"id": "e-1"}, secret="guess")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "www-authenticate" in answer.headers
    assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (0,)


@pytest.mark.parametrize("body", [{"no": "id"}, {"id": "e\x00"}, {"id": "e-2", "text": "\x00"}])
def test_what_is_no_event_is_rejected_and_not_stored(
    api: Api, connection: psycopg.Connection, body: dict[str, str]
) -> None:
    answer = push(api, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "event-rejected")
    assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (0,)
