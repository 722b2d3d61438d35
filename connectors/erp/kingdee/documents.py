"""How the documents stand that the hub relies on.

Of a bill that was un-audited (反审核) and deleted no change tells any more. Nor need one of a bill that was only
un-audited: that may leave its time of modification alone and blank its time of approval. So the bills are asked for by
their ids. By material they are asked for when a quantity can't be explained (`hub.contracts.MovementHistory`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.filters import LONGEST_FILTER, all_of, any_of, ascending, at_least, chunks, one_of
from connectors.erp.kingdee.mapper import MATERIAL, material_of
from hub.errors import ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.pages import PageReader, Row
    from connectors.erp.kingdee.settings import WatchedForm
    from hub.contracts import Movement, Posting, StockKey

_KEYSET_ROOM = 200
"""Characters that a further page and the name of the id take of a filter."""


class DocumentReader:
    """Asks for the bills of one connection by their ids."""

    def __init__(self, reader: PageReader, mapper: KingdeeMapper, forms: Sequence[WatchedForm]) -> None:
        self._reader = reader
        self._mapper = mapper
        self._forms = {watched.form: watched for watched in forms}

    def read(self, documents: Collection[str]) -> list[Posting]:
        """Return how the lines stand whose documents are asked for; those that are gone, or have no number, are absent.

        A document of a form that is not watched any more is absent: nothing would tell when it is taken back.

        Raises:
            Truncated: none of a form's documents is seen, and no other bill of that form either.
        """
        by_form: dict[str, set[str]] = {}
        for document in documents:
            by_form.setdefault(document.partition("/")[0], set()).add(document)
        return [
            posting
            for form, asked in by_form.items()
            if (watched := self._forms.get(form)) is not None
            for posting in self._read(watched, asked)
        ]

    def read_movements(self, keys: Collection[StockKey], since: datetime, zone: ZoneInfo) -> list[Movement]:
        """Return the lines of bills that were changed or approved since a moment and moved one of the keys.

        Lines that are not posted are among them: they may have been taken back. What changes a stock state alone
        (状态转换单) does not say how much, and is left out.

        Args:
            zone: of the server's times.

        Raises:
            ProtocolViolation: a time of change is no time.
        """
        wanted = set(keys)
        materials = sorted({material_of(key.item) for key in wanted})
        local = since.astimezone(zone).replace(tzinfo=None)
        return [
            movement
            for watched in self._forms.values()
            for row in self._fetch(watched, MATERIAL, materials, any_of(*(at_least(f, local) for f in watched.changed)))
            for movement in self._parse_movements(watched, row, zone)
            if movement.key in wanted
        ]

    def _parse_movements(self, watched: WatchedForm, row: Row, zone: ZoneInfo) -> list[Movement]:
        try:
            return self._mapper.parse_movements(watched, row, zone)
        except ValueError as error:
            message = f"a time of change is no time: {error}"
            operation = f"read {watched.form}"
            raise ProtocolViolation(message, system=self._reader.system, operation=operation) from error

    def _read(self, watched: WatchedForm, asked: set[str]) -> list[Posting]:
        rows = self._fetch_documents(watched, asked)
        if not rows:
            self._require_sight(watched)
        found = self._postings(watched, rows, asked)
        absent = asked - {posting.document for posting in found}
        # Once more for these alone: an answer that ended early would take back for good what stands.
        return found + (self._postings(watched, self._fetch_documents(watched, absent), absent) if absent else [])

    def _postings(self, watched: WatchedForm, rows: Sequence[Row], asked: set[str]) -> list[Posting]:
        moved = (moved for row in rows for moved in self._mapper.parse_moved(watched, row))
        return [m.posting for m in moved if m.posting is not None and m.posting.document in asked]

    def _fetch_documents(self, watched: WatchedForm, documents: set[str]) -> list[Row]:
        return self._fetch(watched, watched.row_id[0], sorted({document.split("/")[1] for document in documents}))

    def _fetch(self, watched: WatchedForm, field: str, values: Sequence[str], where: str = "") -> list[Row]:
        """Return the lines whose `field` is among some values, however many, and that meet a further condition."""
        mapped = [field for mapping in self._mapper.moved(watched) for field in mapping.source_fields]
        fields = tuple(dict.fromkeys([*watched.row_id, *watched.changed, *mapped]))
        rows: list[Row] = []
        for some in chunks(values, room=LONGEST_FILTER - _KEYSET_ROOM - len(where)):
            question = Query(watched.form, fields, order="", where=all_of(one_of(field, some), where))
            rows += self._reader.changed_rows(question, watched.row_id)
        return rows

    def _require_sight(self, watched: WatchedForm) -> None:
        """Refuse to take bills for deleted when none can be seen: data permissions filter without a word."""
        bill_id = watched.row_id[0]
        if not self._reader.has_rows(Query(watched.form, (bill_id,), ascending(bill_id))):
            raise Truncated(
                f"no bill of {watched.form} can be seen any more; does the user still have data permission?",
                system=self._reader.system,
                operation=f"read {watched.form}",
            )
