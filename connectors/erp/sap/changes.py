"""The window of material documents that a cursor keeps; pure.

Stock rows carry no time (API_MATERIAL_STOCK_SRV has no such field), so what changed is learnt from the documents that
moved stock. A document gets its creation time when its posting begins and shows when that commits, so each look goes
back behind the newest document seen. All times are the application server's own.

A document that was seen need not have been seen whole: where uncommitted rows can be read, or an answer is short, some
of its lines come later. So lines are what is remembered. After a document was found, its lines that are not known yet
are asked for again, until two looks in a row have found none; usually there are none. All documents of the window would
be too many: at five a second they are 1500, and each look would take seconds.

The window never begins in the future. A clock that was wrong, or the hour that comes twice in autumn, gives documents a
time that is still to come; if that moved the cursor, all documents before it would stay out of sight until then.

A document is posted once for all: it is neither changed nor deleted. What takes it back is a document of its own, whose
lines name the lines that they reverse (冲销).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from hub.contracts import Changes, Posting, StockKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hub.contracts import Cursor
    from hub.mapping import MovedKey

Gap = tuple[int, int | None]
"""Line numbers behind the first up to, but without, the second; None: without an end."""

_MOST_GAPS = 3
_QUIET_LOOKS = 2
"""So many looks in a row without a new line, and a document is whole."""


@dataclass(frozen=True, slots=True)
class LineNumbers:
    """Some lines of a document, as ranges (first, last) in order and apart from each other."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> LineNumbers:
        """Read what `str` wrote, such as `1-12,14-14`."""
        parts = (part.partition("-") for part in text.split(",") if part)
        return cls(tuple((int(first), int(last)) for first, _, last in parts))

    def __str__(self) -> str:
        """Write the ranges as text."""
        return ",".join(f"{first}-{last}" for first, last in self.ranges)

    def __contains__(self, number: int) -> bool:
        """Tell whether a line is among them."""
        return any(first <= number <= last for first, last in self.ranges)

    def add(self, numbers: Iterable[int]) -> LineNumbers:
        """Return these lines and the others."""
        joined: list[tuple[int, int]] = []
        for first, last in sorted([*self.ranges, *((number, number) for number in numbers)]):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        return LineNumbers(tuple(joined))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What lies between them and behind them; where there are many gaps, the last begins at the first left over."""
        bounds = [(0, 0), *self.ranges]
        inside = [(low[1], high[0]) for low, high in pairwise(bounds) if high[0] > low[1] + 1]
        kept, left = inside[:_MOST_GAPS], inside[_MOST_GAPS:]
        return (*kept, (left[0][0] if left else bounds[-1][1], None))


NO_LINES = LineNumbers()


@dataclass(frozen=True, slots=True)
class Document:
    """A material document: its number with the year, when it was created, and what is told of its new lines."""

    number: str
    created_at: datetime | None
    lines: frozenset[int]
    keys: frozenset[StockKey]
    postings: tuple[Posting, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A document that was met: when it was created, which of its lines were named, and how often none was new since."""

    created_at: datetime
    lines: LineNumbers = NO_LINES
    quiet: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Where the stream of documents was left.

    Attributes:
        at: creation of the newest document seen, but never later than `present`; None when there has never been one.
        seen: the documents that the next look meets again, with what is known of them.
        overlap: how far each look goes back.
        present: what the application server's clock shows, or a little more.
    """

    at: datetime | None
    overlap: timedelta
    present: datetime
    seen: Mapping[str, Seen] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: Cursor, overlap: timedelta, present: datetime) -> Window:
        """Read a cursor that `dump` wrote. One whose time is still to come, by a clock set back, is at the present."""
        at = datetime.fromisoformat(cursor["at"]) if cursor.get("at") else None
        lines, quiet = cursor.get("lines", {}), cursor.get("quiet", {})
        seen = {
            number: Seen(
                datetime.fromisoformat(created), LineNumbers.parse(lines.get(number, "")), quiet.get(number, 0)
            )
            for number, created in cursor.get("seen", {}).items()
        }
        return cls(min(at, present) if at else None, overlap, present, seen)

    def dump(self) -> Cursor:
        """Return the window as a JSON-ready cursor; its times are local to the application server, without a zone."""
        seen = dict(sorted(self.seen.items()))
        quiet = {number: document.quiet for number, document in seen.items() if document.quiet}
        return {
            "at": min(self.at, self.present).isoformat() if self.at else None,
            "seen": {number: document.created_at.isoformat() for number, document in seen.items()},
            "lines": {number: str(document.lines) for number, document in seen.items()},
            **({"quiet": quiet} if quiet else {}),
        }

    @property
    def begins_at(self) -> datetime | None:
        """Where the next look begins; None: at the first document there is."""
        if self.at is None:
            return None
        return min([self.at - self.overlap, *(document.created_at for document in self.seen.values())])

    def lines_of(self, number: str) -> LineNumbers:
        """Return the lines of a document that were named already."""
        return self.seen[number].lines if number in self.seen else NO_LINES

    def is_whole(self, number: str) -> bool:
        """Tell whether nothing more is expected of a document; one without any line is never whole."""
        known = self.seen.get(number)
        return known is not None and bool(known.lines.ranges) and known.quiet >= _QUIET_LOOKS

    def advance(self, documents: Iterable[Document]) -> Changes:
        """Name the keys and the postings of the lines not seen before, and the cursor behind them all."""
        keys: set[StockKey] = set()
        postings: list[Posting] = []
        seen = dict(self.seen)
        news: list[datetime] = []
        for document in documents:
            keys |= document.keys
            postings += document.postings
            # one without a readable time can't be kept in the window: it is named each time it comes, which is harmless
            if document.created_at is None:
                continue
            known = self.seen.get(document.number)
            quiet = 0 if known is None or document.lines else min(known.quiet + 1, _QUIET_LOOKS)
            if quiet < _QUIET_LOOKS:
                news.append(document.created_at)
            lines = self.lines_of(document.number).add(document.lines)
            seen[document.number] = Seen(document.created_at, lines, quiet)
        newest = max((document.created_at for document in seen.values()), default=None)
        at = max(filter(None, (self.at, min(newest, self.present) if newest else None)), default=None)
        # documents come in any order, and what was taken back stays so: the last word on a line counts
        told = tuple(sorted(postings, key=lambda posting: not posting.posted))
        if at is None:
            return Changes(frozenset(keys), Window(None, self.overlap, self.present).dump(), told)
        # what need not be whole is met again, however old it is
        begin = min([at - self.overlap, *news])
        kept = {number: document for number, document in seen.items() if document.created_at >= begin}
        return Changes(frozenset(keys), Window(at, self.overlap, self.present, kept).dump(), told)


def read_posting(line: MovedKey) -> Posting | None:
    """Return what a line of a document did under the number that it carries, or that it takes back another line.

    None when it does neither, or when the mapping file does not tell which line it is and how much it moved. One that
    takes back is no posting of its own, whatever number it carries: the other one does not stand any more.
    """
    key = StockKey(line.item, line.location)
    if line.reverses:
        return Posting(line.reverses, line.version, "", key, Decimal(0), posted=False)
    if not line.reference or not line.line_id or line.quantity is None:
        return None
    return Posting(line.line_id, line.version, line.reference, key, line.quantity, posted=line.posted)
