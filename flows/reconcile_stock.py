"""The reconciliation: levels are compared with their ERP on purpose, a slice each minute and all of them at night."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_link_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import Field

from flows.naming import local_hour
from flows.runtime import Runtime, open_runtime
from hub.clock import utc_now
from hub.errors import OneshelfError
from hub.reconcile.book import load_differences
from hub.reconcile.check import CheckReport, Mode, Reconciler
from hub.reconcile.report import tabulate, write_report

if TYPE_CHECKING:
    from pathlib import Path

_REPORT_HOURS = 24.0
_MOST_TABLE_ROWS = 200


class SourceUnreachableError(Exception):
    """Raised when a full check could not be made of a source, after all others were checked."""


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"reconcile {parameters.get('source') or 'all'} {parameters.get('mode', 'slice')} {local_hour()}"


@task(task_run_name="check {source} ({mode})", cache_policy=NO_CACHE)
async def check_source(runtime: Runtime, source: str, mode: Mode) -> CheckReport:
    """Compare levels of a source with the ERP; where it can't be asked, the report says so."""
    reconciler = Reconciler(runtime.inventory(source), runtime.settings.stock)
    try:
        return await asyncio.to_thread(reconciler.check_all if mode == "full" else reconciler.check_slice)
    except OneshelfError as error:
        get_run_logger().warning("%s could not be asked: %s", source, error)
        return CheckReport(source, mode, "unreachable", reason=str(error))


@flow(name="reconcile-stock", flow_run_name=_run_name, persist_result=False)
async def reconcile_stock(
    source: Annotated[str | None, Field(description="Name of the source in config/*.toml; without it all")] = None,
    mode: Annotated[Mode, Field(description="slice: those checked longest ago; full: all by one full read")] = "slice",
) -> list[dict[str, Any]]:
    """Name what differs from an ERP once everything that is known is settled, and correct what is safe to correct.

    What a person must look at stands in the report and waits: `oneshelf stock differences`. A slice leaves a source
    that can't be asked to the next one; a full check fails then, after all other sources were checked.
    """
    log = get_run_logger()
    results: list[dict[str, Any]] = []
    with open_runtime() as runtime:
        for name in [source] if source else list(runtime.settings.enabled_sources()):
            report = await check_source(runtime, name, mode)
            log.info("%s: %s, %s levels checked, %s new", name, report.state, report.checked, len(report.found))
            if report.found or mode == "full":
                await _show(runtime, report)
            results.append(_result(report))
    if failed := [result["source"] for result in results if mode == "full" and result["state"] == "unreachable"]:
        raise SourceUnreachableError(f"not checked, since it could not be asked: {', '.join(failed)}")
    return results


def _result(report: CheckReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "state": report.state,
        "checked": report.checked,
        "found": [f"{found.kind} {found.sku} {found.location}" for found in report.found[:_MOST_TABLE_ROWS]],
        "open": {str(kind): count for kind, count in report.still_open.items()},
    }


async def _show(runtime: Runtime, report: CheckReport) -> None:
    """Leave the differences as a table in Prefect, and as files that its link leads to."""
    zone = ZoneInfo(runtime.settings.adapter.time_zone)
    with runtime.database.driver() as connection:
        differences = load_differences(connection, source=report.source, hours=_REPORT_HOURS)
    name = f"stock-differences-{report.source}-{utc_now().astimezone(zone):%Y%m%d}"
    table, book = await asyncio.to_thread(write_report, _folder(runtime), name, differences, zone)
    shown = ("id", "state", "class", "sku", "location", "subject", "what", "evidence", "found_at")
    rows = [{column: row[column] for column in shown} for row in tabulate(differences[-_MOST_TABLE_ROWS:], zone)]
    waiting = sum(report.still_open.values())
    key = f"stock-differences-{report.source}"
    description = f"{report.source}: {len(report.found)} new, {waiting} wait for a person. {table} and {book.name}"
    await acreate_table_artifact(rows, key=key, description=description)
    await acreate_link_artifact(book.as_uri(), link_text=book.name, key=f"{key}-file", description=description)


def _folder(runtime: Runtime) -> Path:
    return (runtime.settings.state_dir / "reports").resolve()
