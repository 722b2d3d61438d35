"""The outbox in a real database: whoever follows the published numbers misses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.sync.outbox import (
    CHANNEL,
    Published,
    forget_published,
    publish_waiting,
    read_kept,
    read_published,
    write_outbox,
)

if TYPE_CHECKING:
    import psycopg

    from hub.db.session import Database


def publish(database: Database, limit: int = 500) -> list[Published]:
    with database.driver() as connection, connection.transaction():
        return list(publish_waiting(connection, limit))


def published(connection: psycopg.Connection, after: int) -> list[tuple[int, str]]:
    """Follow the numbers as a reader does."""
    rows = connection.execute(
        "SELECT published_seq, key FROM outbox WHERE published_seq > %s ORDER BY published_seq", (after,)
    )
    return [(seq, key) for seq, key in rows]


def test_a_row_that_commits_late_is_not_missed(database: Database) -> None:
    with database.driver() as slow, database.driver() as fast, database.driver() as reader:
        with slow.transaction():
            write_outbox(slow, "stock.changed", "first", {"n": 1})
            with fast.transaction():
                write_outbox(fast, "stock.changed", "second", {"n": 2})
            assert [row.key for row in publish(database)] == ["second"]
            seen = published(reader, 0)
            assert [key for _, key in seen] == ["second"]
        ids = dict(reader.execute("SELECT key, id FROM outbox").fetchall())
        assert ids["first"] < ids["second"]  # a reader that follows ids would never see the first
        assert [row.key for row in publish(database)] == ["first"]
        assert [key for _, key in published(reader, seen[-1][0])] == ["first"]
    assert publish(database) == []


def test_rows_leave_in_their_order_and_in_batches(database: Database) -> None:
    with database.driver() as connection, connection.transaction():
        for number in range(5):
            write_outbox(connection, "stock.changed", f"k{number}", {"店": "上海", "n": number})
    first, second, third = publish(database, 2), publish(database, 2), publish(database, 2)
    rows = [*first, *second, *third]
    assert [len(first), len(second), len(third)] == [2, 2, 1]
    assert [row.payload["n"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row.seq for row in rows] == sorted({row.seq for row in rows})
    assert rows[0].payload["店"] == "上海"


def test_numbers_follow_one_another_whatever_the_planner_takes_the_table_for(database: Database) -> None:
    """Statistics from when the table was tiny, and rows that do not lie in the order in which they were written."""
    with database.driver() as connection:
        write_outbox(connection, "stock.changed", "k", {})
        [first] = publish(database)
        connection.execute("VACUUM ANALYZE outbox")
        for number in range(3):
            write_outbox(connection, "stock.changed", "k", {"n": number})
        connection.execute("UPDATE outbox SET payload = payload WHERE payload = '{\"n\": 0}'")
    rows = publish(database)
    assert [row.payload["n"] for row in rows] == [0, 1, 2]
    assert [row.seq - first.seq for row in rows] == [1, 2, 3]


def test_of_two_relays_at_once_one_works(database: Database) -> None:
    with database.driver() as connection:
        write_outbox(connection, "stock.changed", "a", {})
    with database.driver() as one, database.driver() as other:
        with one.transaction():
            assert [row.key for row in publish_waiting(one)] == ["a"]
            with other.transaction():
                write_outbox(other, "stock.changed", "b", {})
                assert publish_waiting(other) == ()
        with other.transaction():
            assert [row.key for row in publish_waiting(other)] == ["b"]


def test_a_relay_that_dies_before_its_commit_has_published_nothing(database: Database) -> None:
    with database.driver() as connection:
        write_outbox(connection, "stock.changed", "a", {})
    with database.driver() as connection, connection.transaction(force_rollback=True):
        assert len(publish_waiting(connection)) == 1
    with database.driver() as connection:
        assert published(connection, 0) == []
    assert [row.key for row in publish(database)] == ["a"]


def test_a_change_that_is_rolled_back_tells_nobody(database: Database) -> None:
    with database.driver() as listener, database.driver() as writer:
        listener.execute(f"LISTEN {CHANNEL}")  # type: ignore[arg-type]
        with writer.transaction(force_rollback=True):
            write_outbox(writer, "stock.changed", "a", {})
        with writer.transaction():
            write_outbox(writer, "stock.changed", "b", {})
            write_outbox(writer, "stock.changed", "c", {})
        assert len(list(listener.notifies(timeout=0.2))) == 1
    assert [row.key for row in publish(database)] == ["b", "c"]


async def test_from_the_oldest_number_on_all_are_there(database: Database) -> None:
    with database.driver() as connection:
        for key in ("a", "b", "c"):
            write_outbox(connection, "stock.changed", key, {})
        first, second, third = (row.seq for row in publish(database))
        connection.execute("UPDATE outbox SET created_at = now() - interval '31 days' WHERE key <> 'a'")
        assert forget_published(connection, days=30) == 0  # the first must stay, so what is behind it does
        connection.execute("UPDATE outbox SET created_at = now() - interval '31 days'")
        assert forget_published(connection, days=30) == 2
    engine = database.async_engine()
    async with engine.connect() as reader:
        kept = await read_kept(reader)
        assert [row.key for row in await read_published(reader, 0, 10)] == ["c"]
    await engine.dispose()
    assert (kept.oldest, kept.newest) == (third, third)
    assert [kept.all_behind(seq) for seq in (first, second, third, third + 1)] == [False, True, True, False]


def test_only_what_is_published_and_old_is_forgotten(database: Database) -> None:
    with database.driver() as connection:
        for key in ("old", "new"):
            write_outbox(connection, "stock.changed", key, {})
    publish(database)
    with database.driver() as connection:
        write_outbox(connection, "stock.changed", "old, waiting", {})
        connection.execute("UPDATE outbox SET created_at = now() - interval '31 days' WHERE key LIKE 'old%'")
        assert forget_published(connection, days=30) == 1
        assert {key for (key,) in connection.execute("SELECT key FROM outbox")} == {"new", "old, waiting"}
