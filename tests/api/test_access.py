"""Keys, roles and scopes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from hub.access import create_key, load_roles, revoke_key, split_key
from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.api.conftest import Api

OIL = "/v1/stock/QH-OIL-500"


def test_both_headers_carry_a_key(api: Api, make_key: Callable[[str], str]) -> None:
    key = make_key("storefront")
    del api.client.headers["Authorization"]
    assert api.get(OIL).status_code == 401
    assert api.get(OIL, X_API_Key=key).status_code == 200
    assert api.get(OIL, Authorization=f"bearer {key}").status_code == 200


@pytest.mark.parametrize("key", ["osk_x_y", "osk_", "Bearer", "osk_a_b_c", "osk_" + "a" * 500, "é", "osk_%00_b"])
def test_wrong_keys_are_challenged(api: Api, key: str) -> None:
    answer = api.client.get(OIL, headers={b"Authorization": f"Bearer {key}".encode()})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_wrong_secret_of_a_known_key_is_refused(api: Api, make_key: Callable[[str], str]) -> None:
    key_id = (split_key(make_key("it")) or ("", ""))[0]
    assert api.get(OIL, Authorization=f"Bearer osk_{key_id}_{'0' * 64}").status_code == 401


def test_a_role_without_the_scope_is_refused(api: Api, connection: psycopg.Connection) -> None:
    key = create_key(connection, "narrow", "narrow", {"narrow": frozenset({"locations:read"})})
    answer = api.get(OIL, Authorization=f"Bearer {key}")
    # the app's own roles file knows no such role, so the key may do nothing
    assert (answer.status_code, answer.json()["code"]) == (403, "missing-scope")
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    assert (
        api.client.post(
            "/v1/stock/lookup", json={"skus": ["A"]}, headers={"Authorization": f"Bearer {key}"}
        ).status_code
        == 403
    )


def test_revoked_keys_end_within_the_cache_time(
    api: Api, connection: psycopg.Connection, make_key: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key("storefront")
    assert api.get(OIL, X_API_Key=key, Authorization="").status_code == 200
    key_id = (split_key(key) or ("", ""))[0]
    assert revoke_key(connection, key_id)
    assert not revoke_key(connection, key_id)
    later = time.monotonic() + 2.1
    monkeypatch.setattr("hub.access.time.monotonic", lambda: later)
    assert api.get(OIL, X_API_Key=key, Authorization="").status_code == 401


def test_only_the_digest_is_kept(connection: psycopg.Connection, make_key: Callable[[str], str]) -> None:
    key = make_key("ops")
    secret = key.rpartition("_")[2]
    rows = connection.execute("SELECT id, name, role, encode(secret_sha256, 'hex') FROM api_key").fetchall()
    assert secret not in str(rows)
    assert len(secret) == 64  # 256 bits


def test_figures_are_for_this_machine_and_for_ops(api: Api, make_key: Callable[[str], str]) -> None:
    text = api.get("/metrics").text
    assert 'oneshelf_stock_feed_age_seconds{source="kingdee"}' in text
    assert api.get("/metrics", X_Forwarded_For="10.0.0.1").status_code == 403
    key = make_key("ops")
    assert api.get("/metrics", X_Forwarded_For="10.0.0.1", Authorization=f"Bearer {key}").status_code == 200


def test_create_key_refuses_an_unknown_role(connection: psycopg.Connection) -> None:
    with pytest.raises(ConfigError, match="no role boss; there is clerk"):
        create_key(connection, "x", "boss", {"clerk": frozenset()})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("roles:\n  a: [stock:red]\n", 2, "unknown scope stock:red (did you mean stock:read?)"),
        ("roles:\n  a: stock:read\n", 2, "must be a list of scopes"),
        ("roles:\n  a: [stock:read]\n  a: []\n", 3, "duplicate key 'a'"),
        ("role: {}\n", 1, "one mapping named `roles`"),
        ("roles: {}\n", 1, "one mapping named `roles`"),
        ("roles: [\n", None, "not valid YAML"),
    ],
)
def test_a_wrong_roles_file_is_explained(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    file = tmp_path / "roles.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_roles(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    if line:
        assert caught.value.line == line


def test_a_missing_roles_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        load_roles(tmp_path / "roles.yaml")
