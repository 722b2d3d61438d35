"""Safety stock and buffer: which rule holds for a level, when it holds, and a buffer that follows the lag."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.contracts import StockKey
from hub.errors import DomainError
from hub.items.store import sync_items
from hub.purchasing.crossings import watch_levels
from hub.stock.demand import add_supply
from hub.stock.reservations import Line
from hub.stock.withheld import (
    Rule,
    Scope,
    apply_rules,
    follow_lag,
    load_risks,
    load_rules,
    measure_rates,
    measure_rates_if_due,
    remove_rule,
    save_rule,
)
from tests.fake_erp import article, row
from tests.integration.test_demand import Shop

if TYPE_CHECKING:
    from tests.integration.conftest import Hub

NOON = datetime(2026, 11, 26, 4, tzinfo=UTC)
A1, A2 = StockKey("A", "P/1"), StockKey("A", "P/2")


@pytest.fixture
def shop(hub: Hub) -> Shop:
    """Give a hub with ten of A at W1 and at W2, and ten of C, which is food, at W1."""
    hub.erp.rows = [row("A", "P/2", 10), row("C", "P/1", 10)]
    return Shop(hub)


def rule(number: int, buffer: int = 0, *, factor: int = 0, target: int | None = None, **scope: str) -> Rule:
    fill_up = None if target is None else Decimal(target)
    return Rule(Scope(**scope), Decimal(number), Decimal(buffer), Decimal(factor), fill_up)


def save(shop: Shop, *rules: Rule) -> int:
    with shop.connect() as connection:
        for each in rules:
            save_rule(connection, each)
        return apply_rules(connection)


def withheld(shop: Shop) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return safety stock, buffer and room of each level."""
    rows = shop.hub.query(
        "SELECT sku, code, safety_stock, buffer, room FROM stock_level JOIN item ON item.id = item_id"
        " JOIN location ON location.id = location_id"
    )
    return {(sku, code): (int(safety), int(buffer), int(room)) for sku, code, safety, buffer, room in rows}


def changes(shop: Shop) -> list[tuple[str, str, int, int, str]]:
    """Return what the ledger says of what is withheld, in its order."""
    rows = shop.hub.query(
        "SELECT sku, status, quantity_before, quantity_after, cause || ': ' || source FROM stock_ledger"
        " JOIN item ON item.id = item_id WHERE status IN ('safety_stock', 'buffer') ORDER BY stock_ledger.id"
    )
    return [(sku, status, int(before), int(after), cause) for sku, status, before, after, cause in rows]


# --- which rule holds


def test_the_most_specific_rule_holds_as_a_whole(shop: Shop) -> None:
    rules = [
        rule(1, 1),
        rule(2, location="W1"),
        rule(3, category="food"),
        rule(4, category="food", location="W1"),
        rule(5, sku="C"),
        rule(6, sku="C", location="W1"),
    ]
    for number, each in enumerate(rules, start=1):
        save(shop, each)
        assert withheld(shop)["C", "W1"][:2] == (number, 1 if number == 1 else 0)
    assert withheld(shop)["A", "W1"] == (2, 0, 8)
    assert withheld(shop)["A", "W2"] == (1, 1, 8)
    for number, each in reversed(list(enumerate(rules, start=1))):
        assert withheld(shop)["C", "W1"][0] == number
        with shop.connect() as connection:
            assert remove_rule(connection, each.scope)
            assert not remove_rule(connection, each.scope)
            apply_rules(connection)
    assert set(withheld(shop).values()) == {(0, 0, 10)}


