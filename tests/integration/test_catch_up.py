"""What a reader leaves behind when it dies or falls far behind, and how the next one goes on from there."""

from __future__ import annotations

import time
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.contracts import PushedEvent, StockKey
from hub.db.session import plain_url
from hub.errors import Unavailable
from hub.sync.batch import begin_batch, let_go_of_batch, settle_batches
from hub.sync.due import add_due, clear_due, load_due
from hub.sync.inbox import STORE, claim_events, event_parameters, release_claims
from hub.sync.inventory import InventorySync
from hub.sync.watch import load_feeds
from tests.fake_erp import article, row
from tests.locks import OUR_LOCKS

if TYPE_CHECKING:
    from tests.integration.conftest import Hub

KEYS = [StockKey(item, "P/1") for item in "ABC"]


@pytest.fixture
def stocked(hub: Hub) -> Hub:
    hub.erp.rows = [row(item, "P/1", 5) for item in "ABC"]
    hub.sync.snapshot()
    return hub


def batches(hub: Hub) -> list[tuple[str, str | None]]:
    return hub.query("SELECT state, reason FROM stock_batch ORDER BY id")  # type: ignore[return-value]


def waiting(hub: Hub) -> set[StockKey]:
    with hub.database.driver() as connection:
        return set(load_due(connection, "sap"))


def two_at_once(hub: Hub) -> InventorySync:
    return InventorySync(hub.database, hub.erp, hub.settings.stock.model_copy(update={"keys_at_once": 2}))


def is_stale(hub: Hub) -> bool:
    with hub.database.driver() as connection:
        return next(feed.stale for feed in load_feeds(connection) if feed.source == "sap")


def test_the_next_read_settles_a_batch_whose_reader_is_gone(hub: Hub) -> None:
    reader = psycopg.connect(plain_url(hub.database.url), autocommit=True)
    backend = reader.info.backend_pid
    with closing(reader):
        begin_batch(reader, "sap", "full", "")
        hub.sync.snapshot()
        assert [state for state, _ in batches(hub)] == ["running", "applied"]
    while hub.query("SELECT FROM pg_stat_activity WHERE pid = %s", backend):
        time.sleep(0.01)
    hub.sync.snapshot()
    assert batches(hub) == [("failed", "the process ended"), ("applied", None), ("applied", None)]


def test_housekeeping_settles_the_batches_of_a_source_that_nobody_reads_any_more(hub: Hub) -> None:
    with hub.database.driver() as gone:
        batch = begin_batch(gone, "oracle", "full", "")
        with hub.database.driver() as connection:
            assert settle_batches(connection) == 0
        let_go_of_batch(gone, batch)
    with hub.database.driver() as connection:
        assert settle_batches(connection) == 1


def test_a_read_leaves_no_lock_behind(stocked: Hub) -> None:
    stocked.sync.refresh(KEYS)
    stocked.erp.fails = Unavailable("no answer", system="sap", operation="iter_stock")
    with pytest.raises(Unavailable):
        stocked.sync.snapshot()
    assert batches(stocked)[-1][0] == "failed"
    assert stocked.query(OUR_LOCKS) == [(0,)]


def test_more_changes_than_one_read_takes_are_read_in_turns(stocked: Hub) -> None:
    stocked.query("UPDATE feed SET stale_after_seconds = 60, read_at = read_at - interval '1 hour' RETURNING 1")
    for key in KEYS:
        stocked.erp.set(key.item, "P/1", 1)
    sync = two_at_once(stocked)

    assert len(sync.delta().changed) == 2  # type: ignore[union-attr]
    assert sorted(stocked.levels().values()) == [1, 1, 5]
    assert len(waiting(stocked)) == 1
    assert is_stale(stocked)

    assert len(sync.delta().changed) == 1  # type: ignore[union-attr]
    assert set(stocked.levels().values()) == {Decimal(1)}
    assert not waiting(stocked)
    assert not is_stale(stocked)
    assert [len(asked) for asked in stocked.erp.asked[-2:] if asked is not None] == [2, 1]


def test_turns_go_on_where_a_dead_reader_left_them(stocked: Hub) -> None:
    for key in KEYS:
        stocked.erp.set(key.item, "P/1", 1)
    stocked.erp.on_page = _die
    with pytest.raises(Unavailable):
        two_at_once(stocked).delta()
    stocked.erp.on_page = lambda _: None
    assert waiting(stocked) == set(KEYS)
    while waiting(stocked):
        two_at_once(stocked).delta()
    assert set(stocked.levels().values()) == {Decimal(1)}


def test_a_full_read_takes_what_waited_off_the_queue(stocked: Hub) -> None:
    with stocked.database.driver() as connection:
        add_due(connection, "sap", KEYS)
    stocked.sync.snapshot()
    assert not waiting(stocked)


def test_a_key_named_again_while_it_is_read_waits_for_one_more_read(stocked: Hub) -> None:
    def name_again(_: int) -> None:
        with stocked.database.driver() as connection:
            add_due(connection, "sap", [KEYS[0]])

    with stocked.database.driver() as connection:
        add_due(connection, "sap", KEYS[:2])
        before = load_due(connection, "sap")
    stocked.erp.on_page = name_again
    stocked.sync.delta()
    assert waiting(stocked) == {KEYS[0]}
    with stocked.database.driver() as connection:
        clear_due(connection, "sap", before)
    assert waiting(stocked) == {KEYS[0]}


def test_a_key_of_an_item_that_became_known_during_the_read_still_waits(stocked: Hub) -> None:
    """The read could not know the item yet; what made it known queued the key."""
    stocked.erp.set("N", "P/1", 7)
    stocked.erp.articles.append(article("N"))

    def learn(_: int) -> None:
        with stocked.database.driver() as connection:
            add_due(connection, "sap", [StockKey("N", "P/1")])

    stocked.erp.on_page = learn
    stocked.sync.refresh([StockKey("N", "P/1")])
    assert waiting(stocked) == {StockKey("N", "P/1")}


def test_whoever_takes_the_turn_works_the_pushes_of_the_one_before_at_once(stocked: Hub) -> None:
    with stocked.database.driver() as connection:
        connection.execute(STORE, event_parameters("sap", PushedEvent("doc-1", "material_document", {})))
        assert len(claim_events(connection, ["sap"])) == 1
        assert not claim_events(connection, ["sap"])  # the lease of the one who died
        release_claims(connection, ["kingdee"])
        assert not claim_events(connection, ["sap"])
        release_claims(connection, ["sap"])
        assert [claimed.attempts for claimed in claim_events(connection, ["sap"])] == [2]


def _die(_: int) -> None:
    raise Unavailable("the reader died here", system="sap", operation="iter_stock")
