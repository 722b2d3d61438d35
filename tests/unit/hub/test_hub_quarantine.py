"""Quarantine, housekeeping and the watch over feeds, in a real database."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contracts import Rejection
from hub.stock.ticks import draw_tick
from hub.sync.feed import database_time, declare_feed, note_failure, note_success
from hub.sync.housekeeping import tidy
from hub.sync.outbox import publish_waiting, write_outbox
from hub.sync.quarantine import open_entries, quarantine, rejection_key, resolve_keys, resolve_not_seen, to_json
from hub.sync.watch import FeedState, load_feeds, open_quarantine_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from hub.db.session import Database


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    with database.driver() as connection:
        yield connection


def rejected(item: str | None = "A", location: str | None = "W1", **changes: Any) -> Rejection:
    facts = {"reason": "bad_number", "detail": "no number", "raw": {"quantity": "x"}, **changes}
    return Rejection(item=item, location=location, **facts)


# --- quarantine


def test_the_same_problem_is_one_entry_that_counts(connection: psycopg.Connection) -> None:
    quarantine(connection, "sap", "stock_row", [rejected()])
    quarantine(connection, "sap", "stock_row", [rejected(), rejected("B")])
    entries = {entry["key"]: entry for entry in open_entries(connection)}
    assert entries.keys() == {"A@W1", "B@W1"}
    assert entries["A@W1"]["times"] == 2
    assert entries["A@W1"]["last_seen_at"] > entries["A@W1"]["first_seen_at"]
    assert open_quarantine_count(connection) == 2


def test_each_rejected_record_of_a_key_is_kept_until_the_key_is_read_again(connection: psycopg.Connection) -> None:
    lots = [rejected(raw={"lot": "1"}), rejected(raw={"lot": "2"})]
    quarantine(connection, "sap", "stock_row", [*lots, rejected("B")])
    assert open_quarantine_count(connection) == 3
    quarantine(connection, "sap", "stock_row", [rejected(raw={"lot": "2"})])
    still_open = "SELECT key, raw ->> 'lot' FROM quarantine WHERE resolved_at IS NULL ORDER BY 1"
    raws = connection.execute(still_open).fetchall()
    assert raws == [("A@W1", "2"), ("B@W1", None)]


def test_source_kind_key_and_reason_make_an_entry(connection: psycopg.Connection) -> None:
    quarantine(connection, "sap", "stock_row", [rejected(), rejected(reason="bad_unit"), rejected(location="W2")])
    quarantine(connection, "kingdee", "stock_row", [rejected()])
    quarantine(connection, "sap", "item", [rejected()])
    assert open_quarantine_count(connection) == 5


def test_a_resolved_problem_that_comes_back_is_a_new_entry(connection: psycopg.Connection) -> None:
    quarantine(connection, "sap", "stock_row", [rejected()])
    resolve_keys(connection, "sap", "stock_row", ["B@W1"])
    resolve_keys(connection, "kingdee", "stock_row", ["A@W1"])
    resolve_keys(connection, "sap", "stock_row", [])
    assert open_quarantine_count(connection) == 1
    resolve_keys(connection, "sap", "stock_row", ["A@W1"])
    assert open_entries(connection) == []
    quarantine(connection, "sap", "stock_row", [rejected()])
    assert [entry["times"] for entry in open_entries(connection)] == [1]


def test_what_a_complete_read_did_not_meet_again_is_resolved(connection: psycopg.Connection) -> None:
    quarantine(connection, "sap", "stock_row", [rejected("A"), rejected("B")])
    quarantine(connection, "sap", "item", [rejected("A")])
    began_at = database_time(connection)
    quarantine(connection, "sap", "stock_row", [rejected("B")])
    resolve_not_seen(connection, "sap", "stock_row", began_at)
    assert {(entry["kind"], entry["key"]) for entry in open_entries(connection)} == {
        ("stock_row", "B@W1"),
        ("item", "A@W1"),
    }


def test_a_record_without_a_key_is_known_by_its_content() -> None:
    one, same = rejected(None, None, raw={"b": 1, "a": 2}), rejected(None, None, raw={"a": 2, "b": 1})
    assert rejection_key(one) == rejection_key(same)
    assert rejection_key(one) != rejection_key(rejected(None, None, raw={"a": 3}))
    assert rejection_key(rejected("A", None)) == "A@?"
    assert rejection_key(rejected(None, "W1")) == "?@W1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_raw_record_has_a_text_that_the_database_can_hold(value: Any) -> None:
    text = to_json({"raw": value})
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode("utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_one_strange_record_does_not_keep_the_others_out(connection: psycopg.Connection) -> None:
    strange = {"name": "a\x00b\ud800", "n": float("nan"), "q": Decimal("1.50"), "on": date(2026, 11, 23), "x": [b"1"]}
    quarantine(
        connection, "sap", "item", [rejected("A"), rejected("B\x00", detail="\x00\udfff", raw=strange), rejected("C")]
    )
    assert open_quarantine_count(connection) == 3
    row = connection.execute("SELECT raw FROM quarantine WHERE key LIKE 'B%'").fetchone()
    assert row is not None
    assert (row[0]["n"], row[0]["q"], row[0]["on"]) == ("nan", "1.50", "2026-11-23")
    assert row[0]["name"].startswith("a\ufffdb")


def test_the_newest_entries_are_shown_first(connection: psycopg.Connection) -> None:
    for item in "ABC":
        quarantine(connection, "sap", "item", [rejected(item)])
    assert [entry["key"][0] for entry in open_entries(connection, limit=2)] == ["C", "B"]


# --- housekeeping


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def test_only_what_is_old_and_settled_goes(connection: psycopg.Connection) -> None:
    old = "clock_timestamp() - interval '31 days'"
    for name, state in (("old", "done"), ("new", "done"), ("open", "pending"), ("bad", "quarantined")):
        connection.execute(
            "INSERT INTO inbox (source, event_id, kind, payload, state, done_at, received_at)"
            f" VALUES ('sap', %s, 'x', '{{}}', %s, {old if name == 'old' else 'now()'}, {old})",
            (name, state),
        )
    for _ in range(2):
        draw_tick(connection)
    connection.execute(f"UPDATE tick_time SET drawn_at = {old} WHERE tick = (SELECT min(tick) FROM tick_time)")
    quarantine(connection, "sap", "item", [rejected("A"), rejected("B"), rejected("C")])
    connection.execute(f"UPDATE quarantine SET resolved_at = {old} WHERE key = 'A@W1'")
    connection.execute("UPDATE quarantine SET resolved_at = now() WHERE key = 'B@W1'")
    connection.execute(f"UPDATE quarantine SET last_seen_at = {old}")
    for key in ("old", "new"):
        write_outbox(connection, "t", key, {})
    with connection.transaction():
        publish_waiting(connection)
    connection.execute(f"UPDATE outbox SET created_at = {old} WHERE key = 'old'")
    tidy(connection)
    tidy(connection)

    assert {name for (name,) in connection.execute("SELECT event_id FROM inbox")} == {"new", "open", "bad"}
    assert count(connection, "tick_time") == 1
    assert {key for (key,) in connection.execute("SELECT key FROM quarantine")} == {"B@W1", "C@W1"}
    assert {key for (key,) in connection.execute("SELECT key FROM outbox")} == {"new"}


def test_the_time_to_keep_can_be_chosen(connection: psycopg.Connection) -> None:
    draw_tick(connection)
    connection.execute("UPDATE tick_time SET drawn_at = clock_timestamp() - interval '2 days'")
    tidy(connection, days=3)
    assert count(connection, "tick_time") == 1
    tidy(connection, days=1)
    assert count(connection, "tick_time") == 0


# --- the watch


def feed(connection: psycopg.Connection) -> FeedState:
    [state] = load_feeds(connection)
    return state


def test_a_feed_is_stale_until_it_was_read_in_full_and_again_when_it_grows_old(
    connection: psycopg.Connection,
) -> None:
    declare_feed(connection, "sap", stale_after_seconds=60)
    assert (feed(connection).stale, feed(connection).age_seconds) == (True, None)
    now = database_time(connection)
    note_success(connection, "sap", now)
    assert feed(connection).stale  # only changes so far
    note_success(connection, "sap", now, full=True)
    assert not feed(connection).stale
    connection.execute("UPDATE feed SET read_at = clock_timestamp() - interval '59 seconds'")
    assert not feed(connection).stale
    connection.execute("UPDATE feed SET read_at = clock_timestamp() - interval '61 seconds'")
    assert feed(connection).stale
    assert 61 <= (feed(connection).age_seconds or 0) < 70
    declare_feed(connection, "sap", stale_after_seconds=600)
    assert not feed(connection).stale


def test_a_failure_is_told_and_a_success_ends_it_without_making_the_feed_older(
    connection: psycopg.Connection,
) -> None:
    declare_feed(connection, "sap", stale_after_seconds=60)
    now = database_time(connection)
    note_success(connection, "sap", now, full=True)
    note_failure(connection, "sap", "x" * 900)
    note_failure(connection, "sap", "gateway down")
    assert (feed(connection).failures, feed(connection).error, feed(connection).read_at) == (2, "gateway down", now)
    note_success(connection, "sap", now - timedelta(hours=1), full=True)
    state = feed(connection)
    assert (state.failures, state.error, state.read_at, state.full_read_at) == (0, None, now, now)


def test_every_source_is_watched_by_name(connection: psycopg.Connection) -> None:
    for source in ("sap", "kingdee"):
        declare_feed(connection, source, stale_after_seconds=60)
    note_success(connection, "sap", database_time(connection), full=True)
    assert [(state.source, state.stale) for state in load_feeds(connection)] == [("kingdee", True), ("sap", False)]
