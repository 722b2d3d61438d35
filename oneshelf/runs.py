"""Asking Prefect to run deployments, and waiting for them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed

from hub.clock import utc_now
from oneshelf.processes import StartError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

LIVE = "live-sync/live"
_POLL_SECONDS = 0.3


def ensure_pool(name: str) -> None:
    """Create the process work pool unless it is there."""
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def clear_leftovers() -> None:
    """Settle what an earlier life of this machine left behind; call it when no worker and no flow can be at work.

    Runs that were cut off would hold their deployments' concurrency for ever. Runs that fell due while nothing ran
    would all start at once, and each of them reads all that is due anyway: the next one on schedule does.
    """
    crash_cut_off(utc_now(), "the machine was stopped")
    with get_client(sync_client=True) as client:
        overdue = _in_state([StateType.SCHEDULED])
        overdue.expected_start_time = FlowRunFilterExpectedStartTime(before_=utc_now())
        for run in client.read_flow_runs(flow_run_filter=overdue, limit=200):
            client.delete_flow_run(run.id)


def crash_cut_off(before: datetime, reason: str) -> None:
    """Mark as crashed what was at work at `before` and still is by the server's books: its worker has died since."""
    at_work = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=_in_state(at_work), limit=200):
            if run.state and run.state.timestamp < before:
                client.set_flow_run_state(run.id, Crashed(message=reason), force=True)


def _in_state(types: list[StateType]) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)))


def full_sync_of(source: str) -> str:
    """Return the name of the deployment that reads everything of a source."""
    return f"sync-inventory/{source}-full"


def start_run(deployment: str) -> UUID:
    """Ask for a run of a deployment now; returns the flow run's id."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(found.id).id


def wait_for_run(run_id: UUID, *, seconds: float) -> None:
    """Wait until a run has completed.

    Raises:
        StartError: it ended otherwise or the time is over; says why.
    """
    deadline = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while True:
            run = client.read_flow_run(run_id)
            if run.state and run.state.is_completed():
                return
            if run.state and run.state.is_final():
                raise StartError(f"run {run.name} ended {run.state.name}: {run.state.message}")
            if time.monotonic() > deadline:
                raise StartError(f"run {run.name} is still {run.state_name} after {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
