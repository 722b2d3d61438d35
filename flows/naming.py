"""Names of flow runs that ops can read at a glance."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from prefect.runtime import flow_run

from hub.clock import utc_now
from hub.settings import load_settings


def local_hour() -> str:
    """Return the scheduled (or present) time of this run as HH:MM in the shop's time zone."""
    moment = flow_run.scheduled_start_time or utc_now()
    return moment.astimezone(ZoneInfo(load_settings().adapter.time_zone)).strftime("%H:%M")


def inventory_run_name() -> str:
    """Return for instance `inventory kingdee delta 14:03`."""
    parameters = flow_run.parameters
    return f"inventory {parameters.get('source')} {parameters.get('mode', 'full')} {local_hour()}"
