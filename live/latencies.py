"""How long decisions take, from the three clocks that the journal holds: live in the runner, or of a journal."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.gathering import Gathering
from live.replay import decision_of
from storage.journal import DECISION, read_journal
from trading.records import DECISION as DECISION_RECORD

REMEMBERED: Final = 65_536  # decisions
PERCENTILES: Final = (50, 95, 99)


class Latencies:
    """The newest decisions of a desk: from its row's instant to the decision, and how old the newest event was."""

    def __init__(self) -> None:
        self._ms = np.zeros((REMEMBERED, 2))
        self._count = 0
        self._waiting = Gathering(self._take_in)  # records that are not in the table yet

    def note(self, record: NDArray[np.void]) -> None:
        """One decision, which costs an append; many are taken in at once.

        record : DECISION, shape (1,)
        """
        self._waiting.note(record.tobytes())

    def _take_in(self, records: list[bytes]) -> None:
        self._ms[(self._count + np.arange(len(records))) % REMEMBERED] = _ms_of(records)
        self._count += len(records)

    def summary(self) -> dict[str, dict[str, float]]:
        """Percentiles of ``batch_to_decision_ms`` and ``ingest_lag_ms`` over the newest decisions, JSON-able."""
        self._waiting.flush()
        return summary_of(self._ms[: min(self._count, REMEMBERED)])


def journal_latencies(folder: Path, desk: int) -> dict[str, dict[str, float]]:
    """The same of every decision of a desk in a journal, in the journal's own time."""
    ours = (record.payload for record in read_journal(folder) if record.kind == DECISION and record.place == desk)
    return summary_of(_ms_of([decision_of(payload).record.tobytes() for payload in ours]))


def _ms_of(records: list[bytes]) -> NDArray[np.float64]:
    found = np.frombuffer(b"".join(records), DECISION_RECORD)
    return np.column_stack([found["infer_ts"] - found["row_ts"], found["delay_ns"]]) / 1e6


def summary_of(ms: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Percentiles of both columns, shape (decisions, 2); without a decision there are none, only the count."""
    names = ("batch_to_decision_ms", "ingest_lag_ms")
    if not len(ms):
        return {name: {"count": 0} for name in names}
    table = np.percentile(ms, PERCENTILES, axis=0)
    return {
        name: {"count": len(ms)} | {f"p{p}": round(float(table[row, column]), 4) for row, p in enumerate(PERCENTILES)}
        for column, name in enumerate(names)
    }


def in_words(symbol: str, desk: str, summary: dict[str, dict[str, float]]) -> str:
    """The line that a runner ends with."""
    if not summary["batch_to_decision_ms"]["count"]:
        return f"{symbol}, {desk}: no decision"
    lag, ingest = ([part[f"p{p}"] for p in PERCENTILES] for part in summary.values())
    p50, p95, p99 = (f"{value:.3f}" for value in lag)
    words = f"close to decision p50 {p50} ms, p95 {p95} ms, p99 {p99} ms"
    count = int(summary["batch_to_decision_ms"]["count"])
    return f"{symbol}, {desk}: {words}; ingest lag p95 {ingest[1]:.1f} ms; {count} decisions"
