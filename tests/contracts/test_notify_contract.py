"""What every alert channel must do, whoever takes its messages: one suite, run against the receivers' stand-in."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import capture_logs

from connectors.notify.robots import FORMATS
from connectors.registry import create_channel
from hub.contracts import AlertChannel
from hub.errors import AuthFailed, RateLimited, Rejected, RemoteError, Unavailable
from hub.telemetry import configure_logging
from tests.alerts import make_alert
from tests.robots import Robots, run_robots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.settings import ChannelSettings

# The three kinds, and DingTalk's other security setting.
KINDS = (*sorted(FORMATS), "keyword")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def served() -> Iterator[Robots]:
    with run_robots() as robots:
        yield robots


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def robots(served: Robots) -> Iterator[Robots]:
    served.reset()
    yield served
    structlog.reset_defaults()


@pytest.fixture
def channel(robots: Robots, kind: str) -> AlertChannel:
    return create_channel("ops", robots.channel(kind))


def test_it_is_a_channel_that_says_where_it_posts(channel: AlertChannel) -> None:
    assert isinstance(channel, AlertChannel)
    assert channel.name == "ops"
    assert "127.0.0.1" in channel.describe()


def test_people_read_what_was_sent(channel: AlertChannel, robots: Robots) -> None:
    channel.send(make_alert())
    [message] = robots.taken()
    assert "库存数据过期：kingdee" in message.title + message.text
    assert "已过期" in message.text
    [raw] = [repr(message.body)]
    for words in ("请在运维页查看", "https://hub.example.com/staff/ops", "开始于 2026-11-11 10:01"):
        assert words in raw


@pytest.mark.parametrize("phase", ["raised", "repeated", "resolved", "test"])
def test_every_phase_arrives(channel: AlertChannel, robots: Robots, phase: Any) -> None:
    channel.send(make_alert(phase=phase, advice="", details=[]))
    assert len(robots.taken()) == 1


def test_the_longest_alert_arrives(channel: AlertChannel, robots: Robots) -> None:
    long = '补货"\\仓库\n' * 2000
    channel.send(make_alert(title=long, summary=long, advice=long, details=[long] * 50))
    assert len(robots.taken()) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("down-503", Unavailable),
        ("redirect", Unavailable),
        ("busy", Unavailable),
        ("too-many", RateLimited),
        ("gone", (AuthFailed, Rejected)),
        ("lost-answer", Unavailable),
    ],
)
def test_what_did_not_arrive_for_sure_is_an_error_of_its_kind(
    channel: AlertChannel, robots: Robots, fault: str, error: Any
) -> None:
    robots.faults.turn_on(fault, times=1)
    with pytest.raises(error) as caught:
        channel.send(make_alert())
    assert isinstance(caught.value, RemoteError)
    assert (caught.value.system, caught.value.operation) == ("ops", "send_alert")
    assert len(robots.taken()) == (fault == "lost-answer")
    channel.send(make_alert())
    assert len(robots.taken()) == 1 + (fault == "lost-answer")


@pytest.mark.parametrize("fault", ["html-200", "no-errcode", "punished", "unknown-code"])
@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_http_200_alone_is_no_success(kind: str, robots: Robots, fault: str) -> None:
    robots.faults.turn_on(fault, times=1)
    with pytest.raises(RemoteError):
        create_channel("ops", robots.channel(kind)).send(make_alert())
    assert robots.taken() == []


def test_a_receiver_that_is_not_there_is_unavailable(kind: str, robots: Robots) -> None:
    settings = robots.channel(kind)
    url = NOBODY + settings.url.removeprefix(robots.url)
    with pytest.raises(Unavailable):
        create_channel("ops", settings.model_copy(update={"url": url})).send(make_alert())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("dingtalk", {"secret": "SECwrong"}),
        ("dingtalk", {"secret": None}),
        ("keyword", {"keyword": ""}),
        ("json", {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
        ("json", {"secret": None}),
    ],
)
def test_a_wrong_proof_is_told_as_such(kind: str, changes: dict[str, Any], robots: Robots) -> None:
    with pytest.raises(AuthFailed):
        create_channel("ops", robots.channel(kind, **changes)).send(make_alert())
    assert robots.taken() == []


def test_a_clock_that_is_off_is_told_as_such(robots: Robots) -> None:
    robots.world.clock = lambda: time.time() + 3700
    try:
        with pytest.raises(AuthFailed, match="invalid timestamp"):
            create_channel("ops", robots.channel("dingtalk")).send(make_alert())
        with pytest.raises(AuthFailed):
            create_channel("ops", robots.channel("json")).send(make_alert())
    finally:
        robots.world.clock = time.time


@pytest.mark.parametrize(("kind", "pause"), [("dingtalk", 600), ("wecom", 60)])
def test_beyond_twenty_a_minute_the_vendor_takes_no_more_for_a_while(robots: Robots, kind: str, pause: int) -> None:
    try:
        for _ in range(20):
            create_channel("ops", robots.channel(kind)).send(make_alert())
        with pytest.raises(RateLimited) as caught:
            create_channel("ops", robots.channel(kind)).send(make_alert())
        assert caught.value.retry_after == pause
        assert len(robots.taken()) == 20
        robots.world.clock = lambda: time.time() + pause + 1
        create_channel("ops", robots.channel(kind, secret=None) if kind == "wecom" else robots.channel(kind)).send(
            make_alert()
        )
        assert len(robots.taken()) == 21
    finally:
        robots.world.clock = time.time


def test_no_secret_stands_in_log_or_error(
    channel: AlertChannel, kind: str, robots: Robots, caplog: pytest.LogCaptureFixture
) -> None:
    settings: ChannelSettings = robots.channel(kind)
    configure_logging()
    robots.faults.turn_on("down-503", times=1)
    with capture_logs() as events, caplog.at_level(logging.DEBUG):
        with pytest.raises(Unavailable) as caught:
            channel.send(make_alert())
        channel.send(make_alert())
    seen = repr(events) + caplog.text + "".join(traceback.format_exception(caught.value)) + repr(settings)
    assert "send_alert" in seen
    tail = settings.url.rpartition("=")[2].rpartition("/")[2]
    for hidden in (tail, settings.secret or tail, "sign="):
        assert hidden not in seen
