"""The one place that asks the wall clock. Rules never compare clocks of two systems; see `hub.stock.ticks`."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)
