"""The one compiled step: events in, rows out. ``features/batch.py`` and ``features/stream.py`` only drive it."""

import numpy as np
from numba import njit

from features import layout, normalizer
from features.catalogue import (
    BOOK_CLOSED,
    CROSSED,
    LATE_FUNDING,
    NO_LEADER,
    ONE_SIDED,
    SILENT,
    VALID,
    WARMING_UP,
    catalogue,
)
from features.intake import absorb, begin, bucket_at, follow, seal
from features.layout import BUCKET_NS, CLOCK, NEWEST_EVENT, NEXT_ROW, OPEN_SINCE, State
from features.measure import (
    BURST_COLUMN,
    INSTANT_COLUMNS,
    VOLUME_COLUMN,
    WINDOW_COLUMNS,
    measure,
    silent_leader,
    stale_funding,
)
from features.parameters import WINDOW_COUNT, FeatureParameters
from features.sessions import session_table
from market import book as books
from market.book import ASK, BEST_ASK, BEST_BID, BID, new_book
from market.units import NS_PER_MS

LEAST_BURST = 0.5  # log lots: volumes that hardly vary make no burst of a trade more
BASE_COLUMNS = INSTANT_COLUMNS + WINDOW_COUNT * WINDOW_COLUMNS  # without a leader
_CODES = {"none": normalizer.NONE, "median_mad": normalizer.MEDIAN_MAD, "rank": normalizer.RANK}
_START = np.int64(0)  # typed, as numba compiles a function again for every literal that it is handed


