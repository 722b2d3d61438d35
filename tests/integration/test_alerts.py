"""From what is wrong in the database to what people read in their group, over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from flows.alerting import keep_looking, look_and_tell
from flows.runtime import Runtime
from hub.alerts.book import load_open_alerts
from hub.contracts import Rejection
from hub.db.session import plain_url
from hub.settings import AdapterSettings, AlertSettings, Settings, SourceSettings
from hub.sync.housekeeping import tidy
from hub.sync.quarantine import quarantine, resolve_not_seen
from hub.sync.watch import LIVE_LOCK, is_followed
from tests.locks import OUR_LOCKS
from tests.robots import Robots, run_robots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hub.db.session import Database

CHANNELS = ("dingtalk", "json", "wecom")


@dataclass
class Watch:
    """A hub whose sources are set by hand, and whoever looks at it."""

    database: Database
    robots: Robots
    rules: dict[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ("kingdee", "sap")
    channels: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.channels = self.channels or {kind: self.robots.channel(kind) for kind in CHANNELS}
        for source in self.sources:
            self.feed(source)

    @property
    def settings(self) -> Settings:
        return Settings(
            sources={name: SourceSettings(system=name) for name in self.sources},
            adapter=AdapterSettings(public_url="https://hub.example.com"),
            alerts=AlertSettings(channels=self.channels, **self.rules),
        )

    def look(self, watcher: str = "watch-feeds") -> list[tuple[str, str, str]]:
        """Look once; return what was found to tell."""
        told = look_and_tell(Runtime(self.settings, self.database, ()), watcher)
        return [(alert.phase, alert.kind, alert.subject) for alert in told]

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.driver() as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def feed(self, source: str, age: float = 0, *, full: bool = True, failed: bool = False) -> None:
        """Say that the source was last read so many seconds ago."""
        self.sql(
            "INSERT INTO feed (source, stale_after_seconds) VALUES (%s, 60) ON CONFLICT (source) DO NOTHING", source
        )
        self.sql(
            "UPDATE feed SET read_at = clock_timestamp() - make_interval(secs => %s), full_read_at ="
            " CASE WHEN %s THEN clock_timestamp() END, failed_at = CASE WHEN %s THEN clock_timestamp() END,"
            " failures = 7, error = 'user 王小明 13800138000 is locked' WHERE source = %s",
            age,
            full,
            failed,
            source,
        )

    def later(self, **interval: float) -> None:
        """Let time pass for what the book of alerts knows."""
        self.sql(
            "UPDATE alert SET began_at = began_at - pause, raised_at = raised_at - pause, told_at = told_at - pause,"
            " well_since = well_since - pause FROM make_interval(hours => %s, secs => %s) AS pause",
            int(interval.get("hours", 0)),
            interval.get("seconds", 0.0),
        )

    def titles(self, kind: str = "wecom") -> list[str]:
        """Return the first lines of what people read in one channel."""
        return [(message.title or message.text.splitlines()[0]) for message in self.robots.taken(kind)]

    def waiting(self) -> int:
        return int(self.sql("SELECT count(*) FROM alert_message WHERE sent_at IS NULL AND given_up_at IS NULL")[0][0])

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Hold the live loop's lock, as the loop does."""
        with psycopg.connect(plain_url(self.database.url), autocommit=True) as connection:
            connection.execute(f"SELECT pg_advisory_lock({LIVE_LOCK})")
            yield


@pytest.fixture(scope="module")
def served() -> Iterator[Robots]:
    with run_robots() as robots:
        yield robots


@pytest.fixture
def robots(served: Robots) -> Robots:
    served.reset()
    return served


@pytest.fixture
def watch(database: Database, robots: Robots) -> Iterator[Watch]:
    watch = Watch(database, robots, {"settle_seconds": 0})
    with watch.followed():
        yield watch


