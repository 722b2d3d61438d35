"""What the Prefect server does by itself, beside the triggers in prefect.yaml: it ends the runs of killed processes.

A worker tells when a flow's process has died. When the worker died with it (the machine did, or both were killed),
nobody tells: the run stays `Running` and holds its deployment's concurrency. Then only its heartbeats are missing.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState

HEARTBEAT = "prefect.flow-run.heartbeat"
RUNNING = "prefect.flow-run.Running"
TAG = "oneshelf"
# Every deployment in prefect.yaml has the tag, and sends a heartbeat when its run begins and each 30 s, which is as
# often as Prefect allows. Two are missing then. Runs of others on the same server may be slower: they are left alone.
SILENCE = timedelta(seconds=75)
_ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}


def build_automations() -> list[AutomationCore]:
    """Return the automations that every server of Oneshelf has."""
    silent = EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
        for_each={"prefect.resource.id"},
        after={RUNNING, HEARTBEAT},  # a run may be killed before its first heartbeat has left
        expect={HEARTBEAT, *_ENDS},
        posture=Posture.Proactive,
        within=SILENCE,
    )
    return [
        AutomationCore(
            name="oneshelf: end runs that fell silent",
            description="Marks a run as crashed whose heartbeats stopped: it was killed together with its worker.",
            trigger=silent,
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: killed with its worker")],
        )
    ]


def install_automations() -> list[str]:
    """Create the automations on the Prefect server, or bring them up to date; returns their names."""
    automations = build_automations()
    with get_client(sync_client=True) as client:
        for automation in automations:
            installed = client.read_automations_by_name(automation.name)
            if installed:
                client.update_automation(installed[0].id, automation)
            else:
                client.create_automation(automation)
    return [automation.name for automation in automations]
