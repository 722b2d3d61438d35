"""What a channel is told is what it may take: of its own pool, of what is left to all, and of kits."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.access import create_key, load_roles
from hub.items.kits import set_kit
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from tests.api.conftest import Api
    from tests.api.seed import Seed

PLACE, OIL, RICE = "ST-SH01", "QH-OIL-500", "QH-RICE"
CHANNELS = ("online", "pos", "wechat")
POOLS = st.dictionaries(
    st.sampled_from(CHANNELS[:2]),
    st.one_of(
        st.tuples(st.integers(0, 9), st.none()), st.tuples(st.none(), st.decimals(1, 100, places=1, allow_nan=False))
    ),
)
TAKEN = st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(1, 6), st.booleans()), max_size=4)


@pytest.fixture
def shops(api: Api, seed: Seed, connection: psycopg.Connection) -> Iterator[Mapping[str, httpx.Client]]:
    """Give a client for each channel, and an article that may become a kit."""
    assert seed
    roles = load_roles(PROJECT_ROOT / "config" / "roles.yaml")
    clients = {}
    for channel in CHANNELS:
        key = create_key(connection, channel, "storefront", roles, channel=channel)
        clients[channel] = httpx.Client(base_url=api.base, headers={"Authorization": f"Bearer {key}"})
    connection.execute("INSERT INTO item (sku, name, unit) VALUES ('QH-SET', '厨房套装', '套')")
    yield clients
    for client in clients.values():
        client.close()


def told(shop: httpx.Client, sku: str) -> Decimal:
    places = shop.get(f"/v1/stock/{sku}").json()["locations"]
    [level] = [place for place in places if place["location"] == PLACE]
    return Decimal(level["available"])


def reserve(shop: httpx.Client, sku: str, quantity: Decimal, ttl: int = 900) -> dict[str, Any]:
    line = {"sku": sku, "location": PLACE, "quantity": str(quantity)}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = shop.post("/v1/reservations", json={"lines": [line], "ttl_seconds": ttl}, headers=headers)
    return {"status": answer.status_code, **answer.json()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pools=POOLS, taken=TAKEN, safety=st.integers(0, 3))
def test_a_channel_can_reserve_just_what_it_is_told(
    shops: Mapping[str, httpx.Client], seed: Seed, pools: Mapping[str, tuple[Any, Any]], taken: list[Any], safety: int
) -> None:
    """Also of what has expired and nobody has given back yet."""
    for table in ("stock_pool", "hold_bucket", "hold_event", "reservation_line", "reservation"):
        seed.connection.execute(f"DELETE FROM {table}")
    seed.connection.execute(
        "UPDATE stock_level SET held = 0, next_expiry = NULL, on_hand = 12, pooled = false, safety_stock = %s",
        (safety,),
    )
    seed.level(RICE, PLACE, 9)
    for channel, size in pools.items():
        seed.connection.execute(
            "SELECT stock_set_pool(%s, %s, %s, %s::numeric, %s::numeric)", (OIL, PLACE, channel, *size)
        )
    set_kit(seed.connection, "QH-SET", {OIL: Decimal(2), RICE: Decimal("1.5")})
    for channel, quantity, ended in taken:
        made = reserve(shops[channel], OIL, Decimal(quantity))
        if ended and made["status"] == 201:
            seed.connection.execute(EXPIRE, {"id": made["id"]})
    for shop in shops.values():
        for sku in ("QH-SET", OIL):
            offered = told(shop, sku)
            assert reserve(shop, sku, offered + 1)["status"] == 409
            if offered:
                made = reserve(shop, sku, offered)
                assert made["status"] == 201
                shop.delete(f"/v1/reservations/{made['id']}")


EXPIRE = """
WITH line AS (
    SELECT line.*, held.channel, held.expires_second
    FROM reservation_line AS line JOIN reservation AS held ON held.id = line.reservation_id WHERE held.id = %(id)s),
less AS (
    UPDATE hold_bucket AS bucket SET quantity = bucket.quantity - line.quantity FROM line
    WHERE bucket.item_id = line.item_id AND bucket.location_id = line.location_id
      AND bucket.channel = line.channel AND bucket.expires_second = line.expires_second),
due AS (
    UPDATE stock_level AS level SET next_expiry = 1000 FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id),
ended AS (UPDATE reservation SET expires_second = 1000 WHERE id = %(id)s)
INSERT INTO hold_bucket AS bucket (item_id, location_id, expires_second, channel, quantity)
SELECT item_id, location_id, 1000, channel, quantity FROM line
ON CONFLICT (item_id, location_id, expires_second, channel) DO UPDATE SET quantity = bucket.quantity + excluded.quantity
"""
"""A reservation's second is over, as if it had been made so long ago; nobody has given back yet what it held."""


def test_the_list_tells_each_channel_its_own(shops: Mapping[str, httpx.Client], seed: Seed) -> None:
    seed.connection.execute("SELECT stock_set_pool(%s, %s, 'pos', 9, NULL)", (OIL, PLACE))
    for channel, available in (("pos", "9"), ("online", "3")):
        items = shops[channel].get("/v1/stock", params={"location": PLACE, "limit": 200}).json()["items"]
        assert [item["available"] for item in items if item["sku"] == OIL] == [available]


def test_a_kit_is_where_all_of_it_is(shops: Mapping[str, httpx.Client], seed: Seed) -> None:
    shop = shops["online"]
    assert shop.get("/v1/stock/QH-SET").json()["locations"] == []
    seed.level(RICE, PLACE, Decimal("4.4"))
    set_kit(seed.connection, "QH-SET", {OIL: Decimal(2), RICE: Decimal("1.5")})
    kit = shop.get("/v1/stock/QH-SET").json()
    assert [(place["location"], place["on_hand"], place["available"]) for place in kit["locations"]] == [
        (PLACE, "2", "2")
    ]
    assert (kit["on_hand"], kit["available"], kit["unavailable"], kit["stale"]) == ("2", "2", "0", False)
    found = shop.post("/v1/stock/lookup", json={"skus": ["QH-SET", OIL]}).json()["items"]
    assert [item["sku"] for item in found] == ["QH-SET", OIL]
    assert found[0] == kit
    assert shop.get("/v1/stock/QH-SET", params={"location": "DC-SH"}).json()["locations"] == []
    seed.connection.execute("UPDATE item SET active = false WHERE sku = %s", (RICE,))
    assert shop.get("/v1/stock/QH-SET").json()["available"] == "0"
    assert reserve(shop, "QH-SET", Decimal(1))["code"] == "unknown-line"