def stored(connection: psycopg.Connection, source: str, count: int) -> None:
    rejections = [Rejection("unknown_unit", "unit KAR", {"n": number}, f"M{number}", "CK1") for number in range(count)]
    quarantine(connection, source, "stock", rejections)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- crossing, lasting, ending


def test_all_is_well_and_nobody_hears_of_it(watch: Watch) -> None:
    assert watch.look() == []
    assert watch.robots.world.messages == []
    assert watch.sql("SELECT count(*) FROM alert") == [(0,)]


def test_a_stale_feed_is_told_once_again_after_hours_and_when_it_is_over(watch: Watch) -> None:
    watch.feed("sap", 170)
    assert watch.look() == []  # stale, and not yet for long enough
    watch.feed("sap", 190)
    watch.later(seconds=20)
    assert watch.look() == [("raised", "feed_stale", "sap")]
    for _ in range(3):
        assert watch.look() == []
    for kind in CHANNELS:
        assert len(watch.robots.taken(kind)) == 1
    watch.later(hours=4)
    assert watch.look() == [("repeated", "feed_stale", "sap")]
    assert watch.look() == []
    watch.feed("sap", 0)
    assert watch.look() == [("resolved", "feed_stale", "sap")]
    assert watch.look() == []
    for kind in CHANNELS:
        assert len(watch.robots.taken(kind)) == 3
    first, second, third = watch.titles("dingtalk")
    assert "告警·严重·库存数据过期：sap" in first
    assert "仍在持续" in second
    assert "告警解除" in third
    assert watch.waiting() == 0


def test_what_settles_slowly_is_not_told_to_be_over_and_raised_again(watch: Watch) -> None:
    watch.rules["settle_seconds"] = 90
    watch.feed("sap", 500)
    assert watch.look() == [("raised", "feed_stale", "sap")]
    for age in (0, 500, 0, 500, 0):
        watch.feed("sap", age)
        watch.later(seconds=60)
        assert watch.look() == []
    watch.later(seconds=91)
    assert watch.look() == [("resolved", "feed_stale", "sap")]
    assert len(watch.robots.taken("wecom")) == 2


def test_a_source_that_was_never_read_in_full_is_told_after_the_same_while(watch: Watch) -> None:
    watch.feed("kingdee", 0, full=False)
    assert watch.look() == []
    watch.later(seconds=110)
    assert watch.look() == []
    watch.later(seconds=11)
    assert watch.look() == [("raised", "feed_stale", "kingdee")]
    assert "从未" in watch.robots.taken("wecom")[0].text


def test_the_quarantine_of_each_source_is_judged_by_what_is_new(watch: Watch) -> None:
    with watch.database.driver() as connection, connection.transaction():
        stored(connection, "sap", 20)
        stored(connection, "kingdee", 19)
    assert watch.look() == [("raised", "quarantine_growth", "sap")]
    assert "新增 20 条" in watch.robots.taken("wecom")[0].text
    watch.sql("UPDATE quarantine SET first_seen_at = first_seen_at - interval '61 minutes' WHERE source = 'sap'")
    assert watch.look() == [("resolved", "quarantine_growth", "sap")]
    assert "还有 20 条待处理" in watch.robots.taken("wecom")[1].text


def test_records_that_are_well_again_no_longer_count(watch: Watch) -> None:
    with watch.database.driver() as connection, connection.transaction():
        stored(connection, "sap", 30)
        [(now,)] = connection.execute("SELECT clock_timestamp()").fetchall()
        resolve_not_seen(connection, "sap", "stock", now)
    assert watch.look() == []


