"""How changes are found: material documents (MKPF) by the day and time they were entered, and their lines (MSEG).

CPUDT and CPUTM are the application server's own clock when the posting began; the document shows when that commits.
Some databases let uncommitted rows be read, so a document may show without its lines, or with some of them: those that
are not known yet are asked for as long as the window meets the document (`connectors.erp.sap.changes`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.changes import NO_LINES, LineNumbers
from connectors.erp.sap.rfc.checks import ask_clock
from connectors.erp.sap.rfc.conditions import Condition, all_of, any_of, compare, one_of
from connectors.erp.sap.rfc.conditions import since as since_moment
from connectors.erp.sap.rfc.keys import named
from connectors.erp.sap.rfc.mapper import fields_of, needed_fields
from connectors.erp.sap.rfc.ranges import KeyRange, Smaller, chunk, cut_list, iter_whole
from connectors.erp.sap.rfc.tables import DOCUMENT_LINES, DOCUMENTS, identify
from hub.clock import utc_now
from hub.errors import AuthFailed, ProtocolViolation, Rejected, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from connectors.erp.sap.rfc.client import RfcClient
    from connectors.erp.sap.rfc.keys import StockName
    from connectors.erp.sap.rfc.mapper import RfcMapper
    from connectors.erp.sap.rfc.reading import TableReader
    from connectors.erp.sap.rfc.tables import Row

ENTERED = ("CPUDT", "CPUTM")
"""Day and time at which a document was entered."""

_OTHER_SIDE = ("UMMAT", "UMWRK", "UMLGO")
_FIRST_DAY, _LAST_DAY = date(1990, 1, 1), date(2100, 1, 1)
_LAST_SECOND = 24 * 60 * 60 - 1
_MUTE = frozenset({"RFC_NO_AUTHORITY", "RFC_AUTHORIZATION_FAILURE", "FU_NOT_FOUND"})
_EASTERNMOST = timedelta(hours=14)
_QUARTER = timedelta(minutes=15)
USER = "USNAM"
"""Who entered a document."""
_STOCK_TYPE, _SPECIAL = "INSMK", "SOBKZ"
_UNRESTRICTED = frozenset({"", "F"})
_BACKDATED = timedelta(days=31)
"""A document belongs to the year of its posting date, which may lie before its entry."""

Known = tuple[tuple[str, ...], LineNumbers]
"""A document (number, year) and its lines that are known."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of some documents, those that are known left out."""

    documents: Sequence[Known]
    numbers: KeyRange

    def where(self) -> Condition:
        """Return the condition for MSEG."""
        return all_of([_name_documents(self.documents), self.numbers.where()])

    def cut(self, sample: Iterable[str]) -> list[Lines]:
        """Cut between the documents; a single one by some of its line numbers."""
        if len(self.documents) > 1:
            return [Lines(part, self.numbers) for part in cut_list(self.documents)]
        return [Lines(self.documents, part) for part in self.numbers.cut(sample)]


class DocumentReader:
    """Reads material documents of one SAP system."""

    def __init__(self, tables: TableReader, mapper: RfcMapper, names_per_call: int) -> None:
        self._tables = tables
        self._names_per_call = names_per_call
        self.fields = {
            DOCUMENTS: tuple(dict.fromkeys([*ENTERED, *fields_of(DOCUMENTS, mapper.movement)])),
            DOCUMENT_LINES: tuple(dict.fromkeys([*needed_fields(mapper.movement), *_OTHER_SIDE])),
        }

    def find_newest(self) -> datetime | None:
        """Return when the newest document was entered, on SAP's clock; None when there is none.

        RFC_READ_TABLE has no maximum, so the answer is closed in on by asking "is there any since then?".
        """

        def any_since(moment: datetime) -> bool:
            return bool(self._tables.read_some(DOCUMENTS, since_moment(*ENTERED, moment)))

        return find_last(any_since)

    def iter_headers(self, begins_at: datetime | None) -> Iterator[Row]:
        """Yield the headers of the documents entered at `begins_at` or later (None: all), in no order.

        Raises:
            Truncated: there is none, not even the one that the moment came from, and no other can be seen.
        """
        entered = since_moment(*ENTERED, begins_at) if begins_at else ()

        def read(part: KeyRange) -> Sequence[Row] | Smaller[KeyRange]:
            answer = self._tables.read(DOCUMENTS, self.fields[DOCUMENTS], all_of([entered, part.where()]))
            return Smaller(part.cut(row["MBLNR"] for row in answer.rows)) if answer.cut else answer.rows

        found = False
        for rows, _ in iter_whole([KeyRange("MBLNR")], read):
            found = found or bool(rows)
            yield from rows
        if begins_at is not None and not found and not self._tables.read_some(DOCUMENTS):
            raise Truncated(
                "no material document can be seen any more; is it still the right client?",
                system=SYSTEM,
                operation=f"changes {DOCUMENTS.name}",
            )

    def read_lines(self, known: Mapping[tuple[str, ...], LineNumbers]) -> Mapping[tuple[str, ...], Sequence[Row]]:
        """Return the lines of documents that are not known yet, each once, and some that are, by (number, year)."""

        def read(part: Lines) -> Sequence[Row] | Smaller[Lines]:
            answer = self._tables.read(DOCUMENT_LINES, self.fields[DOCUMENT_LINES], part.where())
            return Smaller(part.cut(row["ZEILE"] for row in answer.rows)) if answer.cut else answer.rows

        # documents of which the same lines are known stand together: their conditions become one
        documents = sorted(known.items(), key=lambda entry: (entry[1].ranges, entry[0]))
        parts = [Lines(part, KeyRange("ZEILE")) for part in chunk(documents, self._names_per_call)]
        lines = {identify(row, DOCUMENT_LINES.key): row for rows, _ in iter_whole(parts, read) for row in rows}
        found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in lines.values():
            found[identify(row, DOCUMENTS.key)].append(row)
        return found

    def read_history(self, names: Collection[StockName], since: datetime) -> list[tuple[Row, Row]]:
        """Return the lines, with their headers, that moved the unrestricted own stock of some keys.

        Args:
            since: when their documents were entered at the earliest, on SAP's clock and without a zone.
        """
        years = compare("MJAHR", ">=", f"{(since - _BACKDATED).year:04d}")
        lines = [line for some in chunk(sorted(names), self._names_per_call) for line in self._iter_moved(some, years)]
        documents: list[Known] = [(key, NO_LINES) for key in sorted({identify(line, DOCUMENTS.key) for line in lines})]
        entered = since_moment(*ENTERED, since)

        def read(part: Sequence[Known]) -> Sequence[Row] | Smaller[Sequence[Known]]:
            where = all_of([_name_documents(part), entered])
            answer = self._tables.read(DOCUMENTS, [*self.fields[DOCUMENTS], USER], where)
            return Smaller(cut_list(part)) if answer.cut else answer.rows

        parts = chunk(documents, self._names_per_call)
        headers = {identify(row, DOCUMENTS.key): row for rows, _ in iter_whole(parts, read) for row in rows}
        return [(header, line) for line in lines if (header := headers.get(identify(line, DOCUMENTS.key))) is not None]

    def _iter_moved(self, names: Collection[StockName], years: Condition) -> Iterator[Row]:
        where = all_of([named(names), years])
        fields = [*self.fields[DOCUMENT_LINES], _STOCK_TYPE, _SPECIAL]

        def read(part: KeyRange) -> Sequence[Row] | Smaller[KeyRange]:
            answer = self._tables.read(DOCUMENT_LINES, fields, all_of([where, part.where()]))
            return Smaller(part.cut(row["MBLNR"] for row in answer.rows)) if answer.cut else answer.rows

        for rows, _ in iter_whole([KeyRange("MBLNR")], read):
            yield from (row for row in rows if row[_STOCK_TYPE] in _UNRESTRICTED and not row[_SPECIAL])


