"""Which stock keys may have changed: the stock table's own update times, and the bills that move stock.

The stock table alone is not enough. A row that becomes zero disappears from it and takes its update time along, so the
audited (审核) and un-audited (反审核) bills name their keys too. What neither names (a bill un-audited and deleted
between two looks, whose row went to zero) is left to the next full read.

The lines of bills also tell what they did under a number of ours (`hub.contracts.Posting`); see `documents.py` for the
bills of which no look tells.

Each watched form is a stream with its own position, since each has its own clock: the database's for the stock table,
the application server's for a bill. A position is the newest time that the stream showed, never a time of the hub. Each
look reaches back behind it by the overlap, since a row may become visible after one with a later time; what a look
within that window has named already is remembered and not named again.

Since no stream knows of another, all are looked at side by side: a look lasts as long as the slowest answer.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.filters import any_of, ascending, at_least, descending
from connectors.erp.kingdee.mapper import ROW_ID
from connectors.erp.kingdee.settings import WatchedForm
from hub.contracts import Changes, StockKey
from hub.errors import ProtocolViolation, Truncated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.erp.kingdee.client import KingdeeClient
    from connectors.erp.kingdee.mapper import KingdeeMapper, Moved
    from connectors.erp.kingdee.pages import PageReader
    from hub.contracts import Cursor, Posting

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

        Raises:
            Truncated: no stream shows even the lines that its position came from, and no stock can be seen.
        """
        positions: dict[str, str] = dict((cursor or {}).get("at", {}))
        remembered: dict[str, dict[str, str]] = dict((cursor or {}).get("seen", {}))
        # Alone before the others: were the secret wrong, it would be tried once, not for each form.
        self._reader.learn_maximum(Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID)))

        def look_at(stream: WatchedForm) -> _Look:
            return self._look_at(stream, positions.get(stream.form), remembered.get(stream.form, {}))

        with ThreadPoolExecutor(len(self._streams), thread_name_prefix=f"look {self._client.system}") as pool:
            looks = list(pool.map(look_at, self._streams))
        if any(positions.values()) and not any(look.saw_something for look in looks):
            self._require_sight()
        forms = [stream.form for stream in self._streams]
        at = {form: look.at for form, look in zip(forms, looks, strict=True)}
        seen = {form: look.remember() for form, look in zip(forms, looks, strict=True)}
        keys = frozenset[StockKey]().union(*(look.keys for look in looks))
        postings = tuple(posting for look in looks for posting in look.postings)
        return Changes(keys, {"at": at, "seen": seen}, postings)

    def _require_sight(self) -> None:
        """Refuse to take silence for a quiet hour when nothing can be seen: data permissions filter without a word."""
        if not self._reader.has_rows(Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID))):
            raise Truncated(
                "neither stock nor bills can be seen any more; does the user still have data permission?",
                system=self._client.system,
                operation="look for changes",
            )

    def _look_at(self, stream: WatchedForm, at: str | None, before: Mapping[str, str]) -> _Look:
        """Read what a stream shows since `at`; None takes up its newest time."""
        look = _Look(stream, at or "", before, self._overlap)
        if at is None:
            look.at = self._newest(stream)
        else:
            self._read(stream, look)
        return look

    def _newest(self, stream: WatchedForm) -> str:
        """Return the newest time of a stream; blank when it is empty, so that whatever comes is new."""
        # The first time alone: approvals that are newer are then named once by the first look, which does no harm.
        time_field = stream.changed[0]
        question = Query(stream.form, (*stream.row_id, time_field), descending(time_field, *stream.row_id))
        rows = self._client.query(question)
        return _text(rows[0][time_field]) if rows else ""

    def _read(self, stream: WatchedForm, look: _Look) -> None:
        mapped = [field for mapping in self._mapper.moved(stream) for field in mapping.source_fields]
        fields = tuple(dict.fromkeys([*stream.row_id, *stream.changed, *mapped]))
        question = Query(stream.form, fields, order="", where=look.where())
        unnamed = 0
        for raw in self._reader.changed_rows(question, stream.row_id):
            named = self._mapper.parse_moved(stream, raw)
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
        self._began_at = at
        self._seen: dict[str, str] = {}
        self.at = at
        self.keys: set[StockKey] = set()
        self.postings: list[Posting] = []

    @property
    def saw_something(self) -> bool:
        """Tell whether the look met any line at all."""
        return bool(self._seen) or self.at != self._began_at

    def where(self) -> str:
        since = _window_start(self.at, self._overlap)
        return any_of(*(at_least(field, since) for field in self._stream.changed)) if since else ""

    def take(self, raw: Mapping[str, Any], named: Sequence[Moved]) -> None:
        """Note a changed line; its keys and postings are told unless this very version of it was told before."""
        times = [_text(raw[field]) for field in self._stream.changed]
        newest = max(times, key=_instant)
        version = "\n".join(
            [*(_text(raw[field]) for field in self._stream.row_id), *times, *(moved.line for moved in named)]
        )
        digest = hashlib.blake2b(version.encode(), digest_size=_DIGEST_BYTES).hexdigest()
        if digest not in self._before:
            self.keys |= {moved.key for moved in named}
            self.postings += [moved.posting for moved in named if moved.posting is not None]
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
