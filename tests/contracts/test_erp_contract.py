"""What every ERP connector must do, whatever ERP it speaks to: one suite, run against each one's own sandbox."""

from __future__ import annotations

import logging
import pickle
import socket
import traceback
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from hub.contracts import (
    ErpConnector,
    StockKey,
    StockRow,
    StockStatus,
)
from hub.errors import AuthFailed, RemoteError, Unavailable
from tests.contracts.erp import stocked, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.erp_sandboxes import ErpSandbox

pytestmark = pytest.mark.usefixtures("waits")
Rows = dict[StockKey, dict[str, StockRow]]

CALLS: dict[str, Callable[[ErpConnector, StockKey], Any]] = {
    "stock": lambda connector, _: list(connector.iter_stock()),
    "keys": lambda connector, key: list(connector.iter_stock({key})),
    "first look": lambda connector, _: connector.changed_keys(None),
    "items": lambda connector, _: list(connector.get_items()),
    "locations": lambda connector, _: connector.get_locations(),
}


def read(connector: ErpConnector, keys: Collection[StockKey] | None = None) -> Rows:
    """Read stock and check what holds for every read: whole keys, and `complete` once, at the end."""
    pages = list(connector.iter_stock(keys))
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    found: Rows = {}
    for page in pages:
        on_page: Rows = {}
        for row in page.rows:
            on_page.setdefault(StockKey(row.item, row.location), {})[row.row_id] = row
        assert not on_page.keys() & found.keys(), "a key stands on two pages"
        found |= on_page
        assert list(page.rejected) == []
    return found


def sellable(rows: Rows) -> dict[StockKey, Decimal]:
    """Sum up own goods that may be sold, zeros left out."""
    sums = {
        key: sum((r.quantity for r in lots.values() if r.status == StockStatus.SELLABLE and not r.owner), Decimal(0))
        for key, lots in rows.items()
    }
    return {key: quantity for key, quantity in sums.items() if quantity}


def quantity(connector: ErpConnector, key: StockKey) -> Decimal:
    return sellable(read(connector, {key})).get(key, Decimal(0))


# --- what it says of itself


def test_it_is_an_erp_connector(connector: ErpConnector, erp: ErpSandbox) -> None:
    assert isinstance(connector, ErpConnector)
    assert connector.source == erp.system
    assert connector.mapping_version
    assert connector.traits.quantity_basis in {"physical", "net_of_orders"}
    assert connector.traits.posting_point
    assert connector.traits.read_lag_seconds >= 0


def test_its_check_is_well_on_a_healthy_erp(connector: ErpConnector) -> None:
    results = connector.check()
    assert len(results) > 2
    assert [result for result in results if not result.ok] == []
    assert all(result.name and result.detail for result in results)


def test_what_is_posted_changes_the_quantity_at_once_and_what_is_not_does_not(
    connector: ErpConnector, erp: ErpSandbox
) -> None:
    key = stocked(erp)[0]
    before = quantity(connector, key)
    prepared = erp.prepare(key, 1)
    assert quantity(connector, key) == before
    if prepared is not None:
        erp.finish(prepared)
    else:
        erp.move("sale", key, 1)
    assert quantity(connector, key) == before - 1


def test_what_is_taken_back_comes_back(connector: ErpConnector, erp: ErpSandbox) -> None:
    key = stocked(erp)[0]
    before = quantity(connector, key)
    posted = erp.move("sale", key, 2)
    assert quantity(connector, key) == before - 2
    if connector.traits.takes_back:
        erp.take_back(posted)
        assert quantity(connector, key) == before


# --- stock


def test_a_full_read_is_what_the_books_say(connector: ErpConnector, erp: ErpSandbox) -> None:
    assert len(list(connector.iter_stock())) > 1, "the pages of this suite must be small enough to be several"
    assert sellable(read(connector)) == erp.books()


def test_rows_are_typed_and_at_configured_places(connector: ErpConnector, erp: ErpSandbox) -> None:
    rows = [row for lots in read(connector).values() for row in lots.values()]
    assert {type(row.quantity) for row in rows} == {Decimal}
    assert all(row.quantity.is_finite() for row in rows)
    assert {row.location for row in rows} <= set(erp.locations)
    assert {row.status for row in rows} <= set(StockStatus)
    assert len({row.status for row in rows}) > 1
    assert any(row.owner for row in rows), "consigned goods are told apart"
    assert all(row.item and row.unit and row.row_id for row in rows)
    assert len({row.row_id for row in rows}) == len(rows)
    for row in rows:
        assert row.expires_on is None or type(row.expires_on) is date
        assert row.changed_at is None or row.changed_at.utcoffset() == timedelta(0)


