"""What research knows of the live market, for Prometheus: read from the lake at each scrape, on a page of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from assets.partitions import WHOLE, Part
from assets.tables import passed
from monitoring.metrics import RESEARCH_METRICS
from storage.lake import Lake

_FEATURES = {"feature_shift_ks": "ks", "feature_shift": "shift", "feature_drifted": "drifted"}  # metric -> column


class DriftCollector(Collector):
    """The drift reports in force; one whose checks have not passed says nothing."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Each metric of research, with a value for each symbol that has a report."""
        families = {
            metric.name: GaugeMetricFamily(metric.name, metric.help, labels=("symbol", *metric.labels))
            for metric in RESEARCH_METRICS
        }
        for symbol in sorted({place.symbol for place in self._lake.places() if place.dataset == "drift"}):
            report = passed(self._lake, "drift", Part(symbol, WHOLE))
            if report is not None:
                _add(families, symbol, self._lake.scan("drift", symbol, [WHOLE]).collect().to_dicts())
                families["drift_live_until_seconds"].add_metric([symbol], report.metadata["live_until_ts"] / 1e9)
        yield from families.values()


@contextmanager
def metrics_page(lake: Lake, address: str, port: int) -> Iterator[int]:
    """Serve ``/metrics`` from a thread while the block runs; the port, where 0 asked for a free one."""
    registry = CollectorRegistry()
    registry.register(DriftCollector(lake))
    server, thread = start_http_server(port, address, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _add(families: dict[str, GaugeMetricFamily], symbol: str, features: list[dict[str, Any]]) -> None:
    for feature in features:
        for name, column in _FEATURES.items():
            families[name].add_metric([symbol, feature["name"]], float(feature[column]))
