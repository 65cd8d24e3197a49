"""The runner's figures for Prometheus, from the list in ``monitoring.metrics``."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from live.distribution import Distribution
from monitoring.metrics import BOUNDS, METRICS, Metric

disable_created_metrics()  # a second series for each, with the time of its first sample
_COLLECTED: Final = "process_"  # what prometheus_client reads from /proc itself


class PrometheusMeters:
    """Meters of one symbol behind ``/metrics``, on a registry that other symbols' of the process may share."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, symbol: str) -> None:
        self._registry = CollectorRegistry()
        self._symbol = symbol
        ours = [metric for metric in METRICS if not metric.name.startswith(_COLLECTED)]
        self._metrics: dict[str, Any] = {metric.name: self._register(metric) for metric in ours}
        self._scopes = {metric.name: metric.scope for metric in METRICS}
        self._children: dict[tuple[object, ...], Any] = {}
        self._refresh: list[Callable[[], None]] = []
        ProcessCollector(registry=self._registry)

    def beside(self, symbol: str) -> "PrometheusMeters":
        """Meters of another symbol of the same process: the same metrics, on the same page."""
        meters = object.__new__(type(self))
        meters._registry, meters._metrics, meters._scopes = self._registry, self._metrics, self._scopes
        meters._refresh = self._refresh
        meters._symbol, meters._children = symbol, {}
        return meters

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Raise a counter."""
        self._child(name, labels).inc(by)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add to a histogram, in its unit."""
        counts = [0] * (len(BOUNDS[name]) + 1)
        counts[bisect_left(BOUNDS[name], value)] = 1
        self.merge(name, counts, value, **labels)

    def merge(self, name: str, counts: Sequence[int], total: float, **labels: str) -> None:
        """Add many observations to a histogram: how many in each bucket and beyond the last, and their sum."""
        self._child(name, labels).merge(counts, total)

    def forget(self, name: str) -> None:
        """Drop all values of a gauge of our symbol, whatever their labels."""
        self._metrics[name].remove_by_labels({"symbol": self._symbol})
        self._children = {key: child for key, child in self._children.items() if key[0] != name}

    def before_reading(self, refresh: Callable[[], None]) -> None:
        """Call ``refresh`` whenever the figures are about to be read."""
        self._refresh.append(refresh)

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        self._bring_up_to_date()
        return generate_latest(self._registry)

    async def scraped(self) -> bytes:
        """The same, written out by a thread: a page of many symbols takes longer than a row may wait."""
        self._bring_up_to_date()
        return await asyncio.to_thread(generate_latest, self._registry)

    def value(self, sample: str, **labels: str) -> float:
        """One exported sample, by its full name (``fills_total``), of our symbol or the process; 0 if nothing was."""
        self._bring_up_to_date()
        own = self._registry.get_sample_value(sample, {"symbol": self._symbol, **labels})
        return own or self._registry.get_sample_value(sample, labels) or 0.0

    def _bring_up_to_date(self) -> None:
        for refresh in self._refresh:
            refresh()

    def _register(self, metric: Metric) -> Any:
        labels = (*(("symbol",) if metric.scope == "symbol" else ()), *metric.labels)
        if metric.kind == "histogram":
            distribution = Distribution(metric, labels)
            self._registry.register(distribution)
            return distribution
        kind = Counter if metric.kind == "counter" else Gauge
        return kind(metric.name, metric.help, labels, registry=self._registry)

    def _child(self, name: str, labels: dict[str, str]) -> Any:
        key = (name, *labels.items())
        if key not in self._children:
            of = {"symbol": self._symbol, **labels} if self._scopes[name] == "symbol" else labels
            metric = self._metrics[name]
            self._children[key] = metric.labels(**of) if of or isinstance(metric, Distribution) else metric
        return self._children[key]
