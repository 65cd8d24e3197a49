"""Messages whose delays and clock offsets are planted, for the tests of the clock."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.clock import align, new_clock
from market.events import TRADE, Events, empty_events
from market.parameters import ClockParameters
from tests.builders_market import CLOCK

START: Final = 1_723_161_600_000_000_000
SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
OFFSET: Final = -1_270 * MS  # planted: local minus venue clock, plus the fastest message's way


def received(sent: NDArray[np.int64], differences: NDArray[np.int64]) -> Events:
    """Trades in the order of arrival, of which each arrives ``difference`` behind its venue stamp."""
    events = empty_events(sent.size)
    events["kind"], events["exchange_ts"] = TRADE, sent
    events["ingest_ts"] = np.maximum.accumulate(sent + differences)
    return events


def planted(
    seconds: int, seed: int, skew_ppm: float = 0.0, rate: int = 40, offset: int = OFFSET
) -> tuple[Events, NDArray[np.float64]]:
    """Messages with exponential delays of 3 ms on a drifting clock, and the true offset at each."""
    rng = np.random.default_rng(seed)
    sent = np.sort(rng.integers(START, START + seconds * SECOND, seconds * rate))
    true = offset + (sent - START) * skew_ppm * 1e-6
    return received(sent, np.rint(true + rng.exponential(3 * MS, sent.size)).astype(np.int64)), true


def aligned(events: Events, parameters: ClockParameters = CLOCK) -> Events:
    """The events, aligned in place by a new clock."""
    align(new_clock(parameters), parameters, events)
    return events


def error_ms(events: Events, true: NDArray[np.float64], after_s: float) -> NDArray[np.float64]:
    """Distance of the estimate from the truth, from ``after_s`` on."""
    late = events["ingest_ts"] > events["ingest_ts"][0] + after_s * SECOND
    return np.abs(events["offset_ns"] - true)[late] / MS
