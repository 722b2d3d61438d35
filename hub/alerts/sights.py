"""What a look at the database sees: each thing that may be wrong, whether it is so or not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hub.alerts.rules import Kind, Sight
from hub.sync.watch import is_followed, load_feeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from hub.settings import AlertSettings, Settings
    from hub.stock.reading import FeedState

LOOKS = "alerts"
"""The name under which each watcher's last look stands in `source_position`, with the watcher as its stream."""
SCHEDULED_WATCHER = "watch-feeds"
"""The watcher that Prefect runs; the others judge whether it still comes."""
LOOP = "live"
_REFUSED = "SELECT source FROM feed WHERE snapshot_error IS NOT NULL"
_QUARANTINE = """
SELECT source, count(*) FILTER (WHERE first_seen_at > clock_timestamp() - make_interval(mins => %s)), count(*)
FROM quarantine WHERE resolved_at IS NULL GROUP BY source
"""
_OUR_BUGS = """
SELECT source, count(*) FROM stock_difference
WHERE kind = 'our_bug' AND healed_at IS NULL AND resolved_at IS NULL GROUP BY source
"""
_LAST_LOOK = "SELECT moved_at FROM source_position WHERE source = %s AND stream = %s"


def see(connection: psycopg.Connection, settings: Settings, now: datetime) -> Iterator[Sight]:
    """Judge everything that may be wrong, for the sources that are switched on; `now` is the database's time."""
    sources = settings.enabled_sources()
    feeds = [feed for feed in load_feeds(connection) if feed.source in sources]
    rules = settings.alerts
    refused = {source for (source,) in connection.execute(_REFUSED)}
    counts = {
        source: (int(new), int(waiting))
        for source, new, waiting in connection.execute(_QUARANTINE, (rules.quarantine_window_minutes,))
    }
    bugs = {source: int(count) for source, count in connection.execute(_OUR_BUGS)}
    for feed in feeds:
        yield _feed(feed, rules)
        yield Sight(Kind.SNAPSHOT_REFUSED, feed.source, feed.source in refused)
        yield _quarantine(feed.source, *counts.get(feed.source, (0, 0)), rules)
        count = bugs.get(feed.source, 0)
        yield Sight(Kind.SUMS_DISAGREE, feed.source, count > 0, facts={"count": count})
    if feeds:
        yield _loop(feeds, rules, now, followed=is_followed(connection))
    if rules.watch_late_seconds:
        yield from _watcher(connection, rules, now)


def _feed(feed: FeedState, rules: AlertSettings) -> Sight:
    """Judge a source by its age. One that was never read in full is stale from the first look on."""
    allowed = timedelta(seconds=feed.stale_after_seconds)
    known = feed.read_at is not None and feed.full_read_at is not None
    return Sight(
        Kind.FEED_STALE,
        feed.source,
        feed.stale,
        since=feed.read_at + allowed if known and feed.read_at else None,
        hold=allowed * (rules.stale_factor - 1),
        facts={"read_at": _text(feed.read_at if known else None), "failures": feed.failures},
    )


def _quarantine(source: str, new: int, waiting: int, rules: AlertSettings) -> Sight:
    facts = {"new": new, "waiting": waiting, "minutes": rules.quarantine_window_minutes}
    return Sight(Kind.QUARANTINE_GROWTH, source, new >= rules.quarantine_new, facts=facts)


def _loop(feeds: Sequence[FeedState], rules: AlertSettings, now: datetime, *, followed: bool) -> Sight:
    """Judge the near-real-time loop: nobody holds its lock, or whoever does polls nothing.

    A poll that failed is a sign of life too: then the ERP is in trouble, and its feed says so.
    """
    allowed = timedelta(seconds=rules.live_dead_seconds)
    polled_at = max((time for feed in feeds for time in (feed.read_at, feed.failed_at) if time), default=None)
    idle = polled_at is None or now - polled_at >= allowed
    facts = {"followed": followed, "polled_at": _text(polled_at)}
    return Sight(Kind.LIVE_DEAD, LOOP, not followed or idle, since=polled_at, hold=allowed, facts=facts)


def _watcher(connection: psycopg.Connection, rules: AlertSettings, now: datetime) -> Iterator[Sight]:
    row = connection.execute(_LAST_LOOK, (LOOKS, SCHEDULED_WATCHER)).fetchone()
    if row is None:
        return  # this installation has none: `oneshelf live` looks instead
    looked_at: datetime = row[0]
    allowed = timedelta(seconds=rules.watch_late_seconds)
    facts: Mapping[str, str | None] = {"looked_at": _text(looked_at)}
    late = now - looked_at >= allowed
    yield Sight(Kind.WATCH_LATE, SCHEDULED_WATCHER, late, since=looked_at, hold=allowed, facts=facts)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
