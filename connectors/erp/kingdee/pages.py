"""Read a page of a query and know whether it is the last one.

A server gives fewer rows than `Limit` asks for when its own maximum is lower, and says nothing. So a page that is
shorter than asked for is the last one only when nothing stands behind it: one more question, for the row after its
last. If there is one, the server's maximum is now known and used from then on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connectors.erp.kingdee.filters import after, all_of, ascending, at_least, fold
from connectors.erp.paging import RawPage, iter_whole_groups
from hub.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectors.erp.kingdee.client import KingdeeClient, Query

Row = dict[str, Any]


class PageReader:
    """Reads pages with one client and remembers how many rows its server gives at most.

    Attributes:
        limit: rows asked for per request; falls when the server is found to give fewer.
    """

    def __init__(self, client: KingdeeClient, page_rows: int) -> None:
        self._client = client
        self.limit = page_rows
        self._given = 0

    @property
    def system(self) -> str:
        """Return the name that errors carry."""
        return self._client.system

    def fetch(self, question: Query, *, prove_end: bool = True) -> RawPage:
        """Return the rows from `question.start` on, and whether more stand behind them.

        Args:
            question: its `limit` is set here.
            prove_end: also prove the end of a page that is shorter than another page this server gave before.
                Quantities need the proof; a look for changes can trust that the server's maximum has not fallen since.
        """
        asked = self.limit
        rows = self._client.query(replace(question, limit=asked))
        count = len(rows)
        if count >= asked:
            self._given = max(self._given, count)
            return RawPage(rows, more=True)
        if count == 0 or (not prove_end and count < self._given):
            return RawPage(rows, more=False)
        behind = self._client.query(replace(question, start=question.start + count, limit=1))
        if behind:
            self.limit = min(self.limit, count)
            self._given = count
        else:
            self._given = max(self._given, count)
        return RawPage(rows, more=bool(behind))

    def has_rows(self, question: Query) -> bool:
        """Tell whether a question has any row at all."""
        return bool(self._client.query(replace(question, limit=1)))

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

        def fetch(last: Mapping[str, Any] | None) -> RawPage:
            if last is None:
                return self.fetch(ordered)
            behind = after(group, [last[field] for field in group])
            return self.fetch(replace(ordered, where=all_of(behind, question.where)))

        return iter_whole_groups(
            fetch,
            lambda row: tuple(fold(row[field]) for field in group),
            system=self.system,
            operation=f"read {question.form}",
        )

    def changed_rows(self, question: Query, row_id: Sequence[str]) -> Iterator[Row]:
        """Yield all rows of a question about a table that changes meanwhile, each at least once.

        Reads on "from the last row's first id, behind the rows of that id already read": rows that come or go before
        that point can't shift the pages, and a document with more lines than a page is read too.

        Raises:
            ProtocolViolation: a page brought nothing new, so that reading would never end.
        """
        ordered = replace(question, order=ascending(*row_id))
        where, start = question.where, 0
        last: Any = None
        seen: set[tuple[str, ...]] = set()
        while True:
            page = self.fetch(replace(ordered, where=where, start=start), prove_end=False)
            known = len(seen)
            for row in page.rows:
                seen.add(tuple(str(row[field]) for field in row_id))
                yield dict(row)
            if not page.more:
                return
            if len(seen) == known:
                raise ProtocolViolation(
                    "a page brought no new rows", system=self.system, operation=f"read {question.form}"
                )
            before, last = last, page.rows[-1][row_id[0]]
            of_last = sum(1 for row in page.rows if row[row_id[0]] == last)
            start = start + of_last if before == last else of_last
            where = all_of(at_least(row_id[0], last), question.where)