def new_state(parameters: FeatureParameters) -> State:
    """The state before any event: an empty, closed book and no history."""
    buckets = 1 << (parameters.windows_ms[-1] * NS_PER_MS // BUCKET_NS + 1).bit_length()
    count = len(catalogue(parameters))
    scales = np.zeros((count, layout.SCALES), np.float64)
    scales[:, [layout.FLOOR, layout.BOUND]] = limits(parameters)
    return (
        *new_book(),
        np.zeros(CLOCK, np.int64),
        np.zeros((buckets, layout.TOTALS), np.int64),
        plan(parameters),
        np.zeros((2, count, parameters.normalizer_samples), np.float32),
        scales,
    )


def plan(parameters: FeatureParameters) -> layout.Ints:
    """The settings as the compiled step reads them."""
    times_ms = (parameters.row_interval_ms, parameters.normalizer_sample_ms, parameters.max_silence_ms)
    settings = [
        *(time_ms * NS_PER_MS for time_ms in times_ms),
        parameters.normalizer_min_samples,
        parameters.max_funding_age_s * 1_000 * NS_PER_MS,
        round(parameters.liquidation_reach_bp * 100),
        round(parameters.liquidation_halflife_s * 1e9),
        round(parameters.burst_deviations * 1_000),
        parameters.session_flag_minutes * 60,
        parameters.phase_ms * NS_PER_MS,
        *(window_ms * NS_PER_MS // BUCKET_NS for window_ms in parameters.windows_ms),
        *(_CODES[feature.normalization] for feature in catalogue(parameters)),
    ]
    return np.concatenate((np.array(settings, np.int64), session_table(parameters.sessions.values())))


def limits(parameters: FeatureParameters) -> layout.Floats:
    """Least deviation and largest absolute value of each feature, shape (features, 2)."""
    features = catalogue(parameters)
    return np.array([(feature.floor, feature.bound(parameters)) for feature in features], np.float64)


@njit(cache=True)
def _status(state, row_ts):
    head, clock, plan = state[2], state[3], state[5]
    if head[books.VALID] == 0:
        return BOOK_CLOSED
    if head[BEST_BID] == 0 or head[BEST_ASK] == 0:
        return ONE_SIDED
    if head[BEST_BID] >= head[BEST_ASK]:
        return CROSSED
    if row_ts - clock[NEWEST_EVENT] > plan[layout.SILENCE]:
        if clock[OPEN_SINCE] != 0:
            clock[OPEN_SINCE] = row_ts  # windows that reach into the silence are not whole either
        return SILENT
    longest_ns = plan[layout.WINDOWS + WINDOW_COUNT - 1] * BUCKET_NS
    if clock[OPEN_SINCE] == 0 or row_ts - clock[OPEN_SINCE] < longest_ns:
        return WARMING_UP
    if stale_funding(state, row_ts):
        return LATE_FUNDING
    if state[7].shape[0] > BASE_COLUMNS and silent_leader(state, row_ts):
        return NO_LEADER
    return VALID


@njit(cache=True)
def _is_burst(state, raw):
    """1 where the volume of the longest window lies far above its trailing median, else 0."""
    column = BASE_COLUMNS - WINDOW_COLUMNS + VOLUME_COLUMN
    above = raw[column] - state[7][column, layout.MEDIAN]
    deviation = max(state[7][column, layout.DEVIATION], LEAST_BURST)
    return 1.0 if above * 1_000 >= state[5][layout.BURST] * deviation else 0.0


@njit(cache=True)
def _normalize(state, raw, values):
    clock, plan, history, scales = state[3], state[5], state[6], state[7]
    count = min(clock[layout.SAMPLES], history.shape[2])
    for column in range(raw.size):
        code = plan[layout.NORMALIZATIONS + column]
        if code == normalizer.MEDIAN_MAD:
            median, deviation = scales[column, layout.MEDIAN], scales[column, layout.DEVIATION]
            bound = scales[column, layout.BOUND]
            values[column] = normalizer.clipped_score(raw[column], median, deviation, bound)
        elif code == normalizer.RANK:
            values[column] = normalizer.rank_sorted(history[layout.SORTED, column], count, raw[column])
        else:
            values[column] = raw[column]


@njit(cache=True)
def _remember(state, raw):
    """Take one sample of every feature into the trailing window, the oldest leaving, and refresh the scales."""
    clock, history, scales = state[3], state[6], state[7]
    capacity = history.shape[2]
    slot, full = clock[layout.SAMPLES] % capacity, clock[layout.SAMPLES] >= capacity
    clock[layout.SAMPLES] += 1
    count = min(clock[layout.SAMPLES], capacity)
    for column in range(raw.size):
        arrived, ordered = history[layout.ARRIVED, column], history[layout.SORTED, column]
        if full:
            normalizer.replace_sorted(ordered, count, arrived[slot], raw[column])
        else:
            normalizer.insert_sorted(ordered, count - 1, raw[column])
        arrived[slot] = raw[column]
        median = normalizer.median_sorted(ordered, count)
        deviation = normalizer.MAD_TO_SIGMA * normalizer.deviation_sorted(ordered, count, median)
        scales[column, layout.MEDIAN] = median
        scales[column, layout.DEVIATION] = max(deviation, scales[column, layout.FLOOR])


@njit(cache=True)
def emit(state, row_ts, raw, values):
    """Close the row at ``row_ts``, write its raw and its normalised features, and return its status.

    On a row that is not valid every feature is 0. The row joins the normaliser's sample after
    it has been normalised, never before.
    """
    clock, plan = state[3], state[5]
    seal(clock, state[4], bucket_at(clock, row_ts))
    clock[NEXT_ROW] = row_ts + plan[layout.ROW]
    status = _status(state, row_ts)
    if status == VALID:
        measure(state, row_ts, raw)
        if clock[layout.SAMPLES] >= plan[layout.MIN_SAMPLES]:
            raw[BURST_COLUMN] = _is_burst(state, raw)
            _normalize(state, raw, values)
        else:
            status = WARMING_UP
        if (row_ts - plan[layout.PHASE]) % plan[layout.SAMPLE] == 0:
            _remember(state, raw)
    if status != VALID:
        raw[:] = 0.0
        values[:] = 0.0
    return status


@njit(cache=True)
def advance(state, events, until, leader, rows):
    """Step the events and close every row up to ``until``, each in its place; returns how many rows.

    ``leader`` are its rows in order: row_ts (M,), mid2 (M,), 0 where not valid, and imbalance (M,); each is
    seen by the first row at or after it. ``rows`` are the arrays to fill: row_ts (N,), status (N,),
    touch (N, 2) in ticks, raw (N, F) and values (N, F). The events must not be later than ``until``.
    """
    row_ts, status, touch, raw, values = rows
    clock, head = state[3], state[2]
    position = count = led = _START
    begin(state, events)
    while 0 < clock[NEXT_ROW] <= until:
        now = clock[NEXT_ROW]
        position = absorb(state, events, position, now)
        while led < leader[0].size and leader[0][led] <= now:
            follow(state, leader[0][led], leader[1][led], leader[2][led])
            led += 1
        row_ts[count] = now
        status[count] = emit(state, now, raw[count], values[count])
        touch[count, BID] = head[BEST_BID] * head[books.VALID]
        touch[count, ASK] = head[BEST_ASK] * head[books.VALID]
        count += 1
    absorb(state, events, position, until)
    return count
