"""What stands in prefect.yaml really happens on a real Prefect server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.prefect.conftest import until

if TYPE_CHECKING:
    from tests.prefect.conftest import PrefectServer

pytestmark = pytest.mark.prefect

CRON = {
    "live-sync/live": 60,
    "sync-inventory/sap-full": 12 * 60,
    "sync-inventory/kingdee-full": 12 * 60,
    "watch-feeds/watch-feeds": 5,
}


@pytest.mark.parametrize("name", CRON)
def test_a_cron_deployment_really_gets_scheduled_runs(prefect_server: PrefectServer, name: str) -> None:
    """A server with the wrong SQLAlchemy looks well and schedules nothing; this is how it would show."""
    runs = until(lambda: prefect_server.runs(name, "SCHEDULED"))
    first = min(datetime.fromisoformat(run["expected_start_time"]) for run in runs)
    assert first - datetime.now(UTC) <= timedelta(minutes=CRON[name])


def test_schedules_name_the_shops_time_zone(prefect_server: PrefectServer) -> None:
    for name in CRON:
        for schedule in prefect_server.deployment(name)["schedules"]:
            assert schedule["schedule"]["timezone"] == "Asia/Shanghai"


def test_full_reads_queue_up_and_a_second_live_run_may_wait(prefect_server: PrefectServer) -> None:
    full = prefect_server.deployment("sync-inventory/sap-full")
    assert full["global_concurrency_limit"]["limit"] == 1
    assert full["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert prefect_server.deployment("live-sync/live")["global_concurrency_limit"]["limit"] == 2


def test_a_stale_feed_starts_a_catch_up_of_that_source(prefect_server: PrefectServer) -> None:
    """Values of an event arrive with their types, and no event is lost on the way to its run."""
    emitted = prefect_server.python(
        "from flows.events import FEED_STALE, emit\n"
        "for source in ('kingdee', 'sap'): emit(FEED_STALE, source, {'age_seconds': 90, 'failures': 2})\n"
    )
    assert emitted.returncode == 0, emitted.stderr
    until(
        lambda: (
            {run["parameters"]["source"] for run in prefect_server.runs("sync-inventory/catch-up")}
            >= {"kingdee", "sap"}
        )
    )
    assert {run["parameters"]["mode"] for run in prefect_server.runs("sync-inventory/catch-up")} == {"delta"}
