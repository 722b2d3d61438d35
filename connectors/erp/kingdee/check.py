"""The self-check: can we sign in, does the tenant have every field that the mapping files use, can rows be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.delta import STOCK_FORM, UPDATE_TIME
from connectors.erp.kingdee.filters import ascending, at_least, descending
from connectors.erp.kingdee.mapper import ROW_ID
from connectors.erp.kingdee.signature import hides_secret
from hub.clock import utc_now
from hub.contracts import CheckResult
from hub.errors import AuthFailed, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectors.erp.kingdee.client import KingdeeClient
    from connectors.erp.kingdee.pages import PageReader
    from connectors.erp.kingdee.settings import KingdeeSettings

_ENTRY_ID = "_FENTRYID"
_MEMBER = "__"
_MEMBER_FIELD = re.compile(r"[^.]+\.(FF\d+)(?:\.|$)", re.IGNORECASE)
_NAMING_KEYS = frozenset({"KEY", "FIELDNAME", "PROPERTYNAME", "PKFIELDNAME", "ENTRYPKFIELDNAME", "MASTERPKFIELDNAME"})
_ALWAYS_THERE = frozenset({ROW_ID})
_CLOCK_SLACK = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class FormUse:
    """A form, the fields that are asked of it, a field that orders it, and the mapping files or settings to correct."""

    form: str
    fields: tuple[str, ...]
    order: str
    where_to_mend: str


class SelfCheck:
    """Runs the checks of one connection."""

    def __init__(
        self, client: KingdeeClient, reader: PageReader, settings: KingdeeSettings, forms: Sequence[FormUse]
    ) -> None:
        self._client = client
        self._reader = reader
        self._settings = settings
        self._forms = forms

    def run(self) -> list[CheckResult]:
        """Return one line per check; when the server does not let us in, the first says so and stands alone."""
        sign_in = self._sign_in()
        if not sign_in.ok:
            return [sign_in]
        results = [sign_in]
        for use in self._forms:
            results += [self._fields(use), self._one_row(use)]
        return [*results, self._page_rows(), self._time_zone()]

    def _sign_in(self) -> CheckResult:
        name = "sign-in"
        try:
            if self._settings.auth == "login_by_sign":
                self._client.login()
            self._client.query(Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID)))
        except AuthFailed as error:
            return CheckResult(name, ok=False, detail=str(error), advice=self._sign_in_advice())
        except RemoteError as error:
            # The server let us in and disliked the question: the checks of its form tell more.
            if error.http_status is not None and error.remote_code is not None:
                return CheckResult(name, ok=True, detail=f"signed in as {self._settings.user}")
            return CheckResult(name, ok=False, detail=str(error), advice="check server_url and the way to it")
        return CheckResult(name, ok=True, detail=f"signed in as {self._settings.user}")

    def _sign_in_advice(self) -> str:
        if not hides_secret(self._settings.app_id):
            return "app_id usually reads <id>_<32 characters>; copy it whole from the third-party authorisation"
        return "compare acct_id, user, app_id, app_secret and lcid with the third-party authorisation (登录授权)"

    def _fields(self, use: FormUse) -> CheckResult:
        name = f"fields of {use.form}"
        try:
            known = known_names(self._client.query_business_info(use.form))
        except RemoteError as error:
            return CheckResult(name, ok=False, detail=str(error), advice=f"correct {use.where_to_mend}")
        if not known:
            return CheckResult(name, ok=True, detail="the form's description names no fields; the row read decides")
        missing = missing_fields(use.fields, known)
        if not missing:
            return CheckResult(name, ok=True, detail=f"{len(use.fields)} fields in use, all there")
        advice = [f"correct {use.where_to_mend}"] + [_meant(field, known) for field in missing]
        detail = f"not on this tenant: {', '.join(missing)}"
        return CheckResult(name, ok=False, detail=detail, advice="; ".join(part for part in advice if part))

    def _one_row(self, use: FormUse) -> CheckResult:
        name = f"a row of {use.form}"
        try:
            rows = self._client.query(Query(use.form, use.fields, ascending(use.order)))
        except RemoteError as error:
            return CheckResult(name, ok=False, detail=str(error), advice=f"correct {use.where_to_mend}")
        if rows:
            return CheckResult(name, ok=True, detail="readable")
        # Data permissions filter without a word, so an empty table and a forbidden one look the same.
        advice = "if there should be rows, give the user data permission for this form and its organisations"
        return CheckResult(name, ok=True, detail="readable, and empty", advice=advice)

    def _page_rows(self) -> CheckResult:
        name = "rows per page"
        asked = self._reader.limit
        rows_in_order = Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID), limit=asked)

        def from_last(rows: Sequence[Mapping[str, Any]]) -> Query:
            return replace(rows_in_order, where=at_least(ROW_ID, rows[-1][ROW_ID]))

        try:
            page = self._reader.fetch(rows_in_order, from_last, (ROW_ID,))
        except RemoteError as error:
            return CheckResult(name, ok=False, detail=str(error), advice="set page_rows lower")
        if page.more and len(page.rows) < asked:
            detail = f"the server gives {len(page.rows)} of {asked} rows and says nothing; this is taken care of"
            return CheckResult(name, ok=True, detail=detail, advice=f"set page_rows = {len(page.rows)}")
        return CheckResult(name, ok=True, detail=f"asked for {asked}, got {len(page.rows)}")

    def _time_zone(self) -> CheckResult:
        name = "time zone"
        try:
            rows = self._client.query(Query(STOCK_FORM, (ROW_ID, UPDATE_TIME), descending(UPDATE_TIME, ROW_ID)))
            newest = _in_zone(rows[0][UPDATE_TIME], self._settings.time_zone) if rows else None
        except (RemoteError, ValueError) as error:
            advice = f"{UPDATE_TIME} of {STOCK_FORM} tells what changed: it must be readable"
            return CheckResult(name, ok=False, detail=str(error), advice=advice)
        if newest is not None and newest > utc_now() + _CLOCK_SLACK:
            detail = f"the newest stock change lies in the future: {newest.isoformat()}"
            advice = "correct time_zone and the tz of the mapping files, or the server's clock"
            return CheckResult(name, ok=False, detail=detail, advice=advice)
        return CheckResult(name, ok=True, detail=f"newest stock change {newest.isoformat() if newest else 'unknown'}")


def known_names(description: Any) -> frozenset[str]:  # noqa: ANN401 - its shape differs between versions
    """Return every name that a form's description gives to a field or an entry, in upper case."""
    return frozenset(_names(description))


