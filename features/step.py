"""The one compiled step: events in, rows out. ``features/batch.py`` and ``features/stream.py`` only drive it.

Every sum is an int64 running total recorded at the instants of a 10 ms grid: an event belongs
to the first instant at or after its ``ingest_ts``, so a window is a difference of two integers,
and no result depends on where the stream was cut. An event stamped earlier than one before it
counts from its place in the sequence.
"""

import math

import numpy as np
from numba import njit

from features import layout, normalizer
from features.catalogue import BOOK_CLOSED, CROSSED, FEATURE_COUNT, ONE_SIDED, SILENT, VALID, WARMING_UP, catalogue
from features.formulas import imbalance, log_count, microprice_deviation, share, touch_flow
from features.layout import (
    BUCKET_NS,
    CLOCK,
    DELAY,
    EVENTS,
    FIRST_EVENT,
    FLOW,
    MID2,
    NEWEST_EVENT,
    NEWEST_TRADE,
    NEXT_ROW,
    NS_PER_MS,
    OPEN_SINCE,
    SEALED,
    SIGNED,
    SQUARES,
    TOUCH,
    TRADED,
    State,
)
from features.parameters import WINDOW_COUNT, FeatureParameters
from market import book as books
from market.book import ASK, BEST_ASK, BEST_BID, BID, apply, is_open, new_book, next_level, quantity
from market.events import BBO, GAP, LAST, LEVEL, SNAPSHOT, TRADE

_CODES = {"none": normalizer.NONE, "median_mad": normalizer.MEDIAN_MAD, "rank": normalizer.RANK}
# numba compiles a function again for every literal that it is handed, but not for a typed number
_BIDS, _ASKS, _START = np.int64(BID), np.int64(ASK), np.int64(0)


