"""Below the safety stock: noted once for each crossing, with whom to buy from, and told to purchasing."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from flows.alerting import look_and_tell
from flows.runtime import Runtime
from hub.db.rows import one_value
from hub.errors import ConfigError, DomainError
from hub.purchasing.crossings import Crossing, load_crossings, note_crossings, tell_crossings
from hub.purchasing.lists import read_offers, write_offers
from hub.purchasing.suppliers import (
    Offer,
    Supplier,
    drop_offer,
    load_offers,
    load_suppliers,
    mark_supplier,
    replace_lists,
    save_offer,
    save_supplier,
)
from hub.settings import AdapterSettings, AlertSettings, Settings
from hub.stock.stocktake import freeze, thaw
from hub.stock.withheld import Rule, Scope, apply_rules, save_rule
from tests.fake_erp import row
from tests.integration.test_demand import Shop
from tests.robots import Robots, run_robots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Hub


@pytest.fixture(scope="module")
def served() -> Iterator[Robots]:
    with run_robots() as robots:
        yield robots


@pytest.fixture
def robots(served: Robots) -> Robots:
    served.reset()
    return served


@pytest.fixture
def shop(hub: Hub) -> Shop:
    """Give a hub with ten of A at W1 and twenty at W2, a safety stock of five, and two suppliers of A."""
    hub.erp.rows = [row("A", "P/2", 20)]
    shop = Shop(hub)
    with shop.connect() as connection:
        save_rule(connection, Rule(Scope(sku="A"), Decimal(5)))
        apply_rules(connection)
        save_supplier(connection, "S1", "青禾贸易")
        save_supplier(connection, "S2", "Bee & Co")
        save_offer(connection, Offer("A", "S1", 1, 3, "QH-7"))
        save_offer(connection, Offer("A", "S2", 2, 9))
    return shop


def note(shop: Shop) -> int:
    with shop.connect() as connection:
        return note_crossings(connection)


def stand(shop: Shop, quantity: int, item: str = "A", place: str = "P/1") -> None:
    shop.erp.set(item, place, quantity)
    shop.follow()


def low(shop: Shop) -> list[dict[str, Any]]:
    """Return what the outbox told."""
    return [
        payload for (payload,) in shop.hub.query("SELECT payload FROM outbox WHERE topic = 'stock.low' ORDER BY id")
    ]


def crossings(shop: Shop) -> list[Crossing]:
    with shop.connect() as connection:
        return load_crossings(connection)


# --- when one begins and ends


def test_a_crossing_is_noted_once_until_the_level_is_there_again(shop: Shop) -> None:
    stand(shop, 5)
    assert note(shop) == 0
    for quantity in (4, 3):
        stand(shop, quantity)
        note(shop)
    [crossing] = crossings(shop)
    assert (crossing.sku, crossing.location, crossing.stock, crossing.safety_stock) == ("A", "W1", 4, 5)
    stand(shop, 5)
    assert note(shop) == 1
    assert crossings(shop) == []
    assert len(low(shop)) == 1
    stand(shop, 0)
    assert note(shop) == 1
    assert len(low(shop)) == 2
    [again] = crossings(shop)
    assert (again.stock, again.id > crossing.id) == (0, True)


def test_what_is_sold_counts_and_what_is_withheld_does_not(shop: Shop) -> None:
    with shop.connect() as connection:
        save_rule(connection, Rule(Scope(sku="A"), Decimal(5), buffer=Decimal(4)))
        apply_rules(connection)
    assert shop.level() == (10, 0, 0, 1)
    assert note(shop) == 0
    shop.sell("R1", 6)
    assert note(shop) == 1


def test_what_has_expired_is_there_though_nobody_has_given_it_back(shop: Shop) -> None:
    hold = (
        "WITH own AS (UPDATE stock_level SET held = 6, next_expiry = ends FROM item, location,"
        " (SELECT EXTRACT(EPOCH FROM clock_timestamp())::bigint + %s AS ends) AS clock"
        " WHERE item.id = item_id AND location.id = location_id AND sku = 'A' AND code = 'W1'"
        " RETURNING item_id, location_id, ends),"
        " emptied AS (DELETE FROM hold_bucket)"
        " INSERT INTO hold_bucket SELECT item_id, location_id, ends, 'online', 6 FROM own RETURNING 1"
    )
    shop.hub.query(hold, -5)
    assert note(shop) == 0
    shop.hub.query("DELETE FROM hold_bucket RETURNING 1")
    shop.hub.query(hold, 900)
    assert note(shop) == 1


def test_a_safety_stock_that_is_raised_or_given_up(shop: Shop) -> None:
    for safety in (12, 12, 10, 11, 0):
        with shop.connect() as connection:
            save_rule(connection, Rule(Scope(sku="A", location="W1"), Decimal(safety)))
            apply_rules(connection)
        note(shop)
        assert len(crossings(shop)) == (safety > 10)
    assert len(low(shop)) == 2


def test_a_place_that_is_being_counted_begins_and_ends_nothing(shop: Shop) -> None:
    stand(shop, 4)
    note(shop)
    with shop.connect() as connection:
        freeze(connection, "W1")
        freeze(connection, "W2")
    stand(shop, 9)
    stand(shop, 1, place="P/2")
    assert note(shop) == 0
    with shop.connect() as connection:
        thaw(connection, "W1")
        thaw(connection, "W2")
    assert note(shop) == 2
    assert [crossing.location for crossing in crossings(shop)] == ["W2"]


def test_an_article_or_a_place_that_is_given_up_is_not_missed(shop: Shop) -> None:
    stand(shop, 4)
    stand(shop, 4, place="P/2")
    assert note(shop) == 2
    shop.hub.query("UPDATE location SET active = false WHERE code = 'W2' RETURNING 1")
    assert note(shop) == 1
    shop.hub.query("UPDATE item SET active = false RETURNING 1")
    assert note(shop) == 1
    assert crossings(shop) == []


def test_a_level_that_somebody_has_locked_keeps_no_other_waiting(shop: Shop) -> None:
    stand(shop, 4)
    stand(shop, 4, place="P/2")
    with shop.connect() as other, other.transaction():
        other.execute(
            "SELECT FROM stock_level AS level JOIN location ON location.id = location_id WHERE code = 'W1'"
            " FOR UPDATE OF level"
        )
        assert note(shop) == 1
        assert [crossing.location for crossing in crossings(shop)] == ["W2"]
    assert note(shop) == 1


def test_two_that_look_at_once_note_it_once(shop: Shop) -> None:
    stand(shop, 4)
    threads = [threading.Thread(target=note, args=(shop,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(low(shop)) == 1


# --- whom to buy from


def test_the_first_supplier_that_is_available_is_named(shop: Shop) -> None:
    stand(shop, 4)
    note(shop)
    assert low(shop) == [
        {
            "sku": "A",
            "location": "W1",
            "stock": "4",
            "safety_stock": "5",
            "quantity": "6",
            "supplier": "S1",
            "supplier_name": "青禾贸易",
            "article_no": "QH-7",
            "lead_time_days": 3,
        }
    ]
    with shop.connect() as connection:
        mark_supplier(connection, "S1", available=False)
    assert crossings(shop)[0].supplier == "S2"
    stand(shop, 4, place="P/2")
    note(shop)
    assert (low(shop)[1]["supplier"], low(shop)[1]["lead_time_days"]) == ("S2", 9)
    with shop.connect() as connection:
        mark_supplier(connection, "S2", available=False)
        assert [(c.supplier, c.quantity) for c in load_crossings(connection)] == [(None, 6)] * 2
        mark_supplier(connection, "S1", available=True)
        assert load_crossings(connection)[0].supplier == "S1"


@pytest.mark.parametrize(
    ("target", "minimum", "multiple", "quantity"),
    [
        (None, 0, None, 6),
        (20, 0, None, 16),
        (None, 50, None, 50),
        (None, 0, 12, 12),
        (20, 0, 5, 20),
        (20, 17, 5, 20),
        (None, 0, "2.5", "7.5"),
        (5, 0, None, 1),
    ],
)
def test_the_quantity_fills_up_to_the_target_as_the_supplier_delivers(
    shop: Shop, target: int | None, minimum: int, multiple: Any, quantity: Any
) -> None:
    fill_up = None if target is None else Decimal(target)
    sizes = (Decimal(minimum), None if multiple is None else Decimal(multiple))
    with shop.connect() as connection:
        save_rule(connection, Rule(Scope(sku="A"), Decimal(5), target=fill_up))
        save_offer(connection, Offer("A", "S1", 1, 3, "QH-7", *sizes))
    stand(shop, 4)
    note(shop)
    assert low(shop)[0]["quantity"] == str(quantity)
    assert crossings(shop)[0].quantity == Decimal(quantity)


# --- telling purchasing


def settings(robots: Robots, *, language: str = "zh", **about: list[str]) -> Settings:
    channels = {kind: robots.channel(kind, about=topics) for kind, topics in about.items()}
    adapter = AdapterSettings(default_language=language)  # type: ignore[arg-type]
    return Settings(adapter=adapter, alerts=AlertSettings(channels=channels))


def tell(shop: Shop, chosen: Settings) -> list[str]:
    """Look as the watchers do; return what was told."""
    return [alert.kind for alert in look_and_tell(Runtime(chosen, shop.hub.database, ()), "watch-feeds")]


def test_purchasing_is_told_of_each_crossing_once_and_operations_is_not(shop: Shop, robots: Robots) -> None:
    chosen = settings(robots, wecom=["purchasing"], json=["purchasing", "operations"], dingtalk=["operations"])
    stand(shop, 4)
    note(shop)
    assert tell(shop, chosen) == ["stock_low"]
    stand(shop, 4, place="P/2")
    note(shop)
    assert tell(shop, chosen) == ["stock_low"]
    assert tell(shop, chosen) == []
    first, second = robots.taken("wecom")
    assert "库存低于安全库存：1 项" in first.text
    assert "A @ W1：现有 4，安全库存 5，建议采购 6；供应商 S1 青禾贸易 QH-7，3 天到货" in first.text
    assert "A @ W2" in second.text
    assert "A @ W1" not in second.text
    told = [message.body["data"] for message in robots.taken("json")]
    assert [(one["kind"], one["subject"], one["severity"]) for one in told] == [
        ("stock_low", "purchasing", "warning")
    ] * 2
    assert told[0]["facts"]["lines"][0]["quantity"] == "6"
    assert robots.taken("dingtalk") == []
    assert all(crossing.told_at for crossing in crossings(shop))


def test_in_english_and_without_a_supplier(shop: Shop, robots: Robots) -> None:
    with shop.connect() as connection:
        mark_supplier(connection, "S1", available=False)
        drop_offer(connection, "A", "S2")
    stand(shop, 4)
    note(shop)
    tell(shop, settings(robots, language="en", wecom=["purchasing"]))
    [message] = robots.taken("wecom")
    assert "A @ W1: 4 there, safety stock 5, buy 6; no supplier is available" in message.text


def test_what_is_over_before_anybody_looks_is_not_told(shop: Shop, robots: Robots) -> None:
    stand(shop, 4)
    note(shop)
    stand(shop, 9)
    note(shop)
    assert tell(shop, settings(robots, wecom=["purchasing"])) == []


def test_without_a_channel_it_waits_for_one(shop: Shop, robots: Robots) -> None:
    stand(shop, 4)
    note(shop)
    assert tell(shop, settings(robots, wecom=["operations"])) == []
    assert tell(shop, settings(robots, wecom=["operations", "purchasing"])) == ["stock_low"]


def test_many_are_told_in_turns_lest_other_alerts_wait(shop: Shop, robots: Robots) -> None:
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO item (sku, name, unit)"
            " SELECT 'M' || to_char(n, 'FM00'), 'm', 'EA' FROM generate_series(1, 70) AS n"
        )
        connection.execute(
            "INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended, safety_stock)"
            " SELECT item.id, location.id, 1, 1, 2, 3 FROM item, location WHERE sku LIKE 'M%' AND code = 'W1'"
        )
    assert note(shop) == 70
    chosen = settings(robots, wecom=["purchasing"])
    assert [len(tell(shop, chosen)) for _ in range(3)] == [6, 1, 0]
    texts = [message.text for message in robots.taken("wecom")]
    assert len(texts) == 7
    for number in range(1, 71):
        assert sum(f"M{number:02} @ W1" in text for text in texts) == 1


def test_two_that_tell_at_once_tell_it_once(shop: Shop, robots: Robots) -> None:
    chosen = settings(robots, wecom=["purchasing"])
    stand(shop, 4)
    note(shop)
    with shop.connect() as one, shop.connect() as other, one.transaction():
        assert len(tell_crossings(one, chosen)) == 1
        assert tell_crossings(other, chosen) == []
    with shop.connect() as connection:
        assert tell_crossings(connection, chosen) == []
        assert one_value(connection.execute("SELECT count(*) FROM alert_message")) == 1


# --- suppliers and their lists


def test_suppliers_and_lists_are_kept(shop: Shop) -> None:
    with shop.connect() as connection:
        save_supplier(connection, "S1", "青禾")
        mark_supplier(connection, "S2", available=False)
        save_offer(connection, Offer("B", "S1", 1))
        assert load_suppliers(connection) == [
            Supplier("S1", "青禾", available=True, articles=2),
            Supplier("S2", "Bee & Co", available=False, articles=1),
        ]
        save_offer(connection, Offer("A", "S2", 0, None, "x", Decimal(3), Decimal("0.5")))
        assert [offer.supplier for offer in load_offers(connection, "A")] == ["S2", "S1"]
        assert drop_offer(connection, "A", "S2")
        assert not drop_offer(connection, "A", "S2")
        assert [(offer.sku, offer.supplier) for offer in load_offers(connection)] == [("A", "S1"), ("B", "S1")]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Offer("nothing", "S1", 1), "offer-unknown"),
        (Offer("A", "nobody", 1), "offer-unknown"),
        (Offer("A", "S1", 1, -1), "offer-negative"),
        (Offer("A", "S1", 1, minimum=Decimal(-1)), "offer-negative"),
        (Offer("A", "S1", 1, multiple=Decimal(0)), "offer-negative"),
        (Offer("A", "S1", 1, multiple=Decimal("NaN")), "offer-negative"),
    ],
)
def test_an_offer_that_makes_no_sense_is_refused(shop: Shop, wrong: Offer, code: str) -> None:
    with shop.connect() as connection:
        before = load_offers(connection)
        with pytest.raises(DomainError) as caught:
            save_offer(connection, wrong)
        assert caught.value.code == code
        with pytest.raises(DomainError), connection.transaction():
            replace_lists(connection, [Offer("A", "S2", 1), wrong])
        assert load_offers(connection) == before
        with pytest.raises(DomainError, match="there is no supplier nobody"):
            mark_supplier(connection, "nobody", available=True)


def test_lists_go_out_as_csv_and_come_back(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    with shop.connect() as connection:
        save_offer(connection, Offer("B", "S2", 1, None, '7, of "2"', Decimal(10), Decimal("2.5")))
        offers = load_offers(connection)
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            write_offers(file, offers)
        assert read_offers(path) == offers
        some = tmp_path / "some.csv"
        some.write_text("position,supplier,sku\n1,S2,A\n", encoding="utf-8")
        with connection.transaction():
            assert replace_lists(connection, read_offers(some)) == 1
        assert load_offers(connection) == [Offer("A", "S2", 1), offers[-1]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lists.csv:1: the header must name sku, supplier, position"),
        ("sku,supplier,position,price\n", "lists.csv:1: the header"),
        ("sku,supplier,position\nA,S1,first\n", "lists.csv:2: position, lead time and quantities must be numbers"),
        ("sku,supplier,position\nA,S1,1\nA,,2\n", "lists.csv:3: sku and supplier must not be empty"),
        ("sku,supplier,position\nA,S1,1\nA,S1,2\n", "lists.csv:3: S1 stands twice in the list of A"),
        ("sku,supplier,position\nA,S1\n", "lists.csv:2: the line has more or fewer columns"),
        ("sku,supplier,position\nA,S1,1,2\n", "lists.csv:2: the line has more or fewer columns"),
    ],
)
def test_a_list_that_is_wrong_names_its_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_offers(path)
    assert said in str(caught.value)


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_bytes("sku,supplier,position\n甲,S1,1\n".encode("gb18030"))
    with pytest.raises(ConfigError, match="can't be read as CSV in UTF-8"):
        read_offers(path)
