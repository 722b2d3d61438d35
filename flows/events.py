"""Prefect events the hub emits: few, coalesced, without personal data. Deployments in prefect.yaml react to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.events import emit_event

if TYPE_CHECKING:
    from collections.abc import Mapping

INVENTORY_CHANGED = "inventory.changed"
FEED_STALE = "inventory.feed.stale"
QUARANTINE_GREW = "quarantine.grew"


def emit(event: str, source: str, payload: Mapping[str, Any]) -> None:
    """Emit an event about one source."""
    emit_event(
        event=event,
        resource={"prefect.resource.id": f"oneshelf.source.{source}", "prefect.resource.name": source},
        payload={"source": source, **payload},
    )