def test_keys_are_read_as_in_a_full_read_and_absent_ones_are_absent(connector: ErpConnector, erp: ErpSandbox) -> None:
    everything = read(connector)
    wanted = set(sorted(everything, key=lambda key: (key.location, key.item))[::3])
    absent = {StockKey("no-such-item", erp.locations[0]), StockKey("it's 'odd' %&/", erp.locations[-1])}
    some = read(connector, wanted | absent)
    assert {key: some.get(key) for key in wanted} == {key: everything[key] for key in wanted}
    assert not absent & some.keys()
    # more than was asked for may come, but then whole too
    assert all(everything[key] == lots for key, lots in some.items())


def test_no_keys_is_a_complete_answer_without_rows(connector: ErpConnector) -> None:
    assert read(connector, []) == {}


def test_pages_are_read_when_they_are_asked_for(connector: ErpConnector, erp: ErpSandbox) -> None:
    last = read(connector)
    erp.asked.clear()
    pages = connector.iter_stock()
    assert erp.asked == []
    first = next(pages)
    on_first = {StockKey(row.item, row.location) for row in first.rows}
    key = next(key for key in reversed(stocked(erp)) if key not in on_first and key in last)
    erp.move("sale", key, 1)
    later: Rows = {}
    for page in pages:
        for row in page.rows:
            later.setdefault(StockKey(row.item, row.location), {})[row.row_id] = row
    assert sellable(later)[key] == erp.books()[key] == sellable(last)[key] - 1


def test_negative_stock_is_told_as_it_is(connector: ErpConnector, erp: ErpSandbox) -> None:
    key = stocked(erp)[0]
    erp.move("sale", key, erp.books()[key] + 3, allow_negative=True)
    assert quantity(connector, key) == -3


# --- changes


def test_the_first_look_names_nothing(connector: ErpConnector, erp: ErpSandbox) -> None:
    erp.moves(5)
    changes = connector.changed_keys(None)
    assert changes.keys == frozenset()
    # What happened before may be named once by the next look, but nothing is named for ever.
    again = connector.changed_keys(stored(changes))
    assert connector.changed_keys(stored(again)).keys == frozenset()


def test_a_moved_key_is_named_once(connector: ErpConnector, erp: ErpSandbox) -> None:
    settled = connector.changed_keys(stored(connector.changed_keys(None)))
    keys = stocked(erp)
    erp.move("sale", keys[0], 1)
    erp.move("receipt", keys[1], 7)
    erp.move("count", keys[2], 2)
    changes = connector.changed_keys(stored(settled))
    assert changes.keys >= set(keys[:3])
    assert changes.keys <= set(read(connector)) | set(keys[:3])
    quiet = connector.changed_keys(stored(changes))
    assert quiet.keys == frozenset()
    # a cursor that was not moved names the same again: the hub may have failed in between
    assert connector.changed_keys(stored(settled)).keys >= set(keys[:3])


def test_both_ends_of_a_transfer_are_named(connector: ErpConnector, erp: ErpSandbox) -> None:
    settled = connector.changed_keys(stored(connector.changed_keys(None)))
    here = next(key for key in stocked(erp) if key.location == erp.locations[0])
    there = StockKey(here.item, erp.locations[1])
    erp.transfer(here, there.location, 1)
    assert connector.changed_keys(stored(settled)).keys >= {here, there}


def test_a_key_that_became_zero_is_named(connector: ErpConnector, erp: ErpSandbox) -> None:
    settled = connector.changed_keys(stored(connector.changed_keys(None)))
    key = stocked(erp)[0]
    erp.move("sale", key, erp.books()[key])
    assert key not in erp.books()
    assert key in connector.changed_keys(stored(settled)).keys
    assert quantity(connector, key) == 0


def test_what_is_taken_back_is_named_again(connector: ErpConnector, erp: ErpSandbox) -> None:
    if not connector.traits.takes_back:
        pytest.skip("this ERP takes nothing back")
    settled = connector.changed_keys(stored(connector.changed_keys(None)))
    key = stocked(erp)[0]
    posted = erp.move("sale", key, erp.books()[key])
    sold = connector.changed_keys(stored(settled))
    erp.take_back(posted)
    back = connector.changed_keys(stored(sold))
    assert key in sold.keys & back.keys
    assert connector.changed_keys(stored(back)).keys == frozenset()


def test_movements_of_one_second_are_all_named(connector: ErpConnector, erp: ErpSandbox) -> None:
    changes = connector.changed_keys(stored(connector.changed_keys(None)))
    for key in stocked(erp)[:8]:
        erp.move("sale", key, 1)
        changes = connector.changed_keys(stored(changes))
        assert key in changes.keys
    together = stocked(erp)[8:20]
    for key in together:
        erp.move("sale", key, 1)
    assert connector.changed_keys(stored(changes)).keys >= set(together)


def test_the_same_key_moved_again_is_named_again(connector: ErpConnector, erp: ErpSandbox) -> None:
    changes = connector.changed_keys(stored(connector.changed_keys(None)))
    key = stocked(erp)[0]
    for _ in range(3):
        erp.move("sale", key, 1)
        changes = connector.changed_keys(stored(changes))
        assert key in changes.keys


