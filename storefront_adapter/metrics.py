"""Figures for Prometheus; each app has its own registry.

Where `PROMETHEUS_MULTIPROC_DIR` names a folder, prometheus-client keeps the counts there, and every process of the
adapter tells those of all.
"""

from __future__ import annotations

import os
from collections import Counter as Counts
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from hub.alerts.rules import Kind
from hub.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from hub.alerts.book import OpenAlert
    from hub.stock.reading import FeedState
    from storefront_adapter.pipeline import Backlog

_SHARED = "PROMETHEUS_MULTIPROC_DIR"
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
        # To look a figure up by its labels costs more than to count.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.streams = Gauge(
            "oneshelf_stock_streams",
            "Open streams of stock changes.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        kind = method, route, status
        if (counted := self._counted.get(kind)) is None:
            counted = self._requests.labels(method, route, str(status)), self._durations.labels(method, route)
            self._counted[kind] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    def exposition(self, feeds: Sequence[FeedState], backlog: Backlog, alerts: Sequence[OpenAlert]) -> bytes:
        """Return all figures as text: the requests of all processes, the database as it is now."""
        counted, told = self.registry, CollectorRegistry()
        if _SHARED in os.environ:
            _forget_dead(Path(os.environ[_SHARED]))
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        told.register(_Told([*_feed_figures(feeds), *_backlog_figures(backlog), *_alert_figures(backlog, alerts)]))
        return generate_latest(counted) + generate_latest(told)


def _forget_dead(folder: Path) -> None:
    """Remove what processes that were killed had open; what they have counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


class _Told(Collector):
    """Figures that somebody else keeps, as they are at one moment."""

    def __init__(self, figures: Sequence[Metric]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Return the figures."""
        return self._figures


def _feed_figures(feeds: Sequence[FeedState]) -> Iterator[Metric]:
    ages = GaugeMetricFamily(
        "oneshelf_stock_feed_age_seconds", "Time since the source was last read with success.", labels=["source"]
    )
    stale = GaugeMetricFamily("oneshelf_stock_feed_stale", "1 if the source's numbers are stale.", labels=["source"])
    for feed in feeds:
        ages.add_metric([feed.source], float("inf") if feed.age_seconds is None else max(feed.age_seconds, 0.0))
        stale.add_metric([feed.source], feed.stale)
    yield from (ages, stale)


def _backlog_figures(backlog: Backlog) -> Iterator[Metric]:
    inbox = GaugeMetricFamily("oneshelf_inbox_events", "Pushed events by state.", labels=["state"])
    inbox.add_metric(["pending"], backlog.inbox_pending)
    inbox.add_metric(["quarantined"], backlog.inbox_quarantined)
    yield inbox
    yield GaugeMetricFamily(
        "oneshelf_quarantine_open", "Records that could not be used and wait.", backlog.quarantine_open
    )
    yield GaugeMetricFamily("oneshelf_outbox_waiting", "Changes that are not published yet.", backlog.outbox_waiting)


def _alert_figures(backlog: Backlog, alerts: Sequence[OpenAlert]) -> Iterator[Metric]:
    by_kind = GaugeMetricFamily("oneshelf_alerts_open", "Alerts that are not over.", labels=["kind"])
    open_by_kind = Counts(alert.kind for alert in alerts)
    for kind in Kind:
        by_kind.add_metric([kind.value], open_by_kind[kind.value])
    yield by_kind
    yield GaugeMetricFamily(
        "oneshelf_alert_messages_untold", "Messages about alerts that no attempt sent.", backlog.alerts_untold
    )
    looked = backlog.looked_at
    yield GaugeMetricFamily(
        "oneshelf_watch_age_seconds",
        "Time since anybody looked whether all is well.",
        float("inf") if looked is None else max((utc_now() - looked).total_seconds(), 0.0),
    )
