"""Stock as the database writes it: the same as the hub's own reading of it, never older than the question."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.db.session import Database
from hub.stock.answers import read_answers
from hub.stock.reading import ItemStock, read_stock
from storefront_adapter.api.body import entity_tag, level_body, quantity_text, time_text
from tests.api.conftest import no_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    import psycopg
    import pytest

    from tests.api.conftest import Api
    from tests.api.seed import Seed

OIL = "/v1/stock/QH-OIL-500"
PLACES = ("DC-SH", "DC-SH-RET", "ST-SH01", "ST-HZ01", "ST-NJ01")
QUANTITIES = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=4)
PARTS = st.dictionaries(
    st.tuples(st.sampled_from(["quality", "blocked"]), st.sampled_from(["", "供应商甲", "b"])), QUANTITIES
)
LEVELS = st.dictionaries(st.sampled_from(PLACES), st.tuples(QUANTITIES, PARTS, st.booleans()))
AMOUNTS = st.decimals(min_value=0, max_value=1000, allow_nan=False, places=3)
HOLDS = st.fixed_dictionaries(
    {
        "active": AMOUNTS,
        "expired": AMOUNTS,
        "kept": AMOUNTS,
        "frozen": st.booleans(),
    }
)
SET_HOLDS = """
UPDATE stock_level SET held = %(active)s::numeric + %(expired)s::numeric,
    safety_stock = %(kept)s, buffer = %(kept)s, next_expiry = 1000, closed_through = 10,
    frozen_at = CASE WHEN %(frozen)s THEN now() END
