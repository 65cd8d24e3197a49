"""What research knows of the live market, for Prometheus: read from the lake at each scrape, on a page of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from assets.partitions import WHOLE, Part
from assets.tables import passed
from monitoring.metrics import RESEARCH_METRICS
from monitoring.metrics import Metric as Declared
from orchestration.failures import failures_by_job
from storage.lake import Lake

_FEATURES = {"feature_shift_ks": "ks", "feature_shift": "shift", "feature_drifted": "drifted"}  # metric -> column


class ResearchCollector(Collector):
    """The drift reports in force, and the runs that failed; a report whose checks have not passed says nothing.

    watched : the symbol whose drift is judged
    """

    def __init__(self, lake: Lake, failures: Path, watched: str) -> None:
        self._lake, self._failures, self._watched = lake, failures, watched

    def collect(self) -> Iterator[Metric]:
        """Each metric of research: with a value for each symbol that has a report or is watched, or for each job."""
        families = {metric.name: _family(metric) for metric in RESEARCH_METRICS}
        families["drift_watched"].add_metric([self._watched], 1)
        for symbol in sorted({place.symbol for place in self._lake.places() if place.dataset == "drift"}):
            report = passed(self._lake, "drift", Part(symbol, WHOLE))
            if report is not None:
                table = self._lake.scan("drift", symbol, [WHOLE]).collect()
                _add(families, symbol, table.filter(pl.col("start_ts") == table["start_ts"].max()).to_dicts())
                families["drift_live_until_seconds"].add_metric([symbol], report.metadata["live_until_ts"] / 1e9)
        for job, failed in failures_by_job(self._failures).items():
            families["failed_runs"].add_metric([job], failed)
        yield from families.values()


@contextmanager
def metrics_page(lake: Lake, failures: Path, watched: str, address: str, port: int) -> Iterator[int]:
    """Serve ``/metrics`` from a thread while the block runs; the port, where 0 asked for a free one.

    watched : the symbol whose drift is judged
    """
    registry = CollectorRegistry()
    registry.register(ResearchCollector(lake, failures, watched))
    server, thread = start_http_server(port, address, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _family(metric: Declared) -> GaugeMetricFamily | CounterMetricFamily:
    labels = (*(("symbol",) if metric.scope == "symbol" else ()), *metric.labels)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=labels)


def _add(
    families: dict[str, GaugeMetricFamily | CounterMetricFamily], symbol: str, features: list[dict[str, Any]]
) -> None:
    for feature in features:
        for name, column in _FEATURES.items():
            families[name].add_metric([symbol, feature["name"]], float(feature[column]))
