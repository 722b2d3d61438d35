"""SIGKILL of every process of a hub at work, again and again: the same end state as without.

Syncs die before each of their round trips to the database and at random moments; the live loop, the processes of the
storefront adapter that take SAP's pushes, the database server, one of its backends and the ERPs at random moments,
while goods move. So they do where SAP is read over RFC. A twin that nobody kills goes through the same movements. In
the end both say the same, the ERPs' books say it too, and nothing is left over.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.kills.campaign import AFTER, DURING, OVER_RFC, READING, RFC, SYSTEMS, Campaign, open_hub, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hub.contracts import StockKey
    from hub.db.embedded import EmbeddedServer
    from tests.kills.campaign import Sandboxes

    Note = Callable[[str], None]
    CountKills = Callable[[str, int], None]

# Two articles that the hub counts in another unit: their rows are quarantined all the time.
_OTHER_UNIT = "UPDATE item SET unit = 'BOX' WHERE id IN (SELECT id FROM item ORDER BY sku LIMIT 2) RETURNING sku"
_LEVELS = (
    "SELECT md5(string_agg(concat_ws('|', sku, code, trim_scale(on_hand)), E'\\n' ORDER BY sku, code)) FROM stock_level"
    " JOIN item ON item.id = item_id JOIN location ON location.id = location_id WHERE on_hand <> 0"
)
_UNSELLABLE = (
    "SELECT md5(string_agg(concat_ws('|', sku, code, stock_unsellable.status, owner, trim_scale(quantity)), E'\\n'"
    " ORDER BY sku, code, stock_unsellable.status, owner)) FROM stock_unsellable"
    " JOIN item ON item.id = item_id JOIN location ON location.id = location_id"
)
_QUARANTINE = (
    "SELECT md5(string_agg(concat_ws('|', source, kind, key, reason), E'\\n' ORDER BY source, kind, key, reason))"
    " FROM (SELECT DISTINCT source, kind, key, reason FROM quarantine WHERE resolved_at IS NULL) AS open"
)
# Each must find nothing.
_LEFT_OVER = {
    "a ledger entry that is not the next of its level, or comes twice": (
        "SELECT * FROM (SELECT id, quantity_before, quantity_after, lag(quantity_after, 1, 0::numeric) OVER"
        " (PARTITION BY item_id, location_id, status, owner ORDER BY id) AS last FROM stock_ledger) AS entry"
        " WHERE quantity_before <> last OR quantity_before = quantity_after"
    ),
    "a level that is not the sum of its ledger": (
        "SELECT * FROM (SELECT item_id, location_id, 'sellable' AS status, '' AS owner, on_hand AS quantity"
        " FROM stock_level UNION ALL SELECT item_id, location_id, status, owner, quantity FROM stock_unsellable)"
        " AS level FULL JOIN (SELECT item_id, location_id, status, owner, sum(quantity_after - quantity_before) AS sum"
        " FROM stock_ledger GROUP BY 1, 2, 3, 4) AS ledger USING (item_id, location_id, status, owner)"
        " WHERE COALESCE(quantity, 0) <> COALESCE(sum, 0)"
    ),
    "a ledger entry of a batch that was not applied": (
        "SELECT * FROM stock_ledger JOIN stock_batch ON stock_batch.id = batch_id WHERE state <> 'applied'"
    ),
    "an applied batch without its one message, or a message without its batch": (
        "SELECT * FROM (SELECT id FROM stock_batch WHERE state = 'applied' AND changed > 0) AS batch"
        " FULL JOIN (SELECT (payload->>'batch')::bigint AS id, count(*) AS messages FROM outbox GROUP BY 1) AS message"
        " USING (id) WHERE batch.id IS NULL OR messages IS DISTINCT FROM 1"
    ),
    "a message that is not numbered, or has another's number": (
        "SELECT published_seq FROM outbox GROUP BY 1 HAVING published_seq IS NULL OR count(*) > 1"
    ),
    "a push that is not done": "SELECT * FROM inbox WHERE state <> 'done'",
    "a key that is still due": "SELECT * FROM stock_due",
    "a batch that is neither applied nor failed with a reason": (
        "SELECT * FROM stock_batch WHERE state <> 'applied' AND (state <> 'failed' OR reason IS NULL)"
    ),
    "an advisory lock": "SELECT * FROM pg_locks WHERE locktype = 'advisory'",
    "a stale feed": (
        "SELECT * FROM feed WHERE error IS NOT NULL OR snapshot_error IS NOT NULL OR read_at IS NULL"
        " OR read_at < clock_timestamp() - make_interval(secs => stale_after_seconds)"
    ),
}
# A server that crashed leaves the tables of its dead backends to its own cleaning, here once a second.
_TEMPORARY = "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"


@contextmanager
def hub(
    server: EmbeddedServer, sandboxes: Sandboxes, folder: Path, name: str, sources: Sequence[str] = SYSTEMS
) -> Iterator[Campaign]:
    """Give a hub that quarantines the rows of two articles all the time."""
    with open_hub(server, sandboxes, folder, name, sources) as campaign:
        campaign.query(_OTHER_UNIT)
        yield campaign


def end_state(campaign: Campaign) -> dict[str, object]:
    """Check that nothing is left over and the books agree; return what the twin must say too."""
    kept: set[str] = {sku for (sku,) in campaign.query("SELECT sku FROM item WHERE unit = 'BOX'")}
    for what, sql in _LEFT_OVER.items():
        assert campaign.query(sql)[:5] == [], what
    until(lambda: campaign.query(_TEMPORARY) == [], "temporary tables are left over", 20)
    assert sorted(event for (event,) in campaign.query("SELECT event_id FROM inbox")) == sorted(campaign.mesh.pushed)
    assert {sku for _, sku, _, _ in campaign.wrong()} <= kept
    hashes = {"levels": _LEVELS, "unsellable": _UNSELLABLE, "quarantine": _QUARANTINE}
    books = {source: world.books() for source, world in campaign.worlds.items()}
    return {**{name: campaign.query(sql) for name, sql in hashes.items()}, "books": books}


def settle(campaign: Campaign) -> None:
    """Let the live loop alone bring everything in; a full read of each ERP then finds nothing to change."""
    with campaign.live(), campaign.adapter(processes=1):
        campaign.wait_until_level()
    entries = campaign.query("SELECT count(*) FROM stock_ledger")
    for source in campaign.worlds:
        campaign.run("full", source)
    assert campaign.query("SELECT count(*) FROM stock_ledger") == entries
    with campaign.live():
        campaign.wait_until_level()


def keys_of(campaign: Campaign, source: str, number: int) -> frozenset[StockKey]:
    return frozenset(sorted(campaign.worlds[source].books(), key=lambda key: (key.item, key.location))[:number])


def kill_syncs(campaign: Campaign, source: str, shares: Mapping[str, float], chance: random.Random) -> None:
    """Kill each kind of sync before a share of its round trips, and as often at random moments of its life."""
    keys = keys_of(campaign, source, 25)
    for what, share in shares.items():
        campaign.movements.post_until(campaign.movements.posted + 3)
        trips = campaign.run(what, source, keys)
        some = chance.sample(range(1, trips + 1), max(1, round(share * trips)))
        # The last three come after COMMIT: the batch's lock is given back, and the connection is cleaned.
        for number in sorted({*some, trips - 2}):
            campaign.movements.post()
            campaign.kill_at(what, source, number, keys)
            campaign.movements.post()
            campaign.kill_after(what, source, chance.uniform(0.02, 0.25), keys)


def kill_all_kinds(campaign: Campaign, rounds: int, chance: random.Random) -> None:
    """Kill syncs, ERPs, backends and the server in turn, while the live loop and the adapter are killed beside."""
    sources = list(campaign.worlds)
    for turn in range(rounds):
        source = sources[turn % len(sources)]
        campaign.query("SELECT 1")  # the server is there again
        campaign.kill_after("full", source, chance.uniform(0.1, 0.6))
        campaign.kill_sandbox(source, chance.uniform(0, 0.3))
        campaign.kill_after("delta", source, chance.uniform(0.02, 0.2))
        campaign.kill_backend(chance)
        if turn % 3 == 0:
            campaign.kill_postmaster()


@contextmanager
def moving(campaign: Campaign, number: int, pause: float) -> Iterator[None]:
    """Go on posting movements beside, up to `number` in all; post what is missing in the end."""
    mover = threading.Thread(target=campaign.movements.post_until, args=(number, lambda: pause))
    mover.start()
    yield
    mover.join()
    assert campaign.movements.posted == number


def by_process(campaign: Campaign) -> Mapping[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for (kind, where), times in campaign.kills.items():
        found.setdefault(kind, Counter())[where] += times
    return found


def report(campaign: Campaign, note: Note, count_kills: CountKills) -> None:
    settled = campaign.query("SELECT count(*) FROM stock_batch WHERE reason = 'the process ended'")[0][0]
    lines = [
        f"{kind}: {sum(places.values())} ({', '.join(f'{times} {where}' for where, times in places.most_common())})"
        for kind, places in sorted(by_process(campaign).items())
    ]
    pushes = f"; {campaign.mesh}" if campaign.mesh.pushed else ""
    total = f"{campaign.kills.total()} SIGKILLs during {campaign.movements.posted} movements"
    for line in (f"{total}; {settled} batches that were cut off were settled{pushes}", *lines):
        note(line)
    for process, places in by_process(campaign).items():
        count_kills(process, places.total())


def test_some_kills_change_nothing(
    server: EmbeddedServer, sandboxes: Sandboxes, tmp_path: Path, note: Note, count_kills: CountKills
) -> None:
    chance = random.Random(11)
    with hub(server, sandboxes, tmp_path, "short") as campaign:
        kill_syncs(campaign, "sap", {"snapshot": 0.04, "delta": 0.1}, chance)
        number = campaign.movements.posted + 15
        with moving(campaign, number, 0.02), campaign.live(0.3, 0.8), campaign.adapter(0.3, 0.8):
            kill_all_kinds(campaign, 1, chance)
        settle(campaign)
        state = end_state(campaign)
        assert sum(campaign.kills.values()) >= 10, campaign.kills
        report(campaign, note, count_kills)
    with hub(server, sandboxes, tmp_path, "short_twin") as twin:
        twin.movements.post_until(number)
        settle(twin)
        assert end_state(twin) == state


def test_of_two_live_processes_one_works_and_the_other_takes_over(
    server: EmbeddedServer, sandboxes: Sandboxes, tmp_path: Path, note: Note
) -> None:
    with hub(server, sandboxes, tmp_path, "two") as campaign, campaign.adapter(processes=1):
        first = campaign.start("live", "")
        until(lambda: campaign.loops() == {first.order.name: True}, "no loop")
        second = campaign.start("live", "")
        both = {first.order.name: True, second.order.name: False}
        until(lambda: campaign.loops() == both, "the second one does not wait")
        [(since,)] = campaign.query("SELECT clock_timestamp()")
        campaign.movements.post_until(5)
        campaign.wait_until_level()
        assert campaign.loops() == both
        asked = (
            "SELECT query FROM pg_stat_activity WHERE application_name = %s AND state_change > %s"
            " AND query ~ 'stock_level|stock_due|stock_batch|inbox'"
        )
        assert campaign.query(asked, second.order.name, since) == []  # it waits; only whether all is well it looks too

        assert campaign.strike(first)
        began = time.monotonic()
        until(lambda: campaign.loops() == {second.order.name: True}, "the second one does not take over")
        taken = time.monotonic() - began
        campaign.movements.post_until(10)
        campaign.wait_until_level()
        note(f"two live processes, one killed: the other has the turn after {taken:.2f} s")
        assert campaign.strike(second)


@pytest.mark.slow
def test_an_acknowledged_push_is_worked_once_whoever_is_killed(
    server: EmbeddedServer, sandboxes: Sandboxes, tmp_path: Path, note: Note, count_kills: CountKills
) -> None:
    with hub(server, sandboxes, tmp_path, "pushes") as campaign:
        with campaign.live(0.5, 2.0), campaign.adapter(1.0, 2.0):
            campaign.movements.post_until(300, lambda: 0.05)
        settle(campaign)
        end_state(campaign)
        report(campaign, note, count_kills)
        where = by_process(campaign)["storefront adapter"]
        assert where[AFTER] >= 1, where
        assert where[DURING] + where[AFTER] >= 5, where


@pytest.mark.slow
def test_kills_change_nothing_where_sap_is_read_over_rfc(
    server: EmbeddedServer, sandboxes: Sandboxes, tmp_path: Path, note: Note, count_kills: CountKills
) -> None:
    chance = random.Random(13)
    with hub(server, sandboxes, tmp_path, "rfc", OVER_RFC) as campaign:
        kill_syncs(campaign, RFC, {"snapshot": 0.15, "delta": 0.15, "refresh": 0.15}, chance)
        number = campaign.movements.posted + 100
        with moving(campaign, number, 0.1), campaign.live(0.2, 1.2):
            kill_all_kinds(campaign, 4, chance)
        settle(campaign)
        state = end_state(campaign)
        report(campaign, note, count_kills)
        where = sum((places for kind, places in by_process(campaign).items() if "RFC" in kind), Counter[str]())
        assert all(where[place] >= least for place, least in ((READING, 10), (DURING, 10))), where
    with hub(server, sandboxes, tmp_path, "rfc_twin", OVER_RFC) as twin:
        with twin.live():
            twin.movements.post_until(number)
        settle(twin)
        assert end_state(twin) == state


@pytest.mark.slow
def test_two_hundred_kills_change_nothing(
    server: EmbeddedServer, sandboxes: Sandboxes, tmp_path: Path, note: Note, count_kills: CountKills
) -> None:
    chance = random.Random(12)
    with hub(server, sandboxes, tmp_path, "long") as campaign:
        for source in SYSTEMS:
            kill_syncs(campaign, source, {"snapshot": 0.3, "delta": 0.3, "refresh": 0.3}, chance)
        number = campaign.movements.posted + 500
        with moving(campaign, number, 0.1), campaign.live(0.2, 1.2), campaign.adapter(0.3, 1.5):
            kill_all_kinds(campaign, 20, chance)
        settle(campaign)
        state = end_state(campaign)
        report(campaign, note, count_kills)
        assert sum(campaign.kills.values()) >= 200
        where = Counter[str]()
        for (_, place), times in campaign.kills.items():
            where[place] += times
        assert all(where[place] >= least for place, least in ((READING, 50), (DURING, 50), (AFTER, 2))), where
    with hub(server, sandboxes, tmp_path, "long_twin") as twin:
        with twin.live(), twin.adapter():
            twin.movements.post_until(number)
        settle(twin)
        assert end_state(twin) == state
