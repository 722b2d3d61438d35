"""A look at a real K/3 Cloud tenant beside what the documents say and the sandbox does; nothing but queries is sent.

One of them is signed with a wrong secret on purpose, inside a living session, to see whether the session hides it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.delta import STOCK_FORM, UPDATE_TIME
from connectors.erp.kingdee.filters import ascending, descending, equals, fold, greater, one_of
from connectors.erp.kingdee.items import LOCATION_FORM, MATERIAL_FORM, NUMBER
from connectors.erp.kingdee.mapper import MATERIAL, ROW_ID, material_of
from connectors.erp.kingdee.stock import LOCATION
from connectors.erp.probing import (
    attempt,
    date_header,
    describe_steps,
    explain_destination,
    observe_clock,
    observe_refusals,
    observe_signs,
    observe_spelling,
    observe_traffic,
    observe_unlisted,
)
from connectors.spelling import read_spelled
from hub.clock import utc_now
from hub.errors import AuthFailed, RecordError, RemoteError
from hub.probe import Observation, TracedRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from connectors.erp.kingdee.client import KingdeeClient
    from connectors.erp.kingdee.items import ItemReader
    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.settings import KingdeeSettings
    from connectors.http import Exchange

_QUANTITY = "FBaseQty"
_OWNER = "FOwnerId.FNumber"
_SAMPLE_ROWS = 1000
_MOST_ROWS = 10_000
_SESSION = "kdservice-sessionid"
_CLOCK_SLACK = timedelta(minutes=10)

Row = dict[str, Any]


class KingdeeProbe:
    """Looks at one tenant.

    Args:
        stock_fields: what a read of stock asks for.
        items: knows the fields of the base data.
        locations: the configured warehouse numbers.
    """

    def __init__(
        self,
        client: KingdeeClient,
        mapper: KingdeeMapper,
        settings: KingdeeSettings,
        stock_fields: Sequence[str],
        items: ItemReader,
        locations: Collection[str],
    ) -> None:
        self._client = client
        self._mapper = mapper
        self._settings = settings
        self._fields = tuple(stock_fields)
        self._items = items
        self._locations = frozenset(fold(code) for code in locations)
        self._where = one_of(LOCATION, sorted(locations)) if locations else ""
        self._exchanges: list[Exchange] = []

    def observe(self) -> Iterator[Observation]:
        """Yield what is seen, in the order of how much stands on it."""
        with self._client.http.watching() as self._exchanges:
            looks = {
                "stock rows": self._stock_rows,
                "largest answer": self._largest_answer,
                "paging": self._paging,
                "time zone": self._time_zone,
                "base data": self._base_data,
                "barcode master": self._barcodes,
                "bills": self._bills,
                "session": self._session,
            }
            for name, look in looks.items():
                yield from attempt(name, look)
            if self._exchanges:
                yield observe_clock(self._exchanges[-1])
                yield from observe_traffic(self._exchanges, self._settings.requests_per_minute)

    def trace(self, item: str | None) -> list[TracedRow]:
        """Read all stock rows of an article's material and say what becomes of each."""
        order = ascending(MATERIAL, LOCATION, ROW_ID)
        if item is None:
            first = self._client.query(Query(STOCK_FORM, (ROW_ID, MATERIAL), order, self._where))
            if not first:
                return []
            item = str(first[0][MATERIAL])
        where, limit = equals(MATERIAL, material_of(item)), self._settings.page_rows
        rows = self._client.query(Query(STOCK_FORM, self._fields, order, where, limit))
        return [self._trace_row(row) for row in rows]

    def _trace_row(self, raw: Row) -> TracedRow:
        location = str(raw[LOCATION])
        mapped = self._mapper.parse_stock([raw])
        steps = describe_steps(self._mapper.stock, raw)
        if mapped.rejected:
            return TracedRow(raw, location, None, f"refused: {mapped.rejected[0].detail}", steps)
        if not mapped.rows:
            return TracedRow(raw, location, None, "left out by keep_when of stock.yaml", steps)
        if fold(location) not in self._locations:
            return TracedRow(raw, location, None, "not at a place of config/locations.yaml", steps)
        return TracedRow(raw, location, mapped.rows[0], explain_destination(mapped.rows[0]), steps)

    def _spelled(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the newest answer with every number as it was spelled."""
        answer = read_spelled(self._exchanges[-1].response.content.decode("utf-8-sig"))
        return read_spelled(answer) if isinstance(answer, str) else answer

    def _stock_rows(self) -> Iterator[Observation]:
        question = Query(STOCK_FORM, self._fields, ascending(MATERIAL, LOCATION, ROW_ID), self._where, _SAMPLE_ROWS)
        rows = self._client.query(question)
        advice = "" if rows else "is org_number right, are the warehouses this tenant's, is there data permission?"
        yield Observation("stock rows", str(len(rows)), "some", bool(rows), numbers_at_risk=True, advice=advice)
        if not rows:
            return
        yield self._observe_shape(self._exchanges[-1])
        yield _observe_order(rows)
        place = self._fields.index(_QUANTITY)
        told = [row[place] if isinstance(row, list) else _of(row, _QUANTITY) for row in self._spelled()]
        floats = ("number", "number with zeros behind")
        yield observe_spelling(told, floats, "quantities")
        yield observe_signs(told)
        twice = len(rows) - len({str(row[ROW_ID]) for row in rows})
        yield Observation("row ids that come twice", str(twice), "0", not twice)
        yield from observe_unlisted(self._mapper.stock, rows)
        yield self._observe_owners(rows)
        yield observe_refusals("stock rows refused", len(rows), self._mapper.parse_stock(rows).rejected)

    def _observe_shape(self, exchange: Exchange) -> Observation:
        inside = isinstance(read_spelled(exchange.response.content.decode("utf-8-sig")), str)
        kind = exchange.response.headers.get("Content-Type", "none")
        seen = f"{'JSON inside a string' if inside else 'JSON'}, called {kind}"
        return Observation("form of an answer", seen, "JSON, called json", not inside and "json" in kind)

    def _observe_owners(self, rows: Sequence[Row]) -> Observation:
        own = {fold(owner) for owner in self._settings.own_owners}
        owners = Counter(str(row.get(_OWNER)) for row in rows)
        ours = sum(count for owner, count in owners.items() if fold(owner) in own)
        others = ", ".join(f"{owner} ({n})" for owner, n in owners.most_common(8) if fold(owner) not in own)
        seen = f"{ours} rows are ours; consigned: {others or 'none'}"
        advice = "" if ours else "set owner_numbers (or org_number) to the organisations whose goods are ours to sell"
        assumed = f"ours is {', '.join(sorted(self._settings.own_owners))}"
        return Observation("owners", seen, assumed, bool(ours), numbers_at_risk=True, advice=advice)

    def _largest_answer(self) -> Iterator[Observation]:
        rows = self._client.query(Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID), limit=_MOST_ROWS))
        given = len(rows)
        more = given and self._client.query(
            Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID), greater(ROW_ID, rows[-1][ROW_ID]))
        )
        if not more:
            yield Observation("largest answer", f"{given} rows, which is all there is", "2000 to 10000 rows")
            return
        agrees = given >= self._settings.page_rows
        advice = "" if agrees else f"set page_rows = {given}; a server that gives fewer is found out anyway"
        yield Observation(
            "largest answer", f"{given} rows, and says nothing", "2000 to 10000 rows", agrees, advice=advice
        )

    def _paging(self) -> Iterator[Observation]:
        question = Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID), self._where, limit=4)
        rows = [str(row[ROW_ID]) for row in self._client.query(question)]
        second = [str(row[ROW_ID]) for row in self._client.query(replace(question, start=2, limit=2))]
        works = second == rows[2:]
        seen = "skips rows" if works else "answers other rows"
        yield Observation("StartRow", seen, "skips rows", works, numbers_at_risk=True)
        backwards = self._client.query(replace(question, order=descending(ROW_ID), limit=1))
        turned = len(rows) < 2 or str(backwards[0][ROW_ID]) != rows[0]  # noqa: PLR2004 - one row has no order
        yield Observation("OrderString", "obeyed" if turned else "ignored", "obeyed", turned, numbers_at_risk=True)
        if len(rows) > 3:  # noqa: PLR2004 - two pages of two
            ended = self._client.query(replace(question, start=2, limit=2, end=2))
            seen = "a page's size" if ended else "the number of the last row"
            yield Observation("TopRowCount", seen, "the number of the last row; we send 0", agrees=not ended)

    def _time_zone(self) -> Iterator[Observation]:
        name, zone = "time zone", self._settings.time_zone
        rows = self._client.query(Query(STOCK_FORM, (ROW_ID, UPDATE_TIME), descending(UPDATE_TIME, ROW_ID)))
        if not rows:
            return
        told = rows[0][UPDATE_TIME]
        advice = f"{UPDATE_TIME} of {STOCK_FORM} tells what changed; without it only bills and full reads do"
        if not told:
            yield Observation(
                name, f"{UPDATE_TIME} is blank", "filled", agrees=False, numbers_at_risk=True, advice=advice
            )
            return
        try:
            moment = datetime.fromisoformat(str(told)).replace(tzinfo=ZoneInfo(zone))
        except ValueError:
            yield Observation(name, f"{told} is no time", "ISO", agrees=False, numbers_at_risk=True, advice=advice)
            return
        now = date_header(self._exchanges[-1]) or utc_now()
        ahead = moment - now
        agrees = ahead < _CLOCK_SLACK
        minutes = round(ahead.total_seconds() / 60)
        seen = (
            f"newest stock change {told}: {abs(minutes)} min {'ahead of' if minutes > 0 else 'behind'} the header Date"
        )
        advice = "" if agrees else "correct time_zone and the tz of the mapping files, or the server's clock"
        yield Observation(name, seen, f"not ahead of it, read in {zone}", agrees, numbers_at_risk=True, advice=advice)

    def _base_data(self) -> Iterator[Observation]:
        # By number, since a material or a warehouse may have no FID.
        order = ascending(NUMBER)
        materials = self._client.query(Query(MATERIAL_FORM, self._items.material_fields, order, limit=_SAMPLE_ROWS))
        yield from observe_unlisted(self._mapper.article, materials)
        yield self._observe_use(MATERIAL_FORM, materials, self._mapper.article.apply)
        places = self._client.query(Query(LOCATION_FORM, self._items.location_fields, order, limit=_SAMPLE_ROWS))
        yield self._observe_use(LOCATION_FORM, places, self._mapper.location.apply)

    def _observe_use(self, form: str, rows: Sequence[Row], apply: Any) -> Observation:  # noqa: ANN401 - a mapping's function
        outcomes: Counter[str] = Counter()
        for row in rows:
            try:
                outcomes["used" if apply(row) is not None else "left out"] += 1
            except RecordError as error:
                outcomes[f"refused: {error.reason}"] += 1
        seen = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "none"
        agrees = outcomes.keys() <= {"used", "left out"} and outcomes["used"] > 0
        return Observation(f"rows of {form}", seen, "used, or left out", agrees, numbers_at_risk=True)

    def _barcodes(self) -> Iterator[Observation]:
        form = self._settings.barcode_form
        if form is None:
            yield Observation("barcode master", "not configured", "any")
            return
        question = Query(form.form, self._items.barcode_fields, ascending(form.key), limit=_SAMPLE_ROWS)
        name = f"barcode master {form.form}"
        try:
            rows = self._client.query(question)
        except AuthFailed:
            raise
        except RemoteError as error:
            advice = "set barcode_form to the form that holds barcodes, or to null where the tenant has none"
            yield Observation(name, str(error), "it exists", agrees=False, numbers_at_risk=True, advice=advice)
            return
        yield Observation(name, f"{len(rows)} rows", "some rows", bool(rows))
        yield from observe_unlisted(self._mapper.barcode, rows)

    def _bills(self) -> Iterator[Observation]:
        for watched in self._settings.movement_forms:
            name = f"bills {watched.form}"
            try:
                fields = (*watched.row_id, *watched.changed)
                rows = self._client.query(
                    Query(watched.form, fields, descending(watched.changed[0], watched.row_id[0]))
                )
            except AuthFailed:
                raise
            except RemoteError as error:
                advice = "correct its entry of movement_forms, or take it out: changes can't be read with it"
                yield Observation(name, str(error), "readable", agrees=False, numbers_at_risk=True, advice=advice)
                continue
            seen = f"newest of {rows[0][watched.changed[0]]}" if rows else "none yet, or no data permission"
            yield Observation(name, seen, "readable, with or without rows")

    def _session(self) -> Iterator[Observation]:
        yield Observation("sign-in", self._settings.auth, "signature, or login_by_sign")
        changed = sum(_SESSION in exchange.response.headers.get("Set-Cookie", "") for exchange in self._exchanges)
        yield Observation("session ids given", f"with {changed} of {len(self._exchanges)} answers", "with any answer")
        session = next((found for exchange in self._exchanges if (found := _session_of(exchange))), None)
        if session is None:
            yield Observation("a session hides a bad secret", "no session was given", "yes; we show none")
            return
        hidden = self._client.session_hides_secret(session, Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID)))
        seen = "yes" if hidden else "no: the signature is looked at"
        yield Observation("a session hides a bad secret", seen, "yes; we show none", hidden)


def _session_of(exchange: Exchange) -> str | None:
    return next((cookie.value for cookie in exchange.response.cookies if cookie.name == _SESSION), None)


def _observe_order(rows: Sequence[Row]) -> Observation:
    runs = [pair for pair, _ in groupby((fold(row[MATERIAL]), fold(row[LOCATION])) for row in rows)]
    holds = len(set(runs)) == len(runs)
    seen = "holds" if holds else "a material and warehouse come back after others"
    return Observation("order of stock rows", seen, "holds", holds, numbers_at_risk=True)


def _of(row: Row, field: str) -> Any:  # noqa: ANN401
    return next((value for name, value in row.items() if name.upper() == field.upper()), None)
