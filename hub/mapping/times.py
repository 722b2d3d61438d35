"""Transforms that read dates and times: ISO text, a given format, and OData's `/Date(…)/`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from hub.mapping.names import unknown
from hub.mapping.values import RefusedValueError, read_text, show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hub.mapping.values import Reason

_NO_OFFSET = timedelta(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_DATE = frozenset({"", "00000000", "00000000000000", "0000-00-00", "0001-01-01", "00010101"})
_NO_TIME = ("0000-00-00T", "0000-00-00 ", "0001-01-01T", "0001-01-01 ")
"""How ERPs write "no date": SAP's initial DATS and time stamp, the smallest date of .NET (Kingdee)."""
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?")
_ISO_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_ODATA = re.compile(r"/Date\((-?[0-9]{1,16})([+-][0-9]{1,4})?\)/")
_DIRECTIVE = re.compile(r"%(.?)")
_DATE_DIRECTIVES = ("%Y", "%m", "%d")
_TIME_DIRECTIVES = (*_DATE_DIRECTIVES, "%H", "%M", "%S")


def make_date(options: Mapping[str, str]) -> Callable[[Any], date | None]:
    """Build `date`: ISO text, or text of `format`; blank and the ERPs' "no date" become None."""
    template = options.get("format")
    if template is None:
        return _read_iso_date
    _check_format(template, _DATE_DIRECTIVES)

    def read(value: Any) -> date | None:  # noqa: ANN401
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        text = read_text(value)
        return None if _no_date(text) else _parse(text, template, "bad_date").date()

    return read


def make_datetime(options: Mapping[str, str]) -> Callable[[Any], datetime | None]:
    """Build `datetime`: ISO text, or text of `format`, into aware UTC; text without an offset is in the zone `tz`."""
    zone = _zone(options.get("tz"))
    template = options.get("format")
    if template is not None:
        _check_format(template, _DATE_DIRECTIVES, _TIME_DIRECTIVES)
        if zone is None:
            message = "datetime with a format needs a tz too: the format has no offset"
            raise ValueError(message)

    def read(value: Any) -> datetime | None:  # noqa: ANN401
        if isinstance(value, datetime):
            return _to_utc(value, zone)
        text = read_text(value)
        if _no_date(text):
            return None
        moment = _parse_iso(text) if template is None else _parse(text, template, "bad_datetime")
        return _to_utc(moment, zone)

    return read


def make_odata_datetime(options: Mapping[str, str]) -> Callable[[Any], datetime | None]:
    """Build `odata_datetime`: `/Date(milliseconds)/` of OData V2, with or without an offset, or ISO text, into UTC.

    Milliseconds with an offset in minutes count the sender's local time, so the offset is subtracted: Apache Olingo V2
    (`EdmDateTimeOffset`), the SAP Cloud SDK and pyodata read it so; servers of SAP write +0000. Milliseconds without
    one are in the zone `tz`, or UTC; ISO text without an offset needs `tz`.
    """
    read_iso = make_datetime(options)
    zone = _zone(options.get("tz"))

    def read(value: Any) -> datetime | None:  # noqa: ANN401
        found = _ODATA.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return read_iso(value)
        moment = _from_epoch(found[1], found[2], "bad_datetime")
        if moment.date() == date.min:
            return None
        return _to_utc(moment.replace(tzinfo=None), zone) if zone is not None and found[2] is None else moment

    return read


def read_odata_date(value: Any) -> date | None:  # noqa: ANN401
    """Read the calendar day of an OData V2 `/Date(milliseconds)/` without an offset, or of ISO text."""
    found = _ODATA.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return _read_iso_date(value)
    if found[2] is not None:
        raise RefusedValueError(reason="bad_date", detail=f"{show(value)} is an instant, not a day: use odata_datetime")
    day = _from_epoch(found[1], None, "bad_date").date()
    return None if day == date.min else day


def _read_iso_date(value: Any) -> date | None:  # noqa: ANN401
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = read_text(value)
    if _no_date(text):
        return None
    found = _ISO_DATE.fullmatch(text)
    try:
        if found is not None:
            return date.fromisoformat(found[1])
    except ValueError:
        pass
    raise RefusedValueError(reason="bad_date", detail=f"{show(value)} is not a date like 2026-11-22")


def _no_date(text: str) -> bool:
    return text in _NO_DATE or text.startswith(_NO_TIME)


def _parse_iso(text: str) -> datetime:
    if _ISO_TIME.fullmatch(text) is not None:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise RefusedValueError(reason="bad_datetime", detail=f"{show(text)} is not a time like 2026-11-22T10:11:12")


def _parse(text: str, template: str, reason: Reason) -> datetime:
    try:
        moment = datetime.strptime(text, template)  # noqa: DTZ007 - the zone is added by the caller
    except ValueError:
        moment = None
    if moment is None or moment.strftime(template) != text:
        raise RefusedValueError(reason=reason, detail=f"{show(text)} does not have the format {template}")
    return moment


def _to_utc(moment: datetime, zone: ZoneInfo | None) -> datetime:
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        if zone is None:
            detail = f"{moment.isoformat()} has no offset, and the mapping names no tz for it"
            raise RefusedValueError(reason="bad_datetime", detail=detail)
        # the same as replace(tzinfo=zone).astimezone(UTC), in a third of the time
        offset = zone.utcoffset(moment) or _NO_OFFSET
        return datetime.combine(moment.date(), moment.time(), UTC) - offset
    except OverflowError:
        raise RefusedValueError(
            reason="bad_datetime", detail=f"{moment.isoformat()} lies outside the calendar in UTC"
        ) from None


def _from_epoch(milliseconds: str, offset: str | None, reason: Reason) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=int(milliseconds), minutes=-int(offset or 0))
    except OverflowError:
        detail = f"{milliseconds} milliseconds since 1970 lie outside the calendar"
        raise RefusedValueError(reason=reason, detail=detail) from None


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        close = unknown("time zone", name, available_timezones()).partition("; allowed")[0].partition(" allowed")[0]
        message = f"{close.rstrip(';')} (IANA names such as Asia/Shanghai or UTC are allowed)"
        raise ValueError(message) from None


def _check_format(template: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
    used = {f"%{letter}" for letter in _DIRECTIVE.findall(template)}
    for directive in sorted(used - set(needed) - set(allowed)):
        raise ValueError(unknown("directive in format", directive, {*needed, *allowed}))
    missing = [directive for directive in needed if directive not in used]
    if missing:
        message = f"format {template!r} must contain {', '.join(missing)}"
        raise ValueError(message)
