"""The window of material documents that a cursor keeps; pure.

Stock rows carry no time (API_MATERIAL_STOCK_SRV has no such field), so what changed is learnt from the documents that
moved stock. A document gets its creation time when its posting begins and shows when that commits, so each look goes
back behind the newest document seen. All times are the application server's own clock, never the hub's: nothing
depends on the two being equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hub.contracts import Changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hub.contracts import Cursor, StockKey


@dataclass(frozen=True, slots=True)
class Document:
    """A material document: its number with the year, when it was created, the keys it moved."""

    number: str
    created_at: datetime | None
    keys: frozenset[StockKey]


@dataclass(frozen=True, slots=True)
class Window:
    """Where the stream of documents was left.

    Attributes:
        at: creation of the newest document seen; None when there has never been one.
        seen: the documents that were named already and that the next look meets again, with their creation.
        overlap: how far each look goes back.
    """

    at: datetime | None
    seen: Mapping[str, datetime]
    overlap: timedelta

    @classmethod
    def load(cls, cursor: Cursor, overlap: timedelta) -> Window:
        """Read a cursor that `dump` wrote."""
        at = datetime.fromisoformat(cursor["at"]) if cursor.get("at") else None
        seen = {number: datetime.fromisoformat(created) for number, created in cursor.get("seen", {}).items()}
        return cls(at, seen, overlap)

    def dump(self) -> Cursor:
        """Return the window as a JSON-ready cursor; its times are local to the application server, without a zone."""
        return {
            "at": self.at.isoformat() if self.at else None,
            "seen": {number: created.isoformat() for number, created in sorted(self.seen.items())},
        }

    @property
    def begins_at(self) -> datetime | None:
        """Where the next look begins; None: at the first document there is."""
        return self.at - self.overlap if self.at else None

    def advance(self, documents: Iterable[Document]) -> Changes:
        """Name the keys of the documents not seen before, and the cursor behind them all."""
        keys: set[StockKey] = set()
        created = dict(self.seen)
        for document in documents:
            if document.number not in self.seen:
                keys |= document.keys
            # one without a readable time can't be kept in the window: it is named each time it comes, which is harmless
            if document.created_at is not None:
                created[document.number] = document.created_at
        at = max(filter(None, (self.at, *created.values())), default=None)
        kept = {number: moment for number, moment in created.items() if at and moment >= at - self.overlap}
        return Changes(frozenset(keys), Window(at, kept, self.overlap).dump())
