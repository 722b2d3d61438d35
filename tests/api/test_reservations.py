"""Reservations over HTTP: what callers send and get, and what they get when it is wrong."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from hub.access import create_key, load_roles
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    import psycopg

    from tests.api.conftest import Api
    from tests.api.seed import Seed

OIL = {"sku": "QH-OIL-500", "location": "ST-SH01", "quantity": "2"}
PATH = "/v1/reservations"


def post(api: Api, body: object, path: str = PATH, **headers: str) -> httpx.Response:
    sent = {"Idempotency-Key": uuid.uuid4().hex} | {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.post(path, json=body, headers=sent)


def reserve(api: Api, *lines: dict[str, str], **body: object) -> dict[str, Any]:
    answer = post(api, {"lines": list(lines or [OIL]), **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def available(api: Api, place: str = "ST-SH01") -> str:
    levels = api.body("/v1/stock/QH-OIL-500")["locations"]
    return str(next(level["available"] for level in levels if level["location"] == place))


def test_a_reservation_is_made_seen_and_released(api: Api) -> None:
    answer = post(api, {"cart_id": "cart-7", "lines": [OIL]})
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{PATH}/{made['id']}")
    assert answer.headers["cache-control"] == "no-store"
    assert (made["state"], made["cart_id"], made["channel"], made["lines"]) == ("active", "cart-7", "online", [OIL])
    assert available(api) == "10"
    assert api.body(f"{PATH}/{made['id']}") == made
    released = api.client.delete(f"{PATH}/{made['id']}").json()
    assert (released["state"], released["ended_at"] is None) == ("released", False)
    assert api.client.delete(f"{PATH}/{made['id']}").json() == released
    late = post(api, {"ttl_seconds": 60}, f"{PATH}/{made['id']}/extend")
    assert (late.status_code, late.json()["code"]) == (409, "reservation-released")
    assert available(api) == "12"


def test_fifteen_minutes_unless_the_caller_says_otherwise(api: Api) -> None:
    for body, seconds in (({}, 900), ({"ttl_seconds": 60}, 60)):
        expires = reserve(api, **body)["expires_at"]
        left = api.body("/openapi.json") and time.time()
        assert seconds - 2 < parse(expires) - left <= seconds + 1


def parse(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def test_what_lacks_is_named_line_by_line_and_nothing_is_taken(api: Api) -> None:
    answer = post(api, {"lines": [OIL, {"sku": "QH-OIL-500", "location": "ST-HZ01", "quantity": 1}]})
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    problem = answer.json()
    assert problem["code"] == "insufficient-stock"
    assert problem["lines"] == [
        {"sku": "QH-OIL-500", "location": "ST-HZ01", "requested": "1", "available": "0"},
    ]
    assert available(api) == "12"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/lines"),
        ({"lines": []}, "/lines"),
        ({"lines": [{**OIL, "quantity": "0"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": "-1"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": "NaN"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": "1e400"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": "0.0000001"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": "1_0"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": " 2 "}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "sku": "A\x00"}]}, "/lines/0/sku"),
        ({"lines": [OIL], "cart_id": "\x00"}, "/cart_id"),
        ({"lines": [OIL], "ttl_seconds": 0}, "/ttl_seconds"),
        ({"lines": [OIL], "ttl_seconds": 86_401}, "/ttl_seconds"),
        ({"lines": [OIL], "ttl_seconds": True}, "/ttl_seconds"),
        ({"lines": [OIL], "ttl_seconds": "60"}, "/ttl_seconds"),
        ({"lines": [OIL], "channel": "online"}, "/channel"),
        ({"lines": [OIL] * 101}, "/lines"),
    ],
)
def test_a_wrong_shape_is_pointed_at(api: Api, body: dict[str, object], pointer: str) -> None:
    answer = post(api, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert available(api) == "12"


def test_what_is_no_json_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    assert api.client.post(PATH, content=b"{", headers=headers).json()["code"] == "validation-failed"
    assert api.client.post(PATH, content=b"x=1", headers={**headers, "Content-Type": "text/plain"}).status_code == 415
    huge = b'{"lines": "' + b"x" * 1_100_000 + b'"}'
    assert api.client.post(PATH, content=huge, headers=headers).json()["code"] == "payload-too-large"


def test_what_is_unknown_is_named(api: Api) -> None:
    answer = post(api, {"lines": [OIL, {**OIL, "sku": "NOPE"}, {**OIL, "location": "NOWHERE"}]})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-line")
    assert [(line["sku"], line["unknown_location"]) for line in answer.json()["lines"]] == [
        ("NOPE", False),
        ("QH-OIL-500", True),
    ]


def test_the_same_key_counts_once(api: Api) -> None:
    first, second = (post(api, {"lines": [OIL]}, Idempotency_Key="k-1") for _ in range(2))
    assert first.json() == second.json()
    assert ("idempotent-replayed" in first.headers, second.headers["idempotent-replayed"]) == (False, "true")
    assert available(api) == "10"
    other = post(api, {"lines": [{**OIL, "quantity": "3"}]}, Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")


def test_a_refusal_is_replayed_like_a_success(api: Api, seed: Seed) -> None:
    body = {"lines": [{**OIL, "quantity": "13"}]}
    first = post(api, body, Idempotency_Key="k-2")
    seed.level("QH-OIL-500", "ST-SH01", 50)
    second = post(api, body, Idempotency_Key="k-2")
    assert first.json() | {"trace_id": ""} == second.json() | {"trace_id": ""}
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "with\ttab"])
def test_a_key_must_be_there_and_be_one(api: Api, key: str) -> None:
    answer = post(api, {"lines": [OIL]}, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["code"]) == (
        400,
        "bad-request" if key else "idempotency-key-missing",
    )


def test_what_has_expired_is_free_and_stays_so(api: Api) -> None:
    made = reserve(api, ttl_seconds=1)
    time.sleep(max(parse(made["expires_at"]) - time.time(), 0) + 0.01)
    assert available(api) == "12"
    assert api.body(f"{PATH}/{made['id']}")["state"] == "expired"
    late = post(api, {"ttl_seconds": 60}, f"{PATH}/{made['id']}/extend")
    assert (late.status_code, late.json()["code"]) == (409, "reservation-expired")


def test_a_reservation_may_last_longer(api: Api) -> None:
    made = reserve(api, ttl_seconds=60)
    longer = post(api, {"ttl_seconds": 600}, f"{PATH}/{made['id']}/extend").json()
    assert 530 < parse(longer["expires_at"]) - parse(made["expires_at"]) < 545


def test_a_channel_sees_its_own_reservations_alone(api: Api, connection: psycopg.Connection) -> None:
    made = reserve(api)
    roles = load_roles(PROJECT_ROOT / "config" / "roles.yaml")
    other = create_key(connection, "store", "clerk", roles, channel="store")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/extend")):
        answer = api.client.request(
            method,
            f"{PATH}/{made['id']}{path}",
            json={"ttl_seconds": 9},
            headers={"Authorization": f"Bearer {other}", "Idempotency-Key": "k"},
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "reservation-not-found"), path
    assert api.get(f"{PATH}/{uuid.uuid4()}").status_code == 404
    assert api.get(f"{PATH}/nonsense").status_code == 422


def test_a_key_without_the_scope_may_not_reserve(api: Api, make_key: Callable[[str], str]) -> None:
    answer = post(api, {"lines": [OIL]}, Authorization=f"Bearer {make_key('ops')}")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing-scope")


def commit(api: Api, made: dict[str, Any], **body: object) -> httpx.Response:
    return post(api, {"order_no": "SO-1", **body}, f"{PATH}/{made['id']}/commit")


def test_an_order_is_made_of_a_reservation_once(api: Api) -> None:
    made = reserve(api)
    first, again = commit(api, made), commit(api, made)
    assert (first.status_code, first.json()["state"], first.json()["order_no"]) == (200, "committed", "SO-1")
    assert again.json() == first.json()
    other = commit(api, made, order_no="SO-2")
    assert (other.status_code, other.json()["code"]) == (409, "reservation-committed")
    gone = api.client.delete(f"{PATH}/{made['id']}")
    assert (gone.status_code, gone.json()["code"]) == (409, "reservation-committed")
    late = post(api, {"ttl_seconds": 60}, f"{PATH}/{made['id']}/extend")
    assert late.json()["code"] == "reservation-committed"
    level = next(place for place in api.body("/v1/stock/QH-OIL-500")["locations"] if place["location"] == "ST-SH01")
    assert (level["on_hand"], level["available"]) == ("12", "10")


def test_an_order_number_is_used_once(api: Api) -> None:
    commit(api, reserve(api))
    refused = commit(api, reserve(api))
    assert (refused.status_code, refused.json()["code"]) == (409, "order-number-used")
    assert available(api) == "8"


def test_a_late_payment_reserves_again_or_is_refused(api: Api) -> None:
    made = reserve(api, ttl_seconds=1)
    time.sleep(2.1)
    refused = commit(api, made, if_expired="refuse")
    assert (refused.status_code, refused.json()["code"]) == (409, "reservation-expired")
    taken = reserve(api, {**OIL, "quantity": "11"})
    lacks = commit(api, made)
    assert (lacks.status_code, lacks.json()["code"]) == (409, "insufficient-stock")
    assert lacks.json()["lines"] == [
        {"sku": "QH-OIL-500", "location": "ST-SH01", "requested": "2", "available": "1"},
    ]
    api.client.delete(f"{PATH}/{taken['id']}")
    assert commit(api, made).json()["state"] == "committed"


@pytest.mark.parametrize(
    ("path", "body"), [("extend", {"ttl_seconds": True}), ("commit", {"order_no": " "}), ("commit", {"order_no": 7})]
)
def test_a_change_of_a_wrong_shape_changes_nothing(api: Api, path: str, body: dict[str, object]) -> None:
    made = post(api, {"lines": [OIL]}).json()
    refused = post(api, body, f"{PATH}/{made['id']}/{path}")
    assert (refused.status_code, refused.json()["code"]) == (422, "validation-failed")
    assert api.body(f"{PATH}/{made['id']}") == made


def test_a_reservation_moves_to_another_place(api: Api) -> None:
    made = reserve(api)
    there = next(
        place["location"]
        for place in api.body("/v1/stock/QH-OIL-500")["locations"]
        if place["location"] != "ST-SH01" and place["sellable_online"] and float(place["available"]) >= 2
    )
    moved = post(api, {"location": there}, f"{PATH}/{made['id']}/transfer")
    assert (moved.status_code, moved.json()["lines"]) == (200, [{**OIL, "location": there}])
    assert moved.json()["expires_at"] == made["expires_at"]
    assert available(api) == "12"
    for place, code in (("nowhere", "unknown-line"), ("", "validation-failed")):
        refused = post(api, {"location": place}, f"{PATH}/{made['id']}/transfer")
        assert refused.json()["code"] == code


def test_only_the_own_channel_commits_and_moves(api: Api) -> None:
    for path, body in (("commit", {"order_no": "X"}), ("transfer", {"location": "ST-SH01"})):
        nobodys = post(api, body, f"{PATH}/{uuid.uuid4()}/{path}")
        assert (nobodys.status_code, nobodys.json()["code"]) == (404, "reservation-not-found")
