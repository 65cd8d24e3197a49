"""How long decisions take, from the three clocks that the journal holds: live in the runner, or of a journal."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.replay import decision_of
from storage.journal import DECISION, read_journal
from trading.records import DECISION as DECISION_RECORD

REMEMBERED: Final = 65_536  # decisions
GATHERED: Final = 256  # decisions, before they are taken in together
PERCENTILES: Final = (50, 95, 99)


class Latencies:
    """The newest decisions of a desk: from its row's instant to the decision, and how old the newest event was."""

    def __init__(self) -> None:
        self._ms = np.zeros((REMEMBERED, 2))
        self._count = 0
        self._waiting: list[bytes] = []  # records that are not in the table yet

    def note(self, record: NDArray[np.void]) -> None:
        """One decision, which costs an append; many are taken in at once.

        record : DECISION, shape (1,)
        """
        self._waiting.append(record.tobytes())
        if len(self._waiting) >= GATHERED:
            self._take_in()

    def _take_in(self) -> None:
        if not self._waiting:
            return
        records = np.frombuffer(b"".join(self._waiting), DECISION_RECORD)
        places = (self._count + np.arange(records.size)) % REMEMBERED
        self._ms[places, 0] = (records["infer_ts"] - records["row_ts"]) / 1e6
        self._ms[places, 1] = records["delay_ns"] / 1e6
        self._count += records.size
        self._waiting.clear()

    def summary(self) -> dict[str, dict[str, float]]:
        """Percentiles of ``batch_to_decision_ms`` and ``ingest_lag_ms`` over the newest decisions, JSON-able."""
        self._take_in()
        return summary_of(self._ms[: min(self._count, REMEMBERED)])


def journal_latencies(folder: Path, desk: int) -> dict[str, dict[str, float]]:
    """The same of every decision of a desk in a journal, in the journal's own time."""
    found = [decision_of(r.payload).record[0] for r in read_journal(folder) if r.kind == DECISION and r.place == desk]
    ms = [((int(r["infer_ts"]) - int(r["row_ts"])) / 1e6, int(r["delay_ns"]) / 1e6) for r in found]
    return summary_of(np.array(ms).reshape(-1, 2))


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
