"""Streams of stock changes over real sockets: true numbers, nothing lost or doubled, an end when there must be."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
import time
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from hub.access import create_key, load_roles, revoke_key, split_key
from hub.contracts import StockKey
from hub.db.session import Database
from hub.items.kits import set_kit
from hub.settings import PROJECT_ROOT, StockSettings
from hub.sync.inventory import InventorySync
from hub.sync.outbox import write_outbox
from oneshelf.processes import Child, answers, free_port
from oneshelf.serving import arguments
from tests.api.event_stream import PATH, Client, answer, publish, stream, tell, tell_read
from tests.fake_erp import FakeErp, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.api.conftest import Api
    from tests.api.seed import Seed

OIL, RICE = "QH-OIL-500", "QH-RICE"


def until(done: Callable[[], bool], seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def reserve(api: Api, quantity: str = "2") -> None:
    body = {"lines": [{"sku": OIL, "location": "ST-SH01", "quantity": quantity}]}
    assert api.client.post("/v1/reservations", json=body, headers={"Idempotency-Key": uuid.uuid4().hex}).is_success


def as_read(api: Api, sku: str, *places: str) -> dict[str, Any]:
    """Return what an event must tell of an item: what a read says."""
    body = api.body(f"/v1/stock/{sku}")
    levels = [level for level in body["locations"] if not places or level["location"] in places]
    told = [{"location": level["location"], "available": level["available"]} for level in levels]
    return {name: body[name] for name in ("sku", "available", "as_of", "stale")} | {"locations": told}


def followers(api: Api) -> int:
    return int(api.app.state.services.changes._followers)


@pytest.fixture(autouse=True)
def alone(api: Api, seed: Seed, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin with a shop that something has happened in, and let no stream of a test outlive it."""
    monkeypatch.setattr("hub.sync.following._POLL_SECONDS", 0.03)
    tell(seed.connection, RICE, "ST-SH01")
    yield
    until(lambda: not followers(api))


def test_a_reservation_a_sale_and_a_read_are_told_as_a_read_tells_them(api: Api, seed: Seed, shop_url: str) -> None:
    with stream(api) as client:
        assert client.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert client.response.headers["cache-control"] == "no-store"
        assert client.response.headers["x-accel-buffering"] == "no"
        reserve(api)
        publish(seed.connection)
        event = client.next()
        assert (event.name, event.data) == ("stock.changed", as_read(api, OIL, "ST-SH01"))
        assert (event.data["available"], event.data["locations"][0]["available"]) == ("1210", "10")

        sell(api, seed)
        publish(seed.connection)
        event = client.next()
        assert event.data == as_read(api, OIL, "ST-SH01")
        assert event.data["locations"] == [{"location": "ST-SH01", "available": "9"}]

        read_from_erp(seed, shop_url, "30")
        publish(seed.connection)
        event = client.next()
        assert event.data == as_read(api, OIL)
        assert {"location": "ST-SH01", "available": "27"} in event.data["locations"]
        assert "oneshelf_stock_streams 1.0" in api.get("/metrics").text


def sell(api: Api, seed: Seed) -> None:
    roles = load_roles(PROJECT_ROOT / "config" / "roles.yaml")
    till = create_key(seed.connection, "till", "till", roles, channel="pos")
    sale = {
        "store": "ST-SH01",
        "receipt_no": "R-1",
        "sold_at": "2026-11-26T12:00:00+08:00",
        "lines": [{"sku": OIL, "quantity": "1"}],
    }
    answer = api.client.post("/v1/sales", json=sale, headers={"Authorization": f"Bearer {till}"})
    assert answer.is_success, answer.text


def read_from_erp(seed: Seed, url: str, quantity: str) -> None:
    seed.connection.execute("SELECT nextval('tick') FROM generate_series(1, 3)")
    seed.connection.execute(
        "INSERT INTO external_reference (system, kind, external_id, our_id)"
        " SELECT 'kingdee', 'location', 'CK106', id FROM location WHERE code = 'ST-SH01'"
    )
    erp = FakeErp("kingdee", [row("K-77001", "CK106", quantity, unit="瓶")])
    database = Database(url, pool_size=1)
    report = InventorySync(database, erp, StockSettings()).refresh({StockKey("K-77001", "CK106")})
    database.close()
    assert report is not None
    assert report.changed == ((OIL, "ST-SH01"),)


def test_events_wait_for_the_relay_and_those_that_wait_together_are_one(api: Api, seed: Seed) -> None:
    with stream(api) as client:
        for _ in range(3):
            reserve(api, "1")
        time.sleep(0.2)
        publish(seed.connection)
        assert client.next().data == as_read(api, OIL, "ST-SH01")
        tell(seed.connection, RICE, "ST-SH01")
        assert client.next().data["sku"] == RICE


