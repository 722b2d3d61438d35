"""What every connector tells of documents: what they did under numbers of ours, and what moved a key."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from hub.clock import utc_now
from hub.contracts import DocumentReader, ErpConnector, MovementHistory, Posting, StockKey
from tests.contracts.erp import stocked, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.erp_sandboxes import ErpSandbox

pytestmark = pytest.mark.usefixtures("waits")


# --- what documents with a number of ours did


class Told:
    """What a connector has told of our numbers so far, looked at again and again."""

    def __init__(self, connector: ErpConnector) -> None:
        self.connector = connector
        self.lines: dict[tuple[str, StockKey], Posting] = {}
        self.cursor = connector.changed_keys(stored(connector.changed_keys(None))).cursor

    def look(self) -> Sequence[Posting]:
        changes = self.connector.changed_keys(self.cursor)
        self.cursor = stored(changes)
        for posting in changes.postings:
            known = self.lines.get((posting.document, posting.key))
            reference = posting.reference or (known.reference if known else "")
            self.lines[posting.document, posting.key] = replace(posting, reference=reference)
        return changes.postings

    def taken(self, number: str) -> dict[StockKey, Decimal]:
        """Return what stands posted under a number."""
        sums: dict[StockKey, Decimal] = {}
        for posting in self.lines.values():
            if posting.posted and posting.reference == number:
                sums[posting.key] = sums.get(posting.key, Decimal(0)) + posting.quantity
        return sums


@pytest.fixture
def numbered(connector: ErpConnector, erp: ErpSandbox) -> Told:
    erp.move("sale", stocked(erp)[0], 1, reference="BEFORE")
    told = Told(connector)
    assert connector.changed_keys(None).postings == ()
    told.look()
    return told


def test_what_was_posted_under_our_number_is_told_once(numbered: Told, erp: ErpSandbox) -> None:
    sold, received, other = stocked(erp)[1:4]
    erp.move("sale", sold, 3, reference="R-2026-1")
    erp.move("receipt", received, 2, reference="R-2026-2")
    erp.move("sale", other, 1)
    numbered.look()
    assert numbered.taken("R-2026-1") == {sold: 3}
    assert numbered.taken("R-2026-2") == {received: -2}
    assert not any(p.reference.startswith("R-") for p in numbered.lines.values() if p.key == other)
    assert numbered.look() == ()


def test_a_transfer_takes_from_one_place_what_it_brings_to_the_other(numbered: Told, erp: ErpSandbox) -> None:
    here = next(key for key in stocked(erp) if key.location == erp.locations[0])
    there = StockKey(here.item, erp.locations[1])
    erp.move("transfer", here, 2, reference="T-1", **erp.target(there.location))
    numbered.look()
    assert numbered.taken("T-1") == {here: 2, there: -2}


def test_what_was_taken_back_stands_no_more_until_it_is_posted_again(numbered: Told, erp: ErpSandbox) -> None:
    key, other = stocked(erp)[1:3]
    posted = erp.sell(key, 3, "R-1")
    erp.sell(other, 1, "R-2")
    before = {(posting.document, posting.version) for posting in numbered.look()}
    erp.take_back(posted)
    assert any(not posting.posted for posting in numbered.look())
    assert (numbered.taken("R-1"), numbered.taken("R-2")) == ({}, {other: 1})
    erp.post_again(posted)
    assert {(posting.document, posting.version) for posting in numbered.look() if posting.posted}.isdisjoint(before)
    assert numbered.taken("R-1") == {key: 3}
    assert numbered.look() == ()


def test_a_settlement_takes_all_its_lines_under_one_number(numbered: Told, erp: ErpSandbox) -> None:
    key, other = stocked(erp)[1:3]
    document = erp.settle([(key, 3), (other, 1)], "Z-1")
    numbered.look()
    assert numbered.taken("Z-1") == {key: 3, other: 1}
    erp.take_back(document)
    numbered.look()
    assert numbered.taken("Z-1") == {}


def test_a_document_that_was_deleted_is_absent_when_it_is_asked_for(
    numbered: Told, erp: ErpSandbox, connector: ErpConnector
) -> None:
    if not erp.deletes:
        assert not isinstance(connector, DocumentReader)
        return
    assert isinstance(connector, DocumentReader)
    key, other = stocked(erp)[1:3]
    gone, stays = erp.sell(key, 3, "R-1"), erp.sell(other, 1, "R-2")
    numbered.look()
    documents = [document for document, _ in numbered.lines]
    erp.delete(gone)
    [left] = [posting for posting in connector.read_documents(documents) if posting.reference.startswith("R-")]
    assert (left.reference, left.key, left.quantity, left.posted) == ("R-2", other, 1, True)
    erp.take_back(stays)
    assert not any(posting.posted for posting in connector.read_documents([left.document]))


def test_what_was_posted_and_taken_back_between_two_looks_never_stood(numbered: Told, erp: ErpSandbox) -> None:
    erp.take_back(erp.move("sale", stocked(erp)[1], 3, reference="R-1"))
    numbered.look()
    assert numbered.taken("R-1") == {}


# --- what moved a key


def test_what_moved_a_key_can_be_looked_up(connector: ErpConnector, erp: ErpSandbox) -> None:
    assert isinstance(connector, MovementHistory)
    first, second, other = stocked(erp)[:3]
    began = utc_now() - timedelta(seconds=5)
    erp.sell(first, 3, "R-1")
    erp.move("receipt", second, 5)
    erp.move("sale", other, 1)
    found = connector.movements([first, second], began)
    assert {(m.key, m.quantity, m.posted) for m in found} == {(first, 3, True), (second, -5, True)}
    assert [m.reference for m in found if m.key == first] == ["R-1"]
    assert all(began < m.entered_at < utc_now() + timedelta(seconds=5) for m in found)
    assert connector.movements([first, second], utc_now() + timedelta(hours=1)) in ([], ())
    assert connector.movements([first], began - timedelta(hours=1)) != []


def test_what_was_taken_back_no_longer_counts_among_what_moved_a_key(connector: ErpConnector, erp: ErpSandbox) -> None:
    assert isinstance(connector, MovementHistory)
    key = stocked(erp)[0]
    began = utc_now() - timedelta(seconds=5)
    erp.take_back(erp.sell(key, 3, "R-1"))
    found = connector.movements([key], began)
    assert sum(movement.quantity for movement in found if movement.posted) == 0
    undone = {movement.reverses for movement in found if movement.reverses}
    assert all(not movement.posted or movement.reverses or movement.document in undone for movement in found)


def test_both_ends_of_a_transfer_are_looked_up(connector: ErpConnector, erp: ErpSandbox) -> None:
    assert isinstance(connector, MovementHistory)
    here, there = erp.locations[:2]
    key = next(key for key in stocked(erp) if key.location == here)
    arrived = StockKey(key.item, there)
    began = utc_now() - timedelta(seconds=5)
    erp.transfer(key, there, 2)
    found = connector.movements([key, arrived], began)
    assert {(m.key, m.quantity) for m in found} == {(key, 2), (arrived, -2)}


def test_movements_of_many_documents_are_all_looked_up(connector: ErpConnector, erp: ErpSandbox) -> None:
    """More than one answer of so small a page may hold."""
    assert isinstance(connector, MovementHistory)
    keys = stocked(erp, at_least=8)[:30]
    began = utc_now() - timedelta(seconds=30)
    for key in keys:
        for _ in range(2):
            erp.move("sale", key, 1)
    found = connector.movements(keys, began)
    assert Counter(movement.key for movement in found) == Counter(dict.fromkeys(keys, 2))