def test_sums_that_disagree_are_told_until_somebody_has_resolved_them(watch: Watch) -> None:
    watch.sql("INSERT INTO item (sku, name, unit) VALUES ('A', 'A', 'EA')")
    watch.sql(
        "INSERT INTO location (code, name, kind, sellable_online, pickup, time_zone)"
        " VALUES ('W1', 'W1', 'store', true, true, 'UTC')"
    )
    watch.sql(
        "INSERT INTO stock_difference (item_id, location_id, source, kind, subject, evidence)"
        " SELECT item.id, location.id, 'sap', found, '', '{}' FROM item, location, unnest(ARRAY['our_bug', 'late_pos'])"
        " AS found"
    )
    assert watch.look() == [("raised", "sums_disagree", "sap")]
    assert "sap 有 1 项库存" in watch.robots.taken("wecom")[0].text
    watch.sql("UPDATE stock_difference SET resolved_at = now(), resolved_by = 'chen' WHERE kind = 'our_bug'")
    assert watch.look() == [("resolved", "sums_disagree", "sap")]


def test_a_refused_snapshot_is_told_at_once(watch: Watch) -> None:
    watch.sql("UPDATE feed SET snapshot_error = 'snapshot quarantined: empty' WHERE source = 'kingdee'")
    assert watch.look() == [("raised", "snapshot_refused", "kingdee")]
    assert "--accept-shrink" in watch.robots.taken("json")[0].body["data"]["advice"]
    watch.sql("UPDATE feed SET snapshot_error = NULL")
    assert watch.look() == [("resolved", "snapshot_refused", "kingdee")]


def test_a_source_that_is_switched_off_ends_its_alert(watch: Watch) -> None:
    watch.feed("sap", 500)
    assert watch.look() == [("raised", "feed_stale", "sap")]
    watch.sources = ("kingdee",)
    assert watch.look() == [("resolved", "feed_stale", "sap")]
    assert watch.look() == []


# --- the live loop and the watcher


def test_a_dead_live_loop_is_told_and_its_return_too(database: Database, robots: Robots) -> None:
    watch = Watch(database, robots, {"settle_seconds": 0, "stale_factor": 100})
    assert watch.look() == []  # the hand-over, or a restart
    for source in watch.sources:
        watch.feed(source, 60)
    assert watch.look() == []
    watch.later(seconds=181)
    assert watch.look() == [("raised", "live_dead", "live")]
    assert "没有运行" in watch.robots.taken("wecom")[0].text
    with watch.followed():
        watch.feed("sap")
        assert watch.look() == [("resolved", "live_dead", "live")]


def test_a_catch_up_now_and_then_is_no_live_loop(database: Database, robots: Robots) -> None:
    watch = Watch(database, robots)
    for _ in range(3):
        watch.feed("sap", 1)  # read by the flow that a stale feed starts
        assert watch.look() == []
        watch.later(seconds=70)
    assert watch.look() == [("raised", "live_dead", "live")]


def test_a_loop_that_holds_the_lock_and_polls_nothing_is_dead(watch: Watch) -> None:
    watch.rules["stale_factor"] = 100
    for source in watch.sources:
        watch.feed(source, 200)
    assert watch.look() == [("raised", "live_dead", "live")]
    assert "没有轮询" in watch.robots.taken("wecom")[0].text


def test_a_loop_whose_erps_are_down_is_alive(watch: Watch) -> None:
    for source in watch.sources:
        watch.feed(source, 500, failed=True)
    assert watch.look() == [("raised", "feed_stale", "kingdee"), ("raised", "feed_stale", "sap")]


def test_looking_for_the_loop_disturbs_neither_the_loop_nor_others_who_look(watch: Watch) -> None:
    with watch.database.driver() as one, watch.database.driver() as other:
        assert is_followed(one)
        assert is_followed(other)


def test_nobody_follows_where_nobody_holds_the_lock(database: Database) -> None:
    with database.driver() as one, database.driver() as other, one.transaction():
        assert not is_followed(one)
        assert not is_followed(other)
        one.execute("SELECT pg_advisory_xact_lock(hashtext('oneshelf.something else'))")
        assert not is_followed(other)


