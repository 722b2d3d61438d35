"""The inbox in a real database: every push is worked once, by one, and never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.contracts import PushedEvent
from hub.sync.inbox import (
    CHANNEL,
    KIND,
    STORE,
    Claimed,
    claim_events,
    event_parameters,
    mark_done,
    put_back,
    replay_quarantined,
)
from hub.sync.quarantine import open_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from hub.db.session import Database


@pytest.fixture
def inbox(database: Database) -> Iterator[psycopg.Connection]:
    with database.driver() as connection:
        yield connection


def push(connection: psycopg.Connection, *event_ids: str, source: str = "sap") -> None:
    for event_id in event_ids:
        event = PushedEvent(event_id, "stock.changed", {"id": event_id, "料": 1})
        connection.execute(STORE, event_parameters(source, event))


def claim(connection: psycopg.Connection, limit: int = 50, **more: float) -> list[Claimed]:
    return list(claim_events(connection, ["sap"], limit=limit, **more))


def states(connection: psycopg.Connection) -> dict[str, tuple[str, int]]:
    return {row[0]: (row[1], row[2]) for row in connection.execute("SELECT event_id, state, attempts FROM inbox")}


def due_in(connection: psycopg.Connection, event_id: str) -> float:
    row = connection.execute(
        "SELECT EXTRACT(epoch FROM next_attempt_at - clock_timestamp())::float8 FROM inbox WHERE event_id = %s",
        (event_id,),
    ).fetchone()
    assert row is not None
    return float(row[0])


def fail(connection: psycopg.Connection, times: int, *, most_attempts: int = 20) -> bool:
    """Claim the one event and put it back, so many times."""
    goes_on = True
    for _ in range(times):
        connection.execute("UPDATE inbox SET next_attempt_at = clock_timestamp()")
        [event] = claim(connection)
        goes_on = put_back(connection, event, "仓库被锁定", most_attempts=most_attempts)
    return goes_on


def test_the_same_event_is_stored_once_per_source(inbox: psycopg.Connection) -> None:
    push(inbox, "e1", "e1")
    push(inbox, "e1", source="kingdee")
    assert inbox.execute("SELECT source, event_id FROM inbox ORDER BY source").fetchall() == [
        ("kingdee", "e1"),
        ("sap", "e1"),
    ]


def test_events_are_claimed_oldest_first_and_only_those_asked_for(inbox: psycopg.Connection) -> None:
    push(inbox, "e3", "e1", "e2")
    push(inbox, "other", source="kingdee")
    claimed = claim(inbox, limit=2)
    assert [event.event.event_id for event in claimed] == ["e3", "e1"]
    assert claimed[0].event == PushedEvent("e3", "stock.changed", {"id": "e3", "料": 1})
    assert claimed[0].attempts == 1
    assert [event.event.event_id for event in claim(inbox)] == ["e2"]
    assert claim(inbox) == []


def test_a_claim_is_a_lease_that_ends(inbox: psycopg.Connection) -> None:
    push(inbox, "e1")
    [first] = claim(inbox, lease_seconds=120)
    assert 110 < due_in(inbox, "e1") <= 120
    assert claim(inbox) == []
    inbox.execute("UPDATE inbox SET next_attempt_at = clock_timestamp()")  # the lease has run out
    [second] = claim(inbox)
    assert (first.id, first.attempts, second.attempts) == (second.id, 1, 2)


def test_two_claimers_at_once_get_different_events(database: Database, inbox: psycopg.Connection) -> None:
    push(inbox, *(f"e{number}" for number in range(10)))
    with database.driver() as one, database.driver() as other:
        with one.transaction():
            mine = claim(one, limit=4)
            with other.transaction():
                theirs = claim(other)  # does not wait for the first
        assert len(mine) == 4
        assert len(theirs) == 6
        assert not {event.id for event in mine} & {event.id for event in theirs}


def test_a_claimer_that_dies_leaves_its_events(database: Database, inbox: psycopg.Connection) -> None:
    push(inbox, "e1")
    with database.driver() as connection, connection.transaction(force_rollback=True):
        assert len(claim(connection)) == 1
    assert len(claim(inbox)) == 1


def test_what_is_done_is_not_claimed_again(inbox: psycopg.Connection) -> None:
    push(inbox, "e1", "e2")
    events = claim(inbox)
    mark_done(inbox, events[:1])
    inbox.execute("UPDATE inbox SET next_attempt_at = clock_timestamp()")
    assert [event.event.event_id for event in claim(inbox)] == ["e2"]
    assert states(inbox)["e1"] == ("done", 1)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (15, 300)])
def test_a_failed_event_waits_longer_each_time(inbox: psycopg.Connection, failures: int, seconds: int) -> None:
    push(inbox, "e1")
    assert fail(inbox, failures)
    assert seconds - 2 < due_in(inbox, "e1") <= seconds
    assert claim(inbox) == []
    assert inbox.execute("SELECT error FROM inbox").fetchone() == ("仓库被锁定",)


def test_after_its_last_attempt_an_event_is_quarantined_and_can_be_replayed(
    database: Database, inbox: psycopg.Connection
) -> None:
    push(inbox, "e1")
    assert not fail(inbox, 3, most_attempts=3)
    assert states(inbox) == {"e1": ("quarantined", 3)}
    [entry] = open_entries(inbox)
    assert (entry["source"], entry["kind"], entry["key"], entry["reason"]) == ("sap", KIND, "e1@?", "push_failed")
    assert inbox.execute("SELECT raw -> 'payload' ->> 'id' FROM quarantine").fetchone() == ("e1",)
    inbox.execute("UPDATE inbox SET next_attempt_at = clock_timestamp()")
    assert claim(inbox) == []

    with database.driver() as listener:
        listener.execute(f"LISTEN {CHANNEL}")  # type: ignore[arg-type]
        assert replay_quarantined(inbox, "kingdee") == 0
        assert replay_quarantined(inbox, "sap") == 1
        assert list(listener.notifies(timeout=1, stop_after=1))
    assert open_entries(inbox) == []
    [again] = claim(inbox)
    assert again.attempts == 1
    mark_done(inbox, [again])
    assert replay_quarantined(inbox, "sap") == 0


def test_whoever_lost_the_lease_does_not_undo_what_another_did(inbox: psycopg.Connection) -> None:
    push(inbox, "e1")
    [late] = claim(inbox, lease_seconds=0)
    [quick] = claim(inbox)
    mark_done(inbox, [quick])
    assert not put_back(inbox, late, "timed out", most_attempts=1)
    assert states(inbox)["e1"][0] == "done"
    assert open_entries(inbox) == []