def missing_fields(fields: Sequence[str], known: frozenset[str]) -> list[str]:
    """Return the fields that a form does not have.

    Only the part before the first dot can be looked up, since what stands behind it belongs to another form; an entry's
    id is looked up by the name of its entry. A value of an auxiliary property, `FAuxPropId.FF100001.FNumber`, is
    described as `FAUXPROPID__FF100001`, unless the description lists no such members at all.
    """
    with_members = {name.partition(_MEMBER)[0] for name in known if _MEMBER in name}

    def is_known(field: str) -> bool:
        base = _base(field)
        member = _MEMBER_FIELD.match(field)
        wanted = f"{base}{_MEMBER}{member[1].upper()}" if member and base in with_members else base
        return wanted in known | _ALWAYS_THERE

    return [field for field in fields if not is_known(field)]


def _base(field: str) -> str:
    return field.partition(".")[0].upper().removesuffix(_ENTRY_ID)


def _names(node: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(node, list):
        for item in node:
            yield from _names(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if str(key).upper() in _NAMING_KEYS and isinstance(value, str):
                yield value.upper()
            else:
                yield from _names(value)


def _meant(field: str, known: frozenset[str]) -> str:
    close = get_close_matches(_base(field), sorted(known), n=3)
    return f"for {field} there is {', '.join(close)}" if close else ""


def _in_zone(text: Any, zone: str) -> datetime | None:  # noqa: ANN401
    return datetime.fromisoformat(str(text)).replace(tzinfo=ZoneInfo(zone)) if text else None
