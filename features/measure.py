"""The state at the end of a row, measured: every feature of the catalogue in its own unit, in column order."""

import math

import numpy as np
from numba import njit

from features import layout
from features.formulas import (
    basis_points,
    cancel_share,
    imbalance,
    log_count,
    microprice_deviation,
    run_length,
    share,
    vwap_distance,
)
from features.intake import bucket_at
from features.layout import (
    ADDED,
    BUCKET_NS,
    CHURN,
    DEEP_FLOW,
    EVENTS,
    FLOW,
    JITTER,
    LEADER_MID2,
    MESSAGES,
    MID2,
    PRICED,
    REMOVED,
    SIGNED,
    SIGNS,
    SQUARES,
    TOP,
    TRADED,
    TRADES,
)
from features.parameters import WINDOW_COUNT
from features.sessions import session_flags
from market.book import ASK, BEST_ASK, BEST_BID, BID, next_level, quantity
from market.units import NS_PER_MS

DEPTH = 10  # levels a side that the widest imbalance looks at
INSTANT_COLUMNS = 37
BURST_COLUMN = 36
WINDOW_COLUMNS = 12
VOLUME_COLUMN = 6  # of a window
FUNDING_PERIOD_NS = 8 * 3_600 * 1_000_000_000
# numba compiles a function again for every literal that it is handed, but not for a typed number
_BIDS, _ASKS = np.int64(BID), np.int64(ASK)
_SIZES, _OFFSETS, _AFTER = np.int64(5), np.int64(5 + 2 * TOP), np.int64(5 + 4 * TOP)


@njit(cache=True)
def measure(state, row_ts, raw):
    """Write every feature but the burst flag, which needs the normaliser's scales; ``raw`` is shape (features,)."""
    _measure_book(state, raw)
    _measure_clocks(state, row_ts, raw)
    _measure_derivatives(state, row_ts, raw)
    plan = state[5]
    first = layout.NORMALIZATIONS + raw.size
    raw[34], raw[35] = session_flags(plan, first, plan[layout.SESSION_FLAG], row_ts)
    raw[BURST_COLUMN] = 0.0
    ring, mask, instant = state[4], state[4].shape[0] - 1, bucket_at(state[3], row_ts)
    now, column = ring[instant & mask], INSTANT_COLUMNS
    for window in range(WINDOW_COUNT):
        before = ring[(instant - plan[layout.WINDOWS + window]) & mask]
        _measure_window(now, before, raw[column : column + WINDOW_COLUMNS])
        column += WINDOW_COLUMNS
    if raw.size > column:
        _measure_leader(state, now, instant, raw[column:])


@njit(cache=True)
def _measure_side(book, row, mid2, sizes, offsets):
    """Write log size and root distance from the mid of the best levels; returns lots of the best 1, 5 and 10."""
    touch = five = total = 0
    price = book[2][row]
    sizes[:] = 0.0
    offsets[:] = 0.0
    for level in range(DEPTH):
        if price == 0:
            break
        qty = quantity(book, row, price)
        total += qty
        if level == 0:
            touch = total
        if level < TOP:
            five = total
            sizes[level] = log_count(qty)
            offsets[level] = math.sqrt(0.5 * abs(2 * price - mid2))
        if level < DEPTH - 1:
            price = next_level(book, row, price)
    return touch, five, total


@njit(cache=True)
def _measure_book(state, raw):
    head, book = state[2], (state[0], state[1], state[2])
    mid2, spread_ticks = head[BEST_BID] + head[BEST_ASK], head[BEST_ASK] - head[BEST_BID]
    sizes, offsets = raw[_SIZES:_OFFSETS], raw[_OFFSETS:_AFTER]
    bid_qty, bids_5, bids_10 = _measure_side(book, _BIDS, mid2, sizes[:TOP], offsets[:TOP])
    ask_qty, asks_5, asks_10 = _measure_side(book, _ASKS, mid2, sizes[TOP:], offsets[TOP:])
    raw[0] = spread_ticks
    raw[1] = imbalance(bid_qty, ask_qty)
    raw[2] = imbalance(bids_5, asks_5)
    raw[3] = imbalance(bids_10, asks_10)
    raw[4] = microprice_deviation(spread_ticks, bid_qty, ask_qty)


