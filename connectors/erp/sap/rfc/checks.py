"""The connector's self-check: what an administrator of SAP or of the hub has to mend, in words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from connectors.erp.sap.rfc.tables import ROW_LENGTH, Table, split_fields
from hub.clock import utc_now
from hub.contracts import CheckResult
from hub.errors import AuthFailed, ConfigError, OneshelfError, RemoteError, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectors.erp.sap.rfc.client import RfcClient
    from connectors.erp.sap.rfc.reading import TableReader

ECHO = "STFC_CONNECTION"
_CLOCK = re.compile(r"Date:\s*(\d{8})\s+Time:\s*(\d{6})")
_QUARTER = timedelta(minutes=15)
_BEARABLE = timedelta(seconds=60)
_MISSING_FIELD = "FIELD_NOT_VALID"
_NO_FIELD_ADVICE = "take the fields out of the mapping files, or ask what this release calls them"


def run_checks(
    client: RfcClient,
    tables: TableReader,
    wanted: Mapping[Table, Sequence[str]],
    wanted_client: str,
    looks: Sequence[tuple[str, Callable[[], bool], str]],
) -> list[CheckResult]:
    """Return one line per thing looked at; later ones are left out when SAP can't be reached or refuses the log-on.

    Args:
        wanted: the fields that are read of each table.
        wanted_client: the client (集团) of the settings.
        looks: name, question and advice of what must be there.
    """
    try:
        attributes = client.attributes()
    except OneshelfError as error:
        return [CheckResult("log-on", ok=False, detail=str(error), advice=_advise(error))]
    served = str(attributes.get("client", "")).strip()
    system = f"{attributes.get('sysId', '?')}, release {attributes.get('partnerRel', '?')}"
    return [
        CheckResult("log-on", ok=True, detail=f"accepted by {system}"),
        CheckResult(
            "client",
            ok=served in {"", wanted_client},
            detail=f"{wanted_client} asked for, {served or 'an unnamed one'} served",
            advice="mend the setting client",
        ),
        *(_check_table(tables, table, fields) for table, fields in wanted.items()),
        *(_check_look(*look) for look in looks),
        _check_order(tables),
        _check_clock(client),
    ]


def _check_table(tables: TableReader, table: Table, fields: Sequence[str]) -> CheckResult:
    try:
        widths = tables.widths(table, fields)
        parts = len(split_fields(widths, table.key))
    except RemoteError as error:
        detail = str(error)
        if error.remote_code == _MISSING_FIELD:
            detail = f"lacks {', '.join(_find_missing(tables, table, fields)) or 'a field'}"
            return CheckResult(table.name, ok=False, detail=detail, advice=_NO_FIELD_ADVICE)
        return CheckResult(table.name, ok=False, detail=detail, advice=_advise(error))
    except ValueError as error:
        return CheckResult(table.name, ok=False, detail=str(error), advice=_NO_FIELD_ADVICE)
    width = sum(widths.values())
    detail = f"readable, {width} of {ROW_LENGTH} characters" if parts == 1 else f"readable, in {parts} parts"
    return CheckResult(table.name, ok=True, detail=detail)


def _find_missing(tables: TableReader, table: Table, fields: Sequence[str]) -> list[str]:
    """Ask for each field alone, since SAP does not say which one it lacks."""
    missing: list[str] = []
    for field in dict.fromkeys([*table.key, *fields]):
        try:
            tables.widths(Table(table.name, ()), [field])
        except RemoteError as error:
            if error.remote_code != _MISSING_FIELD:
                break
            missing.append(field)
    return missing


def _check_look(name: str, look: Callable[[], bool], advice: str) -> CheckResult:
    try:
        found = look()
    except RemoteError as error:
        return CheckResult(name, ok=False, detail=str(error), advice=_advise(error))
    return CheckResult(name, ok=found, detail="readable" if found else "none found", advice="" if found else advice)


def _check_order(tables: TableReader) -> CheckResult:
    """Say whether SAP could order rows. Reads by ranges need no order, so that either is well."""
    try:
        detail = "available" if tables.knows_order() else "not on this release"
    except RemoteError as error:
        return CheckResult("GET_SORTED", ok=False, detail=str(error), advice=_advise(error))
    return CheckResult("GET_SORTED", ok=True, detail=f"{detail}; not needed")


def _check_clock(client: RfcClient) -> CheckResult:
    """Compare SAP's clock with the hub's. Nothing depends on it; whoever compares times in both will want to know."""
    try:
        served = ask_clock(client)
    except RemoteError as error:
        return CheckResult("clock", ok=True, detail=f"SAP does not tell ({error})")
    if served is None:
        return CheckResult("clock", ok=True, detail="SAP does not tell")
    return judge_clock(served, utc_now().replace(tzinfo=None))


def ask_clock(client: RfcClient) -> datetime | None:
    """Return what SAP's clock shows, in the server's own zone; None when it does not tell.

    Raises:
        RemoteError: SAP can't be asked.
    """
    found = _CLOCK.search(str(client.call(ECHO, {"REQUTEXT": "oneshelf"}).get("RESPTEXT", "")))
    return datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S") if found else None  # noqa: DTZ007 - its zone is unknown


def judge_clock(served: datetime, ours: datetime) -> CheckResult:
    """Compare two clocks, ours in UTC; whole quarters of an hour are taken for the server's time zone."""
    difference = served - ours
    zone = round(difference / _QUARTER) * _QUARTER
    apart = difference - zone
    hours = zone.total_seconds() / 3600
    detail = f"UTC{hours:+.2f} h, {apart.total_seconds():+.0f} s from the hub's clock"
    advice = "set both clocks by NTP"
    return CheckResult("clock", ok=abs(apart) <= _BEARABLE, detail=detail, advice=advice)


def _advise(error: OneshelfError) -> str:
    if isinstance(error, AuthFailed):
        return (
            "give the user S_RFC for the functions and S_TABU_NAM for the tables of docs/sap.md; SU53 shows what lacked"
        )
    if isinstance(error, ConfigError):
        return "install what is missing, or mend the setting"
    if isinstance(error, Retryable):
        return "check ashost and sysnr (or mshost, group and sysid), network, SAProuter and whether the system is up"
    return "check read_function and whether this release has the table"
