"""Founding a town: an empty database that knows its articles and places, and the two processes of its hub."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from hub.db.session import Database
from tests.fake_erp import FakeErp
from tests.integration.conftest import open_hub
from tests.integration.stopped_clock import stop_clock
from tests.integration.town_books import KIT, PARTS
from tests.integration.two_processes import TwoProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from hub.settings import StockSettings

_FORGET = """
DELETE FROM stock_level; DELETE FROM stock_ledger; DELETE FROM stock_demand; DELETE FROM stock_supply;
DELETE FROM stock_posting; DELETE FROM stock_due; DELETE FROM stock_floor; DELETE FROM stock_pool;
DELETE FROM stock_rule; DELETE FROM stocktake; DELETE FROM hold_bucket; DELETE FROM hold_event;
DELETE FROM reservation; DELETE FROM reservation_line; DELETE FROM idempotency_key; DELETE FROM stock_batch;
DELETE FROM source_position; DELETE FROM outbox; DELETE FROM quarantine; DELETE FROM tick_time;
"""
Hub = TypeVar("Hub", bound=TwoProcesses)


def found_town(url: str) -> StockSettings:
    """Let an empty database know the town's articles and places, and its clock stand still until a step moves it."""
    stop_clock(url)
    database = Database(url)
    try:
        hub = open_hub(database, FakeErp())
        with database.driver() as connection:
            _make_kit(connection)
        return hub.settings.stock
    finally:
        database.close()


@contextmanager
def open_processes(url: str, erp: FakeErp, rules: StockSettings, kind: Callable[..., Hub]) -> Iterator[Hub]:
    """Open the two processes of the hub of a town, in which nothing has happened yet."""
    database = Database(url)
    try:
        with database.driver() as connection:
            connection.execute(_FORGET)
        hub = kind(url, database, erp, rules)
        try:
            yield hub
        finally:
            hub.close()
    finally:
        database.close()


def _make_kit(connection: psycopg.Connection) -> None:
    for sku, quantity in PARTS.items():
        connection.execute(
            "INSERT INTO kit_component SELECT kit.id, part.id, %s FROM item AS kit, item AS part"
            " WHERE kit.sku = %s AND part.sku = %s",
            (quantity, KIT, sku),
        )
