"""From the ERPs' own books to the levels: what the hub says equals what they say, through every kind of movement."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.clock import utc_now
from hub.stock.demand import record_sale
from hub.stock.reservations import Line
from sandbox.catalogue import articles
from tests.erp_sandboxes import ARTICLES, LOCATIONS, run_sandbox
from tests.hub_shop import make_shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.contracts import StockKey
    from hub.db.session import Database
    from tests.erp_sandboxes import ErpSandbox
    from tests.hub_shop import Shop

each_system = pytest.mark.parametrize(
    ("served", "system"), [("sap", "sap"), ("sap", "kingdee"), ("sap-rfc", "sap")], indirect=["served"]
)
each_sap = pytest.mark.parametrize("served", ["sap", "sap-rfc"], indirect=True)


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ErpSandbox]]:
    """Serve both ERPs, SAP by the transport that the test names."""
    folder = tmp_path_factory.mktemp("erps")
    with run_sandbox(request.param, folder) as sap, run_sandbox("kingdee", folder) as kingdee:
        yield {"sap": sap, "kingdee": kingdee}


@pytest.fixture
def shop(served: dict[str, ErpSandbox], database: Database) -> Shop:
    """Give a hub that has read all articles and a full snapshot of both ERPs."""
    for world in served.values():
        world.reset()
    shop = make_shop(database, served)
    shop.read_items()
    for system in served:
        assert shop.sync(system).snapshot().state == "applied"
    return shop


def keys(shop: Shop, system: str, at_least: int = 4) -> list[StockKey]:
    books = shop.worlds[system].books()
    found = [key for key, held in books.items() if at_least <= held == held.to_integral_value()]
    return sorted(found, key=lambda key: (key.location, key.item))


@each_system
def test_a_snapshot_equals_the_books(shop: Shop, system: str) -> None:
    assert shop.truth(system), "the sandbox holds stock"
    assert shop.wrong(system) == []
    assert shop.quarantined(system) == set()
    assert not shop.feed(system).stale


@each_system
def test_a_snapshot_of_small_pages_equals_the_books(shop: Shop, system: str) -> None:
    world = shop.worlds[system]
    world.moves(40)
    report = shop.sync(system, **world.small_pages).snapshot()
    assert report.pages > 1
    assert shop.wrong(system) == []


@each_system
def test_deltas_follow_the_books_round_after_round(shop: Shop, system: str) -> None:
    world = shop.worlds[system]
    sync = shop.sync(system, **world.small_pages)
    for count in (1, 7, 30, 60):
        world.moves(count)
        assert shop.wrong(system), "something moved"
        report = sync.delta()
        assert report is not None
        assert report.state == "applied"
        assert shop.wrong(system) == []
        assert sync.delta() is None
    # and a snapshot, which names no keys, finds nothing that the deltas left out
    assert sync.snapshot().changed == ()


@each_system
def test_each_kind_of_movement_arrives_by_a_delta(shop: Shop, system: str) -> None:
    world, sync = shop.worlds[system], shop.sync(system)
    [first, second, third, fourth, fifth] = keys(shop, system)[:5]
    books = world.books()
    elsewhere = next(place for place in world.locations if place != first.location)
    sold = world.move("sale", first, 2)
    world.move("receipt", second, "12")
    world.move("count", third, books[third] - 2)
    world.move("count", fourth, 0)
    world.transfer(fifth, elsewhere, 1)
    world.transfer(first, elsewhere, 1)
    prepared = world.prepare(second, 1)
    sync.delta()
    assert shop.wrong(system) == []
    world.take_back(sold)
    if prepared is not None:
        world.finish(prepared)
    sync.delta()
    assert shop.wrong(system) == []
    assert world.books()[first] == books[first] - 1


@each_system
def test_taken_back_and_posted_again_over_and_over(shop: Shop, system: str) -> None:
    world, sync = shop.worlds[system], shop.sync(system)
    key = keys(shop, system)[0]
    whole = world.books()[key]
    for _ in range(3):
        posted = world.move("sale", key, whole)
        sync.delta()
        assert key not in world.books()
        assert shop.wrong(system) == []
        world.take_back(posted)
        sync.delta()
        assert world.books()[key] == whole
        assert shop.wrong(system) == []


@each_system
def test_negative_stock_arrives_and_is_counted_up_again(shop: Shop, system: str) -> None:
    world, sync = shop.worlds[system], shop.sync(system)
    key = keys(shop, system)[0]
    world.move("sale", key, world.books()[key] + 5, allow_negative=True)
    sync.delta()
    assert shop.wrong(system) == []
    assert Decimal(-5) in shop.levels(system).values()
    world.move("count", key, 3)
    sync.delta()
    assert shop.wrong(system) == []
    sync.snapshot()
    assert shop.wrong(system) == []


@each_system
def test_what_moves_while_a_snapshot_is_read_arrives_by_the_next_delta(shop: Shop, system: str) -> None:
    world = shop.worlds[system]
    sync = shop.sync(system, **world.small_pages)
    pull = sync.connector.iter_stock

    def restless(wanted: object = None) -> Iterator[object]:
        for page in pull(wanted):  # type: ignore[arg-type]
            yield page
            world.moves(5)

    sync.connector.iter_stock = restless  # type: ignore[method-assign, assignment]
    assert sync.snapshot().state == "applied"
    shop.sync(system).delta()
    assert shop.wrong(system) == []


@each_sap
def test_what_a_store_sold_is_subtracted_until_sap_has_posted_it_and_again_when_that_is_cancelled(shop: Shop) -> None:
    world, sync = shop.worlds["sap"], shop.sync("sap")
    key = keys(shop, "sap")[0]
    held = int(world.books()[key])
    place = next(place.code for place in LOCATIONS if place.erp_codes.get("sap") == key.location)

    def follow() -> tuple[int, int]:
        """Read until nothing is left to read; return what the place holds, and what of it is sold besides."""
        while sync.delta() is not None:
            pass
        with shop.database.driver() as connection:
            [(on_hand, demand)] = connection.execute(
                "SELECT on_hand, demand FROM stock_level JOIN item ON item.id = item_id"
                " JOIN location ON location.id = location_id WHERE sku = %s AND code = %s",
                (key.item, place),
            ).fetchall()
        return int(on_hand), int(demand)

    with shop.database.driver() as connection, connection.transaction():
        lines = [Line(key.item, place, Decimal(3))]
        assert record_sale(connection, "R-1", "R-1", lines, utc_now(), channel=place, whole=False) == []
    assert follow() == (held, 3)
    first = world.move("sale", key, 2, reference="R-1")
    assert follow() == (held - 2, 1)
    world.move("sale", key, 1, reference="R-1")
    assert follow() == (held - 3, 0)
    world.take_back(first)
    assert follow() == (held - 1, 2)


@each_sap
def test_the_articles_of_both_erps_are_one(shop: Shop) -> None:
    with shop.database.driver() as connection:
        found = {
            str(sku): {str(system): str(number) for system, number in zip(systems, numbers, strict=True)}
            for sku, systems, numbers in connection.execute(
                "SELECT item.sku, array_agg(reference.system ORDER BY reference.system),"
                " array_agg(reference.external_id ORDER BY reference.system)"
                " FROM item JOIN external_reference AS reference ON reference.our_id = item.id"
                " WHERE reference.kind = 'item' GROUP BY item.sku"
            )
        }
    catalogue = articles(ARTICLES)
    assert {article.sap_material for article in catalogue} <= found.keys()
    for article in catalogue:
        parts = (article.kingdee_material, article.colour, article.size)
        assert found[article.sap_material] == {
            "sap": article.sap_material,
            "kingdee": "|".join(part for part in parts if part),
        }


@each_sap
def test_a_carton_holds_as_many_pieces_as_the_erps_say(shop: Shop) -> None:
    with shop.database.driver() as connection:
        rows = connection.execute(
            "SELECT barcode.code, item.sku, barcode.factor FROM barcode JOIN item ON item.id = barcode.item_id"
        ).fetchall()
    found = {str(code): (str(sku), factor) for code, sku, factor in rows}
    cartons = {
        article.carton_gtin: (article.sap_material, Decimal(article.carton_pieces or 0))
        for article in articles(ARTICLES)
        if article.carton_gtin
    }
    pieces = {article.gtin: (article.sap_material, Decimal(1)) for article in articles(ARTICLES)}
    assert {factor for _, factor in cartons.values()} > {Decimal(6)}
    assert cartons.items() <= found.items()
    assert pieces.items() <= found.items()


@each_sap
def test_reading_the_articles_again_changes_nothing(shop: Shop) -> None:
    def state() -> list[tuple[object, ...]]:
        with shop.database.driver() as connection:
            return connection.execute("SELECT id, sku, gtin, name, unit, category FROM item ORDER BY id").fetchall()

    before = state()
    shop.read_items()
    assert state() == before
