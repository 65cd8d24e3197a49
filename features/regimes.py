"""Which kind of market a row lies in: range, trend or high volatility; causal, resumable, with hysteresis.

Once a second the mid is sampled. The efficiency ratio of the last ``span_s`` (how far the mid got, of the way that it
went) tells a trend from a range; a realised volatility high among its own trailing values outranks both. A regime is
entered at one threshold and left at a lower one, so that it does not flicker.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.normalizer import insert_sorted, rank_sorted, replace_sorted
from features.parameters import RegimeParameters
from market.errors import DataError

UNKNOWN: Final = 0  # too little history
RANGE: Final = 1
TREND: Final = 2
HIGH_VOLATILITY: Final = 3
REGIME_NAMES: Final = {UNKNOWN: "unknown", RANGE: "range", TREND: "trend", HIGH_VOLATILITY: "high volatility"}

SAMPLE_NS: Final = 1_000_000_000
LONGEST_HOLE: Final = 5  # samples without a valid row after which the mids start anew

# places in the integers of a state
NEXT: Final = 0  # ns of the next sample; 0 before the first row
MIDS: Final = 1  # mids held
SEEN: Final = 2  # mids ever taken
VOLATILITIES: Final = 3  # volatilities ever taken
CODE: Final = 4
MISSED: Final = 5  # samples in a row without a valid mid
INTEGERS: Final = 6

# places in the settings
SPAN: Final = 0  # samples
LEAST: Final = 1  # volatilities before one can be called high
TREND_IN: Final = 2
TREND_OUT: Final = 3
HIGH_IN: Final = 4
HIGH_OUT: Final = 5


class RegimeState(NamedTuple):
    """What the next row's regime depends on."""

    integers: NDArray[np.int64]
    settings: NDArray[np.float64]
    mids: NDArray[np.float64]  # (span + 1,), a ring, log of the mid
    arrived: NDArray[np.float32]  # (memory,), a ring of volatilities
    ordered: NDArray[np.float32]  # (memory,), the same, sorted


def new_regime(parameters: RegimeParameters) -> RegimeState:
    """The state before any row."""
    thresholds = (parameters.trend_enter, parameters.trend_leave, parameters.high_enter, parameters.high_leave)
    return RegimeState(
        np.zeros(INTEGERS, np.int64),
        np.array([parameters.span_s, parameters.least_s, *thresholds], np.float64),
        np.zeros(parameters.span_s + 1, np.float64),
        np.zeros(parameters.memory_s, np.float32),
        np.zeros(parameters.memory_s, np.float32),
    )


def regimes(state: RegimeState, row_ts: NDArray[np.int64], mid2: NDArray[np.int64]) -> NDArray[np.int8]:
    """The regime of each row, a key of REGIME_NAMES; moves ``state`` on.

    row_ts : (N,) ns, rising
    mid2 : (N,) best bid + best ask in ticks, 0 where the row is not valid
    Raises DataError if the two differ in length.
    """
    if row_ts.shape != mid2.shape:
        raise DataError(f"{row_ts.size} stamps and {mid2.size} mids are not of the same rows")
    codes = np.empty(row_ts.size, np.int8)
    _advance(state, np.require(row_ts, requirements=["C", "W"]), np.require(mid2, requirements=["C", "W"]), codes)
    return codes


def spells(codes: NDArray[np.int8], row_interval_ms: int) -> dict[str, tuple[float, float]]:
    """For each regime: its share of the rows that are not unknown, and its mean duration in s.

    >>> spells(np.array([0, 1, 1, 2, 1], np.int8), 1_000)["range"]
    (0.75, 1.5)
    """
    starts = np.flatnonzero(np.diff(codes, prepend=np.int8(-1)))
    lengths = np.diff(np.append(starts, codes.size)) * row_interval_ms / 1e3
    known = max(1, int(np.count_nonzero(codes != UNKNOWN)))
    found = {}
    for code, name in REGIME_NAMES.items():
        if code != UNKNOWN:
            of_code = lengths[codes[starts] == code]
            found[name] = (
                float(np.count_nonzero(codes == code)) / known,
                float(of_code.mean()) if of_code.size else 0.0,
            )
    return found


@njit(cache=True)
def _advance(state, row_ts, mid2, codes):
    integers = state.integers
    for row in range(row_ts.size):
        if integers[NEXT] == 0:
            integers[NEXT] = (row_ts[row] + SAMPLE_NS - 1) // SAMPLE_NS * SAMPLE_NS
        if row_ts[row] >= integers[NEXT]:
            passed = (row_ts[row] - integers[NEXT]) // SAMPLE_NS
            integers[MISSED] += passed
            integers[NEXT] += (passed + 1) * SAMPLE_NS
            _sample(state, mid2[row])
        codes[row] = integers[CODE]


@njit(cache=True)
def _sample(state, mid2):
    integers, settings, mids = state.integers, state.settings, state.mids
    integers[MISSED] += mid2 == 0
    if integers[MISSED] > LONGEST_HOLE:
        integers[MIDS] = 0
        integers[CODE] = UNKNOWN
    if mid2 == 0:
        return
    integers[MISSED] = 0
    mids[integers[SEEN] % mids.size] = math.log(mid2)
    integers[SEEN] += 1
    integers[MIDS] = min(integers[MIDS] + 1, mids.size)
    if integers[MIDS] < mids.size:
        return
    efficiency, volatility = _measure(mids, integers[SEEN])
    high = _rank(state, volatility)
    if integers[VOLATILITIES] >= settings[LEAST]:
        integers[CODE] = _decide(integers[CODE], settings, efficiency, high)


@njit(cache=True)
def _measure(mids, seen):
    """Efficiency ratio in [0, 1] and root of the sum of squared returns of the mids in the ring, oldest first."""
    size, way, squares = mids.size, 0.0, 0.0
    for place in range(seen - size + 1, seen):
        move = mids[place % size] - mids[(place - 1) % size]
        way += abs(move)
        squares += move * move
    net = abs(mids[(seen - 1) % size] - mids[(seen - size) % size])
    return (net / way if way > 0 else 0.0), math.sqrt(squares)


@njit(cache=True)
def _rank(state, volatility):
    """Share of the trailing volatilities below this one, ties counted half; it joins them afterwards."""
    integers, arrived, ordered = state.integers, state.arrived, state.ordered
    value, capacity, taken = np.float32(volatility), arrived.size, integers[VOLATILITIES]
    count = min(taken, capacity)
    share = 0.5 * (rank_sorted(ordered, count, value) + 1.0) if count > 0 else 0.5
    if taken >= capacity:
        replace_sorted(ordered, count, arrived[taken % capacity], value)
    else:
        insert_sorted(ordered, count, value)
    arrived[taken % capacity] = value
    integers[VOLATILITIES] = taken + 1
    return share


@njit(cache=True)
def _decide(code, settings, efficiency, high):
    if high >= settings[HIGH_IN] or (code == HIGH_VOLATILITY and high >= settings[HIGH_OUT]):
        return HIGH_VOLATILITY
    if efficiency >= settings[TREND_IN] or (code == TREND and efficiency >= settings[TREND_OUT]):
        return TREND
    return RANGE
