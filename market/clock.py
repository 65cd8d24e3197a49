"""The offset between a venue's clock and ours, event by event: causal, resumable, the same code live and offline.

There is one estimate for each connection host, told apart by the number in an event's flags.
``offset`` is the floor of ``ingest_ts - exchange_ts``: the smaller of its trailing minimum, the present event
included, and a smoothed copy of that minimum. It rises slowly, falls at once, and never lies above an event,
so that ``delay_ns = ingest_ts - exchange_ts - offset + base feed latency`` is not negative and needs no clamp.
"""

from functools import cache
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.borrowing import BORROWING
from market.errors import DataError
from market.events import CONNECTION_SHIFT, CONNECTIONS, NO_VENUE_TIME, REPLAYED, SNAPSHOT, Events
from market.parameters import ClockParameters
from market.skew import SLOPE_BINS, envelope_slope

# integers, floats (places below), minima of the buckets, minima of the slope bins; a row for each connection
ClockState = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]

BUCKET_NS: Final = 100_000_000  # resolution of the trailing minimum
NOTHING: Final = np.iinfo(np.int64).max  # minimum of a bucket without a stamped message

# places in the integers
STARTED: Final = 0  # 1 once a stamped message was seen
NOW: Final = 1  # newest ingest_ts of a stamped message, ns
BUCKET: Final = 2  # number of the bucket in progress, NOW // BUCKET_NS
NEWEST: Final = 3  # minimum of the bucket in progress, ns
RECENT: Final = 4  # minimum of the closed buckets of the step window, ns
OFF_SINCE: Final = 5  # since when the step window's minimum has been off, ns; 0: it is not
BIN: Final = 6  # number of the slope bin in progress
HISTORY: Final = 7  # since when there is history without a step, ns
DELAY: Final = 8  # of the newest stamped message, ns
INTEGERS: Final = 9

# places in the floats
SMOOTHED: Final = 0  # ns at NOW
FLOOR: Final = 1  # trailing minimum of the closed buckets, ns, brought forward to the start of BUCKET
SLOPE: Final = 2  # ns of skew per ns
FLOATS: Final = 3

# places in the settings, all ns
HALFLIFE: Final = 0
BASE: Final = 1
THRESHOLD: Final = 2
RECENTLY: Final = 3
PATIENCE: Final = 4
SPAN: Final = 5


def new_clock(parameters: ClockParameters) -> ClockState:
    """A clock that has seen nothing."""
    buckets = _buckets(parameters)
    return (
        np.zeros((CONNECTIONS, INTEGERS), np.int64),
        np.zeros((CONNECTIONS, FLOATS), np.float64),
        np.full((CONNECTIONS, buckets), NOTHING, np.int64),
        np.full((CONNECTIONS, SLOPE_BINS), NOTHING, np.int64),
    )


def align(state: ClockState, parameters: ClockParameters, events: Events) -> None:
    """Fill delay_ns, offset_ns and clock_error_us of ``events`` in place, in array order; moves ``state`` on.

    Snapshots came over another connection and REPLAYED events waited for one: neither feeds the
    clock. An event without a venue time takes the delay of its connection's newest stamped message,
    and the base feed latency before there was one.

    Raises DataError if ``state`` was made for another window.
    """
    require_window(state, parameters)
    align_events(state, settings_of(parameters), events)


def require_window(state: ClockState, parameters: ClockParameters) -> None:
    """Raise DataError unless the state was made for the window of these parameters."""
    expected, found = (CONNECTIONS, _buckets(parameters)), state[2].shape
    if found != expected:
        raise DataError(
            f"the clock's state holds {found} minima, by connection; window_s={parameters.window_s} needs {expected}"
        )