"""
SET_BUCKETS = """
INSERT INTO hold_bucket SELECT item_id, location_id, second, 'online', quantity
FROM stock_level, (VALUES (1000, %(expired)s::numeric), (9000000000, %(active)s::numeric)) AS bucket(second, quantity)
"""
AGES = st.sampled_from([None, 0, 999])


def told(stock: ItemStock) -> dict[str, Any]:
    """Write the hub's own reading in the API's form."""
    return {
        "sku": stock.sku,
        "gtin": stock.gtin,
        "name": stock.name,
        "unit": stock.unit,
        "on_hand": quantity_text(stock.on_hand),
        "available": quantity_text(stock.offered),
        "unavailable": quantity_text(stock.unavailable),
        "consigned": quantity_text(stock.consigned),
        "as_of": time_text(stock.as_of),
        "stale": stock.stale,
        "locations": [level_body(level) for level in stock.levels],
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    levels=LEVELS,
    ages=st.tuples(AGES, AGES),
    name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    holds=HOLDS,
)
def test_the_database_tells_what_the_hub_reads(
    seed: Seed,
    shop_url: str,
    levels: dict[str, tuple[Decimal, dict[tuple[str, str], Decimal], bool]],
    ages: tuple[float | None, float | None],
    name: str,
    holds: dict[str, Any],
) -> None:
    with seed.connection.transaction():
        seed.connection.execute("DELETE FROM stock_unsellable")
        seed.connection.execute("DELETE FROM stock_level")
        seed.connection.execute("UPDATE item SET name = %s WHERE sku = 'QH-RICE'", (name,))
        seed.feed("sap", age=ages[0])
        seed.feed("kingdee", age=ages[1])
        for place, (on_hand, parts, doubted) in levels.items():
            seed.level("QH-RICE", place, on_hand)
            for (status, owner), quantity in parts.items():
                seed.unsellable("QH-RICE", place, status, quantity, owner)
            if doubted:
                seed.connection.execute("UPDATE stock_level SET doubted_at = now() - interval '1 hour'")
        seed.connection.execute("DELETE FROM hold_bucket")
        seed.connection.execute(SET_HOLDS, holds)
        seed.connection.execute(SET_BUCKETS, holds)
    for locations in (None, ["DC-SH", "ST-SH01"]):
        text, stock = asyncio.run(both_ways(shop_url, "QH-RICE", locations))
        assert json.loads(text) == told(stock)
        assert list(json.loads(text)) == list(told(stock))
        for level in stock.levels:
            kept = holds["active"] + 2 * holds["kept"]
            assert level.reserved == holds["active"]
            assert level.available == (0 if holds["frozen"] else level.on_hand - kept)


async def both_ways(url: str, sku: str, locations: list[str] | None) -> tuple[str, ItemStock]:
    engine = Database(url).planned_engine()
    try:
        answer = (await read_answers(engine, [sku], locations, channel="online"))[sku]
        async with engine.connect() as connection:
            return answer.body, (await read_stock(connection, [sku], locations))[sku]
    finally:
        await engine.dispose()


def test_answers_are_planned_once_for_each_connection(seed: Seed, shop_url: str) -> None:
    assert seed.connection

    async def plans() -> tuple[int, int]:
        engine = Database(shop_url, pool_size=1).planned_engine()
        try:
            for _ in range(20):
                await read_answers(engine, ["QH-RICE"], channel="online")
            async with engine.connect() as connection:
                found = await connection.exec_driver_sql(
                    "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%%answer%%'"
                )
                generic, custom = found.one()
                return generic, custom
        finally:
            await engine.dispose()

    generic, custom = asyncio.run(plans())
    assert generic > 10
    assert custom == 0


def test_a_name_can_not_hide_from_the_tag() -> None:
    def body(name: str, as_of: str | None) -> str:
        return json.dumps({"name": name, "as_of": as_of}, separators=(",", ":"))

    assert entity_tag(body("a", "2026-01-01")) == entity_tag(body("a", "2026-01-02"))
    assert entity_tag(body('"as_of":"1"', None)) != entity_tag(body('"as_of":"2"', None))
    assert entity_tag(body('x","as_of":"1', None)) != entity_tag(body('x","as_of":"2', None))


@contextmanager
def rising_level(connection: psycopg.Connection, sku: str, place: str) -> Iterator[list[int]]:
    """Raise a level by one again and again; yield the value that was last committed."""
    committed = [0]
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            connection.execute(
                "UPDATE stock_level SET on_hand = %s FROM item, location"
                " WHERE item.id = item_id AND location.id = location_id AND sku = %s AND code = %s",
                (committed[0] + 1, sku, place),
            )
            committed[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield committed
    finally:
        ended.set()
        thread.join()


def test_no_answer_of_many_at_once_is_older_than_its_question(api: Api, seed: Seed) -> None:
    seed.level("QH-RICE", "ST-SH01", 0)
    skus = ("QH-RICE", "QH-OIL-500", "0012345", "NOPE")

    async def ask(client: httpx.AsyncClient, committed: list[int], sku: str) -> None:
        for _ in range(12):
            before = committed[0]
            answer = await client.get(f"/v1/stock/{sku}")
            if sku == "NOPE":
                assert answer.status_code == 404
                continue
            body = answer.json()
            assert body["sku"] == sku
            if sku == "QH-RICE":
                assert before <= int(body["on_hand"]) <= committed[0] + 1

    async def ask_at_once(committed: list[int]) -> None:
        async with httpx.AsyncClient(
            base_url=api.base, headers=api.client.headers, timeout=20, verify=no_certificates()
        ) as client:
            await asyncio.gather(*(ask(client, committed, skus[number % 4]) for number in range(24)))

    with rising_level(seed.connection, "QH-RICE", "ST-SH01") as committed:
        asyncio.run(ask_at_once(committed))
    assert committed[0] > 10


def test_lost_connections_are_replaced_unseen(api: Api, connection: psycopg.Connection) -> None:
    assert api.get(OIL).status_code == 200
    ended = connection.execute(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()
    assert ended
    assert ended[0] >= 1
    assert api.get(OIL).status_code == 200
    assert api.client.post("/v1/stock/lookup", json={"skus": ["QH-RICE"]}).status_code == 200


def test_a_database_that_does_not_answer_is_told(
    api: Api, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get(OIL).status_code == 200
    monkeypatch.setattr("hub.gather._PATIENCE_SECONDS", 0.2)
    with connection.transaction():
        connection.execute("LOCK TABLE stock_level IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answer = api.get(OIL)
        assert time.monotonic() - began < 10
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert answer.headers["retry-after"]
    assert api.get(OIL).status_code == 200
