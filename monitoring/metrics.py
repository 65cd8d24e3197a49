"""Metrics as data: name, kind, unit, labels and buckets of everything that the runner exports."""

from typing import Final, Literal, NamedTuple, Protocol

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric. Buckets are upper bounds in the metric's unit, of histograms alone."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LAG_MS: Final = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000)
_FAST_MS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)

METRICS: Final = (
    Metric("ingest_lag_ms", "histogram", "feed delay of each frame: received minus aligned venue time", (), _LAG_MS),
    Metric("infer_ms", "histogram", "own time from a closed row to its decision and orders", ("desk",), _FAST_MS),
    Metric("batch_to_decision_ms", "histogram", "instant of the row to its decision", ("desk",), _FAST_MS),
    Metric("decisions", "counter", "decisions by reason", ("desk", "reason")),
    Metric("skipped_decisions", "counter", "rows that came too late to be decided on", ("desk",)),
    Metric("orders", "counter", "orders and cancels sent", ("desk",)),
    Metric("fills", "counter", "fills reported", ("desk",)),
    Metric("trade_fill_ratio", "gauge", "lots filled of lots placed since the start, 0 to 1", ("desk",)),
    Metric("ws_gap_ratio", "gauge", "breaks of the venue's sequence and lost lines per frame since the start, 0 to 1"),
    Metric("malformed_frames", "counter", "frames that could not be read"),
    Metric("disconnects", "counter", "lost connections, and restarts"),
    Metric("refused_bundles", "counter", "pushed bundles that were refused", ("reason",)),
    Metric("deployments", "counter", "models swapped in", ("role",)),
    Metric("kills", "counter", "latched kill switches"),
    Metric("rollbacks", "counter", "swaps back to the model before", ("role",)),
    Metric("shadow_rows", "counter", "rows that champion and challenger both decided on", ("agree",)),
    Metric("journal_failures", "counter", "journals that the disk did not take: trading has ended"),
    Metric("snapshots", "counter", "states kept beside the journal, by outcome: written or failed", ("outcome",)),
    Metric("ignored_snapshots", "counter", "states that a restart passed over, damaged or of another journal or plan"),
    Metric("untold_rows", "counter", "rows for the warehouse that were dropped before they were on disk", ("table",)),
    Metric("untold_batches", "counter", "batches for the warehouse that made room for newer ones, or were damaged"),
    Metric("outbox_bytes", "gauge", "batches that wait for the warehouse"),
    Metric("hot_dropped", "gauge", "values that the hot cache did not take in time, since the start"),
    Metric("refused_requests", "counter", "requests to the pages that were refused", ("reason",)),
    Metric("connected", "gauge", "1 while the line to the venue is up"),
    Metric("pnl", "gauge", "profit since the start, settlement currency, marked at mid", ("desk",)),
    Metric("max_dd", "gauge", "deepest fall of pnl from its peak since the start, settlement currency", ("desk",)),
    Metric("position_lots", "gauge", "acknowledged position", ("desk",)),
)


class Meters(Protocol):
    """Where figures go while we trade; must never block."""

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Raise a counter."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add to a histogram, in its unit."""
