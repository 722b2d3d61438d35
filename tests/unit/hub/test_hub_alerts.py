"""Alerts: when people are told, and in which words."""

from __future__ import annotations

import string
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.alerts.rules import Course, Kind, Pace, Sight, advance
from hub.alerts.texts import CHINESE, ENGLISH, SEVERITIES, TONGUES, Voice, Words, compose, compose_test

START = datetime(2026, 11, 11, 0, 0, tzinfo=UTC)
PACE = Pace(settle=timedelta(seconds=90), repeat=timedelta(hours=4))
HOLD = timedelta(seconds=120)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def sight(*, holds: bool, since: datetime | None = None, hold: timedelta = HOLD) -> Sight:
    return Sight(Kind.FEED_STALE, "sap", holds, since, hold)


# --- the course of an alert


def test_it_is_raised_once_repeated_after_the_pause_and_resolved_once() -> None:
    course: Course | None = None
    told = []
    for minute in range(0, 9 * 60, 2):
        holds = 10 <= minute < 8 * 60 + 30
        course, phase = advance(course, sight(holds=holds), at(minute * 60), PACE)
        if phase:
            told.append((minute, phase))
    assert told == [(12, "raised"), (252, "repeated"), (492, "repeated"), (512, "resolved")]


def test_what_is_known_to_be_old_already_is_raised_at_the_first_look() -> None:
    course, phase = advance(None, sight(holds=True, since=at(-1000)), at(0), PACE)
    assert phase == "raised"
    assert course == Course(at(-1000), raised_at=at(0), told_at=at(0))


def test_a_time_that_lies_ahead_of_the_clock_counts_as_now() -> None:
    course, phase = advance(None, sight(holds=True, since=at(50)), at(0), PACE)
    assert (course, phase) == (Course(at(0)), None)


def test_a_suspicion_that_passes_leaves_nothing() -> None:
    course, _ = advance(None, sight(holds=True), at(0), PACE)
    assert course is not None
    assert advance(course, sight(holds=False), at(60), PACE) == (None, None)
    assert advance(None, None, at(0), PACE) == (None, None)


def test_a_subject_that_nobody_judges_any_more_is_well() -> None:
    raised = Course(at(0), raised_at=at(0), told_at=at(0))
    course, phase = advance(raised, None, at(100), PACE)
    assert phase is None
    assert advance(course, None, at(190), PACE)[1] == "resolved"


def test_flapping_tells_nobody_twice() -> None:
    course: Course | None = Course(at(0), raised_at=at(0), told_at=at(0))
    for minute in range(2, 120, 2):
        course, phase = advance(course, sight(holds=minute % 4 == 0), at(minute * 60), PACE)
        # at each second look it is well, and never for a whole settling time when a look sees it
        assert phase is None
        assert course is not None


LOOKS = st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=60)


@given(LOOKS, st.integers(0, 300), st.integers(0, 300), st.integers(1, 2000))
def test_whatever_happens_the_story_that_people_read_makes_sense(
    looks: list[tuple[int, bool]], hold: int, settle: int, repeat: int
) -> None:
    pace = Pace(timedelta(seconds=settle), timedelta(seconds=repeat))
    course: Course | None = None
    now, wrong_since, well_since = 0, None, None
    told: list[tuple[int, str]] = []
    for pause, holds in looks:
        now += pause
        wrong_since, well_since = (wrong_since or now, None) if holds else (None, well_since or now)
        open_before = bool(told) and told[-1][1] != "resolved"
        course, phase = advance(course, sight(holds=holds, hold=timedelta(seconds=hold)), at(now), pace)
        if phase:
            told.append((now, phase))
        # raised exactly when it was wrong for long enough at every look, resolved exactly when it was well for long
        if not open_before:
            assert (phase == "raised") == (wrong_since is not None and now - wrong_since >= hold)
            assert phase in {None, "raised"}
        else:
            assert (phase == "resolved") == (well_since is not None and now - well_since >= settle)
            assert phase != "raised"
            due = holds and now - told[-2 if phase else -1][0] >= repeat
            assert (phase == "repeated") == due
    story = "".join(phase[2] for _, phase in told)  # i(raised) p(repeated) s(resolved)
    assert not story.strip("ips")
    assert all(part == "" or (part[0] == "i" and set(part[1:]) <= {"p"}) for part in story.split("s"))


# --- the words


