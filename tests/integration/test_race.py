"""A short race for few pieces while servers die; `make bench-race` holds one of a million attempts."""

from __future__ import annotations

from benchmarks.race import race


def test_nothing_is_oversold_lost_or_doubled_while_servers_die() -> None:
    ended = race(3_000, kill_seconds=3.0, pieces=10)
    assert (ended.oversold, ended.lost, ended.doubled) == (0, 0, 0)
    assert ended.kills >= 1
    assert ended.broken >= 1
    assert ended.reserved
    assert ended.refused
