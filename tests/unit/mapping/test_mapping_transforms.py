"""Every named transform, with values it reads and values it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.mapping.transforms import TRANSFORMS
from hub.mapping.values import RefusedValueError

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
XFLAG = {"true": ["A"], "false": ["B", ""]}


def run(name: str, value: Any, argument: Any = None) -> Any:
    return TRANSFORMS[name].build(argument)(value)


@pytest.mark.parametrize(
    ("name", "argument", "value", "expected"),
    [
        ("strip", None, "  a b\u3000", "a b"),
        ("strip", None, 7, "7"),
        ("upper", None, "ab-1", "AB-1"),
        ("lower", None, "AB-1", "ab-1"),
        ("decimal", None, "3.0", Decimal("3.0")),
        ("decimal", None, "-0.000", Decimal(0)),
        ("decimal", None, "+.5", Decimal("0.5")),
        ("decimal", None, "0E-10", Decimal(0)),
        ("decimal", None, "1.5E+02", Decimal(150)),
        ("decimal", None, "0.1000000000000000000000000000001", Decimal("0.1000000000000000000000000000001")),
        ("decimal", None, 7, Decimal(7)),
        ("decimal", None, Decimal("7.10"), Decimal("7.10")),
        ("decimal", None, "", None),
        ("integer", None, "12", 12),
        ("integer", None, "12.000", 12),
        ("integer", None, Decimal(12), 12),
        ("integer", None, "", None),
        ("trailing_minus", None, "5.000-", "-5.000"),
        ("trailing_minus", None, "5.000 -", "-5.000"),
        ("trailing_minus", None, "-5.000", "-5.000"),
        ("trailing_minus", None, Decimal(-5), Decimal(-5)),
        ("strip_zeros", None, "000000000000012", "12"),
        ("strip_zeros", None, "0000", "0"),
        ("strip_zeros", None, "00A1", "00A1"),
        ("strip_zeros", None, "", ""),
        ("strip_zeros", None, "\u0660\u0660\u0661", "\u0660\u0660\u0661"),
        ("pad_zeros", "5", "12", "00012"),
        ("pad_zeros", {"n": "5"}, "12", "00012"),
        ("pad_zeros", "5", "A12", "A12"),
        ("pad_zeros", "5", "1234567", "1234567"),
        ("boolean", None, "X", True),
        ("boolean", None, "", False),
        ("boolean", None, True, True),
        ("boolean", None, 0, False),
        ("boolean", XFLAG, "A", True),
        ("boolean", XFLAG, "", False),
        ("boolean", {"true": ["false"], "false": ["true"]}, True, False),
        ("date", None, "2026-11-22", date(2026, 11, 22)),
        ("date", None, "2026-11-22T00:00:00.000", date(2026, 11, 22)),
        ("date", None, date(2026, 11, 22), date(2026, 11, 22)),
        ("date", None, "0001-01-01T00:00:00", None),
        ("date", {"format": "%Y%m%d"}, "20261122", date(2026, 11, 22)),
        ("date", {"format": "%Y%m%d"}, "00000000", None),
        ("date", {"format": "%Y%m%d"}, "", None),
        ("datetime", {"tz": "Asia/Shanghai"}, "2026-11-22T20:00:00", NOON),
        ("datetime", {"tz": "Asia/Shanghai"}, "2026-11-22 20:00", NOON),
        ("datetime", {"tz": "Asia/Shanghai"}, "2026-11-22T12:00:00Z", NOON),
        ("datetime", {"tz": "Asia/Shanghai"}, datetime(2026, 11, 22, 20), NOON),  # noqa: DTZ001
        ("datetime", None, "2026-11-22T13:00:00+01:00", NOON),
        ("datetime", None, NOON, NOON),
        ("datetime", {"tz": "Asia/Shanghai"}, "0001-01-01T00:00:00", None),
        ("datetime", {"tz": "Asia/Shanghai"}, "", None),
        ("datetime", {"tz": "Asia/Shanghai", "format": "%Y%m%d%H%M%S"}, "20261122200000", NOON),
        ("datetime", {"tz": "Asia/Shanghai", "format": "%Y%m%d%H%M%S"}, "00000000000000", None),
        ("odata_datetime", None, "/Date(1492041600000)/", datetime(2017, 4, 13, tzinfo=UTC)),
        ("odata_datetime", None, "/Date(1492041600000+0000)/", datetime(2017, 4, 13, tzinfo=UTC)),
        ("odata_datetime", None, "/Date(1492041600000+0480)/", datetime(2017, 4, 12, 16, tzinfo=UTC)),
        ("odata_datetime", None, "/Date(1492041600123-0060)/", datetime(2017, 4, 13, 1, 0, 0, 123000, tzinfo=UTC)),
        ("odata_datetime", {"tz": "Asia/Shanghai"}, "/Date(1492041600000)/", datetime(2017, 4, 12, 16, tzinfo=UTC)),
        ("odata_datetime", None, "/Date(-62135596800000)/", None),
        ("odata_datetime", None, "2026-11-22T12:00:00Z", NOON),
        ("odata_date", None, "/Date(1492041600000)/", date(2017, 4, 13)),
        ("odata_date", None, "/Date(-62135596800000)/", None),
        ("odata_date", None, "2017-04-13", date(2017, 4, 13)),
        ("gtin", None, "4006381333931", "4006381333931"),
        ("gtin", None, "96385074", "96385074"),
        ("gtin", None, "036000291452", "036000291452"),
        ("gtin", None, "10614141000415", "10614141000415"),
        ("gtin", None, "", None),
        ("gtin", None, "   ", None),
        ("join", "|", ["a", "b"], "a|b"),
        ("truncate", "3", "abcdef", "abc"),
        ("truncate", {"n": "3"}, "ab", "ab"),
        ("replace", {"old": "-", "new": ""}, "a-b-c", "abc"),
        ("null_if", ["N/A", "-"], "N/A", None),
        ("null_if", ["N/A"], "x", "x"),
    ],
)
def test_reads(name: str, argument: Any, value: Any, expected: Any) -> None:
    result = run(name, value, argument)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("name", "argument", "value", "reason"),
    [
        *[
            ("decimal", None, bad, "bad_number")
            for bad in ("NaN", "Infinity", "1,000", "1_000", " 1", "1 ", "abc", "-")
        ],
        *[("decimal", None, bad, "bad_number") for bad in ("1.2.3", "\u0661", "1E999", "5.000-", "1" * 60, ".")],
        ("decimal", None, 1.5, "bad_number"),
        ("decimal", None, float("nan"), "bad_number"),
        ("decimal", None, True, "bad_number"),
        ("decimal", None, [], "bad_number"),
        ("decimal", None, Decimal("NaN"), "bad_number"),
        ("decimal", None, Decimal("1E500"), "bad_number"),
        ("integer", None, "3.5", "bad_number"),
        ("integer", None, 3.0, "bad_number"),
        ("integer", None, "x", "bad_number"),
        ("trailing_minus", None, "-5-", "bad_number"),
        ("strip", None, 1.5, "bad_value"),
        ("strip", None, ["a"], "bad_value"),
        ("upper", None, {}, "bad_value"),
        ("boolean", None, "yes", "bad_boolean"),
        ("boolean", None, "A", "bad_boolean"),
        ("boolean", XFLAG, True, "bad_boolean"),
        ("date", None, "2026-13-01", "bad_date"),
        ("date", None, "20261122", "bad_date"),
        ("date", None, "2026-W47-7", "bad_date"),
        ("date", None, "2026-11-22T00:00:00Z", "bad_date"),
        ("date", {"format": "%Y%m%d"}, "2026111", "bad_date"),
        ("date", {"format": "%Y%m%d"}, "20261322", "bad_date"),
        ("datetime", None, "2026-11-22T10:11:12", "bad_datetime"),
        ("datetime", None, "0002-01-01T00:00:00x", "bad_datetime"),
        ("datetime", {"tz": "UTC"}, "2026-11-22T25:00:00", "bad_datetime"),
        ("datetime", {"tz": "UTC"}, "22.11.2026", "bad_datetime"),
        ("datetime", None, "9999-12-31T23:59:59-01:00", "bad_datetime"),
        ("datetime", {"tz": "America/New_York"}, "9999-12-31T23:59:59", "bad_datetime"),
        ("datetime", {"tz": "UTC"}, 1492041600, "bad_datetime"),
        ("odata_datetime", None, "/Date(9999999999999999)/", "bad_datetime"),
        ("odata_datetime", None, "/Date(abc)/", "bad_datetime"),
        ("odata_date", None, "/Date(1492041600000+0480)/", "bad_date"),
        ("odata_date", None, "/Date(9999999999999999)/", "bad_date"),
        ("odata_date", None, "x", "bad_date"),
        ("gtin", None, "4006381333932", "bad_gtin"),
        ("gtin", None, "123", "bad_gtin"),
        ("gtin", None, "40063813339AB", "bad_gtin"),
    ],
)
def test_refuses(name: str, argument: Any, value: Any, reason: str) -> None:
    with pytest.raises(RefusedValueError) as caught:
        run(name, value, argument)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("name", "argument", "words"),
    [
        ("pad_zeros", None, "whole number from 1"),
        ("pad_zeros", "0", "whole number from 1"),
        ("truncate", ["1"], "whole number from 1"),
        ("truncate", {"m": "1"}, "whole number from 1"),
        ("replace", {"old": "a"}, "replace needs"),
        ("replace", {"old": "", "new": "b"}, "must not be blank"),
        ("replace", {"odl": "a", "new": "b"}, "did you mean 'old'"),
        ("null_if", None, "list of texts"),
        ("null_if", [], "list of texts"),
        ("join", None, "separator"),
        ("boolean", {"true": ["X"]}, "both lists"),
        ("boolean", {"true": ["X"], "false": ["X"]}, "as true and as false"),
        ("boolean", "X", "takes options: false, true"),
        ("date", {"format": "%Y%m"}, "must contain %d"),
        ("date", {"format": "%Y%m%d%H"}, "allowed: %Y, %d, %m"),
        ("date", {"fromat": "%Y%m%d"}, "did you mean 'format'"),
        ("datetime", {"tz": "Asia/Shangai"}, "did you mean 'Asia/Shanghai'"),
        ("datetime", {"tz": "../etc/passwd"}, "IANA names"),
        ("datetime", {"tz": ["UTC"]}, "must be text"),
        ("datetime", {"format": "%Y%m%d"}, "needs a tz"),
    ],
)
def test_arguments_are_checked_when_the_file_is_loaded(name: str, argument: Any, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        TRANSFORMS[name].build(argument)

    assert words in str(caught.value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_decimal_keeps_every_digit(number: Decimal) -> None:
    assert run("decimal", str(number)) == number
    assert run("decimal", f"{number:f}") == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=0, max_value=10**9))
def test_trailing_minus_is_the_leading_one(number: Decimal) -> None:
    assert run("decimal", run("trailing_minus", f"{number:f}-")) == -number


@given(st.text(st.sampled_from("0123456789.,-+eE_ NaInf\u0661一")))
def test_decimal_reads_or_refuses_any_text(text: str) -> None:
    try:
        number = run("decimal", text)
    except RefusedValueError:
        return
    assert number is None if text == "" else number.is_finite()


@given(
    st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_naive_times_are_read_in_their_zone(wall: datetime, zone: str) -> None:
    assert run("datetime", wall.isoformat(), {"tz": zone}) == wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@given(st.text(st.sampled_from("0012345"), min_size=1, max_size=18))
def test_alpha_there_and_back(number: str) -> None:
    assert run("strip_zeros", run("pad_zeros", number, "18")) == (number.lstrip("0") or "0")


@given(st.sampled_from(sorted(TRANSFORMS)), st.floats())
def test_no_transform_takes_a_float(name: str, value: float) -> None:
    arguments: dict[str, Any] = {
        "pad_zeros": "5",
        "truncate": "5",
        "null_if": ["x"],
        "replace": {"old": "a", "new": "b"},
    }
    if name in {"join", "trailing_minus"}:
        return
    with pytest.raises(RefusedValueError):
        run(name, value, arguments.get(name))
