"""What stands in prefect.yaml happens on a real Prefect server, and its flows read the sandboxes as a worker would.

One file, so that the tests share one server however they are spread over processes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hub.db.session import Database
from hub.settings import PROJECT_ROOT, load_settings
from oneshelf.sandboxes import connection_environment, create_sandbox
from oneshelf.stack import open_stack
from tests.prefect.conftest import until
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FreshDatabase
    from tests.prefect.conftest import PrefectServer

pytestmark = pytest.mark.prefect


CRON = {
    "live-sync/live": 60,
    "sync-inventory/sap-full": 12 * 60,
    "sync-inventory/kingdee-full": 12 * 60,
    "sync-inventory/sap-items": 60,
    "watch-feeds/watch-feeds": 2,
    "reconcile-stock/slice": 1,
    "reconcile-stock/sap-full": 24 * 60,
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


@dataclass
class Works:
    """Two sandboxes, a database, and a process that runs flows between them."""

    server: PrefectServer
    sandboxes: dict[str, str]
    database: Database
    process: subprocess.Popen[str]

    def start(self, flow: str, **parameters: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"flow": flow, "parameters": parameters}) + "\n")
        self.process.stdin.flush()

    def run(self, flow: str, **parameters: Any) -> dict[str, Any]:
        """Return {"result": …} or {"error": …, "message": …}."""
        self.start(flow, **parameters)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                return dict(json.loads(line.removeprefix("ANSWER ")))
        raise AssertionError("the process ended")

    def on_hand(self) -> dict[tuple[str, str], Decimal]:
        with self.database.driver() as connection:
            rows = connection.execute(
                "SELECT sku, code, on_hand FROM stock_level JOIN item ON item.id = item_id"
                " JOIN location ON location.id = location_id WHERE on_hand <> 0"
            ).fetchall()
        return {(sku, code): quantity for sku, code, quantity in rows}

    def count_to(self, sku: str, quantity: str) -> None:
        """Count an article in SAP's sandbox: its stock is `quantity` now."""
        moved = {"kind": "count", "material": sku, "plant": "1010", "storage_location": "101A", "quantity": quantity}
        httpx.post(f"{self.sandboxes['sap']}/__world/movements", json=moved).raise_for_status()

    def artifacts(self) -> set[str]:
        return {artifact["key"] for artifact in self.server.post("artifacts/filter", {})}