@njit(cache=True)
def _measure_clocks(state, row_ts, raw):
    clock, ring, plan = state[3], state[4], state[5]
    mask, instant = ring.shape[0] - 1, bucket_at(clock, row_ts)
    now, before = ring[instant & mask], ring[(instant - plan[layout.WINDOWS + WINDOW_COUNT - 1]) & mask]
    trade_age_ns = row_ts - max(clock[layout.NEWEST_TRADE], clock[layout.FIRST_EVENT])
    raw[25] = clock[layout.DELAY] / NS_PER_MS
    raw[26] = 1e-3 * share(now[JITTER] - before[JITTER], now[MESSAGES] - before[MESSAGES])
    raw[27] = log_count(trade_age_ns / NS_PER_MS)
    raw[28] = run_length(clock[layout.RUN])


@njit(cache=True)
def _measure_derivatives(state, row_ts, raw):
    clock = state[3]
    raw[29] = 1e-8 * clock[layout.FUNDING_RATE]
    left_ns = min(max(clock[layout.NEXT_FUNDING] - row_ts, 0), FUNDING_PERIOD_NS)
    raw[30] = left_ns / FUNDING_PERIOD_NS
    raw[31] = basis_points(clock[layout.MARK_PRICE], clock[layout.INDEX_PRICE])
    bought, sold = _forced_lots(state, row_ts)
    raw[32] = log_count(bought)
    raw[33] = log_count(sold)


@njit(cache=True)
def _forced_lots(state, row_ts):
    """Lots of forced orders, bought and sold, close to the mid, each halved for every half-life since."""
    head, clock, plan = state[2], state[3], state[5]
    mid2, bought, sold = head[BEST_BID] + head[BEST_ASK], 0.0, 0.0
    count = min(clock[layout.FORCED], layout.LIQUIDATIONS)
    for order in range(count):
        place = layout.FORCED_ORDERS + 3 * order
        price, lots = clock[place + 1], clock[place + 2]
        if abs(2 * price - mid2) * 1e6 > plan[layout.LIQUIDATION_REACH] * mid2:
            continue
        weight = 2.0 ** (-(row_ts - clock[place]) / plan[layout.LIQUIDATION_HALFLIFE])
        if lots > 0:
            bought += lots * weight
        else:
            sold -= lots * weight
    return bought, sold


@njit(cache=True)
def _measure_window(now, before, raw):
    """Write the features of the window between two instants; ``now`` and ``before`` are running totals."""
    traded = now[TRADED] - before[TRADED]
    raw[0] = now[FLOW] - before[FLOW]
    raw[1] = now[DEEP_FLOW] - before[DEEP_FLOW]
    raw[2] = share(now[SIGNED] - before[SIGNED], traded)
    raw[3] = share(now[SIGNS] - before[SIGNS], now[TRADES] - before[TRADES])
    raw[4] = log_count(now[EVENTS] - before[EVENTS])
    raw[5] = log_count(now[TRADES] - before[TRADES])
    raw[VOLUME_COLUMN] = log_count(traded)
    raw[7] = log_count(now[CHURN] - before[CHURN])
    raw[8] = cancel_share(now[ADDED] - before[ADDED], now[REMOVED] - before[REMOVED], traded)
    raw[9] = 0.5 * math.sqrt(now[SQUARES] - before[SQUARES])
    raw[10] = vwap_distance(now[MID2], now[PRICED] - before[PRICED], traded)
    raw[11] = 0.5 * (now[MID2] - before[MID2])


@njit(cache=True)
def _measure_leader(state, now, instant, raw):
    """Write what the leader's rows say: its imbalance, its price against ours, its returns."""
    clock, ring, plan = state[3], state[4], state[5]
    mid2, mask = now[LEADER_MID2], ring.shape[0] - 1
    raw[0] = clock[layout.LEADER_IMBALANCE] / layout.LEADER_SCALE
    raw[1] = 1e4 * math.log(now[MID2] / mid2)
    for window in range(WINDOW_COUNT):
        before = ring[(instant - plan[layout.WINDOWS + window]) & mask]
        raw[2 + window] = basis_points(mid2, before[LEADER_MID2])


@njit(cache=True)
def silent_leader(state, row_ts):
    """Whether the leader's rows are too old, or not yet valid for as long as the longest window."""
    clock, plan = state[3], state[5]
    longest_ns = plan[layout.WINDOWS + WINDOW_COUNT - 1] * BUCKET_NS
    newest, since = clock[layout.LEADER_TS], clock[layout.LEADER_SINCE]
    return newest == 0 or row_ts - newest > plan[layout.SILENCE] or row_ts - since < longest_ns


@njit(cache=True)
def stale_funding(state, row_ts):
    """Whether a funding rate is required and the newest one is too old, or never came."""
    heard, limit = state[3][layout.FUNDING_TS], state[5][layout.FUNDING_AGE]
    return limit > 0 and (heard == 0 or row_ts - heard > limit)