def test_the_scheduled_check_that_stays_away_is_told_by_who_else_looks(watch: Watch) -> None:
    assert watch.look("live") == []  # an installation without Prefect has none
    assert watch.look("watch-feeds") == []
    watch.sql("UPDATE source_position SET moved_at = moved_at - interval '11 minutes' WHERE stream = 'watch-feeds'")
    assert watch.look("live") == [("raised", "watch_late", "watch-feeds")]
    assert watch.look("watch-feeds") == [("resolved", "watch_late", "watch-feeds")]


def test_after_all_was_down_what_is_old_may_catch_up_before_it_is_told(watch: Watch) -> None:
    watch.look("live")
    watch.look("watch-feeds")
    watch.sql("UPDATE source_position SET moved_at = moved_at - interval '9 hours'")
    for source in watch.sources:
        watch.feed(source, 9 * 3600)
    assert watch.look("live") == []
    watch.feed("kingdee")
    watch.later(seconds=130)
    assert watch.look("watch-feeds") == [("raised", "feed_stale", "sap")]


async def test_a_service_looks_until_it_is_stopped_whatever_a_look_runs_into(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.alerting._LOOK_SECONDS", 0.01)
    watch.feed("sap", 500)
    runtime, stop = Runtime(watch.settings, watch.database, ()), asyncio.Event()
    watch.sql("ALTER TABLE alert RENAME TO hidden")
    task = asyncio.create_task(keep_looking(runtime, "live", stop))
    await asyncio.sleep(0.05)
    watch.sql("ALTER TABLE hidden RENAME TO alert")
    await asyncio.to_thread(wait_until, lambda: len(watch.robots.taken()) >= len(CHANNELS))
    stop.set()
    await task
    assert len(watch.robots.taken()) == len(CHANNELS)


# --- delivery


def test_a_channel_that_is_down_loses_nothing_and_doubles_nothing(watch: Watch) -> None:
    watch.robots.faults.turn_on("down-503", kind="wecom")
    watch.feed("sap", 500)
    watch.look()
    assert len(watch.robots.taken("dingtalk")) == len(watch.robots.taken("json")) == 1
    assert watch.waiting() == 1
    watch.look()
    assert watch.waiting() == 1
    with watch.database.driver() as connection:
        [alert] = load_open_alerts(connection)
    assert alert.untold == 1
    assert "wecom send_alert" in str(alert.error)
    watch.robots.faults.turn_off()
    assert watch.look() == []
    assert len(watch.robots.taken("wecom")) == 1
    assert watch.look() == []
    assert [len(watch.robots.taken(kind)) for kind in CHANNELS] == [1, 1, 1]
    assert watch.sql("SELECT channel, attempts, error FROM alert_message ORDER BY channel") == [
        ("dingtalk", 1, None),
        ("json", 1, None),
        ("wecom", 3, None),
    ]


def test_what_waited_arrives_in_its_order(watch: Watch) -> None:
    watch.robots.faults.turn_on("down-503", times=2, kind="wecom")
    watch.feed("sap", 500)
    watch.look()
    watch.feed("sap", 0)
    watch.feed("kingdee", 500)
    watch.look()  # the first one fails once more, so the later ones are not tried
    assert watch.robots.taken("wecom") == []
    watch.look()
    told = [title.partition("·")[0] + title.rpartition("：")[2] for title in watch.titles()]
    assert told == ["### Oneshelf 告警sap", "### Oneshelf 告警kingdee", "### Oneshelf 告警解除sap"]


def test_repeats_do_not_pile_up_behind_a_channel_that_is_down(watch: Watch) -> None:
    watch.robots.faults.turn_on("down-503", kind="wecom")
    watch.feed("sap", 500)
    watch.look()
    for _ in range(4):
        watch.later(hours=4)
        assert watch.look() == [("repeated", "feed_stale", "sap")]
    assert watch.waiting() == 1
    watch.robots.faults.turn_off()
    watch.look()
    assert [len(watch.robots.taken(kind)) for kind in CHANNELS] == [5, 5, 1]


def test_a_lost_answer_means_the_message_comes_twice_under_one_id(watch: Watch) -> None:
    watch.robots.faults.turn_on("lost-answer", times=1, kind="json")
    watch.feed("sap", 500)
    watch.look()
    watch.look()
    watch.look()
    ids = [message.message_id for message in watch.robots.taken("json")]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_message_that_is_refused_does_not_hold_up_the_others(watch: Watch) -> None:
    watch.robots.faults.turn_on("unknown-code", times=1, kind="wecom")
    for source in watch.sources:
        watch.feed(source, 500, failed=True)
    watch.look()
    assert len(watch.robots.taken("wecom")) == 1
    watch.look()
    assert len(watch.robots.taken("wecom")) == 2


def test_after_a_day_of_failures_a_message_is_given_up(watch: Watch) -> None:
    watch.robots.faults.turn_on("down-503")
    watch.feed("sap", 500)
    watch.look()
    watch.sql("UPDATE alert_message SET created_at = created_at - interval '25 hours'")
    watch.robots.faults.turn_off()
    watch.look()
    assert watch.robots.taken() == []
    assert watch.waiting() == 0
    with watch.database.driver() as connection:
        assert load_open_alerts(connection)[0].untold == len(CHANNELS)


def test_a_channel_that_is_set_up_wrongly_stops_no_other(watch: Watch) -> None:
    wrong = watch.robots.channel("dingtalk", url="https://oapi.dingtalk.com/robot/send")
    watch.channels = {"broken": wrong, "ops": watch.robots.channel("wecom")}
    watch.feed("sap", 500)
    assert watch.look() == [("raised", "feed_stale", "sap")]
    assert len(watch.robots.taken("wecom")) == 1
    watch.channels["broken"] = watch.robots.channel("dingtalk")  # mended: it gets what waited
    watch.look()
    assert [len(watch.robots.taken(kind)) for kind in CHANNELS] == [1, 0, 1]


def test_without_any_channel_the_alert_stands_for_who_looks(watch: Watch) -> None:
    watch.channels = {"off": watch.robots.channel("wecom", enabled=False)}
    watch.feed("sap", 500)
    assert watch.look() == [("raised", "feed_stale", "sap")]
    with watch.database.driver() as connection:
        assert [alert.subject for alert in load_open_alerts(connection)] == ["sap"]
    assert watch.robots.world.messages == []


def test_many_watchers_at_once_tell_it_once(watch: Watch) -> None:
    start, told, failures = threading.Barrier(5), [], []
    watch.feed("sap", 500)

    def look(number: int) -> None:
        try:
            start.wait(timeout=10)
            told.extend(watch.look(f"watcher {number}"))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    watch.robots.faults.turn_on("latency", seconds=0.05)
    threads = [threading.Thread(target=look, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert told == [("raised", "feed_stale", "sap")]
    assert [len(watch.robots.taken(kind)) for kind in CHANNELS] == [1, 1, 1]
    assert watch.sql(OUR_LOCKS) == [(1,)]  # the loop's own


def test_no_personal_data_leaves_with_an_alert(watch: Watch) -> None:
    watch.feed("sap", 500)
    watch.look()
    said = json.dumps([message.body for message in watch.robots.world.messages], ensure_ascii=False)
    assert "sap" in said
    assert "王小明" not in said
    assert "13800138000" not in said


def test_old_alerts_are_tidied_away_with_their_messages(watch: Watch) -> None:
    watch.feed("sap", 500)
    watch.look()
    watch.feed("sap", 0)
    watch.look()
    watch.feed("kingdee", 500)
    watch.look()
    watch.sql("UPDATE alert SET resolved_at = resolved_at - interval '31 days'")
    with watch.database.driver() as connection:
        tidy(connection)
    assert watch.sql("SELECT subject FROM alert") == [("kingdee",)]
    assert watch.sql("SELECT count(*) FROM alert_message") == [(len(CHANNELS),)]
