"""Stock of one ERP into the hub: the full snapshot, the changes since last time, or some articles on request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_link_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows.naming import inventory_run_name
from flows.runtime import Runtime, open_runtime
from hub.contracts import StockKey
from hub.errors import ConfigError, Retryable
from hub.items.store import ItemReport, sync_items
from hub.locations import codes_of
from hub.sync.watch import never_read

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.tasks import Task

    from hub.sync.inventory import SyncReport

Mode = Literal["full", "delta", "keys", "items"]
_MOST_TABLE_ROWS = 200


async def _is_retryable(task_: Task[..., Any], run: Any, state: State[Any]) -> bool:  # noqa: ANN401 - Prefect's signature
    """Repeat only what may succeed when repeated; a wrong password is not among that."""
    del task_, run
    try:
        await state.result()
    except Retryable:
        return True
    except Exception:  # noqa: BLE001 - any other end of the task is final, whatever it was
        return False
    return False


@task(
    task_run_name="articles of {source}",
    retries=8,
    retry_delay_seconds=[1, 2, 3, 5, 10, 20, 30, 60],
    retry_condition_fn=_is_retryable,
    cache_policy=NO_CACHE,
)
async def read_items(runtime: Runtime, source: str) -> ItemReport:
    """Read the source's articles and link them."""
    return await asyncio.to_thread(sync_items, runtime.database, runtime.connector(source), runtime.settings)


@task(
    task_run_name="stock of {source} ({mode})",
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=_is_retryable,
    cache_policy=NO_CACHE,
)
async def read_stock(
    runtime: Runtime, source: str, mode: Mode, keys: frozenset[StockKey], *, accept_shrink: bool
) -> SyncReport | None:
    """Read the source's stock and apply it."""
    sync = runtime.inventory(source)
    if mode == "full":
        return await asyncio.to_thread(sync.snapshot, accept_shrink=accept_shrink)
    if mode == "delta":
        return await asyncio.to_thread(sync.delta)
    return await asyncio.to_thread(sync.refresh, keys)


@flow(name="sync-inventory", flow_run_name=inventory_run_name, retries=0, persist_result=False)
async def sync_inventory(
    source: Annotated[str, Field(description="Name of the source in config/*.toml, for instance sap")],
    mode: Annotated[
        Mode, Field(description="full: all there is; items: articles; delta: what changed; keys: those named")
    ] = "full",
    items: Annotated[
        list[str] | None, Field(description="With mode keys: the ERP's own article numbers; all places are read")
    ] = None,
    *,
    accept_shrink: Annotated[
        bool, Field(description="Apply a full read even if it is empty or sharply smaller: a person has looked")
    ] = False,
) -> dict[str, Any]:
    """Bring one ERP's stock into the hub.

    Fails when the ERP can't be read, when a full read was incomplete, and when it was too small to be believed; the
    numbers stay as they were then.
    """
    log = get_run_logger()
    with open_runtime() as runtime:
        keys = _keys(runtime, source, mode, items)
        if mode == "delta" and _never_read(runtime, source):
            log.info("%s was never read in full: reading everything", source)
            mode = "full"
        if mode in {"full", "items"}:
            articles = await read_items(runtime, source)
            log.info("%s articles read, %s new, %s rejected", articles.read, articles.created, articles.rejected)
        if mode == "items":
            return {"source": source, "state": "applied", "changed": articles.created + articles.changed}
        report = await read_stock(runtime, source, mode, keys, accept_shrink=accept_shrink)
        await _show(runtime, source, mode, report)
    if report is None:
        log.info("nothing changed")
        return {"source": source, "state": "unchanged", "changed": 0}
    log.info("%s: %s rows read, %s levels changed", report.state, report.rows, report.changed_count)
    if report.state != "applied":
        raise SnapshotRefusedError(f"{source}: snapshot {report.state}, the numbers stay: {report.reason}")
    return {"source": source, "state": report.state, "changed": report.changed_count, "rejected": report.rejected}


class SnapshotRefusedError(RuntimeError):
    """Raised to end the run as failed: look at the quarantine, then run again, with accept_shrink if it is right."""


def _keys(runtime: Runtime, source: str, mode: Mode, items: list[str] | None) -> frozenset[StockKey]:
    if mode != "keys":
        return frozenset()
    if not items:
        raise ConfigError("mode keys needs items: the ERP's own article numbers")
    return frozenset(StockKey(item, place) for item in items for place in codes_of(runtime.locations, source))


def _never_read(runtime: Runtime, source: str) -> bool:
    with runtime.database.driver() as connection:
        return never_read(connection, source)


async def _show(runtime: Runtime, source: str, mode: Mode, report: SyncReport | None) -> None:
    """Leave artifacts: what changed, and where rejected records wait."""
    if report and report.changed:
        shown = [{"SKU": sku, "location": place} for sku, place in report.changed[:_MOST_TABLE_ROWS]]
        more = f" (the first {_MOST_TABLE_ROWS})" if report.changed_count > _MOST_TABLE_ROWS else ""
        await acreate_table_artifact(
            shown,
            key=f"inventory-{source}-{mode}",
            description=f"{report.changed_count} levels of {source} changed{more}",
        )
    if report and (report.rejected or report.state != "applied"):
        await acreate_link_artifact(
            f"{runtime.settings.adapter.public_url.rstrip('/')}/staff/ops",
            link_text=f"{report.rejected} records of {source} in quarantine",
            key=f"quarantine-{source}",
            description=report.reason or "Records that could not be used, with reason and raw text",
        )
