"""Channels for alerts: what each sends, and what it makes of each answer."""

from __future__ import annotations

import base64
import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests
import responses
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from connectors.notify.robots import create, dingtalk, plain, wecom
from connectors.notify.robots.markdown import cut, text_of
from connectors.registry import create_channel
from hub.contracts import AlertChannel
from hub.errors import AuthFailed, ConfigError, ProtocolViolation, RateLimited, Rejected, RemoteError, Unavailable
from hub.settings import ChannelSettings
from tests.alerts import make_alert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.contracts import Alert

TOKEN = "5f3dGEHEIMtoken"
DINGTALK = f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN}"
WECOM = f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={TOKEN}"
INBOX = f"https://hooks.example.com/{TOKEN}/x?v=1"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADDRESSES = {"dingtalk": DINGTALK, "wecom": WECOM, "json": INBOX}


@pytest.fixture
def vendor() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield mocked


def channel(kind: Any, **more: Any) -> AlertChannel:
    return create("ops", ChannelSettings(kind=kind, **{"url": ADDRESSES[kind], **more}))


def sent(vendor: responses.RequestsMock) -> requests.PreparedRequest:
    request: requests.PreparedRequest = vendor.calls[-1].request
    return request


def body_of(vendor: responses.RequestsMock) -> Any:
    return json.loads(sent(vendor).body or b"")


# --- DingTalk


def test_the_signature_is_dingtalks() -> None:
    """Expected value made with `openssl dgst -sha256 -hmac`; the secret is that of DingTalk's own sample code."""
    assert dingtalk.sign("this is secret", 1577262236757) == {
        "timestamp": "1577262236757",
        "sign": "hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM=",
    }


def test_dingtalk_gets_markdown_with_time_and_signature_in_the_address(
    vendor: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1577262236757_123_456)
    vendor.post("https://oapi.dingtalk.com/robot/send", json={"errcode": 0, "errmsg": "ok"})
    channel("dingtalk", secret="this is secret").send(make_alert())
    assert sent(vendor).url == (
        f"{DINGTALK}&timestamp=1577262236757&sign=hmPWwU%2B7lVdm3ZZz0r9tSfx0L4Q26jWOZr9%2BGs6EZQM%3D"
    )
    assert sent(vendor).headers["Content-Type"] == "application/json; charset=utf-8"
    assert body_of(vendor) == {
        "msgtype": "markdown",
        "markdown": {
            "title": "Oneshelf 告警·严重·库存数据过期：kingdee",
            "text": "### Oneshelf 告警·严重·库存数据过期：kingdee\n\n"
            "kingdee 的库存数据已过期，最近一次成功读取：2026-11-11 10:00。\n\n"
            "**→** 请在运维页查看 kingdee 的错误。\n\n"
            "[hub.example.com/staff/ops](https://hub.example.com/staff/ops)\n\n"
            "> 开始于 2026-11-11 10:01 (Asia/Shanghai)",
        },
    }


def test_a_robot_without_a_secret_is_not_signed_and_one_with_a_keyword_gets_it(vendor: responses.RequestsMock) -> None:
    vendor.post("https://oapi.dingtalk.com/robot/send", json={"errcode": 0})
    channel("dingtalk", keyword="监控报警").send(make_alert())
    assert sent(vendor).url == DINGTALK
    assert body_of(vendor)["markdown"]["title"].endswith(" 监控报警")
    channel("dingtalk", keyword="告警").send(make_alert())
    assert body_of(vendor)["markdown"]["title"].count("告警") == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"errcode": 310000, "errmsg": "keywords not in content"}, AuthFailed),
        ({"errcode": 310000, "errmsg": "sign not match, more: [https://ding-doc.dingtalk.com]"}, AuthFailed),
        ({"errcode": 300005, "errmsg": "token is not exist"}, AuthFailed),
        ({"errcode": 300001, "errmsg": "token is not exist"}, AuthFailed),
        ({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}, RateLimited),
        ({"errcode": 410100, "errmsg": "发送速度太快而限流"}, RateLimited),
        ({"status": 1111, "wait": 5, "source": "x5", "punish": "deny", "uuid": "0"}, RateLimited),
        ({"errcode": -1, "errmsg": "系统繁忙"}, Unavailable),
        ({"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"}, Rejected),
        ({"errcode": 999999, "errmsg": "?"}, Rejected),
        ({"errmsg": "ok"}, ProtocolViolation),
        ({"errcode": "0"}, ProtocolViolation),
        ({"errcode": False}, ProtocolViolation),
        (["errcode", 0], Unavailable),
    ],
)
def test_dingtalk_success_is_errcode_0_and_nothing_else(
    vendor: responses.RequestsMock, answer: Any, error: type[RemoteError]
) -> None:
    vendor.post("https://oapi.dingtalk.com/robot/send", json=answer)
    with pytest.raises(RemoteError) as caught:
        channel("dingtalk").send(make_alert())
    assert type(caught.value) is error
    assert len(vendor.calls) == 1
    if isinstance(answer, dict) and "errmsg" in answer and isinstance(answer.get("errcode"), int):
        assert caught.value.remote_code == str(answer["errcode"])
        assert answer["errmsg"] in str(caught.value)


