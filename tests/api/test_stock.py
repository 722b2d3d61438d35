"""Stock reads: numbers, ages, tags, lists."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.seed import LONG_NAME

if TYPE_CHECKING:
    from tests.api.conftest import Api
    from tests.api.seed import Seed

OIL = "/v1/stock/QH-OIL-500"


def level_of(body: dict[str, Any], code: str) -> dict[str, Any]:
    return next(level for level in body["locations"] if level["location"] == code)


def test_one_sku_tells_totals_and_every_level(api: Api) -> None:
    body = api.body(OIL)
    assert (body["sku"], body["gtin"], body["name"], body["unit"]) == ("QH-OIL-500", "6901234567892", LONG_NAME, "瓶")
    assert body["on_hand"] == "1216"  # 1200 + 7 + 12 - 3
    assert body["available"] == "1212"  # places that sell online, each at least 0
    assert (body["unavailable"], body["consigned"]) == ("3", "4")
    assert [level["location"] for level in body["locations"]] == ["DC-SH", "DC-SH-RET", "ST-SH01", "ST-HZ01"]


def test_negative_stock_is_offered_as_zero_and_counted_as_it_is(api: Api) -> None:
    level = level_of(api.body(OIL), "ST-HZ01")
    assert (level["on_hand"], level["available"]) == ("-3", "0")


def test_goods_apart_are_not_offered_and_consigned_goods_stand_apart(api: Api) -> None:
    level = level_of(api.body(OIL), "ST-SH01")
    assert (level["on_hand"], level["available"], level["unavailable"], level["consigned"]) == ("12", "12", "3", "4")


@pytest.mark.parametrize(
    ("stored", "told"),
    [("3.250", "3.25"), ("1000", "1000"), ("0.000", "0"), ("0.0000001", "0.0000001"), ("1e9", "1000000000")],
)
def test_quantities_are_plain_decimal_text(api: Api, seed: Seed, stored: str, told: str) -> None:
    seed.level("QH-RICE", "ST-SH01", stored)
    assert api.body("/v1/stock/QH-RICE")["on_hand"] == told


def test_only_the_places_asked_for_count(api: Api) -> None:
    body = api.body(f"{OIL}?location=ST-SH01&location=DC-SH-RET")
    assert (body["on_hand"], body["available"]) == ("19", "12")
    assert api.body(f"{OIL}?location=ST-NJ01")["locations"] == []


def test_inactive_places_do_not_count(api: Api, seed: Seed) -> None:
    seed.location("OLD", "旧仓", "warehouse", "sap", online=True, active=False)
    seed.level("QH-RICE", "OLD", 99)
    assert api.body("/v1/stock/QH-RICE")["on_hand"] == "3.25"


@pytest.mark.parametrize("path", ["/v1/stock/NOPE", "/v1/stock/%00", "/v1/stock/qh-rice"])
def test_unknown_sku_is_a_problem(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "sku-not-found")


@pytest.mark.parametrize("path", [f"{OIL}?location=NOPE", "/v1/stock?location=NOPE", "/v1/locations/NOPE"])
def test_unknown_place_is_a_problem(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "location-not-found")


def test_sku_with_slash_and_bar_works_encoded_and_in_lookup(api: Api) -> None:
    assert api.body("/v1/stock/QH%2FSLASH%7C1")["on_hand"] == "5"
    answer = api.client.post("/v1/stock/lookup", json={"skus": ["QH/SLASH|1"]}).json()
    assert [item["sku"] for item in answer["items"]] == ["QH/SLASH|1"]


def test_lookup_keeps_the_order_and_names_what_is_unknown(api: Api) -> None:
    skus = ["QH-RICE", "NOPE", "QH-OIL-500", "QH-RICE", "\x00", "\ud800"]
    body = b'{"skus": ["QH-RICE", "NOPE", "QH-OIL-500", "QH-RICE", "\\u0000"], "locations": ["ST-SH01"]}'
    answer = api.client.post("/v1/stock/lookup", content=body, headers={"Content-Type": "application/json"}).json()
    assert [item["sku"] for item in answer["items"]] == ["QH-RICE", "QH-OIL-500"]
    assert answer["not_found"] == ["NOPE", skus[4]]
    assert [level["location"] for level in answer["items"][1]["locations"]] == ["ST-SH01"]


def test_item_without_levels_has_zero_everywhere(api: Api) -> None:
    body = api.body("/v1/stock/QH-NOWHERE")
    assert (body["on_hand"], body["available"], body["locations"], body["stale"]) == ("0", "0", [], False)
    assert body["as_of"]


@pytest.mark.parametrize(
    ("age", "full", "stale"), [(5, True, False), (61, True, True), (None, False, True), (5, False, True)]
)
def test_an_old_or_incomplete_feed_makes_its_places_stale(
    api: Api,
    seed: Seed,
    age: float | None,
    full: bool,  # noqa: FBT001 - a column of the table above
    stale: bool,  # noqa: FBT001 - as well
) -> None:
    seed.feed("kingdee", age=age, full=full)
    body = api.body(OIL)
    assert level_of(body, "ST-SH01")["stale"] is stale
    assert level_of(body, "DC-SH")["stale"] is False
    assert body["stale"] is stale
    expected = level_of(body, "ST-SH01")["as_of"] if age is None or age > 0 else body["as_of"]
    assert body["as_of"] == expected


def test_place_without_a_feed_is_stale(api: Api, seed: Seed) -> None:
    seed.location("X1", "无源仓", "warehouse", None, online=True)
    seed.level("QH-RICE", "X1", 1)
    level = level_of(api.body("/v1/stock/QH-RICE"), "X1")
    assert (level["stale"], level["as_of"]) == (True, None)


def test_tag_stays_while_only_the_age_moves(api: Api, seed: Seed) -> None:
    first = api.get(OIL)
    assert first.headers["etag"].startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache"
    seed.feed("kingdee")
    seed.feed("sap")
    again = api.get(OIL, If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-stock-as-of"] > first.headers["x-stock-as-of"]
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("header", ["*", '"x", {tag}', "{strong}"])
def test_if_none_match_is_a_list_compared_weakly(api: Api, header: str) -> None:
    tag = api.get(OIL).headers["etag"]
    asked = header.format(tag=tag, strong=tag.removeprefix("W/"))
    assert api.get(OIL, If_None_Match=asked).status_code == 304
    assert api.get(OIL, If_None_Match='"other"').status_code == 200


def test_tag_changes_with_a_number_and_with_staleness(api: Api, seed: Seed) -> None:
    tags = [api.get(OIL).headers["etag"]]
    seed.level("QH-OIL-500", "ST-SH01", 11)
    tags.append(api.get(OIL).headers["etag"])
    seed.feed("kingdee", age=999)
    tags.append(api.get(OIL).headers["etag"])
    seed.unsellable("QH-OIL-500", "ST-HZ01", "blocked", 1)
    tags.append(api.get(OIL).headers["etag"])
    assert len(set(tags)) == len(tags)


def walk(api: Api, query: str, between: Any = None) -> tuple[list[tuple[str, str]], str]:
    seen: list[tuple[str, str]] = []
    cursor = ""
    while True:
        body: Any = api.body(f"/v1/stock?{query}" + (f"&cursor={cursor}" if cursor else ""))
        seen += [(row["sku"], row["location"]) for row in body["items"]]
        if body["next_cursor"] is None:
            return seen, body["next_updated_since"]
        assert body["next_updated_since"] is None
        cursor = body["next_cursor"]
        if between:
            between()


def test_walk_meets_every_level_once(api: Api, seed: Seed) -> None:
    seed.items([f"W-{number:02d}" for number in range(25)], "ST-NJ01")
    seen, _ = walk(api, "limit=4")
    assert len(seen) == len(set(seen)) == 25 + 6
    only, _ = walk(api, "limit=10&location=ST-NJ01")
    assert len(only) == 25


def test_walk_misses_nothing_while_levels_change(api: Api, seed: Seed) -> None:
    skus = [f"W-{number:02d}" for number in range(12)]
    seed.items(skus, "ST-NJ01")
    moves = iter([*skus[:3], skus[11]])

    def change() -> None:
        sku = next(moves, None)
        if sku:
            seed.level(sku, "ST-NJ01", 2)

    seen, _ = walk(api, "limit=3&location=ST-NJ01", change)
    assert {sku for sku, _ in seen} == set(skus)
    assert seen[-1][0] in {skus[2], skus[11]}  # what changed came again at the end


def test_ties_in_time_are_not_lost_at_a_page_border(api: Api, seed: Seed) -> None:
    skus = [f"T-{number}" for number in range(7)]
    seed.items(skus, "ST-NJ01")
    seed.connection.execute("UPDATE stock_level SET changed_at = '2026-01-01T00:00:00.123456Z'")
    seen, _ = walk(api, "limit=2")
    assert len(seen) == len(set(seen)) == 7 + 6


def test_follower_hears_of_a_change_that_was_being_written(api: Api, seed: Seed) -> None:
    seed.item("LATE")
    with seed.connection.transaction():
        seed.level("LATE", "ST-NJ01", 1)
        time.sleep(0.01)
        seen, next_since = walk(api, "limit=200")
        assert ("LATE", "ST-NJ01") not in seen
    assert ("LATE", "ST-NJ01") in walk(api, f"limit=200&updated_since={next_since}")[0]


def test_updated_since_leaves_out_what_is_older(api: Api, seed: Seed) -> None:
    seed.connection.execute("UPDATE stock_level SET changed_at = changed_at - interval '1 day'")
    seed.level("QH-RICE", "ST-SH01", 4)
    since = level_changed(api, "QH-RICE").replace("+", "%2B")
    assert walk(api, f"updated_since={since}")[0] == [("QH-RICE", "ST-SH01")]


def level_changed(api: Api, sku: str) -> str:
    rows: Any = api.body("/v1/stock?limit=200")["items"]
    return str(next(row["changed_at"] for row in rows if row["sku"] == sku))


@pytest.mark.parametrize("query", ["location=ST-SH01", "updated_since=2026-01-01T00:00:00Z"])
def test_cursor_of_other_filters_is_refused(api: Api, query: str) -> None:
    cursor = api.body("/v1/stock?limit=1")["next_cursor"]
    answer = api.get(f"/v1/stock?limit=1&cursor={cursor}&{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-cursor")


@pytest.mark.parametrize("cursor", ["x", "%F0%9F%8D%8F", "W10", "bnVsbA", "a" * 5000])
def test_what_is_no_cursor_is_refused(api: Api, cursor: str) -> None:
    answer = api.get(f"/v1/stock?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-cursor")


def test_locations_are_listed_with_their_age(api: Api, seed: Seed) -> None:
    seed.feed("sap", age=300)
    places: Any = api.body("/v1/locations")["items"]
    assert [place["code"] for place in places] == ["DC-SH", "DC-SH-RET", "ST-SH01", "ST-HZ01", "ST-NJ01"]
    assert [place["stale"] for place in places] == [True, True, False, False, False]
    assert api.body("/v1/locations/ST-SH01")["name"] == "上海南京西路店"
