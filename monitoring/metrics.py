"""Metrics as data: name, kind, unit, labels and buckets of everything that runner and research export."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["counter", "gauge", "histogram"]
Scope = Literal["symbol", "process"]


class Metric(NamedTuple):
    """One metric. Buckets are upper bounds in the metric's unit, of histograms alone.

    A counter's exported name ends in ``_total``, a histogram's series in ``_bucket``, ``_sum`` and ``_count``.
    """

    name: str
    kind: Kind
    unit: str  # of the value; empty where it is a plain number
    help: str
    labels: tuple[str, ...] = ()  # besides ``symbol``
    buckets: tuple[float, ...] = ()
    scope: Scope = "symbol"  # what is of the whole process bears no symbol


_LAG_MS: Final = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000)
_FAST_MS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)

_LINE: Final = (
    Metric(
        "ingest_lag_ms", "histogram", "ms", "feed delay of each frame: received minus aligned venue time", (), _LAG_MS
    ),
    Metric("frames", "counter", "", "frames received, snapshots among them"),
    Metric("malformed_frames", "counter", "", "frames that could not be read"),
    Metric("gaps", "counter", "", "breaks of the venue's sequence, and lost lines"),
    Metric("ws_gap_ratio", "gauge", "0 to 1", "gaps per frame since the start"),
    Metric("resyncs", "counter", "", "snapshots that opened the book anew"),
    Metric("disconnects", "counter", "", "lost connections, and restarts"),
    Metric("connected", "gauge", "0 or 1", "whether the line to the venue is up"),
    Metric(
        "line_events", "counter", "", "what befell the symbol's lines: refusals, unknown symbols, stalls", ("kind",)
    ),
)
_DESK: Final = (
    Metric("infer_ms", "histogram", "ms", "own time from a closed row to its decision and orders", ("desk",), _FAST_MS),
    Metric("infer_p95_ms", "gauge", "ms", "95th percentile of infer_ms over the newest 3,000 rows", ("desk",)),
    Metric("batch_to_decision_ms", "histogram", "ms", "instant of the row to its decision", ("desk",), _FAST_MS),
    Metric("decisions", "counter", "", "decisions by reason", ("desk", "reason")),
    Metric("skipped_decisions", "counter", "", "rows that came too late to be decided on", ("desk",)),
    Metric("capped_decisions", "counter", "", "targets that the risk cap or the depth bound, not the edge", ("desk",)),
    Metric("halved_decisions", "counter", "", "targets that a gate has halved at least once", ("desk",)),
    Metric("orders", "counter", "", "orders and cancels sent", ("desk",)),
    Metric("fills", "counter", "", "fills reported", ("desk",)),
    Metric("rejects", "counter", "", "orders and cancels that the venue refused", ("desk", "reason")),
    Metric("trade_fill_ratio", "gauge", "0 to 1", "lots filled of lots placed since the start", ("desk",)),
    Metric("expected_return_bp", "gauge", "bp", "what the newest forecast expects over the horizon, gross", ("desk",)),
    Metric("expected_cost_bp", "gauge", "bp", "what the newest round trip would cost: spread and fees", ("desk",)),
    Metric("probability", "gauge", "0 to 1", "the newest forecast, by class", ("desk", "class")),
    Metric("target_lots", "gauge", "lots", "position that the newest decision aims at", ("desk",)),
    Metric("position_lots", "gauge", "lots", "acknowledged position", ("desk",)),
    Metric("pnl", "gauge", "settlement currency", "profit since the start, marked at mid", ("desk",)),
    Metric("max_dd", "gauge", "settlement currency", "deepest fall of pnl from its peak since the start", ("desk",)),
    Metric("drawdown_used", "gauge", "0 to 1", "share of the drawdown limit used, pending orders at worst", ("desk",)),
    Metric(
        "gate_latched",
        "gauge",
        "0 or 1",
        "whether a gate keeps a desk from trading until it is lifted",
        ("desk", "gate"),
    ),
)
_EXCHANGE: Final = (  # of a symbol whose orders go to an exchange
    Metric(
        "order_line_up", "gauge", "0 or 1", "whether the account's stream is up and reconciled, so that orders leave"
    ),
    Metric("unsettled_orders", "gauge", "", "orders of which the venue has not said what it made of them"),
    Metric(
        "order_events", "counter", "", "what befell orders: placed, unanswered, duplicate reports, lapses", ("kind",)
    ),
    Metric(
        "account_stream_events",
        "counter",
        "",
        "what befell the account's stream: connections, losses, messages, late renewals",
        ("kind",),
    ),
    Metric("venue_clock_offset_ms", "gauge", "ms", "our clock less the venue's, which requests are stamped by"),
    Metric("venue_clock_readings", "counter", "", "looks at the venue's clock, by what made us look", ("kind",)),
)
_ROLLOUT: Final = (
    Metric(
        "model_info", "gauge", "1", "sha of the bundle in force, and of the one that a rollback brings", ("role", "sha")
    ),
    Metric("deployments", "counter", "", "models swapped in", ("role",)),
    Metric("rollbacks", "counter", "", "swaps back to the model before", ("role",)),
    Metric("refused_bundles", "counter", "", "pushed bundles and rollbacks that were refused", ("reason",)),
    Metric("kills", "counter", "", "kill switches latched by a request"),
    Metric("shadow_rows", "counter", "", "rows that champion and challenger both decided on", ("agree",)),
)
_JOURNAL: Final = (
    Metric("journal_bytes", "counter", "bytes", "bytes that the kernel has taken for the journal"),
    Metric("journal_flush_ms", "histogram", "ms", "own time of one write of the journal", (), _FAST_MS),
    Metric("journal_failures", "counter", "", "journals that the disk did not take: trading has ended"),
    Metric("snapshots", "counter", "", "states kept beside the journal, by outcome: written or failed", ("outcome",)),
    Metric(
        "ignored_snapshots", "counter", "", "states that a restart passed over, damaged or of another journal or plan"
    ),
)
_CONSUMERS: Final = (
    Metric("untold_rows", "counter", "", "rows for the warehouse that never got to disk", ("table",), (), "process"),
    Metric(
        "untold_batches", "counter", "", "batches for the warehouse given up: no room, or damaged", (), (), "process"
    ),
    Metric("outbox_bytes", "gauge", "bytes", "batches that wait for the warehouse", (), (), "process"),
    Metric("hot_age_ms", "gauge", "ms", "age of the newest value that readers of the hot cache can find"),
    Metric("hot_dropped", "gauge", "", "values that the hot cache did not take in time", (), (), "process"),
)
_PROCESS: Final = (
    Metric("refused_requests", "counter", "", "requests to the pages that were refused", ("reason",), (), "process"),
    Metric("refused_starts", "counter", "", "starts refused for a key, until this one", ("reason",), (), "process"),
    Metric("background_task_deaths", "counter", "", "background tasks that ended by a fault", ("task",), (), "process"),
    Metric("event_loop_lag_ms", "histogram", "ms", "how late a timer of the loop wakes", (), _FAST_MS, "process"),
    Metric("disk_free_bytes", "gauge", "bytes", "free for us on the disk of the journals", (), (), "process"),
    Metric("disk_size_bytes", "gauge", "bytes", "size of the disk of the journals", (), (), "process"),
    Metric("process_cpu_seconds", "counter", "s", "processor time spent, user and system", (), (), "process"),
    Metric("process_resident_memory_bytes", "gauge", "bytes", "resident memory", (), (), "process"),
    Metric("process_virtual_memory_bytes", "gauge", "bytes", "address space", (), (), "process"),
    Metric("process_open_fds", "gauge", "", "open descriptors", (), (), "process"),
    Metric("process_max_fds", "gauge", "", "descriptors that may be open", (), (), "process"),
    Metric("process_start_time_seconds", "gauge", "s", "when the process began, UTC", (), (), "process"),
)
METRICS: Final = (*_LINE, *_DESK, *_EXCHANGE, *_ROLLOUT, *_JOURNAL, *_CONSUMERS, *_PROCESS)
BOUNDS: Final = {metric.name: metric.buckets for metric in METRICS if metric.kind == "histogram"}

RESEARCH_METRICS: Final = (
    Metric("feature_shift_ks", "gauge", "0 to 1", "raw KS distance of a feature, live against training", ("feature",)),
    Metric(
        "feature_shift", "gauge", "0 to 1", "the same with the tolerance as slack: what counts as shift", ("feature",)
    ),
    Metric(
        "feature_drifted", "gauge", "0 or 1", "whether the shift is beyond chance and beyond the floor", ("feature",)
    ),
    Metric("drift_watched", "gauge", "1", "the symbol whose drift research watches: live.symbol"),
    Metric("drift_live_until_seconds", "gauge", "s", "newest live row that the drift report has seen, UTC"),
    Metric("failed_runs", "counter", "", "Dagster's runs that failed", ("job",), (), "process"),
)


class Meters(Protocol):
    """Where figures go while we trade; must never block."""

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Raise a counter."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add to a histogram, in its unit."""

    def merge(self, name: str, counts: Sequence[int], total: float, **labels: str) -> None:
        """Add many observations to a histogram: how many in each bucket and beyond the last, and their sum."""

    def forget(self, name: str) -> None:
        """Drop all values of a gauge, whatever their labels."""

    def before_reading(self, refresh: Callable[[], None]) -> None:
        """Call ``refresh`` whenever the figures are about to be read: it sets those that nobody needs in between."""


class Tally:
    """Observations of one histogram, sorted into its buckets here and told when the figures are read."""

    def __init__(self, meters: Meters, name: str, **labels: str) -> None:
        self._meters, self._name, self._labels = meters, name, labels
        self._bounds = BOUNDS[name]
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0
        meters.before_reading(self._tell)

    def observe(self, value: float) -> None:
        """Add one, in the histogram's unit."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def observe_all(self, values: NDArray[np.float64]) -> None:
        """Add many."""
        places = np.searchsorted(self._bounds, values)
        counts = np.bincount(places, minlength=len(self._counts)).tolist()
        self._counts = [before + count for before, count in zip(self._counts, counts, strict=True)]
        self._total += float(values.sum())

    def _tell(self) -> None:
        self._meters.merge(self._name, self._counts, self._total, **self._labels)
        self._counts, self._total = [0] * len(self._counts), 0.0
