"""What is logged carries no secret and no personal data."""

from __future__ import annotations

import json
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from hub.telemetry import MASK, configure_logging, redact

SECRET = "hunter2-Æ"
SENSITIVE = st.sampled_from(
    [
        *("password", "PASSWORD", "db_passwd", "pass", "secpwd", "passwords", "password_old"),
        *("app_secret", "clientSecret", "access_token", "X-CSRF-Token", "Authorization", "authorisation"),
        *("X-Api-Signature", "Set-Cookie", "api_key", "apikey", "API-Key", "appsec", "credentials"),
        *("mobile", "receiver_phone", "email", "idCard", "id_card", "address", "recipient", "realName"),
    ]
)
HARMLESS = st.sampled_from(["sku", "source", "detail", "path", "rows", "数量", "event", ""])
MOBILES = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.decimals(allow_nan=False), st.sampled_from(["", "库存", "A-1"])
)


def _nest(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(children, max_size=3)
    return st.one_of(
        lists,
        lists.map(tuple),
        st.dictionaries(HARMLESS, children, max_size=3),
        st.dictionaries(HARMLESS, children, max_size=3).map(MappingProxyType),
        st.dictionaries(SENSITIVE, st.recursive(st.just(SECRET), st.lists, max_leaves=3), max_size=2),
    )


NESTED = st.recursive(st.one_of(PLAIN, st.just(f"https://hub:{SECRET}@erp.example.com/x")), _nest, max_leaves=12)


@given(NESTED)
def test_no_secret_survives_however_deep_it_stands(value: Any) -> None:
    assert SECRET not in str(redact({"value": value}))


@given(SENSITIVE, st.one_of(st.just(SECRET), st.integers(), st.lists(st.just(SECRET), min_size=1)))
def test_a_field_is_judged_by_its_name(name: str, value: Any) -> None:
    assert redact({name: value}) == {name: MASK}
    assert redact({name: None}) == {name: None}


@given(MOBILES, st.sampled_from(["", "+86", "86", "+86 ", "0086", "tel:", "电话"]), st.sampled_from(["", " ", "-"]))
def test_no_mobile_number_survives_in_any_text(mobile: str, before: str, gap: str) -> None:
    written = gap.join((mobile[:3], mobile[3:7], mobile[7:]))
    shown = redact({"detail": [f"{before}{written} 已下单"]})["detail"][0]
    assert mobile not in shown.replace(gap, "") if gap else mobile not in shown
    assert MASK in shown


@given(st.from_regex(r"[0-9]{12,20}", fullmatch=True).filter(lambda digits: not digits.startswith(("86", "0086"))))
def test_longer_numbers_are_codes_and_stay(digits: str) -> None:
    assert redact(digits) == digits


@given(PLAIN)
def test_numbers_and_nothing_are_untouched(value: Any) -> None:
    shown = redact({"value": value, "list": [value]})
    assert shown == {"value": value, "list": [value]}
    assert type(shown["value"]) is type(value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://hub:geheim@db:5432/x", f"postgresql://{MASK}@db:5432/x"),
        ("postgresql://hub:ge@heim@db/x", f"postgresql://{MASK}@db/x"),
        ("redis://:geheim@cache", f"redis://{MASK}@cache"),
        ("https://ghp_geheim@github.com/a", f"https://{MASK}@github.com/a"),
        ("see http://a/b@c and http://u:p@d", f"see http://a/b@c and http://{MASK}@d"),
        ("http://127.0.0.1:8101/x?y=1", "http://127.0.0.1:8101/x?y=1"),
    ],
)
def test_credentials_in_urls_are_masked(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_the_value_given_is_not_changed() -> None:
    given_value = {"a": [{"password": SECRET}], "n": Decimal("1.50")}
    redact(given_value)
    assert given_value == {"a": [{"password": SECRET}], "n": Decimal("1.50")}


def test_a_process_logs_json_lines_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="INFO")
    log = structlog.get_logger().bind(source="sap", access_token=SECRET)
    log.debug("hidden")
    log.info(
        "remote_call", headers={"Authorization": SECRET}, quantity=Decimal("1.5"), 门店="上海", mobile="13812345678"
    )
    try:
        int(f"postgresql://hub:{SECRET}@db")
    except ValueError:
        log.exception("failed")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = (json.loads(line) for line in err.splitlines())
    assert first["event"] == "remote_call"
    assert first["level"] == "info"
    assert first["timestamp"].endswith("Z")
    assert (first["headers"], first["access_token"], first["mobile"]) == ({"Authorization": MASK}, MASK, MASK)
    assert first["门店"] == "上海"
    assert "ValueError" in second["exception"]
    assert SECRET not in err
    assert "13812345678" not in err


def test_people_may_have_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="warning", as_json=False)
    structlog.get_logger().info("not shown")
    structlog.get_logger().warning("shown", password=SECRET)
    err = capsys.readouterr().err
    assert "shown" in err
    assert "not shown" not in err
    assert SECRET not in err