def test_filters(api: Api, seed: Seed) -> None:
    connection = seed.connection
    with (
        stream(api, f"?sku={RICE}&sku=0012345") as by_sku,
        stream(api, "?location=DC-SH&location=ST-HZ01") as by_place,
        stream(api, f"?sku={OIL}&location=ST-SH01") as by_both,
    ):
        for sku, place in ((OIL, "DC-SH"), (RICE, "ST-SH01"), (OIL, "ST-SH01"), (OIL, "ST-HZ01")):
            tell(connection, sku, place)
            time.sleep(0.15)  # so that they are told one by one
        tell_read(connection, [OIL, RICE])
        assert [event.data for event in by_sku.take(2)] == [as_read(api, RICE)] * 2
        assert [event.data for event in by_place.take(3)] == [
            as_read(api, OIL, "DC-SH"),
            as_read(api, OIL, "ST-HZ01"),
            as_read(api, OIL, "DC-SH", "ST-HZ01"),  # of rice there is nothing at these places
        ]
        assert [event.data for event in by_both.take(2)] == [as_read(api, OIL, "ST-SH01")] * 2


def test_what_changes_a_component_changes_its_kits(api: Api, seed: Seed) -> None:
    seed.item("QH-SET", "厨房套装")
    set_kit(seed.connection, "QH-SET", {OIL: Decimal(2)})
    with stream(api, "?sku=QH-SET&location=ST-SH01") as client:
        tell(seed.connection, OIL, "DC-SH")
        reserve(api, "2")
        publish(seed.connection)
        told = client.next().data
    assert told == as_read(api, "QH-SET", "ST-SH01")
    assert told["locations"] == [{"location": "ST-SH01", "available": "5"}]


def test_too_many_changes_to_name_are_a_reset(api: Api, seed: Seed) -> None:
    with stream(api, f"?sku={RICE}") as client:
        with seed.connection.transaction():
            tell_read(seed.connection, [RICE])
            tell_read(seed.connection, None)
            tell_read(seed.connection, [RICE])
        first, second = client.take(2)
        assert (first.name, first.data) == ("stock.reset", {"reason": "too_many_changes"})
        assert (second.name, second.data) == ("stock.changed", as_read(api, RICE))
        assert int(first.position) < int(second.position)


def test_a_number_that_names_many_stands_on_its_last_event(api: Api, seed: Seed) -> None:
    with stream(api) as client:
        opened_at = client.position
        tell_read(seed.connection, [OIL, RICE, "0012345"])
        first, second, third = client.take(3)
        assert first.position == second.position == opened_at
        assert int(third.position) > int(opened_at)
    with stream(api, last=opened_at) as client:
        assert [event.data["sku"] for event in client.take(3)] == [OIL, RICE, "0012345"]