def _buckets(parameters: ClockParameters) -> int:
    return max(1, round(parameters.window_s * 1e9) // BUCKET_NS)


@cache
def settings_of(parameters: ClockParameters) -> NDArray[np.int64]:
    """The parameters as ``align_events`` reads them."""
    seconds = (  # in the order of the places above
        parameters.halflife_s,
        parameters.base_feed_latency_ms / 1e3,
        parameters.step_threshold_ms / 1e3,
        parameters.step_minimum_s,
        parameters.step_patience_s,
        parameters.slope_window_s,
    )
    return np.array([round(value * 1e9) for value in seconds], dtype=np.int64)


@njit(**BORROWING)
def align_events(state, settings, events):
    """As ``align`` with ``settings_of`` its parameters, by a state that is known to fit them."""
    for i in range(events.size):
        connection = (events[i].flags >> CONNECTION_SHIFT) & (CONNECTIONS - 1)
        own = (state[0][connection], state[1][connection], state[2][connection], state[3][connection])
        _align_event(own, settings, events[i])


@njit(**BORROWING)
def _align_event(state, settings, event):
    integers, base = state[0], settings[BASE]
    stamped = not event.flags & NO_VENUE_TIME
    difference = event.ingest_ts - event.exchange_ts
    if stamped and event.kind != SNAPSHOT and not event.flags & REPLAYED:
        _observe(state, settings, event.ingest_ts, difference)
        integers[DELAY] = difference - offset_ns(state) + base
    if integers[STARTED] == 0:
        event.delay_ns = base
        return
    offset = offset_ns(state)
    event.offset_ns = offset
    event.delay_ns = difference - offset + base if stamped else integers[DELAY]
    event.clock_error_us = _error_us(state, settings)


@njit(**BORROWING)
def offset_ns(state):
    """Exchange-to-local offset in force, ns."""
    return np.int64(np.floor(state[1][SMOOTHED]))


@njit(**BORROWING)
def _observe(state, settings, ingest_ts, difference):
    """Take in one stamped message."""
    integers, _, _, bins = state
    if integers[STARTED] == 0:
        _restart(state, ingest_ts, difference)
    now = max(ingest_ts, integers[NOW])
    if now // BUCKET_NS > integers[BUCKET]:
        _close_bucket(state, settings, now)
    elapsed = now - integers[NOW]
    integers[NOW] = now
    integers[NEWEST] = min(integers[NEWEST], difference)
    bins[integers[BIN] % SLOPE_BINS] = min(bins[integers[BIN] % SLOPE_BINS], difference)
    _follow(state, settings, now, elapsed)
    _watch_for_step(state, settings, now, elapsed)


@njit(**BORROWING)
def _restart(state, ingest_ts, difference):
    """Forget the past: the first message, or a step."""
    integers, floats, buckets, _ = state
    buckets[:] = NOTHING
    integers[STARTED] = 1
    integers[NOW] = ingest_ts
    integers[BUCKET] = ingest_ts // BUCKET_NS
    integers[NEWEST] = difference
    integers[RECENT] = NOTHING
    integers[OFF_SINCE] = 0
    floats[SMOOTHED] = difference
    floats[FLOOR] = np.inf
    _forget_skew(state, ingest_ts)


@njit(**BORROWING)
def _forget_skew(state, ingest_ts):
    integers, floats, _, bins = state
    bins[:] = NOTHING
    integers[HISTORY] = ingest_ts
    integers[BIN] = 0
    floats[SLOPE] = 0.0


@njit(**BORROWING)
def _close_bucket(state, settings, now):
    """Keep the finished bucket's minimum and gather the trailing minima anew, skew taken out."""
    integers, floats, buckets, _ = state
    number, size = now // BUCKET_NS, buckets.size
    buckets[integers[BUCKET] % size] = integers[NEWEST]
    for skipped in range(integers[BUCKET] + 1, min(number, integers[BUCKET] + 1 + size)):
        buckets[skipped % size] = NOTHING
    buckets[number % size] = NOTHING
    _close_bin(state, settings, now)
    floats[FLOOR] = np.inf
    integers[RECENT] = NOTHING
    recent = settings[RECENTLY] // BUCKET_NS  # buckets
    for age in range(1, size):
        minimum = buckets[(number - age) % size]
        if minimum == NOTHING:
            continue
        floats[FLOOR] = min(floats[FLOOR], minimum + floats[SLOPE] * (age * BUCKET_NS))
        if age <= recent:
            integers[RECENT] = min(integers[RECENT], minimum)
    integers[BUCKET] = number
    integers[NEWEST] = NOTHING


@njit(**BORROWING)
def _close_bin(state, settings, now):
    """Once a slope bin is full, read the skew from all of them, if they span the slope window."""
    integers, floats, _, bins = state
    span = settings[SPAN]
    number = (now - integers[HISTORY]) // (span // SLOPE_BINS)
    if number == integers[BIN]:
        return
    if now - integers[HISTORY] >= span:
        floats[SLOPE] = envelope_slope(bins, integers[BIN], span // SLOPE_BINS)
    for skipped in range(integers[BIN] + 1, min(number, integers[BIN] + SLOPE_BINS) + 1):
        bins[skipped % SLOPE_BINS] = NOTHING
    bins[number % SLOPE_BINS] = NOTHING
    integers[BIN] = number


@njit(**BORROWING)
def _follow(state, settings, now, elapsed):
    """Move the smoothed floor: up with its half-life, down at once."""
    integers, floats = state[0], state[1]
    carried = floats[SMOOTHED] + floats[SLOPE] * elapsed
    floor = min(floats[FLOOR] + floats[SLOPE] * (now - integers[BUCKET] * BUCKET_NS), np.float64(integers[NEWEST]))
    if carried - floor > settings[THRESHOLD]:
        _forget_skew(state, now)
    risen = carried + (1.0 - 2.0 ** (-elapsed / settings[HALFLIFE])) * (floor - carried)
    floats[SMOOTHED] = min(risen, floor)


@njit(**BORROWING)
def _watch_for_step(state, settings, now, elapsed):
    """Start over where the step window's minimum has stayed off for as long as a step must."""
    integers, floats = state[0], state[1]
    lowest = min(integers[RECENT], integers[NEWEST])
    if lowest - floats[SMOOTHED] <= settings[THRESHOLD] or elapsed > settings[RECENTLY]:
        integers[OFF_SINCE] = 0
    elif integers[OFF_SINCE] == 0:
        integers[OFF_SINCE] = now
    elif now - integers[OFF_SINCE] >= settings[PATIENCE]:
        _restart(state, now, lowest)


@njit(**BORROWING)
def _error_us(state, settings):
    """How far the step window's minimum lies above the offset; at least a step's threshold at first, microseconds."""
    integers = state[0]
    above = min(integers[RECENT], integers[NEWEST]) - offset_ns(state)
    if integers[NOW] - integers[HISTORY] < settings[RECENTLY]:
        above = max(above, settings[THRESHOLD])
    return np.uint32(min(max(above, 0) // 1_000, np.iinfo(np.uint32).max))