@pytest.fixture(scope="module")
def works(
    prefect_server: PrefectServer, fresh_database: FreshDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Works]:
    state = tmp_path_factory.mktemp("flows")
    sap = create_sandbox("sap", state / "sap.db", articles=40, moves_per_minute=0)
    kingdee = create_sandbox("kingdee", state / "kingdee.db", articles=40, moves_per_minute=0)
    with fresh_database() as url, serve(sap) as sap_url, serve(kingdee) as kingdee_url:
        sandboxes = {"sap": sap_url, "kingdee": kingdee_url}
        environment = {
            "ONESHELF_DATABASE__URL": url,
            "ONESHELF_STATE_DIR": str(state),
            "ONESHELF_LIVE__POLL_SECONDS": "0.3",
            **connection_environment(sandboxes),
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with open_stack(load_settings()):
                pass  # migrates, and declares places and feeds
            with (state / "runner.log").open("w", encoding="utf-8") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.prefect.runner"],
                    cwd=PROJECT_ROOT,
                    env={**os.environ, **prefect_server.environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        database = Database(url)
        yield Works(prefect_server, sandboxes, database, process)
        process.kill()
        process.communicate()
        database.close()


def test_a_feed_that_was_never_read_is_stale_and_said_to_be(works: Works) -> None:
    found = works.run("watch_feeds")["result"]
    assert found == {"stale": ["kingdee", "sap"], "quarantine": 0, "followed": False, "alerts": []}
    asked = [run for run in works.server.runs("live-sync/live", "SCHEDULED") if not run["auto_scheduled"]]
    assert len(asked) == 1
    events = {"filter": {"event": {"name": ["inventory.feed.stale"]}}}
    until(lambda: works.server.post("events/filter", events)["total"] >= 2)


def test_the_modes_of_sync_inventory(works: Works) -> None:
    assert works.run("sync_inventory", source="sap", mode="items")["result"]["changed"] == 40
    assert works.run("sync_inventory", source="sap")["result"]["state"] == "applied"
    books = httpx.get(f"{works.sandboxes['sap']}/__world/totals").json()["totals"]
    mine = {row["item"]: Decimal(row["quantity"]) for row in books if row["location"] == "1010/101A"}
    assert {sku: quantity for (sku, code), quantity in works.on_hand().items() if code == "DC-SH"} == mine

    sku = next(iter(mine))
    works.count_to(sku, "7")
    assert works.run("sync_inventory", source="sap", mode="keys", items=[sku])["result"]["changed"] == 1
    assert works.on_hand()[sku, "DC-SH"] == 7
    works.count_to(sku, "9")
    works.run("sync_inventory", source="sap", mode="delta")
    assert works.on_hand()[sku, "DC-SH"] == 9
    assert works.run("sync_inventory", source="sap", mode="delta")["result"]["state"] == "unchanged"

    names = {run["name"].rsplit(" ", 1)[0] for run in works.server.post("flow_runs/filter", {})}
    assert {"inventory sap full", "inventory sap keys", "inventory sap delta"} <= names
    assert {"inventory-sap-full", "inventory-sap-keys"} <= works.artifacts()


def test_a_refused_snapshot_fails_the_run_and_links_the_quarantine(works: Works) -> None:
    before = works.on_hand()
    httpx.put(f"{works.sandboxes['sap']}/__faults/empty-answer", json={}).raise_for_status()
    refused = works.run("sync_inventory", source="sap")
    httpx.delete(f"{works.sandboxes['sap']}/__faults/empty-answer").raise_for_status()
    assert refused["error"] == "SnapshotRefusedError"
    assert "the numbers stay" in refused["message"]
    assert works.on_hand() == before
    assert "quarantine-sap" in works.artifacts()


def test_a_catch_up_of_a_source_that_was_never_read_reads_everything(works: Works) -> None:
    assert works.run("sync_inventory", source="kingdee", mode="delta")["result"]["changed"] > 40
    assert works.run("sync_inventory", source="kingdee", mode="delta")["result"]["changed"] == 0


def test_the_reconciliation_names_what_no_look_told_and_reports_it(works: Works) -> None:
    sku = next(sku for sku, code in works.on_hand() if code == "DC-SH")
    for _ in range(4):  # documents that were met only just are asked for again
        works.run("sync_inventory", source="sap", mode="delta")
    httpx.put(f"{works.sandboxes['sap']}/__faults/late-commit", json={"seconds": 3600}).raise_for_status()
    works.count_to(sku, "5")
    httpx.delete(f"{works.sandboxes['sap']}/__faults/late-commit").raise_for_status()
    [slice_] = works.run("reconcile_stock", source="sap")["result"]
    assert (slice_["state"], slice_["found"]) == ("checked", [f"missed_event {sku} DC-SH"])
    assert works.on_hand()[sku, "DC-SH"] == 5
    artifacts = {artifact["key"]: artifact["data"] for artifact in works.server.post("artifacts/filter", {})}
    assert f'"{sku}"' in str(artifacts["stock-differences-sap"])
    [link] = re.findall(r"file://([^)]+)", str(artifacts["stock-differences-sap-file"]))
    assert {path.suffix for path in Path(link).parent.iterdir()} == {".csv", ".xlsx"}
    both = works.run("reconcile_stock", mode="full")["result"]
    assert [(full["source"], full["state"], full["found"]) for full in both] == [
        ("sap", "checked", []),
        ("kingdee", "checked", []),
    ]
    reads = "SELECT count(*) FROM stock_batch WHERE source = 'kingdee' AND state = 'applied'"
    with works.database.driver() as connection:
        before = connection.execute(reads).fetchone()
        httpx.put(f"{works.sandboxes['sap']}/__faults/service-inactive-403", json={}).raise_for_status()
        failed = works.run("reconcile_stock", mode="full")
        httpx.delete(f"{works.sandboxes['sap']}/__faults/service-inactive-403").raise_for_status()
        assert failed["message"].endswith("could not be asked: sap"), failed
        assert connection.execute(reads).fetchone() != before, "one source does not stop the other"


def test_wrong_parameters_are_refused(works: Works) -> None:
    assert "there is sap, kingdee" in works.run("sync_inventory", source="oracle", mode="delta")["message"]
    assert "needs items" in works.run("sync_inventory", source="sap", mode="keys")["message"]


def test_live_sync_follows_the_erp_and_shows_its_lag(works: Works) -> None:
    sku = next(sku for sku, code in works.on_hand() if code == "DC-SH")
    works.start("live_sync")
    until(lambda: "live-sync" in works.artifacts())
    works.count_to(sku, "3")
    until(lambda: works.on_hand().get((sku, "DC-SH")) == 3, seconds=5)


def test_automations_are_installed_once_however_often(prefect_server: PrefectServer) -> None:
    names = [automation["name"] for automation in prefect_server.post("automations/filter", {})]
    assert names.count("oneshelf: end runs that fell silent") == 1
    assert names.count("live__automation_1") == names.count("live__automation_2") == 1


def test_a_silent_live_run_is_ended_and_followed_after_the_same_time(prefect_server: PrefectServer) -> None:
    found = {automation["name"]: automation["trigger"] for automation in prefect_server.post("automations/filter", {})}
    ends, follows = found["oneshelf: end runs that fell silent"], found["live__automation_2"]
    same = ("posture", "match", "for_each", "within")
    assert {name: ends[name] for name in same} == {name: follows[name] for name in same}
    assert set(ends["after"]) == set(follows["after"])
    assert set(ends["expect"]) == set(follows["expect"])


def test_every_deployment_sends_heartbeats_often_and_is_watched(prefect_server: PrefectServer) -> None:
    deployments = prefect_server.post("deployments/filter", {})
    assert len(deployments) >= 7
    for deployment in deployments:
        assert "oneshelf" in deployment["tags"], deployment["name"]
        assert deployment["job_variables"]["env"] == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@pytest.mark.usefixtures("works")
def test_a_live_run_that_crashed_is_followed_by_another(prefect_server: PrefectServer) -> None:
    """The worker tells of a killed process by this state; nothing is at work for this run."""
    live = prefect_server.deployment("live-sync/live")["id"]
    run = prefect_server.post(f"deployments/{live}/create_flow_run", {})["id"]
    before = {run["id"] for run in prefect_server.runs("live-sync/live")}
    for state in ("PENDING", "RUNNING", "CRASHED"):
        prefect_server.post(f"flow_runs/{run}/set_state", {"state": {"type": state}, "force": True})

    def by_automation() -> list[dict[str, Any]]:
        new = [run for run in prefect_server.runs("live-sync/live") if run["id"] not in before]
        return [
            run for run in new if (run["created_by"] or {}).get("type") == "AUTOMATION"
        ]  # the schedule makes some too

    assert {run["state_type"] for run in until(by_automation)} == {"SCHEDULED"}