@pytest.mark.parametrize("memory", [10_000, 3])
def test_who_comes_back_has_missed_nothing_and_hears_nothing_twice(
    api: Api, seed: Seed, shop_url: str, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    """Others publish all the while, in transactions that commit late; a small memory sends the reader to the outbox."""
    monkeypatch.setattr("hub.sync.following._MOST_RECENT", memory)
    monkeypatch.setattr("hub.sync.following._PAGE", 7)
    skus = [f"S{number:03}" for number in range(80)]
    seed.items(skus, "DC-SH")
    with stream(api) as client:
        position = client.position
    threads = [
        threading.Thread(target=write_late, args=(shop_url, skus[0::2], 5)),
        threading.Thread(target=write_late, args=(shop_url, skus[1::2], 1)),
    ]
    for thread in threads:
        thread.start()
    heard: list[str] = []
    while set(heard) != set(skus):
        with stream(api, last=position) as client:
            before = int(position)
            for event in client.take(min(9, len(set(skus) - set(heard)))):
                assert int(event.position) > before
                before = int(event.position)
                heard.append(event.data["sku"])
            position = client.position
    for thread in threads:
        thread.join()
    assert len(heard) == len(skus)


def write_late(url: str, skus: list[str], at_once: int) -> None:
    with psycopg.connect(url) as connection, psycopg.connect(url, autocommit=True) as relay:
        for start in range(0, len(skus), at_once):
            for sku in skus[start : start + at_once]:
                write_outbox(connection, "stock.held", sku, {"sku": sku, "location": "DC-SH"})
                time.sleep(0.003)
            publish(relay)
            connection.commit()
            publish(relay)


@pytest.mark.parametrize("last", ["too old", "future", "9" * 18, "9" * 30, "²", "x-1"])
def test_who_comes_back_with_a_number_that_is_not_kept_reads_anew(api: Api, seed: Seed, last: str) -> None:
    for _ in range(3):
        tell(seed.connection, RICE, "ST-SH01")
    oldest, newest = (
        seed.connection.execute("SELECT min(published_seq), max(published_seq) FROM outbox").fetchone() or ()
    )
    seed.connection.execute("DELETE FROM outbox WHERE published_seq = %s", (oldest,))
    known = {"too old": str(oldest - 1), "future": str(newest + 1)}
    with answer(api, last=known.get(last, last)) as response:
        lines = response.iter_lines()
        opening = [next(lines) for _ in range(4)]
        assert opening[1:] == ["event: stock.reset", f"id: {newest}", 'data: {"reason":"unknown_position"}']
        tell(seed.connection, OIL, "DC-SH")
        assert [next(lines), next(lines)] == ["", "event: stock.changed"]
    with stream(api, last=str(oldest)) as client:
        assert client.next().data["sku"] == RICE  # the oldest number from which nothing is missing


def test_a_revoked_key_ends_its_stream(api: Api, seed: Seed, make_key: Callable[[str], str]) -> None:
    key = make_key("storefront")
    headers = {"Authorization": f"Bearer {key}"}
    with stream(api) as other, api.client.stream("GET", PATH, headers=headers) as response:
        client = Client(response)
        revoke_key(seed.connection, (split_key(key) or ("", ""))[0])
        began = time.monotonic()
        assert client.ends()
        assert time.monotonic() - began < 5
        tell(seed.connection, RICE, "ST-SH01")
        assert other.next().data["sku"] == RICE


def test_a_quiet_stream_is_kept_alive_and_knows_its_position(
    api: Api, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storefront_adapter.api.stream._HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("storefront_adapter.api.stream._CHECK_SECONDS", 0.05)
    with stream(api, f"?sku={RICE}") as client:
        opened_at = client.position
        tell(seed.connection, OIL, "ST-SH01")
        until(lambda: client.block() is None and client.position != opened_at)
        assert client.comments


def test_who_takes_nothing_is_let_go_and_nobody_waits_for_him(
    api: Api, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storefront_adapter.api.stream._PATIENCE_SECONDS", 0.2)
    skus = [f"{number:03}" + "x" * 20_000 for number in range(50)]
    seed.items(skus, "DC-SH")
    host = httpx.URL(api.base)
    with stream(api) as other, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host.host, host.port))
        key = api.client.headers["Authorization"]
        slow.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
        until(lambda: followers(api) == 2)
        for _ in range(40):  # a megabyte each: until there is more than the sockets hold
            tell_read(seed.connection, skus)
            assert [event.data["sku"] for event in other.take(len(skus))] == skus
            if followers(api) == 1:
                break
        assert followers(api) == 1


def test_lost_connections_to_the_database_lose_no_event(api: Api, seed: Seed) -> None:
    with stream(api) as client:
        reserve(api)
        seed.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        publish(seed.connection)
        assert client.next().data == as_read(api, OIL, "ST-SH01")


def test_so_many_streams_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.app.state.services.changes, "_most", 1)
    with stream(api) as client, answer(api) as refused:
        refused.read()
        assert (refused.status_code, refused.json()["code"]) == (503, "too-many-streams")
        assert refused.headers["retry-after"] == "5"
        assert not client.response.is_closed
    until(lambda: not followers(api))
    with stream(api):
        pass


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?sku=NOPE", 404, "sku-not-found"),
        ("?sku=%00", 404, "sku-not-found"),
        ("?location=NOPE", 404, "location-not-found"),
        ("?location=%00", 404, "location-not-found"),
        ("?" + "&".join(f"sku=S{number}" for number in range(201)), 422, "validation-failed"),
    ],
)
def test_what_can_not_be_followed(api: Api, query: str, status: int, code: str) -> None:
    with answer(api, query) as refused:
        refused.read()
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_a_look_at_the_headers_opens_no_stream(api: Api) -> None:
    head = api.client.head(PATH)
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


def test_another_process_tells_the_same_and_stops_with_streams_open(
    api: Api, seed: Seed, shop_url: str, tmp_path: Path
) -> None:
    shutil.copy(PROJECT_ROOT / "config" / "roles.yaml", tmp_path)
    url = f"http://127.0.0.1:{free_port(0)}"
    command = arguments("oneshelf.asgi:create_app", "127.0.0.1", int(url.rpartition(":")[2]))
    environment = {
        "ONESHELF_DATABASE__URL": shop_url,
        "ONESHELF_CONFIG_DIR": str(tmp_path),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    child = Child("adapter", command, tmp_path / "log", environment)
    child.start()
    try:
        child.wait_until(lambda: answers(f"{url}/livez"), seconds=40)
        with stream(api) as here, stream(api, base=url) as there, stream(api, f"?sku={RICE}", base=url) as quiet:
            tell(seed.connection, OIL, "ST-SH01")
            assert here.next() == there.next()
            (tmp_path / "gauge_livesum_99999999.db").touch()  # of a process that was killed
            assert "oneshelf_stock_streams 2.0" in api.get(f"{url}/metrics").text
            assert child.process
            child.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert there.ends()
            assert quiet.ends()
            child.process.wait(timeout=8)
            assert time.monotonic() - began < 3
            tell(seed.connection, RICE, "ST-SH01")
            assert here.next().data["sku"] == RICE
    finally:
        child.stop()
    assert "Traceback" not in (tmp_path / "log").read_text()
