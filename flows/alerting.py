"""One look for alerts and the sending of what waits: for the scheduled flow, a service and the command line."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from connectors.registry import create_channel
from hub.alerts.book import look
from hub.alerts.delivery import deliver
from hub.errors import ConfigError
from hub.purchasing.crossings import tell_crossings

if TYPE_CHECKING:
    from flows.runtime import Runtime
    from hub.alerts.book import Told
    from hub.contracts import AlertChannel
    from hub.settings import Settings

_LOOK_SECONDS = 120.0


def look_and_tell(runtime: Runtime, watcher: str) -> list[Told]:
    """Judge the state of the hub and of its stock, then send what waits; returns what this look found to tell.

    A channel that fails or is set up wrongly keeps its messages for the next look.
    """
    with runtime.database.driver() as connection:
        told = look(connection, runtime.settings, watcher) + tell_crossings(connection, runtime.settings)
        deliver(connection, open_channels(runtime.settings), runtime.settings)
    return told


def open_channels(settings: Settings) -> list[AlertChannel]:
    """Return the channels that are switched on and set up well; the log names the others."""
    channels: list[AlertChannel] = []
    for name, configured in settings.alerts.enabled_channels().items():
        try:
            channels.append(create_channel(name, configured))
        except ConfigError as error:
            structlog.get_logger().error("alert_channel_unusable", channel=name, error=str(error))
    return channels


async def keep_looking(runtime: Runtime, watcher: str, stop: asyncio.Event) -> None:
    """Look every two minutes until `stop` is set; what one look runs into, the next one tries again."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(look_and_tell, runtime, watcher)
        except Exception as error:  # noqa: BLE001 - whoever watches goes on
            structlog.get_logger().error("look_failed", error=repr(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