# --- articles and places


def test_items_are_complete_and_unique_and_count_in_the_unit_of_the_stock(
    connector: ErpConnector, erp: ErpSandbox
) -> None:
    pages = list(connector.get_items())
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    assert [rejection for page in pages for rejection in page.rejected] == []
    records = [record for page in pages for record in page.records]
    by_id = {record.item: record for record in records}
    assert len(by_id) == len(records)
    assert all(record.item and record.name and record.unit for record in records)
    assert {key.item for key in erp.books()} <= by_id.keys()
    for key, lots in read(connector).items():
        assert {row.unit for row in lots.values()} == {by_id[key.item].unit}


def test_barcodes_hold_exact_positive_factors(connector: ErpConnector) -> None:
    records = [record for page in connector.get_items() for record in page.records]
    codes = [(code.code, record.item, code.factor) for record in records for code in record.barcodes]
    assert len({code for code, _, _ in codes}) == len(codes), "a code belongs to one item"
    assert all(type(factor) is Decimal and factor > 0 for _, _, factor in codes)
    assert {factor for _, _, factor in codes} > {Decimal(1)}, "there are cartons"
    assert all(record.gtin is None or record.gtin.isdigit() for record in records)


def test_the_configured_places_exist(connector: ErpConnector, erp: ErpSandbox) -> None:
    places = connector.get_locations()
    assert {place.code for place in places} >= set(erp.locations)
    assert len({place.code for place in places}) == len(places)
    assert all(place.name for place in places)


# --- when the ERP misbehaves


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_secret_is_told_and_not_tried_again(erp: ErpSandbox, call: str, waits: list[float]) -> None:
    connector = erp.connect(**erp.wrong_secret)
    erp.asked.clear()
    with pytest.raises(AuthFailed) as failure:
        CALLS[call](connector, StockKey("A", erp.locations[0]))
    assert failure.value.system == erp.system
    assert failure.value.operation
    assert len(erp.asked) <= 2
    assert waits == []


@pytest.mark.parametrize("call", CALLS)
def test_an_erp_that_is_down_is_unavailable(erp: ErpSandbox, call: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        connector = erp.connect(**erp.address(f"http://127.0.0.1:{unused.getsockname()[1]}"))
        with pytest.raises(Unavailable):
            CALLS[call](connector, StockKey("A", erp.locations[0]))


@pytest.mark.parametrize("call", CALLS)
def test_a_web_page_instead_of_data_is_unavailable(erp: ErpSandbox, call: str) -> None:
    connector = erp.connect()
    cursor = connector.changed_keys(None).cursor
    with erp.fault(erp.html_fault):
        with pytest.raises(Unavailable):
            CALLS[call](connector, StockKey("A", erp.locations[0]))
        with pytest.raises(Unavailable):
            connector.changed_keys(cursor)


@pytest.mark.parametrize("broken", ["secret", "address", "page"])
def test_the_check_tells_a_failure_instead_of_raising_it(erp: ErpSandbox, broken: str) -> None:
    settings = {"secret": erp.wrong_secret, "address": erp.address("http://127.0.0.1:9")}.get(broken, {})
    if broken == "page":
        erp.faults.turn_on(erp.html_fault)
    bad = [result for result in erp.connect(**settings).check() if not result.ok]
    assert bad
    assert all(result.detail and result.advice for result in bad)


def test_one_failed_answer_is_asked_for_again(erp: ErpSandbox, waits: list[float]) -> None:
    connector = erp.connect()
    erp.faults.turn_on(erp.html_fault, times=2)
    assert sellable(read(connector)) == erp.books()
    assert len(waits) == 2


def told_by(call: Callable[[ErpConnector, StockKey], Any], connector: ErpConnector, key: StockKey) -> list[str]:
    """Return everything that a call's error tells anybody, here and in another process."""
    try:
        call(connector, key)
    except RemoteError as error:
        again = pickle.loads(pickle.dumps(error))
        return [str(again), repr(error), repr(error.__reduce__()), *traceback.format_exception(error)]
    return []


def test_secrets_stand_in_no_log_and_no_error(erp: ErpSandbox, caplog: pytest.LogCaptureFixture) -> None:
    key = stocked(erp)[0]
    seen: list[str] = []
    secrets = [*erp.secrets, *erp.wrong_secret.values()]
    with capture_logs() as events, caplog.at_level(logging.DEBUG):
        for settings, fault in (({}, None), (erp.wrong_secret, None), ({}, erp.html_fault)):
            connector = erp.connect(**settings)
            if fault is not None:
                erp.faults.turn_on(fault)
            seen += [str(connector), repr(connector), repr(connector.check())]
            for call in CALLS.values():
                seen += told_by(call, connector, key)
    assert events
    seen += [repr(events), caplog.text]
    for text in seen:
        for secret in secrets:
            assert secret not in text
