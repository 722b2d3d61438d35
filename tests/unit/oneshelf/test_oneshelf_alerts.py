"""Alerts on the command line and in the doctor's report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.robots import Robots, run_robots
from tests.unit.oneshelf.test_oneshelf_cli import findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.oneshelf.conftest import Run


@pytest.fixture(scope="module")
def served() -> Iterator[Robots]:
    with run_robots() as robots:
        yield robots


@pytest.fixture
def robots(served: Robots, environment: pytest.MonkeyPatch) -> Robots:
    """Give the stand-in, with the channel `ops` that posts to its DingTalk robot."""
    served.reset()
    configured = served.channel("dingtalk")
    values = {"KIND": "dingtalk", "URL": configured.url, "SECRET": configured.secret or "", "ALLOW_HTTP": "true"}
    for field, value in values.items():
        environment.setenv(f"ONESHELF_ALERTS__CHANNELS__OPS__{field}", value)
    return served


def stale_feed(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO feed (source, stale_after_seconds, read_at, full_read_at, failed_at)"
            " VALUES ('sap', 60, now() - interval '1 hour', now() - interval '1 hour', now())"
        )


def test_a_trial_says_whether_the_channel_took_it(run: Run, robots: Robots) -> None:
    result = run("alerts", "test", "ops")
    assert result.exit_code == 0, result.output
    assert "ops took the message" in result.stdout
    assert [message.title for message in robots.taken()] == ["Oneshelf 测试"]
    robots.faults.turn_on("gone", times=1)
    result = run("alerts", "test", "ops")
    assert result.exit_code == 1
    assert "300005" in str(result.exception)
    result = run("alerts", "test", "opps")
    assert "no channel opps; there is ops" in str(result.exception)


def test_check_tells_and_its_exit_code_says_whether_all_is_well(run: Run, robots: Robots, database_url: str) -> None:
    result = run("alerts", "check")
    assert (result.exit_code, result.stdout.strip()) == (0, "no alert")
    assert "no alert" in run("alerts", "list").stdout
    stale_feed(database_url)
    result = run("alerts", "check")
    assert result.exit_code == 1
    assert "raised: feed_stale sap" in result.stdout
    assert "库存数据过期：sap" in robots.taken()[0].title
    result = run("alerts", "check")
    assert result.exit_code == 1
    assert "raised" not in result.stdout
    listed = run("alerts", "list").stdout
    assert "feed_stale" in listed
    assert "请在运维页查看 sap 的错误" in listed


def test_what_could_not_be_told_is_listed_with_its_reason(run: Run, robots: Robots, database_url: str) -> None:
    robots.faults.turn_on("too-many")
    stale_feed(database_url)
    run("alerts", "check")
    assert "1: ops send_alert: too many messages" in " ".join(run("alerts", "list").stdout.split())


def test_the_doctor_looks_at_each_channel(run: Run, robots: Robots, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONESHELF_ALERTS__CHANNELS__GROUP__KIND", "wecom")
    environment.setenv("ONESHELF_ALERTS__CHANNELS__GROUP__URL", "https://qyapi.weixin.qq.com/?kee=geheim")
    output = run("doctor").stdout
    found = findings(output)
    assert found["alerts: channel ops"] == ("ok", "DingTalk robot at 127.0.0.1, signed; try oneshelf alerts test ops")
    mark, said = found["alerts: channel group"]
    assert mark == "!!"
    assert "has no key=" in said
    assert "docs/alerts.md" in said
    assert "geheim" not in output
    assert robots.world.messages == []
