"""When people are told: the course of one alert from look to look, without clock or database.

What is wrong must have been so for a while before it is raised, and well for a while before it is over, so that what
comes and goes with every look tells nobody twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Telling = Literal["raised", "repeated", "resolved"]


class Kind(StrEnum):
    """What may be wrong. The names stand in the database, in metrics and in what receivers get."""

    FEED_STALE = "feed_stale"
    SNAPSHOT_REFUSED = "snapshot_refused"
    QUARANTINE_GROWTH = "quarantine_growth"
    SUMS_DISAGREE = "sums_disagree"
    LIVE_DEAD = "live_dead"
    WATCH_LATE = "watch_late"
    STOCK_LOW = "stock_low"


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw of one subject.

    Attributes:
        holds: it is wrong now.
        since: since when, if that is known; else the first look that saw it counts.
        hold: how long it must have been wrong before it is raised.
        facts: names and numbers for the text, JSON-ready; never anything personal.
    """

    kind: Kind
    subject: str
    holds: bool
    since: datetime | None = None
    hold: timedelta = timedelta()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things must be well before they are over, and after which pause what lasts is told again."""

    settle: timedelta
    repeat: timedelta


@dataclass(frozen=True, slots=True)
class Course:
    """How far one alert has come; `raised_at` is None while it is only under suspicion."""

    began_at: datetime
    raised_at: datetime | None = None
    told_at: datetime | None = None
    well_since: datetime | None = None
    resolved_at: datetime | None = None


def advance(
    course: Course | None, sight: Sight | None, now: datetime, pace: Pace
) -> tuple[Course | None, Telling | None]:
    """Return the course after a look, None for one that is no more, and what has to be told because of the look.

    A subject that nobody judges any more (`sight` is None: its source was switched off) counts as well.
    """
    if course is not None and course.resolved_at is not None:
        course = None  # told to be over: what comes now is another one
    if sight is None or not sight.holds:
        return _well(course, now, pace)
    course = replace(course or Course(min(sight.since or now, now)), well_since=None)
    if course.told_at is None:
        if now - course.began_at < sight.hold:
            return course, None
        return replace(course, raised_at=now, told_at=now), "raised"
    if now - course.told_at < pace.repeat:
        return course, None
    return replace(course, told_at=now), "repeated"


def _well(course: Course | None, now: datetime, pace: Pace) -> tuple[Course | None, Telling | None]:
    if course is None or course.raised_at is None:
        return None, None
    course = replace(course, well_since=course.well_since or now)
    if course.well_since is None or now - course.well_since < pace.settle:
        return course, None
    return replace(course, resolved_at=now), "resolved"
