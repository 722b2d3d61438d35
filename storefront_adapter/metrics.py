"""Figures for Prometheus; each app has its own registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.stock.reading import FeedState
    from storefront_adapter.pipeline import Backlog

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass
class Metrics:
    """The figures of one app."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        """Declare all figures."""
        labels = ("method", "route", "status")
        self._requests = Counter(
            "oneshelf_http_requests", "Answered requests by route template.", labels, registry=self.registry
        )
        self._durations = Histogram(
            "oneshelf_http_request_duration_seconds",
            "Time from a request to the end of its answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._feed_age = self._gauge(
            "oneshelf_stock_feed_age_seconds", "Time since the source was last read with success.", "source"
        )
        self._feed_stale = self._gauge("oneshelf_stock_feed_stale", "1 if the source's numbers are stale.", "source")
        self._inbox = self._gauge("oneshelf_inbox_events", "Pushed events by state.", "state")
        self._quarantine = self._gauge("oneshelf_quarantine_open", "Records that could not be used and wait.")
        self._outbox = self._gauge("oneshelf_outbox_waiting", "Changes that are not published yet.")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(method, route).observe(seconds)

    def exposition(self, feeds: Sequence[FeedState], backlog: Backlog) -> bytes:
        """Return all figures as text, those of the database as they are now."""
        self._feed_age.clear()
        self._feed_stale.clear()
        for feed in feeds:
            age = float("inf") if feed.age_seconds is None else max(feed.age_seconds, 0.0)
            self._feed_age.labels(feed.source).set(age)
            self._feed_stale.labels(feed.source).set(feed.stale)
        self._inbox.labels("pending").set(backlog.inbox_pending)
        self._inbox.labels("quarantined").set(backlog.inbox_quarantined)
        self._quarantine.set(backlog.quarantine_open)
        self._outbox.set(backlog.outbox_waiting)
        return generate_latest(self.registry)
