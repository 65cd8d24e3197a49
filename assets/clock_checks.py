"""Checks of aligned events: messages are not late, none before it was sent, and the clock knew what it said."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.checks import Fact, Verdict, day_start, feeds_clock
from assets.plots import line_chart, markdown_table
from assets.time_slots import SLOT_NS, SLOTS, DelayHistogram, chart_of_counts, covered, slots_of
from market.events import Events, connection_of

LAG_P95_LIMIT_MS: Final = 300.0
SETTLING_NS: Final = 60_000_000_000  # a cold clock may still be off in its first minute
CLOCK_ERROR_LIMIT_MS: Final = (
    50.0  # an event whose clock may be off by more is unsure; the dev clock's step_threshold_ms
)
UNSURE_SHARE_LIMIT: Final = 0.02  # of the settled events; 0.004 on the roughest real capture that we hold
OFFSET_STEPS_LIMIT: Final = 12  # a day; each leaves some seven seconds of wrong delays


class IngestLag:
    """The 95th percentile of ``delay_ms`` over the events with a fresh venue stamp is below 300."""

    def __init__(self, date: str) -> None:
        self.histogram = DelayHistogram(date)

    def add(self, events: Events) -> None:
        """Count the delays; see EventCheck."""
        self.histogram.add(events[feeds_clock(events)])

    def verdict(self) -> Verdict:
        """See EventCheck."""
        p50, p95, p999 = (self.histogram.percentile_ms(percent) for percent in (50.0, 95.0, 99.9))
        stamps, (middle, tail) = self.histogram.over_time((50.0, 95.0))
        table = markdown_table(("p50, ms", "p95, ms", "p99.9, ms", "events"), [(p50, p95, p999, self.histogram.count)])
        chart = line_chart("delay, ms", stamps, {"p50": middle, "p95": tail}, LAG_P95_LIMIT_MS)
        facts: dict[str, Fact] = {"p95_ms": p95, "p50_ms": p50, "p999_ms": p999}
        return Verdict("ingest_lag_p95", p95 < LAG_P95_LIMIT_MS, facts, {"delays": f"{table}\n\n{chart}"})


class NegativeDelays:
    """No message arrived before it was sent; a cold clock has a minute to settle."""

    def __init__(self, date: str, cold_start: bool) -> None:
        self._settling, self._date = Settling(cold_start), date
        self._judged = self._negative = self._worst_ns = 0
        self._slots = np.zeros(SLOTS, np.int64)

    def add(self, events: Events) -> None:
        """Count the delays below 0; see EventCheck."""
        settled = self._settling.settled(events)
        early = settled[settled["delay_ns"] < 0]
        self._judged += settled.size
        self._negative += early.size
        self._worst_ns = min(self._worst_ns, int(early["delay_ns"].min(initial=0)))
        self._slots += np.bincount(slots_of(early, self._date), minlength=SLOTS)

    def verdict(self) -> Verdict:
        """See EventCheck."""
        facts: dict[str, Fact] = {
            "negative": self._negative,
            "judged": self._judged,
            "worst_ms": self._worst_ns / 1e6,
        }
        chart = chart_of_counts("events with a negative delay per second", self._date, self._slots)
        return Verdict("negative_delays", self._negative == 0, facts, {"negative_over_time": chart})


class ClockQuality:
    """Hardly any settled event's clock may be off by more than 50 ms, and the offset rarely jumps by that much.

    A jump is counted between successive events of one connection host, each of which has an offset of its own.
    """

    def __init__(self, date: str, cold_start: bool) -> None:
        self._settling, self._date = Settling(cold_start), date
        self._judged = self._unsure = self._steps = self._worst_us = 0
        self._newest: dict[int, int] = {}  # offset by connection, ns
        self._offsets: dict[int, NDArray[np.float64]] = {}  # newest of each slot by connection, ms
        self._errors = np.full(SLOTS, np.nan)  # largest of each slot, ms

    def add(self, events: Events) -> None:
        """Follow offset and error; see EventCheck."""
        settled = self._settling.settled(events)
        if not settled.size:
            return
        errors_us = settled["clock_error_us"]
        self._judged += settled.size
        self._unsure += int(np.count_nonzero(errors_us > CLOCK_ERROR_LIMIT_MS * 1e3))
        self._worst_us = max(self._worst_us, int(errors_us.max()))
        np.fmax.at(self._errors, slots_of(settled, self._date), errors_us / 1e3)
        connections = connection_of(settled["flags"])
        for connection in np.unique(connections):
            self._follow(int(connection), settled[connections == connection])

    def verdict(self) -> Verdict:
        """See EventCheck."""
        share = self._unsure / self._judged if self._judged else 0.0
        facts: dict[str, Fact] = {
            "judged": self._judged,
            "unsure_share": share,
            "worst_error_ms": self._worst_us / 1e3,
            "offset_steps": self._steps,
            "connections": len(self._offsets),
        }
        holds = share <= UNSURE_SHARE_LIMIT and self._steps <= OFFSET_STEPS_LIMIT
        return Verdict("clock_quality", holds, facts, {"clock": f"{self._offset_chart()}\n\n{self._error_chart()}"})

    def _follow(self, connection: int, events: Events) -> None:
        offsets = events["offset_ns"]
        jumps = np.abs(np.diff(offsets, prepend=self._newest.get(connection, offsets[0])))
        self._steps += int(np.count_nonzero(jumps > CLOCK_ERROR_LIMIT_MS * 1e6))
        self._newest[connection] = int(offsets[-1])
        slots = self._offsets.setdefault(connection, np.full(SLOTS, np.nan))
        slots[slots_of(events, self._date)] = offsets / 1e6

    def _offset_chart(self) -> str:
        starts, group = self._covered()
        lines = {
            f"host {connection}": np.fmax.reduceat(slots[: starts[-1] + group], starts)
            for connection, slots in sorted(self._offsets.items())
        }
        return line_chart("clock offset, ms", day_start(self._date) + starts * SLOT_NS, lines)

    def _error_chart(self) -> str:
        starts, group = self._covered()
        lines = {"largest": np.fmax.reduceat(self._errors[: starts[-1] + group], starts)} if starts.size else {}
        stamps = day_start(self._date) + starts * SLOT_NS
        return line_chart("what the clock may be off by, ms", stamps, lines, CLOCK_ERROR_LIMIT_MS)

    def _covered(self) -> tuple[NDArray[np.int64], int]:
        return covered(np.isfinite(self._errors).astype(np.int64))


class Settling:
    """Picks the events that bear a fresh venue stamp, after the minute that a cold clock takes to settle."""

    def __init__(self, cold_start: bool) -> None:
        self._cold_start = cold_start
        self._from: int | None = None

    def settled(self, events: Events) -> Events:
        """Those of the next events that may be judged."""
        stamped = events[feeds_clock(events)]
        if self._from is None and stamped.size:
            self._from = int(stamped["ingest_ts"][0]) + SETTLING_NS * self._cold_start
        return stamped[stamped["ingest_ts"] >= (self._from or 0)]