# --- WeCom


def test_wecom_gets_markdown(vendor: responses.RequestsMock) -> None:
    vendor.post("https://qyapi.weixin.qq.com/cgi-bin/webhook/send", json={"errcode": 0, "errmsg": "ok"})
    channel("wecom").send(make_alert(advice=""))
    assert sent(vendor).url == WECOM
    content = body_of(vendor)["markdown"]["content"]
    assert body_of(vendor) == {"msgtype": "markdown", "markdown": {"content": content}}
    assert content.splitlines()[0] == "### Oneshelf 告警·严重·库存数据过期：kingdee"
    assert "**→**" not in content


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (45009, "api freq out of limit, hint: [1653710540075724015410106], from ip: 198.51.100.1", RateLimited),
        (93000, "invalid webhook url, hint: [1653710655173452988930371], from ip: 198.51.100.1", AuthFailed),
        (93008, "not in group", AuthFailed),
        (40058, "markdown.content exceed max length 4096. invalid Request Parameter", Rejected),
        (-1, "system busy", Unavailable),
        (12345, "?", Rejected),
    ],
)
def test_wecom_codes(vendor: responses.RequestsMock, code: int, text: str, error: type[RemoteError]) -> None:
    vendor.post("https://qyapi.weixin.qq.com/cgi-bin/webhook/send", json={"errcode": code, "errmsg": text})
    with pytest.raises(RemoteError) as caught:
        channel("wecom").send(make_alert())
    assert type(caught.value) is error
    assert caught.value.remote_code == str(code)


# --- plain JSON


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The specification's own test vector."""
    key = base64.b64decode(WHSEC.removeprefix("whsec_"))
    signature = plain.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_public_library_takes_the_message_and_refuses_another_one(vendor: responses.RequestsMock) -> None:
    vendor.post(INBOX, status=204)
    channel("json", secret=WHSEC).send(make_alert())
    request = sent(vendor)
    body, headers = request.body, dict(request.headers)
    assert isinstance(body, bytes)
    assert Webhook(WHSEC).verify(body, headers)["type"] == "alert.raised"
    with pytest.raises(WebhookVerificationError):
        Webhook(WHSEC).verify(body.replace(b"raised", b"resolved"), headers)


def test_json_is_sent_as_documented(vendor: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1614265330.9)
    vendor.post(INBOX, status=204)
    channel("json", secret=WHSEC).send(make_alert())
    headers = sent(vendor).headers
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("oneshelf-alert-7", "1614265330")
    assert headers["webhook-signature"].startswith("v1,")
    assert body_of(vendor) == {
        "type": "alert.raised",
        "timestamp": "2026-11-11T02:03:04+00:00",
        "data": {
            "id": "oneshelf-alert-7",
            "kind": "feed_stale",
            "subject": "kingdee",
            "severity": "critical",
            "title": "Oneshelf 告警·严重·库存数据过期：kingdee",
            "summary": "kingdee 的库存数据已过期，最近一次成功读取：2026-11-11 10:00。",
            "details": ["开始于 2026-11-11 10:01 (Asia/Shanghai)"],
            "advice": "请在运维页查看 kingdee 的错误。",
            "link": "https://hub.example.com/staff/ops",
            "began_at": "2026-11-11T02:03:04+00:00",
            "raised_at": "2026-11-11T02:03:04+00:00",
            "resolved_at": None,
            "facts": {"failures": 3},
        },
    }
    channel("json").send(make_alert())
    assert "webhook-signature" not in sent(vendor).headers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, Rejected) for status in (400, 404, 410)),
        *((status, AuthFailed) for status in (401, 403)),
        (429, RateLimited),
        *((status, Unavailable) for status in (301, 302, 500, 503)),
    ],
)
def test_json_statuses(vendor: responses.RequestsMock, status: int, error: type[RemoteError]) -> None:
    vendor.post(INBOX, status=status, headers={"Location": "https://elsewhere.example.com/"} if status < 400 else {})
    with pytest.raises(RemoteError) as caught:
        channel("json").send(make_alert())
    assert type(caught.value) is error
    assert len(vendor.calls) == 1


# --- what holds for all


