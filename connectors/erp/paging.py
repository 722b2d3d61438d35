"""Paging by whole groups: reading a long, moving table so that no group of rows is torn between two answers.

A stock level is the sum of several ERP rows. Were it cut by a page boundary, its sum would be of two moments and true
at neither. So pages are asked for by key ("everything after group G, in order"), never by offset, and the last group
of a page that was cut is left for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from hub.errors import ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class RawPage:
    """Rows as they came, in the order asked for; `more` says that the server holds further rows behind them."""

    rows: Sequence[dict[str, Any]]
    more: bool


def iter_whole_groups(
    fetch: Callable[[Mapping[str, Any] | None], RawPage],
    group_of: Callable[[Mapping[str, Any]], Hashable],
    *,
    system: str,
    operation: str,
) -> Iterator[tuple[Sequence[dict[str, Any]], bool]]:
    """Yield (rows of whole groups, complete) page by page; `complete` is True with the last one.

    Args:
        fetch: returns the page that follows the group of the given row (None: the first page).
        group_of: the group of a row; must equate what the server's ordering equates.

    Raises:
        ProtocolViolation: a page repeats a group that was read before (a paging loop, or rows that moved), one group
            alone is larger than a page, or rows come without order, so that some would be missed.
        Truncated: an answer is empty though the group that the page before was cut in must be in it.
    """
    after: Mapping[str, Any] | None = None
    previous: set[Hashable] = set()
    first_groups: set[Hashable] = set()
    while True:
        page = fetch(after)
        if after is not None and not page.rows:
            raise Truncated(
                "no row follows a page that was cut; can they still be seen?", system=system, operation=operation
            )
        groups = [group_of(row) for row in page.rows]
        if repeated := (previous | first_groups).intersection(groups):
            raise ProtocolViolation(
                f"paging went back to {min(map(str, repeated))}", system=system, operation=operation
            )
        runs = [group for group, _ in groupby(groups)]
        if (page.more or after is not None) and len(set(runs)) < len(runs):
            raise ProtocolViolation("rows do not come in the order asked for", system=system, operation=operation)
        if not page.more:
            yield page.rows, True
            return
        if not groups:
            raise ProtocolViolation("an empty page says that more follow", system=system, operation=operation)
        whole = page.rows[: groups.index(groups[-1])]
        if not whole:
            raise ProtocolViolation(
                "one group of rows is larger than a page; raise the page size, or the server's",
                system=system,
                operation=operation,
            )
        yield whole, False
        after = whole[-1]
        previous = set(groups[: len(whole)])
        first_groups.add(groups[0])