def test_a_rule_is_listed_as_it_was_given_and_replaced_by_the_next(shop: Shop) -> None:
    first = rule(3, 1, factor=2, target=9, sku="A", location="W1")
    save(shop, first, rule(1))
    with shop.connect() as connection:
        assert load_rules(connection) == [first, rule(1)]
    save(shop, rule(4, sku="A", location="W1"))
    with shop.connect() as connection:
        assert load_rules(connection) == [rule(4, sku="A", location="W1"), rule(1)]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (rule(1, sku="nothing"), "unknown-scope"),
        (rule(1, location="nowhere"), "unknown-scope"),
        (rule(1, sku="A", category="food"), "rule-scope"),
        (rule(-1), "rule-negative"),
        (rule(1, -1), "rule-negative"),
        (rule(1, factor=-1), "rule-negative"),
        (Rule(Scope(), Decimal("NaN")), "rule-negative"),
        (Rule(Scope(), Decimal(1), target=Decimal("Infinity")), "rule-negative"),
        (rule(3, target=2), "rule-target"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(shop: Shop, wrong: Rule, code: str) -> None:
    with pytest.raises(DomainError) as caught:
        save(shop, wrong)
    assert caught.value.code == code
    assert shop.hub.query("SELECT count(*) FROM stock_rule") == [(0,)]


# --- when it holds


def test_each_change_is_in_the_ledger_and_told_once(shop: Shop) -> None:
    assert save(shop, rule(3, 2, sku="A", location="W1")) == 1
    assert withheld(shop)["A", "W1"] == (3, 2, 5)
    with shop.connect() as connection:
        assert apply_rules(connection) == 0
    assert save(shop, rule(3, 1, sku="A", location="W1")) == 1
    assert changes(shop) == [
        ("A", "buffer", 0, 2, "rule: item A at W1"),
        ("A", "safety_stock", 0, 3, "rule: item A at W1"),
        ("A", "buffer", 2, 1, "rule: item A at W1"),
    ]
    told = shop.hub.query("SELECT payload->>'sku', payload->>'location' FROM outbox WHERE topic = 'stock.held'")
    assert told == [("A", "W1")] * 2


def test_a_level_that_a_read_makes_has_its_rule_from_the_first_moment(shop: Shop) -> None:
    save(shop, rule(2), rule(4, category="food"))
    for number, (item, place) in enumerate([("C", "P/2"), ("B", "P/1")]):
        shop.erp.set(item, place, 7)
        if number:
            shop.hub.sync.snapshot()
        else:
            shop.follow()
    assert withheld(shop)["C", "W2"] == (4, 0, 3)
    assert withheld(shop)["B", "W1"] == (2, 0, 5)
    assert changes(shop)[-2:] == [
        ("C", "safety_stock", 0, 4, "rule: category food"),
        ("B", "safety_stock", 0, 2, "rule: all"),
    ]


def test_so_has_one_that_a_sale_or_a_return_makes(shop: Shop) -> None:
    save(shop, rule(2))
    shop.sell("R1", 1, sku="B")
    with shop.connect() as connection:
        add_supply(connection, "return", "X1", [Line("D", "W1", Decimal(5))], NOON)
    assert withheld(shop)["B", "W1"] == (2, 0, -3)
    assert withheld(shop)["D", "W1"] == (2, 0, 3)


def test_an_article_that_changes_its_category_gets_the_other_rule(shop: Shop) -> None:
    save(shop, rule(4, category="food"))
    shop.erp.articles = [article("A", category="food"), article("B"), article("C"), article("D", unit="KG")]
    sync_items(shop.hub.database, shop.erp, shop.hub.settings)
    with shop.connect() as connection:
        assert apply_rules(connection) == 3
    assert {key: safety for key, (safety, _, _) in withheld(shop).items()} == {
        ("A", "W1"): 4,
        ("A", "W2"): 4,
        ("C", "W1"): 0,
    }


def test_the_loop_finds_it_within_the_hour(shop: Shop) -> None:
    save(shop, rule(4, category="food"))
    with shop.connect() as connection:
        watch_levels(connection)
        connection.execute("UPDATE item SET category = 'food'")
        watch_levels(connection)
        assert withheld(shop)["A", "W1"][0] == 0
        connection.execute("UPDATE source_position SET moved_at = moved_at - interval '1 hour' WHERE stream = 'rates'")
        watch_levels(connection)
    assert withheld(shop)["A", "W1"][0] == 4


def test_more_levels_than_are_looked_at_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.stock.withheld._AT_ONCE", 2)
    assert save(shop, rule(1)) == 3
    assert save(shop, rule(2)) == 3


def test_a_rule_waits_for_whoever_has_the_level_and_counts_on_what_he_left(shop: Shop) -> None:
    with shop.connect() as other, other.transaction():
        other.execute("UPDATE stock_level SET demand = demand + 4")
        thread = threading.Thread(target=save, args=(shop, rule(3)))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()
    assert set(withheld(shop).values()) == {(3, 0, 3)}


# --- how fast a level falls without us


def rates(shop: Shop, *, days: int = 7) -> dict[tuple[str, str], tuple[int, float]]:
    """Return by how much levels fell without us, and how much that is a day."""
    with shop.connect() as connection:
        measure_rates(connection, days=days)
        risks = load_risks(connection)
    return {(risk.sku, risk.location): (int(risk.fallen), float(risk.per_second) * 86_400) for risk in risks}


def age(shop: Shop, **interval: int) -> None:
    """Let the ledger and the feeds be older."""
    shop.hub.query(
        "WITH pause AS (SELECT make_interval(days => %s, secs => %s) AS length),"
        " aged AS (UPDATE stock_ledger SET recorded_at = recorded_at - length FROM pause)"
        " UPDATE feed SET read_at = read_at - length FROM pause RETURNING 1",
        interval.get("days", 0),
        interval.get("seconds", 0),
    )


def test_what_is_sold_without_us_is_counted_and_what_we_sold_is_not(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.erp.post("R1", A1, 3)
    shop.follow()
    assert rates(shop) == {}
    shop.erp.set("A", "P/1", 5)  # 7 before
    shop.follow()
    shop.erp.set("A", "P/1", 50)  # a delivery
    shop.erp.set("A", "P/2", 4)  # 10 before
    shop.follow()
    assert rates(shop) == {("A", "W1"): (2, pytest.approx(2)), ("A", "W2"): (6, pytest.approx(6))}


def test_our_own_sale_that_shows_in_the_base_before_it_is_known_posted_is_not_counted(shop: Shop) -> None:
    shop.sell("R1", 3)
    shop.once("on_ask", lambda: shop.erp.post("R1", A1, 3))
    shop.hub.sync.refresh({A1})
    assert shop.level() == (7, 3, 0, 4)
    shop.follow()
    assert shop.level() == (7, 0, 0, 7)
    assert rates(shop) == {}


def test_a_posting_that_is_taken_back_and_posted_again_is_not_counted(shop: Shop) -> None:
    shop.sell("R1", 3)
    document = shop.erp.post("R1", A1, 3)
    shop.follow()
    shop.erp.take_back(document)
    shop.follow()
    shop.erp.post_again(document)
    shop.follow()
    assert rates(shop) == {}


def test_rates_are_of_the_last_days_and_of_no_longer_than_the_level_is_old(shop: Shop) -> None:
    shop.erp.set("A", "P/1", 4)
    shop.follow()
    assert rates(shop) == {("A", "W1"): (6, pytest.approx(6))}  # at least a day
    age(shop, days=3)
    assert rates(shop) == {("A", "W1"): (6, pytest.approx(2, rel=1e-3))}
    age(shop, days=3)
    shop.erp.set("A", "P/1", 3)
    shop.follow()
    age(shop, days=2)
    assert rates(shop) == {("A", "W1"): (1, pytest.approx(1 / 7, rel=1e-3))}
    assert rates(shop, days=30) == {("A", "W1"): (7, pytest.approx(7 / 8, rel=1e-3))}
    age(shop, days=6)
    assert rates(shop) == {}


def test_rates_are_measured_once_an_hour(shop: Shop) -> None:
    with shop.connect() as connection:
        measure_rates_if_due(connection)
        shop.erp.set("A", "P/1", 4)
        shop.follow()
        measure_rates_if_due(connection)
        assert load_risks(connection) == []
        connection.execute("UPDATE source_position SET moved_at = moved_at - interval '1 hour' WHERE stream = 'rates'")
        measure_rates_if_due(connection)
        assert len(load_risks(connection)) == 1


def test_the_risk_is_the_rate_times_the_age_of_the_numbers(shop: Shop) -> None:
    shop.erp.set("A", "P/1", 4)
    shop.erp.set("A", "P/2", 9)
    shop.follow()
    rates(shop)
    age(shop, seconds=3600)
    with shop.connect() as connection:
        first, second = load_risks(connection)
        [alone] = load_risks(connection, sku="A", limit=1)
        assert load_risks(connection, sku="B") == []
    assert (first.location, second.location, alone.location) == ("W1", "W2", "W1")
    assert first.lag_seconds is not None
    assert first.units is not None
    assert float(first.units) == pytest.approx(6 / 24, rel=1e-2)
    assert float(first.units) == pytest.approx(float(first.per_second * first.lag_seconds))
    shop.hub.query("UPDATE feed SET read_at = NULL RETURNING 1")
    with shop.connect() as connection:
        assert [(risk.lag_seconds, risk.units) for risk in load_risks(connection)] == [(None, None)] * 2


# --- a buffer that follows


def test_a_buffer_that_follows_grows_while_a_source_is_down_and_shrinks_when_it_is_back(shop: Shop) -> None:
    shop.erp.set("A", "P/1", 4)  # six in a day
    shop.follow()
    rates(shop)
    save(shop, rule(0, 1, factor=2, sku="A", location="W1"), rule(0, 1, sku="A"))
    assert withheld(shop)["A", "W1"][:2] == (0, 2)
    shop.hub.query("UPDATE feed SET read_at = clock_timestamp() - interval '12 hours' RETURNING 1")
    with shop.connect() as connection:
        assert follow_lag(connection) == 1
        assert withheld(shop)["A", "W1"] == (0, 1 + 7, -4)  # 2 x 6 / 2, and a little for the last ten seconds
        assert withheld(shop)["A", "W2"] == (0, 1, 9)
        assert apply_rules(connection) == 0
    shop.follow()
    with shop.connect() as connection:
        assert follow_lag(connection) == 1
    assert withheld(shop)["A", "W1"] == (0, 2, 2)


def test_a_buffer_does_not_change_with_every_look(shop: Shop) -> None:
    shop.erp.set("A", "P/1", 4)
    shop.follow()
    rates(shop)
    shop.hub.query("UPDATE stock_rate SET per_second = 0.5 RETURNING 1")
    seen = set()
    for seconds in (0.2, 2, 4, 8):
        shop.hub.query("UPDATE feed SET read_at = clock_timestamp() - make_interval(secs => %s) RETURNING 1", seconds)
        save(shop, rule(0, factor=1))
        seen.add(withheld(shop)["A", "W1"][1])
    assert seen == {5}
