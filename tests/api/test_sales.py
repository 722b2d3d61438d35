"""Store sales over HTTP: gone at once, each receipt once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hub.access import create_key, load_roles
from hub.settings import PROJECT_ROOT
from tests.api.conftest import build_app
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.api.conftest import Api

PATH = "/v1/sales"
OIL = {"sku": "QH-OIL-500", "quantity": "2"}
SALE: dict[str, Any] = {
    "store": "ST-SH01",
    "receipt_no": "R-1",
    "sold_at": "2026-11-26T12:00:00+08:00",
    "lines": [OIL],
}


@pytest.fixture
def till(api: Api, connection: psycopg.Connection) -> Iterator[httpx.Client]:
    roles = load_roles(PROJECT_ROOT / "config" / "roles.yaml")
    key = create_key(connection, "till of ST-SH01", "till", roles, channel="pos")
    with httpx.Client(base_url=api.base, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def tell(till: httpx.Client, **sale: object) -> httpx.Response:
    return till.post(PATH, json={**SALE, **sale})


def available(api: Api, place: str = "ST-SH01", sku: str = "QH-OIL-500") -> str:
    levels = api.body(f"/v1/stock/{sku}")["locations"]
    return str(next(level["available"] for level in levels if level["location"] == place))


def test_what_is_sold_is_gone_at_once(api: Api, till: httpx.Client) -> None:
    assert available(api) == "12"
    answer = tell(till)
    assert answer.status_code == 201
    assert answer.json() == {
        "store": "ST-SH01",
        "receipt_no": "R-1",
        "business_date": "2026-11-26",
        "reference": "R-1",
    }
    assert available(api) == "10"


def test_a_receipt_counts_once(api: Api, till: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: tell(till), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert available(api) == "10"
    other = tell(till, lines=[{**OIL, "quantity": "3"}])
    assert (other.status_code, other.json().get("code")) == (409, "receipt-reused")
    assert tell(till, store="ST-HZ01").status_code == 201
    assert available(api) == "10"


def test_more_may_be_sold_than_there_is_and_the_shop_offers_nothing_then(api: Api, till: httpx.Client) -> None:
    assert tell(till, lines=[{**OIL, "quantity": "15"}]).status_code == 201
    assert available(api) == "0"


def test_what_is_brought_back_is_kept_and_waits_for_the_erp(
    api: Api, till: httpx.Client, connection: psycopg.Connection
) -> None:
    assert tell(till, lines=[], returns=[OIL], member="M-77").status_code == 201
    assert available(api) == "12"
    kept = connection.execute("SELECT member, lines, returns FROM store_sale").fetchall()
    assert kept == [("M-77", [], [{"sku": "QH-OIL-500", "quantity": "2"}])]


def test_a_store_that_settles_its_days_is_named_by_its_day(till: httpx.Client, connection: psycopg.Connection) -> None:
    connection.execute(
        "UPDATE location SET sale_posting = 'daily_summary', settlement_number = 'Z{date}-{store}',"
        " day_begins = '05:00' WHERE code = 'ST-SH01'"
    )
    late = tell(till, sold_at="2026-11-26T20:30:00Z").json()  # half past four in the morning of the 27th
    assert (late["business_date"], late["reference"]) == ("2026-11-26", "Z20261126-ST-SH01")
    early = tell(till, receipt_no="R-2", sold_at="2026-11-26T21:00:00Z").json()
    assert (early["business_date"], early["reference"]) == ("2026-11-27", "Z20261127-ST-SH01")
    assert connection.execute("SELECT DISTINCT whole FROM stock_demand").fetchall() == [(True,)]


def test_what_nobody_knows_is_named_and_nothing_is_booked(api: Api, till: httpx.Client) -> None:
    refused = tell(till, lines=[OIL, {"sku": "nothing", "quantity": "1"}])
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-line")
    assert [line["sku"] for line in refused.json()["lines"]] == ["nothing"]
    back = tell(till, returns=[{"sku": "no such", "quantity": "1"}])
    assert (back.status_code, [line["sku"] for line in back.json()["lines"]]) == (422, ["no such"])
    assert available(api) == "12"
    assert tell(till).status_code == 201
    nowhere = tell(till, store="nowhere")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "location-not-found")


@pytest.mark.parametrize(
    ("sale", "pointer"),
    [
        ({"lines": [{**OIL, "quantity": "0"}]}, "/lines/0/quantity"),
        ({"lines": [{**OIL, "quantity": "-1"}]}, "/lines/0/quantity"),
        ({"lines": []}, ""),
        ({"sold_at": "2026-11-26T12:00:00"}, "/sold_at"),
        ({"sold_at": "0001-01-01T00:00:00+14:00"}, "/sold_at"),
        ({"sold_at": "9999-12-31T23:59:59-14:00"}, "/sold_at"),
        ({"sold_at": 1_764_100_000}, "/sold_at"),
        ({"receipt_no": ""}, "/receipt_no"),
        ({"receipt_no": " \u3000"}, "/receipt_no"),
        ({"cashier": 7}, "/cashier"),
    ],
)
def test_a_wrong_shape_is_pointed_at(till: httpx.Client, sale: dict[str, object], pointer: str) -> None:
    refused = tell(till, **sale)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation-failed")
    assert [part["pointer"] for part in refused.json()["errors"]] == [pointer]


def test_a_sale_that_waits_too_long_is_asked_for_again(
    api: Api, till: httpx.Client, connection: psycopg.Connection, shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database can be reached: nobody shall look for another fault."""
    monkeypatch.setattr("storefront_adapter.app._LONGEST_WAIT", "100ms")
    with serve(build_app(shop_url, staff_open=False)) as base, connection.transaction():
        connection.execute("SELECT FROM stock_level FOR UPDATE")
        busy = till.post(f"{base}{PATH}", json=SALE)
    assert (busy.status_code, busy.json()["code"]) == (503, "database-busy")
    assert busy.headers["retry-after"]
    assert tell(till).status_code == 201
    assert available(api) == "10"


def test_a_shop_may_not_tell_of_sales(api: Api, make_key: Callable[[str], str]) -> None:
    refused = api.client.post(PATH, json=SALE, headers={"Authorization": f"Bearer {make_key('storefront')}"})
    assert refused.status_code == 403
