"""The runner's figures for Prometheus, from the list in ``monitoring.metrics``."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from monitoring.metrics import METRICS, Metric

disable_created_metrics()  # a second series for each, with the time of its first sample


class PrometheusMeters:
    """Meters of one symbol behind ``/metrics``, on a registry that other symbols' of the process may share."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, symbol: str) -> None:
        self._registry = CollectorRegistry()
        self._symbol = symbol
        self._metrics: dict[str, Any] = {metric.name: self._register(metric) for metric in METRICS}
        self._children: dict[tuple[object, ...], Any] = {}

    def beside(self, symbol: str) -> "PrometheusMeters":
        """Meters of another symbol of the same process: the same metrics, on the same page."""
        meters = object.__new__(type(self))
        meters._registry, meters._metrics = self._registry, self._metrics
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
        self._child(name, labels).observe(value)

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self._registry)

    def value(self, sample: str, **labels: str) -> float:
        """One exported sample, by its full name (``fills_total``); 0 where nothing was ever recorded."""
        return self._registry.get_sample_value(sample, {"symbol": self._symbol, **labels}) or 0.0

    def _register(self, metric: Metric) -> Any:
        labels = ("symbol", *metric.labels)
        if metric.kind == "histogram":
            return Histogram(metric.name, metric.help, labels, registry=self._registry, buckets=metric.buckets)
        kind = Counter if metric.kind == "counter" else Gauge
        return kind(metric.name, metric.help, labels, registry=self._registry)

    def _child(self, name: str, labels: dict[str, str]) -> Any:
        key = (name, *labels.items())
        if key not in self._children:
            self._children[key] = self._metrics[name].labels(symbol=self._symbol, **labels)
        return self._children[key]