def new_state(parameters: FeatureParameters) -> State:
    """The state before any event: an empty, closed book and no history."""
    buckets = 1 << (parameters.windows_ms[-1] * NS_PER_MS // BUCKET_NS + 1).bit_length()
    scales = np.zeros((FEATURE_COUNT, layout.SCALES), np.float64)
    scales[:, [layout.FLOOR, layout.BOUND]] = limits(parameters)
    return (
        *new_book(),
        np.zeros(CLOCK, np.int64),
        np.zeros((buckets, layout.TOTALS), np.int64),
        plan(parameters),
        np.zeros((2, FEATURE_COUNT, parameters.normalizer_samples), np.float32),
        scales,
    )


def plan(parameters: FeatureParameters) -> layout.Ints:
    """The settings as the compiled step reads them."""
    times_ms = (parameters.row_interval_ms, parameters.normalizer_sample_ms, parameters.max_silence_ms)
    windows = [window_ms * NS_PER_MS // BUCKET_NS for window_ms in parameters.windows_ms]
    codes = [_CODES[feature.normalization] for feature in catalogue(parameters.windows_ms)]
    settings = [*(time_ms * NS_PER_MS for time_ms in times_ms), parameters.normalizer_min_samples, *windows, *codes]
    return np.array(settings, np.int64)


def limits(parameters: FeatureParameters) -> layout.Floats:
    """Least deviation and largest absolute value of each feature, shape (features, 2)."""
    features = catalogue(parameters.windows_ms)
    return np.array([(feature.floor, feature.bound(parameters)) for feature in features], np.float64)


@njit(cache=True)
def _begin(state, events):
    """Open the first row with the first event ever."""
    clock, row_ns = state[3], state[5][layout.ROW]
    if clock[NEXT_ROW] != 0 or events.size == 0:
        return
    ts = events[0].ingest_ts
    clock[NEXT_ROW] = (ts + row_ns - 1) // row_ns * row_ns
    clock[SEALED] = (ts - 1) // BUCKET_NS
    clock[FIRST_EVENT] = ts


@njit(cache=True)
def _seal(clock, ring, instant):
    """Make the totals final up to an instant of the bucket grid; returns the place of the open totals."""
    mask = ring.shape[0] - 1
    place = (clock[SEALED] + 1) & mask
    if instant <= clock[SEALED]:
        return place
    sealed = max(clock[SEALED], instant - ring.shape[0])
    while sealed < instant:
        sealed += 1
        following = (sealed + 1) & mask
        for column in range(ring.shape[1]):
            ring[following, column] = ring[place, column]
        place = following
    clock[SEALED] = instant
    return place


@njit(cache=True)
def _observe_touch(book, clock, ring, place):
    """After a whole message: what it did to the touch, and whether the book is open at all."""
    head = book[2]
    if not is_open(book):
        clock[OPEN_SINCE] = 0
        return
    bid, ask = head[BEST_BID], head[BEST_ASK]
    bid_qty, ask_qty = quantity(book, _BIDS, bid), quantity(book, _ASKS, ask)
    if clock[OPEN_SINCE] == 0:
        clock[OPEN_SINCE] = clock[NEWEST_EVENT]
    else:
        flow = touch_flow(clock[TOUCH], clock[TOUCH + 1], bid, bid_qty)
        ring[place, FLOW] += flow - touch_flow(-clock[TOUCH + 2], clock[TOUCH + 3], -ask, ask_qty)
        move = bid + ask - ring[place, MID2]
        ring[place, SQUARES] += move * move
    ring[place, MID2] = bid + ask
    clock[TOUCH], clock[TOUCH + 1], clock[TOUCH + 2], clock[TOUCH + 3] = bid, bid_qty, ask, ask_qty


@njit(cache=True)
def step(book, clock, ring, event):
    """Take one event into the book and the running totals.

    These are the first five arrays of a state: to unpack it for each event would cost as much as the book.
    """
    ts, kind = event.ingest_ts, event.kind
    place = _seal(clock, ring, (ts - 1) // BUCKET_NS)
    ring[place, EVENTS] += 1
    clock[NEWEST_EVENT] = max(clock[NEWEST_EVENT], ts)
    clock[DELAY] = event.delay_ns
    if kind == TRADE:
        ring[place, SIGNED] += event.side * event.qty
        ring[place, TRADED] += event.qty
        clock[NEWEST_TRADE] = clock[NEWEST_EVENT]
    elif kind in (LEVEL, BBO, SNAPSHOT, GAP):
        apply(book, kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if event.flags & LAST or kind == GAP:
            _observe_touch(book, clock, ring, place)


@njit(cache=True)
def absorb(state, events, start, until):
    """Step the events from ``start`` up to the first one later than ``until``; returns its position."""
    book, clock, ring = (state[0], state[1], state[2]), state[3], state[4]
    position = start
    _begin(state, events)
    while position < events.size and events[position].ingest_ts <= until:
        step(book, clock, ring, events[position])
        position += 1
    return position


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
        return SILENT
    longest_ns = plan[layout.WINDOWS + WINDOW_COUNT - 1] * BUCKET_NS
    if clock[OPEN_SINCE] == 0 or row_ts - clock[OPEN_SINCE] < longest_ns:
        return WARMING_UP
    return VALID


@njit(cache=True)
def _depth(book, row):
    """Lots at the touch, over the best 5 and over the best 10 levels of a side."""
    touch = five = total = 0
    price = book[2][row]
    for level in range(10):
        if price == 0:
            break
        total += quantity(book, row, price)
        if level == 0:
            touch = total
        if level < 5:
            five = total
        if level < 9:
            price = next_level(book, row, price)
    return touch, five, total


@njit(cache=True)
def _measure_instant(state, row_ts, raw):
    """Write the features of the instant; returns the column after them."""
    head, clock = state[2], state[3]
    book = (state[0], state[1], head)
    bid_qty, bids_5, bids_10 = _depth(book, _BIDS)
    ask_qty, asks_5, asks_10 = _depth(book, _ASKS)
    spread_ticks = head[BEST_ASK] - head[BEST_BID]
    trade_age_ns = row_ts - max(clock[NEWEST_TRADE], clock[FIRST_EVENT])
    raw[0] = spread_ticks
    raw[1] = imbalance(bid_qty, ask_qty)
    raw[2] = imbalance(bids_5, asks_5)
    raw[3] = imbalance(bids_10, asks_10)
    raw[4] = microprice_deviation(spread_ticks, bid_qty, ask_qty)
    raw[5] = log_count(bid_qty)
    raw[6] = log_count(ask_qty)
    raw[7] = clock[DELAY] / NS_PER_MS
    raw[8] = log_count(trade_age_ns / NS_PER_MS)
    return _START + 9


@njit(cache=True)
def _measure_window(ring, now, before, raw, column):
    """Write the features of the window between two instants; returns the column after them."""
    raw[column] = ring[now, FLOW] - ring[before, FLOW]
    raw[column + 1] = share(ring[now, SIGNED] - ring[before, SIGNED], ring[now, TRADED] - ring[before, TRADED])
    raw[column + 2] = log_count(ring[now, EVENTS] - ring[before, EVENTS])
    raw[column + 3] = 0.5 * (ring[now, MID2] - ring[before, MID2])
    raw[column + 4] = 0.5 * math.sqrt(ring[now, SQUARES] - ring[before, SQUARES])
    return column + 5


@njit(cache=True)
def _measure(state, row_ts, raw):
    ring, plan = state[4], state[5]
    mask, instant = ring.shape[0] - 1, row_ts // BUCKET_NS
    column = _measure_instant(state, row_ts, raw)
    for window in range(WINDOW_COUNT):
        before = (instant - plan[layout.WINDOWS + window]) & mask
        column = _measure_window(ring, instant & mask, before, raw, column)


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
    _seal(clock, state[4], row_ts // BUCKET_NS)
    clock[NEXT_ROW] = row_ts + plan[layout.ROW]
    status = _status(state, row_ts)
    if status == VALID:
        _measure(state, row_ts, raw)
        if clock[layout.SAMPLES] >= plan[layout.MIN_SAMPLES]:
            _normalize(state, raw, values)
        else:
            status = WARMING_UP
        if row_ts % plan[layout.SAMPLE] == 0:
            _remember(state, raw)
    if status != VALID:
        raw[:] = 0.0
        values[:] = 0.0
    return status


@njit(cache=True)
def advance(state, events, until, rows):
    """Step the events and close every row up to ``until``, each in its place; returns how many rows.

    ``rows`` are the arrays to fill: row_ts (N,), status (N,), touch (N, 2) in ticks, raw (N, F) and
    values (N, F). The events must not be later than ``until``.
    """
    row_ts, status, touch, raw, values = rows
    clock, head = state[3], state[2]
    position = count = _START
    _begin(state, events)
    while 0 < clock[NEXT_ROW] <= until:
        now = clock[NEXT_ROW]
        position = absorb(state, events, position, now)
        row_ts[count] = now
        status[count] = emit(state, now, raw[count], values[count])
        touch[count, BID] = head[BEST_BID] * head[books.VALID]
        touch[count, ASK] = head[BEST_ASK] * head[books.VALID]
        count += 1
    absorb(state, events, position, until)
    return count