@pytest.mark.parametrize("kind", sorted(ADDRESSES))
@pytest.mark.parametrize("failure", [requests.ReadTimeout(DINGTALK), requests.ConnectionError(WECOM), 502])
def test_a_lost_answer_is_a_failure_that_is_sent_again_later_and_not_here(
    vendor: responses.RequestsMock, kind: str, failure: Any
) -> None:
    url = ADDRESSES[kind].partition("?")[0]
    vendor.post(url, **({"status": failure} if isinstance(failure, int) else {"body": failure}))
    with pytest.raises(Unavailable):
        channel(kind).send(make_alert())
    assert len(vendor.calls) == 1


@pytest.mark.parametrize("kind", sorted(ADDRESSES))
def test_no_secret_in_log_or_error(vendor: responses.RequestsMock, kind: str) -> None:
    url = ADDRESSES[kind].partition("?")[0]
    vendor.post(url, body=requests.ConnectionError(f"Max retries exceeded with url: {ADDRESSES[kind]}"))
    secret = {"dingtalk": {"secret": "SECgeheim"}, "json": {"secret": WHSEC}}.get(kind, {})
    with capture_logs() as lines, pytest.raises(RemoteError) as caught:
        channel(kind, **secret).send(make_alert())
    seen = repr(lines) + str(caught.value) + "".join(traceback.format_exception(caught.value))
    assert "send_alert" in repr(lines)
    for hidden in (TOKEN, "SECgeheim", WHSEC, "sign="):
        assert hidden not in seen
    described = channel(kind, **secret).describe()
    assert TOKEN not in described
    assert "example.com" in described or "dingtalk.com" in described or "weixin" in described


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("json", {"url": ""}, "url: is missing"),
        ("json", {"url": "http://hooks.example.com/x"}, "must begin with https://"),
        ("json", {"url": "ftp://hooks.example.com/x", "allow_http": True}, "must begin with https://"),
        ("json", {"url": "https:///x"}, "must begin with https:// and a host"),
        ("json", {"url": "https://hooks.example.com:99999/x"}, "is no address"),
        ("json", {"url": "https://[::1/x"}, "is no address"),
        ("json", {"url": "https://u:geheim@hooks.example.com/"}, "neither a user"),
        ("json", {"url": "https://hooks.example.com/#x"}, "nor a fragment"),
        ("json", {"url": "https://hooks.example.com/a\r\nb"}, "must begin with https://"),
        ("json", {"secret": "geheim"}, "secret: must be whsec_"),
        ("json", {"secret": "whsec_Z2VoZWlt"}, "24 bytes or more"),
        ("dingtalk", {"url": "https://oapi.dingtalk.com/robot/send"}, "has no access_token="),
        ("wecom", {"url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key="}, "has no key="),
        ("wecom", {"secret": "geheim"}, "secret: is of no use"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_variable_and_without_its_value(
    kind: Any, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.channels\.ops\.(url|secret)") as caught:
        create_channel("ops", ChannelSettings(kind=kind, **{"url": ADDRESSES[kind], **changes}))
    assert says in str(caught.value)
    assert "ONESHELF_ALERTS__CHANNELS__OPS__" in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "example.com" not in str(caught.value)


def test_http_is_taken_where_it_is_allowed() -> None:
    settings = ChannelSettings(kind="json", url="http://127.0.0.1:9/x", allow_http=True)
    assert isinstance(create_channel("ops", settings), AlertChannel)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
ALERTS = st.builds(
    make_alert,
    title=TEXTS,
    summary=TEXTS,
    advice=TEXTS,
    link=st.just("https://hub.example.com/staff/ops") | TEXTS,
    details=st.lists(TEXTS, max_size=30),
)


@settings(deadline=None, max_examples=60)
@given(ALERTS)
def test_any_alert_stays_within_the_limits_and_calls_nobody(alert: Alert) -> None:
    message = dingtalk.build_body(alert, "监控报警")["markdown"]
    assert "监控报警" in message["title"]
    assert "\n" not in message["title"]
    assert len(json.dumps(dingtalk.build_body(alert, "监控报警"), ensure_ascii=False).encode()) <= dingtalk.LARGEST_BODY
    content = wecom.build_body(alert)["markdown"]["content"]
    assert len(content.encode()) <= wecom.LARGEST_CONTENT
    for text in (message["text"], content):
        assert "<" not in text  # <@userid> and <font>
        assert "`" not in text
        assert text.startswith("### ")


@given(st.text(max_size=60), st.integers(3, 40))
def test_a_cut_takes_whole_characters(text: str, limit: int) -> None:
    whole = text.encode("utf-8", "replace").decode()
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    assert short == whole or (short.endswith("…") and whole.startswith(short[:-1]))


def test_what_means_something_in_markdown_is_plain_text() -> None:
    text = text_of(make_alert(summary="**a** [x](https://evil) <@all> `b`\n# c"))
    assert "＊＊a＊＊ ［x］(https://evil) ＜@all＞ ｀b｀ ＃ c" in text
