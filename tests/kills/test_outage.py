"""Both ERPs are down for two hours of their own time while goods move on: the hub says so, and catches up by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from tests.kills.campaign import SYSTEMS, open_hub, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hub.db.embedded import EmbeddedServer
    from tests.kills.campaign import Campaign, Sandboxes

TWO_HOURS = 7200
MOVEMENTS = 250
OUT_OF_ORDER = {"sap": "html-503", "kingdee": "html-502"}
# Fewer keys in one read than the movements name, so that it takes several.
SETTINGS = {"STOCK__KEYS_AT_ONCE": 15} | {f"SOURCES__{system.upper()}__STALE_AFTER_SECONDS": 2 for system in SYSTEMS}


def stale(campaign: Campaign) -> int:
    sql = "SELECT count(*) FROM feed WHERE read_at < clock_timestamp() - make_interval(secs => stale_after_seconds)"
    return int(campaign.query(sql)[0][0])


def test_the_hub_catches_up_by_itself_after_an_outage(
    server: EmbeddedServer, sandboxes: Sandboxes, tmp_path: Path, note: Callable[[str], None]
) -> None:
    with open_hub(server, sandboxes, tmp_path, "outage", **SETTINGS) as campaign, campaign.live():
        campaign.wait_until_level()
        assert (stale(campaign), campaign.wrong()) == (0, [])
        [(before,)] = campaign.query("SELECT max(id) FROM stock_batch")

        for system, fault in OUT_OF_ORDER.items():
            httpx.put(f"{sandboxes.urls[system]}/__faults/{fault}", json={}).raise_for_status()
            sandboxes.worlds[system].post("moves", count=MOVEMENTS, over_seconds=TWO_HOURS)
        until(lambda: stale(campaign) == len(SYSTEMS), "not all feeds are stale")
        differing = len(campaign.wrong())
        assert differing > SETTINGS["STOCK__KEYS_AT_ONCE"]
        assert campaign.query("SELECT count(*) FROM feed WHERE error IS NULL") == [(0,)]

        for system in SYSTEMS:
            httpx.delete(f"{sandboxes.urls[system]}/__faults").raise_for_status()
        began = time.monotonic()
        campaign.wait_until_level()
        seconds = time.monotonic() - began
        assert (stale(campaign), campaign.wrong()) == (0, [])
        reads = "SELECT count(*) FROM stock_batch WHERE id > %s AND state = 'applied' AND changed > 0"
        assert campaign.query(reads, before)[0][0] > len(SYSTEMS)
    movements = MOVEMENTS * len(SYSTEMS)
    note(f"{movements} movements in two hours of outage: {differing} levels caught up after {seconds:.1f} s")