def read_zone(client: RfcClient) -> timezone | None:
    """Return the zone of the application server's clock, to the quarter of an hour; None where it is not told.

    Raises:
        RemoteError: SAP can't be reached, or refuses the log-on.
    """
    told = _ask_clock(client)
    return None if told is None else timezone(round((told - utc_now().replace(tzinfo=None)) / _QUARTER) * _QUARTER)


def read_clock(client: RfcClient) -> datetime:
    """Return what the application server's clock shows, without a zone.

    Where the user may not ask, or the answer holds no time, it is the latest that it can be anywhere on earth.

    Raises:
        RemoteError: SAP can't be reached, or refuses the log-on.
    """
    return _ask_clock(client) or (utc_now() + _EASTERNMOST).replace(tzinfo=None, microsecond=0)


def _ask_clock(client: RfcClient) -> datetime | None:
    try:
        return ask_clock(client)
    except (AuthFailed, Rejected) as error:
        if error.remote_code not in _MUTE:
            raise
        return None


def parse_line_number(line: Row) -> int:
    """Return the number of a document's line.

    Raises:
        ProtocolViolation: ZEILE is no number.
    """
    text = line["ZEILE"]
    if not text.isascii() or not text.isdigit():
        message = f"document {line['MBLNR']} has a line {text!r}, which is no number"
        raise ProtocolViolation(message, system=SYSTEM, operation=f"changes {DOCUMENT_LINES.name}")
    return int(text)


def parse_entered(header: Row) -> datetime:
    """Return when a document was entered, on the application server's clock and without a zone.

    Raises:
        ProtocolViolation: CPUDT or CPUTM is no day or no time.
    """
    # SAP knows 24:00:00
    text = header["CPUDT"] + min(header["CPUTM"], "235959")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone is the server's, and stays unknown
    except ValueError:
        message = f"document {header['MBLNR']} was entered at {text!r}, which is no time"
        raise ProtocolViolation(message, system=SYSTEM, operation=f"changes {DOCUMENTS.name}") from None


def find_last(any_since: Callable[[datetime], bool]) -> datetime | None:
    """Return the last second for which `any_since` is true, None when it is so for none since 1990."""
    low, high = _FIRST_DAY.toordinal(), _LAST_DAY.toordinal()
    if not any_since(_moment(low, 0)):
        return None
    day = _bisect(low, high, lambda number: any_since(_moment(number, 0)))
    second = _bisect(0, _LAST_SECOND, lambda number: any_since(_moment(day, number)))
    return _moment(day, second)


def _bisect(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the last number from `low` to `high` for which `holds` is true; it is for `low`."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _moment(day: int, second: int) -> datetime:
    midnight = datetime.combine(date.fromordinal(day), time(), UTC).replace(tzinfo=None)
    return midnight + timedelta(seconds=second)


def _name_documents(documents: Sequence[Known]) -> Condition:
    alike: dict[tuple[str, LineNumbers], list[str]] = defaultdict(list)
    for (number, year), known in documents:
        alike[year, known].append(number)
    return any_of(
        [
            all_of([compare("MJAHR", "=", year), one_of("MBLNR", numbers), _outside(known)])
            for (year, known), numbers in alike.items()
        ]
    )


def _outside(known: LineNumbers) -> Condition:
    """Return the condition that a line is none of the known; nothing where there are none."""
    if not known.ranges:
        return ()
    gaps = [
        all_of(
            [
                compare("ZEILE", ">", f"{after:04d}"),
                () if before is None else compare("ZEILE", "<", f"{before:04d}"),
            ]
        )
        for after, before in known.gaps
    ]
    return any_of(gaps)
