"""A short race for few pieces while servers die; `make bench-race` holds one of a million attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.race import race
from benchmarks.refusals import Refusal, find_false

if TYPE_CHECKING:
    from hub.db.session import Database


def test_nothing_is_oversold_lost_or_doubled_while_servers_die() -> None:
    ended = race(3_000, kill_seconds=3.0, pieces=10)
    assert (ended.oversold, ended.lost, ended.doubled) == (0, 0, 0)
    assert ended.kills >= 1
    assert ended.broken >= 1
    assert ended.reserved
    assert ended.refused
    assert (ended.refusals_looked_at, ended.refused_though_there) == (ended.refused, 0)


HELD = """
INSERT INTO item (sku, name, unit) VALUES ('A', 'A', 'EA');
INSERT INTO location (code, name, kind, sellable_online, pickup, time_zone)
VALUES ('DC', 'DC', 'warehouse', true, false, 'UTC');
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, 3, 1, 2 FROM item, location;
INSERT INTO hold_event (recorded_at, item_id, location_id, channel, kind, quantity, effective_at)
SELECT now(), item.id, location.id, 'online', event.kind, event.quantity, to_timestamp(event.at)
FROM item, location,
     (VALUES ('held', 2, 10), ('committed', -2, 20), ('held', 1, 30), ('expired', -1, 40)) AS event(kind, quantity, at);
"""


def test_a_refusal_of_what_was_there_all_the_while_is_found_out(database: Database) -> None:
    early, ordered = Refusal(5, 9, {"A": 3}), Refusal(21, 25, {"A": 1})
    just, late = Refusal(29, 30.5, {"A": 1}), Refusal(40.5, 42, {"A": 1})
    with database.driver() as connection:
        connection.execute(HELD)
        found = find_false(
            connection, [early, Refusal(9, 11, {"A": 2}), ordered, just, Refusal(22, 23, {"A": 2}), late]
        )
    assert found == [early, ordered, late]
    assert early.unit_seconds == 12
