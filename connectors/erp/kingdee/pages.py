"""Read a page of a query and know whether it is the last one.

A server gives fewer rows than `Limit` asks for when its own maximum is lower, and says nothing. So a page that is
shorter than asked for is the last one only when nothing stands behind it: one more question, for the last row and the
one after it. That question too begins at the last row's key, not at its number: rows that come and go before it can't
shift it, and an end that the server sets by a row number (TopRowCount) can't hide what follows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from connectors.erp.kingdee.filters import after, all_of, ascending, at_least, at_or_after, fold
from connectors.erp.paging import RawPage, iter_whole_groups
from hub.errors import ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from connectors.erp.kingdee.client import KingdeeClient, Query

Row = dict[str, Any]

_MOST_LOOKS = 5
"""How often a page is asked for until it is clear where its rows end."""
_REMEMBERED = 10_000


class PageReader:
    """Reads pages with one client, of as many rows as the server gives at once. Threads may share it.

    Attributes:
        limit: rows asked for per request. A read that finds the server to give fewer asks for fewer from then on; the
            next read begins anew, so that a passing trouble leaves nothing behind.
    """

    def __init__(self, client: KingdeeClient, page_rows: int) -> None:
        self._client = client
        self.limit = page_rows
        self._given = 0
        self._learnt = False

    @property
    def system(self) -> str:
        """Return the name that errors carry."""
        return self._client.system

    def fetch(
        self,
        question: Query,
        behind: Callable[[Sequence[Row]], Query],
        row_id: Sequence[str],
        *,
        prove_end: bool = True,
    ) -> RawPage:
        """Return the rows of a question, and whether more stand behind them.

        Args:
            question: with the number of rows wanted as its `limit`.
            behind: makes of the rows of a page the question for its last row and the one after it.
            row_id: the fields that tell two rows apart.
            prove_end: also prove the end of a page that is shorter than another page this server gave before.
                Quantities need the proof; a look for changes can trust that the server's maximum has not fallen since.

        Raises:
            Truncated: where the rows end can't be told.
        """
        short: set[int] = set()
        for _ in range(_MOST_LOOKS):
            rows = self._client.query(question)
            count = len(rows)
            if count >= question.limit:
                self._given = max(self._given, count)
                return RawPage(rows, more=True)
            if count == 0 or (not prove_end and count < self._given):
                return RawPage(rows, more=False)
            known = {_identify(row, row_id) for row in rows}
            following = self._client.query(replace(behind(rows), limit=2))
            if not following:
                continue  # not even the row that was the last: it has just gone, or the answer is not whole
            if all(_identify(row, row_id) in known for row in following):
                self._given = max(self._given, count)
                return RawPage(rows, more=False)
            if count in short:
                self._given = count
                return RawPage(rows, more=True)
            # Cut at the server's maximum, or a row was born meanwhile: the same page again will tell.
            short.add(count)
        raise Truncated(
            "where the rows end can't be told: it is another place at every look",
            system=self.system,
            operation=f"read {question.form}",
        )

    def has_rows(self, question: Query) -> bool:
        """Tell whether a question has any row at all."""
        return bool(self._client.query(replace(question, limit=1)))

    def learn_maximum(self, question: Query) -> None:
        """Ask once for as many rows as a page may have: no answer of that length or less is cut by the server.

        Without it each look for changes that is longer than those before it would cost a proof.
        """
        if not self._learnt:
            self._given = max(self._given, len(self._client.query(replace(question, limit=self.limit))))
            self._learnt = True

    def whole_groups(
        self, question: Query, group: Sequence[str], *, unique: Sequence[str] = ()
    ) -> Iterator[tuple[Sequence[Mapping[str, Any]], bool]]:
        """Yield (rows of whole groups, complete) in the order of the fields `group`, page by page, by keyset.

        Args:
            question: where and what; its order is set here.
            group: the fields that make a group; rows that agree in them never part.
            unique: further fields that make the order unique.
        """
        ordered = replace(question, order=ascending(*group, *unique))
        limit = self.limit

        def values_of(row: Mapping[str, Any]) -> list[Any]:
            return [row[field] for field in group]

        fold_once = lru_cache(maxsize=_REMEMBERED, typed=True)(fold)  # the rows of a page name few materials and places

        def group_of(row: Mapping[str, Any]) -> tuple[str, ...]:
            return tuple([fold_once(row[field]) for field in group])

        def behind(rows: Sequence[Row]) -> Query:
            of_last = sum(group_of(row) == group_of(rows[-1]) for row in rows)
            where = all_of(at_or_after(group, values_of(rows[-1])), question.where)
            return replace(ordered, where=where, start=of_last - 1)

        def fetch(last: Mapping[str, Any] | None) -> RawPage:
            nonlocal limit
            where = question.where if last is None else all_of(after(group, values_of(last)), question.where)
            page = self.fetch(replace(ordered, where=where, limit=limit), behind, (*group, *unique))
            limit = len(page.rows) if page.more else limit
            return page

        return iter_whole_groups(fetch, group_of, system=self.system, operation=f"read {question.form}")

    def changed_rows(self, question: Query, row_id: Sequence[str]) -> Iterator[Row]:
        """Yield all rows of a question about a table that changes meanwhile, each at least once.

        Reads on "from the last row's first id, behind the rows of that id already read": rows that come or go before
        that point can't shift the pages, and a document with more lines than a page is read too.

        Raises:
            ProtocolViolation: a page brought nothing new, so that reading would never end.
        """
        ordered = replace(question, order=ascending(*row_id))
        next_page = replace(ordered, limit=self.limit)
        seen: set[tuple[str, ...]] = set()

        def from_last(rows: Sequence[Mapping[str, Any]], *, again: int) -> Query:
            last = rows[-1][row_id[0]]
            identities = seen.union(_identify(row, row_id) for row in rows)
            of_last = sum(identity[0] == str(last) for identity in identities)
            where = all_of(at_least(row_id[0], last), question.where)
            return replace(ordered, where=where, start=of_last - again)

        while True:
            page = self.fetch(next_page, lambda rows: from_last(rows, again=1), row_id, prove_end=False)
            known = len(seen)
            seen.update(_identify(row, row_id) for row in page.rows)
            yield from map(dict, page.rows)
            if not page.more:
                return
            if len(seen) == known:
                raise ProtocolViolation(
                    "a page brought no new rows", system=self.system, operation=f"read {question.form}"
                )
            next_page = replace(from_last(page.rows, again=0), limit=len(page.rows))


def _identify(row: Mapping[str, Any], row_id: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row[field]) for field in row_id)