LOW = {
    "sku": "A1",
    "location": "DC-SH",
    "stock": "4",
    "safety_stock": "5",
    "quantity": "6",
    "supplier": "S1",
    "supplier_name": "青禾贸易",
    "article_no": "",
    "lead_time_days": 3,
}
FACTS = {
    Kind.FEED_STALE: {"read_at": "2026-11-11T02:03:04+00:00", "failures": 3},
    Kind.SNAPSHOT_REFUSED: {},
    Kind.QUARANTINE_GROWTH: {"new": 25, "waiting": 31, "minutes": 60},
    Kind.LIVE_DEAD: {"followed": False, "polled_at": "2026-11-11T02:03:04+00:00"},
    Kind.WATCH_LATE: {"looked_at": "2026-11-11T02:03:04+00:00"},
    Kind.STOCK_LOW: {"count": 1, "lines": [LOW]},
    Kind.SUMS_DISAGREE: {"count": 2},
}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("kind", list(Kind))
def test_both_languages_say_the_same_of_every_kind(kind: Kind) -> None:
    chinese, english = CHINESE.kinds[kind], ENGLISH.kinds[kind]
    for part in fields(Words):
        mine, other = getattr(chinese, part.name), getattr(english, part.name)
        assert mine
        assert other
        assert placeholders(mine) == placeholders(other) <= {"subject", "loop", *FACTS[kind]}
    assert kind in SEVERITIES
    for tongue in TONGUES.values():
        assert {"raised", "repeated", "resolved", "test"} == set(tongue.phases)
        assert set(SEVERITIES.values()) <= set(tongue.severities)


def voice(language: str = "zh") -> Voice:
    return Voice(language, "Asia/Shanghai", "https://hub.example.com/staff/ops")


@pytest.mark.parametrize("language", sorted(TONGUES))
@pytest.mark.parametrize("kind", list(Kind))
def test_a_message_is_filled_in_and_says_what_to_do(language: str, kind: Kind) -> None:
    alert = compose(
        voice(language),
        message_id="m1",
        kind=kind,
        subject="sap_{x}",
        phase="raised",
        facts=FACTS[kind],
        began_at=at(0),
        raised_at=at(60),
        said_at=at(60),
        resolved_at=None,
    )
    words = " ".join((alert.title, alert.summary, alert.advice, *alert.details))
    assert "sap_{x}" in words or kind == Kind.LIVE_DEAD
    assert alert.advice
    assert "{" not in words.replace("sap_{x}", "")
    if any(name.endswith("_at") for name in FACTS[kind]):
        assert "2026-11-11 10:03" in words  # in the shop's time zone
    assert alert.link.endswith("/staff/ops")
    over = compose(
        voice(language),
        message_id="m2",
        kind=kind,
        subject="sap",
        phase="resolved",
        facts=FACTS[kind],
        began_at=at(0),
        raised_at=at(60),
        said_at=at(900),
        resolved_at=at(900),
    )
    assert over.summary != alert.summary
    assert over.advice == ""
    assert len(over.details) == 2


def test_what_never_was_read_is_said_to_be_so() -> None:
    words = voice().words(Kind.FEED_STALE, "sap", {"read_at": None})
    assert "从未" in words.summary


@pytest.mark.parametrize(
    ("changes", "chinese", "english"),
    [
        ({}, "供应商 S1 青禾贸易，3 天到货", "supplier S1 青禾贸易, 3 days"),
        ({"lead_time_days": None, "article_no": "7"}, "供应商 S1 青禾贸易 7", "supplier S1 青禾贸易 7"),
        ({"supplier": None}, "没有可用的供应商", "no supplier is available"),
    ],
)
def test_whom_to_buy_from_is_said_line_by_line(changes: dict[str, object], chinese: str, english: str) -> None:
    for language, said in (("zh", chinese), ("en", english)):
        alert = compose(
            voice(language),
            message_id="m1",
            kind=Kind.STOCK_LOW,
            subject="purchasing",
            phase="raised",
            facts={"count": 2, "lines": [LOW, {**LOW, **changes}]},
            began_at=at(0),
            raised_at=at(0),
            said_at=at(0),
            resolved_at=at(0),
        )
        assert alert.details[0].startswith("A1 @ DC-SH")
        assert alert.details[1].endswith(said)


def test_a_test_says_that_it_is_one() -> None:
    assert "测试" in compose_test(voice(), "t", at(0)).title
    assert "test" in compose_test(voice("en"), "t", at(0)).title
