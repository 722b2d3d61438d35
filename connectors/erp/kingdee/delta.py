"""Which stock keys may have changed: the stock table's own update times, and the bills that move stock.

The stock table alone is not enough. A row that becomes zero disappears from it and takes its update time along, so the
audited (审核) and un-audited (反审核) bills name their keys too. What neither names (a bill un-audited and deleted
between two looks, whose row went to zero) is left to the next full read.

Each watched form is a stream with its own position, since each has its own clock: the database's for the stock table,
the application server's for a bill. A position is the newest time that the stream showed, never a time of the hub. Each
look reaches back behind it by the overlap, since a row may become visible after one with a later time; what a look
within that window has named already is remembered and not named again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.filters import any_of, at_least, descending
from connectors.erp.kingdee.mapper import ROW_ID
from connectors.erp.kingdee.settings import WatchedForm
from hub.contracts import Changes
from hub.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.erp.kingdee.client import KingdeeClient
    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.pages import PageReader
    from hub.contracts import Cursor, StockKey

STOCK_FORM = "STK_Inventory"
UPDATE_TIME = "FUpdateTime"
STOCK_STREAM = WatchedForm(form=STOCK_FORM, mappings=("moved_stock",), changed=(UPDATE_TIME,), row_id=(ROW_ID,))

MOST_REMEMBERED = 20_000
"""Lines remembered per stream. Above it the oldest are forgotten, and at worst named a second time."""
_DIGEST_BYTES = 8
_BEFORE_ALL = datetime.min  # noqa: DTZ901 - a server's times have no zone

_log = structlog.get_logger()


class ChangeReader:
    """Reads the streams of one connection."""

    def __init__(
        self,
        client: KingdeeClient,
        reader: PageReader,
        mapper: KingdeeMapper,
        streams: Sequence[WatchedForm],
        overlap: timedelta,
    ) -> None:
        self._client = client
        self._reader = reader
        self._mapper = mapper
        self._streams = (STOCK_STREAM, *streams)
        self._overlap = overlap

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name the keys that may have changed since `cursor`; without one, take up the newest times and name none.

        A stream that the cursor does not know, because it was configured since, starts at its newest time too.
        """
        positions: dict[str, str] = dict((cursor or {}).get("at", {}))
        remembered: dict[str, dict[str, str]] = dict((cursor or {}).get("seen", {}))
        keys: set[StockKey] = set()
        at: dict[str, str] = {}
        seen: dict[str, dict[str, str]] = {}
        for stream in self._streams:
            form = stream.form
            if form not in positions:
                at[form], seen[form] = self._newest(stream), {}
                continue
            look = _Look(stream, positions[form], remembered.get(form, {}), self._overlap)
            self._read(stream, look)
            keys |= look.keys
            at[form], seen[form] = look.at, look.remember()
        return Changes(frozenset(keys), {"at": at, "seen": seen})

    def _newest(self, stream: WatchedForm) -> str:
        """Return the newest time of a stream; blank when it is empty, so that whatever comes is new."""
        # The first time alone: approvals that are newer are then named once by the first look, which does no harm.
        time_field = stream.changed[0]
        question = Query(stream.form, (*stream.row_id, time_field), descending(time_field, *stream.row_id))
        rows = self._client.query(question)
        return _text(rows[0][time_field]) if rows else ""

    def _read(self, stream: WatchedForm, look: _Look) -> None:
        mappings = self._mapper.moved(stream)
        mapped = [field for mapping in mappings for field in mapping.source_fields]
        fields = tuple(dict.fromkeys([*stream.row_id, *stream.changed, *mapped]))
        question = Query(stream.form, fields, order="", where=look.where())
        unnamed = 0
        for raw in self._reader.changed_rows(question, stream.row_id):
            found = [self._mapper.parse_moved(mapping, raw) for mapping in mappings]
            named = [pair for pair in found if pair is not None]
            unnamed += not named
            try:
                look.take(raw, named)
            except ValueError as error:
                message = f"a time of change is no time: {error}"
                system, operation = self._client.system, f"read {stream.form}"
                raise ProtocolViolation(message, system=system, operation=operation) from error
        if unnamed:
            _log.debug("changes_without_key", system=self._client.system, form=stream.form, rows=unnamed)


class _Look:
    """One look at one stream: what is asked for, what was named before, what is new."""

    def __init__(self, stream: WatchedForm, at: str, before: Mapping[str, str], overlap: timedelta) -> None:
        self._stream = stream
        self._overlap = overlap
        self._before = before
        self._seen: dict[str, str] = {}
        self.at = at
        self.keys: set[StockKey] = set()

    def where(self) -> str:
        since = _window_start(self.at, self._overlap)
        return any_of(*(at_least(field, since) for field in self._stream.changed)) if since else ""

    def take(self, raw: Mapping[str, Any], named: Sequence[tuple[StockKey, str]]) -> None:
        """Note a changed line; its keys are named unless this very version of it was named before."""
        times = [_text(raw[field]) for field in self._stream.changed]
        newest = max(times, key=_instant)
        version = "\n".join(
            [*(_text(raw[field]) for field in self._stream.row_id), *times, *(line for _, line in named)]
        )
        digest = hashlib.blake2b(version.encode(), digest_size=_DIGEST_BYTES).hexdigest()
        if digest not in self._before:
            self.keys |= {key for key, _ in named}
        self._seen[digest] = newest
        self.at = max(self.at, newest, key=_instant)

    def remember(self) -> dict[str, str]:
        """Return what later looks need: the lines inside the next window, the newest ones if they are too many."""
        start = _window_start(self.at, self._overlap)
        lines = {**self._before, **self._seen}
        inside = [(line, moment) for line, moment in lines.items() if start is None or _instant(moment) >= start]
        inside.sort(key=lambda pair: _instant(pair[1]))
        return dict(inside[-MOST_REMEMBERED:])


def _window_start(at: str, overlap: timedelta) -> datetime | None:
    return _instant(at) - overlap if at else None


def _instant(text: str) -> datetime:
    """Read a server's time, which carries no zone; such times are compared with each other alone."""
    if not text:
        return _BEFORE_ALL
    return datetime.fromisoformat(text).replace(tzinfo=None)


def _text(value: Any) -> str:  # noqa: ANN401 - a value of a JSON answer
    return "" if value is None else str(value).strip()
