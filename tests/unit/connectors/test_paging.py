"""Paging by whole groups, over a simulated server's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.erp.paging import RawPage, iter_whole_groups
from hub.errors import ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Row = dict[str, Any]
FACTS = {"system": "sap", "operation": "iter_stock"}


def table(sizes: Sequence[int]) -> list[Row]:
    """Return rows in order, groups of the given sizes."""
    return [{"group": group, "id": f"{group}-{number}"} for group, size in enumerate(sizes) for number in range(size)]


class Server:
    """Holds a table and answers by key; `cap` is what it gives at most, whatever it is asked for."""

    def __init__(self, rows: list[Row], page_rows: int, cap: int | None = None) -> None:
        self.rows = rows
        self.asked: list[Any] = []
        self._limit = min(page_rows, cap or page_rows)

    def fetch(self, after: Mapping[str, Any] | None) -> RawPage:
        self.asked.append(None if after is None else after["group"])
        rest = [row for row in self.rows if after is None or row["group"] > after["group"]]
        return RawPage(rest[: self._limit], more=len(rest) > self._limit)


def read(fetch: Callable[[Mapping[str, Any] | None], RawPage]) -> list[tuple[list[Any], bool]]:
    pages = iter_whole_groups(fetch, lambda row: row["group"], **FACTS)
    return [(list(rows), complete) for rows, complete in pages]


SIZES = st.lists(st.integers(1, 6), max_size=25)


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(7, 20), st.none() | st.integers(7, 20))
def test_every_row_comes_once_in_whole_groups(sizes: list[int], page_rows: int, cap: int | None) -> None:
    rows = table(sizes)
    server = Server(rows, page_rows, cap)
    pages = read(server.fetch)
    assert [row for page, _ in pages for row in page] == rows
    assert [complete for _, complete in pages] == [False] * (len(pages) - 1) + [True]
    groups = [{row["group"] for row in page} for page, _ in pages]
    assert sum(map(len, groups)) == len(set().union(*groups))  # no group on two pages
    assert len(server.asked) == len(pages)


@settings(deadline=None, max_examples=50)
@given(SIZES.filter(bool), st.integers(1, 6), st.integers(1, 6))
def test_a_group_that_fills_a_page_is_refused_or_whole(sizes: list[int], page_rows: int, cap: int) -> None:
    rows = table(sizes)
    found: list[Row] = []
    pages = iter_whole_groups(Server(rows, page_rows, cap).fetch, lambda row: row["group"], **FACTS)
    complete, refused = False, ""
    try:
        for page, is_last in pages:
            found.extend(page)
            complete = is_last
    except ProtocolViolation as error:
        refused = str(error)
    assert complete is not bool(refused)
    assert found == rows[: len(found)]
    if refused:
        assert "larger than a page" in refused
        assert max(sizes) >= min(page_rows, cap)
        assert len(found) < len(rows)
    else:
        assert found == rows


@settings(deadline=None, max_examples=50)
@given(SIZES.filter(lambda sizes: sum(sizes) > 8), st.integers(7, 8))
def test_a_server_that_ignores_the_key_is_found_out(sizes: list[int], page_rows: int) -> None:
    server = Server(table(sizes), page_rows)
    with pytest.raises(ProtocolViolation, match="paging went back to 0"):
        read(lambda _: server.fetch(None))


@settings(deadline=None, max_examples=50)
@given(st.integers(3, 12), st.integers(1, 4), st.integers(0, 3))
def test_a_loop_over_several_pages_is_found_out(groups: int, size: int, back: int) -> None:
    """The server jumps back to the first group of a page that was read before."""
    rows = table([size] * groups)
    server = Server(rows, 2 * size)
    calls = 0

    def fetch(after: Mapping[str, Any] | None) -> RawPage:
        nonlocal calls
        calls += 1
        assert calls < 2 * groups + 2
        if calls > back + 1:
            return RawPage(server.fetch(None).rows, more=True)
        return RawPage(server.fetch(after).rows, more=True)

    with pytest.raises(ProtocolViolation):
        read(fetch)


def test_rows_that_move_behind_the_reader_are_found_out() -> None:
    pages = iter([RawPage(table([2, 2, 2]), more=True), RawPage([{"group": 1, "id": "1-9"}], more=False)])
    with pytest.raises(ProtocolViolation, match="paging went back to 1") as caught:
        read(lambda _: next(pages))
    assert (caught.value.system, caught.value.operation) == ("sap", "iter_stock")


def test_an_empty_page_that_promises_more_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="empty page"):
        read(lambda _: RawPage([], more=True))


def test_an_empty_page_behind_a_cut_one_is_refused() -> None:
    """The group that the page was cut in must come again; if it does not, nothing that follows can be trusted."""
    pages = iter([RawPage(table([2, 2, 2]), more=True), RawPage([], more=False)])
    with pytest.raises(Truncated):
        read(lambda _: next(pages))


def test_rows_in_another_order_are_refused() -> None:
    rows = [{"group": group, "id": str(number)} for number, group in enumerate([0, 1, 0, 2])]
    with pytest.raises(ProtocolViolation, match="order"):
        read(lambda _: RawPage(rows, more=True))


def test_an_empty_table_is_complete() -> None:
    assert read(Server([], 5).fetch) == [([], True)]


def test_nothing_is_asked_for_ahead() -> None:
    server = Server(table([1] * 10), 4)
    pages = iter_whole_groups(server.fetch, lambda row: row["group"], **FACTS)
    assert server.asked == []
    next(pages)
    assert server.asked == [None]
    next(pages)
    assert server.asked == [None, 2]


def test_the_cut_group_comes_whole_on_the_next_page() -> None:
    assert [[row["id"] for row in page] for page, _ in read(Server(table([2, 3, 1]), 4).fetch)] == [
        ["0-0", "0-1"],
        ["1-0", "1-1", "1-2", "2-0"],
    ]
