"""A histogram for Prometheus that takes many observations at once, as the client library's own does not."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from monitoring.metrics import Metric


class Cell:
    """The observations of one set of labels."""

    def __init__(self, buckets: int, lock: Lock) -> None:
        self.counts = [0] * buckets  # beyond the last bound in the last
        self.total = 0.0
        self._lock = lock

    def merge(self, counts: Sequence[int], total: float) -> None:
        """Add how many fell into each bucket and beyond the last, and their sum."""
        with self._lock:
            self.counts = [old + new for old, new in zip(self.counts, counts, strict=True)]
            self.total += total


class Distribution(Collector):
    """One histogram of the list, for any labels."""

    def __init__(self, metric: Metric, labels: Sequence[str]) -> None:
        self._metric = metric
        self._labels = tuple(labels)
        self._bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
        self._cells: dict[tuple[str, ...], Cell] = {}
        self._lock = Lock()  # a thread writes the page out
        if not self._labels:
            self.labels()

    def labels(self, **values: str) -> Cell:
        """The observations under these labels. Raises KeyError if one of them is missing."""
        key = tuple(values[label] for label in self._labels)
        with self._lock:
            return self._cells.setdefault(key, Cell(len(self._bounds), self._lock))

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The name alone."""
        yield self._family()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Every series as it stands."""
        with self._lock:
            cells = [(key, cell.counts, cell.total) for key, cell in self._cells.items()]
        family = self._family()
        for key, counts, total in cells:
            family.add_metric(key, list(zip(self._bounds, accumulate(counts), strict=True)), total)
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._labels)
