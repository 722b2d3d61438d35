"""What a person can do about a difference: tell what posted it, that it was not sold, or have sums made anew."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.clock import utc_now
from hub.errors import DomainError
from hub.reconcile.mend import rebuild, resolve_not_sold, resolve_posted
from hub.stock.demand import add_supply, claim_push
from hub.stock.pools import set_pool
from hub.stock.reservations import Line
from tests.integration.compared import LONG_AGO, A, B

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.compared import Counter

ORDER = "4500000001"


def posted(counter: Counter, difference_id: int, document: str) -> bool:
    with counter.hub.database.driver() as connection:
        return resolve_posted(connection, difference_id, "seen in SAP", "chen", document)


def not_sold(counter: Counter, difference_id: int) -> bool:
    with counter.hub.database.driver() as connection:
        return resolve_not_sold(connection, difference_id, "a test of the till", "chen")


def of_a(counter: Counter) -> tuple[int, int, int]:
    """Return base, demand and supply of A at W1."""
    [row] = counter.hub.query(
        "SELECT on_hand, demand, supply FROM stock_level JOIN item ON item.id = item_id JOIN location AS place"
        " ON place.id = location_id WHERE sku = 'A' AND place.code = 'W1'"
    )
    return tuple(int(number) for number in row)  # type: ignore[return-value]


def only_open(counter: Counter) -> int:
    [known] = [known for known in counter.book() if known.state == "open"]
    return known.id


def test_an_order_that_was_posted_without_its_number_is_covered_by_the_next_read(counter: Counter) -> None:
    counter.order(ORDER, A, 3, kind="order")
    counter.erp.post("by hand", A, 3)
    assert counter.check() == {("manual_posting", "A")}
    assert of_a(counter) == (17, 3, 0), "subtracted twice"
    assert posted(counter, only_open(counter), "D1")
    assert of_a(counter) == (17, 3, 0), "which read contains the document, only a read can tell"
    with counter.hub.database.driver() as connection:
        assert not claim_push(connection, "order", ORDER), "it would be posted once more"
    counter.hub.sync.delta()
    assert of_a(counter) == (17, 0, 0)
    assert counter.check() == set()
    [difference] = counter.book()
    assert (difference.state, difference.resolved_by) == ("closed", "chen")
    assert difference.resolution == "seen in SAP (posted by D1)"
    causes = counter.hub.query("SELECT cause, source FROM stock_ledger WHERE status = 'demand' ORDER BY id")
    assert causes[1:] == [("order posted as D1, told by chen", ORDER), ("order in base", ORDER)]


def test_a_read_that_is_on_its_way_does_not_cover_it(counter: Counter) -> None:
    counter.order(ORDER, A, 3, kind="order")
    document = counter.erp.post("by hand", A, 3)
    counter.check()
    wanted = only_open(counter)
    counter.erp.on_page = lambda _: posted(counter, wanted, document)
    counter.hub.sync.refresh([A])
    assert of_a(counter) == (17, 3, 0)
    counter.hub.sync.delta()
    assert of_a(counter) == (17, 0, 0)


def test_a_document_that_is_taken_back_later_stands_for_nothing(counter: Counter) -> None:
    counter.order(ORDER, A, 3, kind="order")
    document = counter.erp.post("by hand", A, 3)
    counter.check()
    assert posted(counter, only_open(counter), document)
    counter.hub.sync.delta()
    counter.erp.take_back(document)
    counter.hub.sync.delta()
    assert of_a(counter) == (20, 3, 0)
    assert counter.check() == set(), "an order that nobody has shipped yet"


def test_one_document_is_told_for_one_number(counter: Counter) -> None:
    for number in (ORDER, "4500000002"):
        counter.order(number, A, 3, kind="order")
        counter.erp.post("by hand", A, 3)
    assert len(counter.reconciler.check_slice().found) == 2
    first, second = counter.book()
    assert posted(counter, first.id, "D1")
    with pytest.raises(DomainError, match="stands for another number"):
        posted(counter, second.id, "D1")
    assert [known.state for known in counter.book()] == ["closed", "open"]
    assert posted(counter, second.id, "D2")
    counter.hub.sync.delta()
    assert of_a(counter) == (14, 0, 0)
    assert not posted(counter, second.id, "D3"), "it is open no more"


def test_a_document_that_was_told_for_one_order_is_not_named_for_another(counter: Counter) -> None:
    counter.order(ORDER, A, 3, kind="order")
    counter.erp.post("by hand", A, 3)
    counter.check()
    assert posted(counter, only_open(counter), "D1")
    counter.order("4500000002", A, 3, kind="order", ago=LONG_AGO - timedelta(hours=1))
    assert counter.check() == set()


def test_a_sale_that_a_count_has_taken_out_of_the_erp(counter: Counter) -> None:
    counter.order("R-1", A, 2)
    counter.check()
    counter.erp.post("count", A, 2)
    assert posted(counter, only_open(counter), "D1")
    counter.hub.sync.delta()
    assert of_a(counter) == (18, 0, 0)


def test_a_day_that_was_settled_under_another_number(counter: Counter) -> None:
    counter.day("T-1", A, 2)
    counter.day("T-2", A, 1)
    counter.day("T-3", B, 1)
    counter.check()
    counter.erp.post("typing error", A, 3)
    counter.erp.post("typing error", B, 1)
    first, second = sorted(counter.book(), key=lambda known: known.sku)
    assert posted(counter, first.id, "D1")
    counter.check()
    assert of_a(counter) == (17, 0, 0)
    covered = "SELECT sum(covered) FROM stock_demand WHERE reference = 'Z-1'"
    assert counter.hub.query(covered) == [(3,)], "of B nobody has told"
    assert posted(counter, second.id, "D2")
    counter.let_pass(50)
    assert counter.check() == set()
    assert counter.hub.query(covered) == [(4,)]


def test_a_return_that_people_have_booked_counts_no_more(counter: Counter) -> None:
    with counter.hub.database.driver() as connection, connection.transaction():
        add_supply(connection, "return", "RET-1", [Line("A", "W1", Decimal(4))], utc_now() - LONG_AGO)
    counter.erp.post("by hand", A, -4)
    assert counter.check() == {("manual_posting", "A")}
    assert of_a(counter) == (24, 0, 4)
    assert posted(counter, only_open(counter), "D1")
    assert of_a(counter) == (24, 0, 0)
    assert "return posted as D1, told by chen" in counter.causes()
    assert counter.check() == set()


def test_what_is_about_no_number_can_only_be_noted(counter: Counter) -> None:
    counter.erp.set("A", "P/1", 4)
    counter.erp.hush()
    counter.check()
    with pytest.raises(DomainError, match="nothing waits"):
        posted(counter, only_open(counter), "D1")
    with pytest.raises(DomainError, match="no sale waits"):
        not_sold(counter, only_open(counter))
    assert [known.state for known in counter.book()] == ["open"]


def test_a_sale_that_was_none_is_given_back(counter: Counter) -> None:
    with counter.hub.database.driver() as connection:
        set_pool(connection, "A", "W1", "pos", Decimal(5), None)
    counter.order("R-1", A, 2)
    counter.check()
    wanted = only_open(counter)
    assert not_sold(counter, wanted)
    assert not not_sold(counter, wanted)
    assert of_a(counter) == (20, 0, 0)
    assert counter.causes()[-1] == "sale not sold, told by chen"
    assert counter.check() == set()
    assert counter.book()[0].resolution == "a test of the till (not sold)"


def made_anew(counter: Counter) -> Mapping[str, list[str]] | None:
    with counter.hub.database.driver() as connection:
        return rebuild(connection, "A", "W1", "chen")


@pytest.mark.parametrize("column", ["demand", "held", "supply"])
def test_sums_are_made_anew_from_their_rows(counter: Counter, column: str) -> None:
    counter.order("R-1", A, 2, ago=timedelta())
    before = of_a(counter)
    assert made_anew(counter) == {}
    counter.hub.query(f"UPDATE stock_level SET {column} = {column} + 1 WHERE on_hand = 20 RETURNING 1")
    assert counter.check() == {("our_bug", "A")}
    changed = made_anew(counter)
    assert changed is not None
    assert [name for name in changed if name != "buckets"] == [column]
    assert of_a(counter) == before
    assert (counter.causes()[-1] == "rebuilt by chen") == (column != "held")
    with counter.hub.database.driver() as connection:
        assert counter.hub.query("SELECT 1 FROM outbox WHERE topic = 'stock.held'")
        connection.execute("UPDATE stock_difference SET resolved_at = now(), resolved_by = 'chen'")
    assert counter.check() == set()


def test_buckets_and_pools_are_made_anew(counter: Counter) -> None:
    second = int(time.time()) + 600
    counter.hub.query(
        "WITH made AS (INSERT INTO reservation (id, principal, channel, state, asked, created_at, first_expiry,"
        " expires_second) VALUES (gen_random_uuid(), 'shop', 'online', 'active', '[]', now(), %s, %s) RETURNING id)"
        " INSERT INTO reservation_line SELECT made.id, item_id, location_id, 2 FROM made, stock_level"
        " WHERE on_hand = 20 RETURNING 1",
        *(second, second),
    )
    with counter.hub.database.driver() as connection:
        set_pool(connection, "A", "W1", "online", Decimal(5), None)
    assert counter.check() == {("our_bug", "A")}
    assert made_anew(counter) == {"held": ["0", "2"], "buckets": ["0", "2"], "pools": ["0", "2"]}
    assert counter.hub.query("SELECT held, next_expiry FROM stock_level WHERE on_hand = 20") == [(2, second)]
    counter.hub.query("UPDATE stock_difference SET resolved_at = now(), resolved_by = 'chen' RETURNING 1")
    assert counter.check() == set()


def test_what_the_ledger_did_not_know_it_knows_then(counter: Counter) -> None:
    counter.hub.query("UPDATE stock_level SET safety_stock = 3 WHERE on_hand = 20 RETURNING 1")
    assert made_anew(counter) == {}
    assert counter.check() == set()


def test_a_level_that_is_not_there_is_not_made_anew(counter: Counter) -> None:
    with counter.hub.database.driver() as connection:
        assert rebuild(connection, "A", "W2", "chen") is None
