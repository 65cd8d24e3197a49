"""What we receive of a simulated venue: one row of eight words for each event, the bytes of an EVENT.

A message leaves at NOW, is stamped by the venue's clock in whole milliseconds, and arrives after its latency, never
before the message sent before it. While messages are lost, nothing is written.
"""

from typing import Final

import numpy as np
from numba import njit

from market.book import ASK, BID
from market.events import (
    BBO,
    BUY,
    FIRST,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_SIDE,
    SELL,
    SNAPSHOT,
    SYNTHETIC,
    TRADE,
)
from market.simulator.draws import exponential, normal
from market.simulator.layout import (
    BEST,
    CHANGED,
    DEPTH_LOST,
    DERIVATIVES,
    DUE,
    FEED,
    GAP_DUE,
    GAP_STAGE,
    INDEX_MID,
    JITTER,
    JITTER_END,
    LOSING,
    NEVER,
    NOW,
    ORIGIN,
    PREMIUM,
    REACH,
    RECEIVED,
    RESYNCING,
    ROWS,
    SENT_ID,
    SHOWN,
    SLOTS,
    STALLED,
    TRADE_ID,
    UPDATE_ID,
    WHOLE,
)

_MS: Final = 1_000_000
_PRICE_UNITS: Final = 1e8  # of MARK and INDEX in a unit of quote currency
_RATE_UNITS: Final = 1e8  # the venue prints funding in eight digits ...
_RATE_SCALE: Final = 10_000  # ... of which an event holds twelve
_RATE_BAND: Final = 5e-4  # the premium moves funding only beyond this


@njit(cache=True)
def received(state, settings):
    """When a message that leaves now arrives, ns; 0 if it is lost."""
    integers = state[1]
    if integers[GAP_STAGE] == LOSING:
        return np.int64(0)
    if integers[NOW] >= integers[JITTER_END]:
        _draw_jitter(state, settings)
    latency = np.int64(settings.latency_ns) + integers[JITTER]
    arrival = max(integers[NOW] + latency, integers[STALLED], integers[RECEIVED] + 1)
    integers[RECEIVED] = arrival
    return arrival


@njit(cache=True)
def _draw_jitter(state, settings):
    integers, jitter = state[1], 0.0
    for _ in range(np.int64(settings.jitter_hops)):
        jitter += settings.jitter_ns * exponential(state[0], FEED)
    integers[JITTER] = np.int64(jitter)
    integers[JITTER_END] = integers[NOW] + np.int64(settings.jitter_hold_ns)


@njit(cache=True)
def write(state, settings, rows, arrival, kind, side, price, qty, update_id, edges):
    """Append one event."""
    integers = state[1]
    place, now = integers[ROWS], integers[NOW]
    offset = np.int64(settings.offset_ns + settings.skew * np.float64(now - integers[ORIGIN]))
    rows[place, 0] = np.int64(kind) | (np.int64(side) & 0xFF) << 8 | np.int64(edges | SYNTHETIC) << 16
    rows[place, 1] = (now - offset) // _MS * _MS
    rows[place, 2] = arrival
    rows[place, 3] = 0
    rows[place, 4] = 0
    rows[place, 5] = price
    rows[place, 6] = qty
    rows[place, 7] = update_id
    integers[ROWS] = place + 1


@njit(cache=True)
def send_touch(state, settings, rows):
    """A best bid and offer, where the touch is not the one shown last."""
    integers, ladder = state[1], state[3]
    bid, ask = integers[BEST], integers[BEST + 1]
    bid_lots, ask_lots = ladder[BID, bid & (SLOTS - 1)], ladder[ASK, ask & (SLOTS - 1)]
    same = integers[SHOWN] == bid and integers[SHOWN + 1] == ask
    if same and integers[SHOWN + 2] == bid_lots and integers[SHOWN + 3] == ask_lots:
        return
    integers[SHOWN], integers[SHOWN + 1] = bid, ask
    integers[SHOWN + 2], integers[SHOWN + 3] = bid_lots, ask_lots
    arrival = received(state, settings)
    if arrival:
        write(state, settings, rows, arrival, BBO, BUY, bid, bid_lots, integers[UPDATE_ID], FIRST)
        write(state, settings, rows, arrival, BBO, SELL, ask, ask_lots, integers[UPDATE_ID], LAST)


@njit(cache=True)
def send_trade(state, settings, rows, side, price, lots):
    """One trade; ``side`` is the aggressor's."""
    state[1][TRADE_ID] += 1
    arrival = received(state, settings)
    if arrival:
        write(state, settings, rows, arrival, TRADE, side, price, lots, state[1][TRADE_ID], FIRST | LAST)


@njit(cache=True)
def send_liquidation(state, settings, rows, side, price, lots):
    """A forced order."""
    arrival = received(state, settings)
    if arrival:
        write(state, settings, rows, arrival, LIQUIDATION, side, price, lots, 0, FIRST | LAST)


@njit(cache=True)
def send_depth(state, settings, rows):
    """All levels that changed since the last depth message; in their place a gap where one of them was lost."""
    integers = state[1]
    if integers[CHANGED] + integers[CHANGED + 1] == 0:
        return
    arrival = received(state, settings)
    if arrival == 0:
        integers[DEPTH_LOST] = 1
    elif integers[GAP_STAGE] == RESYNCING:
        if integers[DEPTH_LOST]:
            _tell_gap(state, settings, rows, arrival)
    else:
        _write_changes(state, settings, rows, arrival)
        integers[SENT_ID] = integers[UPDATE_ID]
    forget_changes(state)


@njit(cache=True)
def _tell_gap(state, settings, rows, arrival):
    write(state, settings, rows, arrival, GAP, NO_SIDE, 0, 0, state[1][SENT_ID], FIRST | LAST)
    state[1][DEPTH_LOST] = 0


@njit(cache=True)
def _write_changes(state, settings, rows, arrival):
    integers, ladder, changed = state[1], state[3], state[5]
    first = integers[ROWS]
    for row in range(2):
        side = BUY if row == BID else SELL
        for i in range(integers[CHANGED + row]):
            price = changed[row, i]
            lots = ladder[row, price & (SLOTS - 1)]
            write(state, settings, rows, arrival, LEVEL, side, price, lots, integers[UPDATE_ID], 0)
    _mark_edges(rows, first, integers[ROWS])


@njit(cache=True)
def _mark_edges(rows, first, end):
    rows[first, 0] |= FIRST << 16
    rows[end - 1, 0] |= LAST << 16


@njit(cache=True)
def forget_changes(state):
    """Nothing has changed since now."""
    integers, dirty, changed = state[1], state[4], state[5]
    for row in range(2):
        for i in range(integers[CHANGED + row]):
            dirty[row, changed[row, i] & (SLOTS - 1)] = 0
        integers[CHANGED + row] = 0


@njit(cache=True)
def send_snapshot(state, settings, rows):
    """The whole book."""
    integers, ladder = state[1], state[3]
    arrival = received(state, settings)
    if integers[DEPTH_LOST]:
        _tell_gap(state, settings, rows, arrival)
    first = integers[ROWS]
    for row in range(2):
        step, side = (-1, BUY) if row == BID else (1, SELL)
        for distance in range(REACH + 1):
            price = integers[BEST + row] + step * distance
            lots = ladder[row, price & (SLOTS - 1)]
            if lots > 0:
                write(state, settings, rows, arrival, SNAPSHOT, side, price, lots, integers[UPDATE_ID], 0)
    _mark_edges(rows, first, integers[ROWS])
    integers[SENT_ID] = integers[UPDATE_ID]
    forget_changes(state)


@njit(cache=True)
def send_mark(state, settings, rows):
    """Mark, index and funding; the index trails the mid, the mark adds a premium that wanders."""
    random, integers, floats = state[0], state[1], state[2]
    floats[PREMIUM] = settings.premium_phi * floats[PREMIUM] + settings.premium_shock * normal(random, DERIVATIVES)
    premium = floats[PREMIUM]
    index = floats[INDEX_MID] * settings.tick_size
    rate = premium + min(max(settings.funding_rate - premium, -_RATE_BAND), _RATE_BAND)
    arrival = received(state, settings)
    if arrival == 0:
        return
    mark_units = np.int64(np.rint(index * (1.0 + premium) * _PRICE_UNITS))
    rate_units = np.int64(np.rint(rate * _RATE_UNITS)) * _RATE_SCALE
    venue_now = integers[NOW] - np.int64(settings.offset_ns)
    next_funding = (venue_now // np.int64(settings.funding_ns) + 1) * np.int64(settings.funding_ns)
    write(state, settings, rows, arrival, MARK, NO_SIDE, mark_units, 0, 0, FIRST)
    write(state, settings, rows, arrival, INDEX, NO_SIDE, np.int64(np.rint(index * _PRICE_UNITS)), 0, 0, 0)
    write(state, settings, rows, arrival, FUNDING, NO_SIDE, rate_units, next_funding, 0, LAST)


@njit(cache=True)
def stall(state, settings):
    """Hold back what is sent from now on, and draw when that happens next."""
    random, integers = state[0], state[1]
    integers[STALLED] = integers[NOW] + np.int64(settings.stall_ns * exponential(random, FEED))
    return wait(state, settings.stall_wait_ns)


@njit(cache=True)
def wait(state, mean_ns):
    """When something next happens that does so every ``mean_ns`` on average; NEVER where that is 0."""
    if mean_ns == 0.0:
        return np.int64(NEVER)
    return state[1][NOW] + 1 + np.int64(mean_ns * exponential(state[0], FEED))


@njit(cache=True)
def turn_gap(state, settings, rows):
    """The next stage of a gap: messages are lost, then the book waits, then a snapshot comes."""
    integers = state[1]
    if integers[GAP_STAGE] == WHOLE:
        integers[GAP_STAGE] = LOSING
        integers[DUE + GAP_DUE] = wait(state, settings.gap_ns)
    elif integers[GAP_STAGE] == LOSING and integers[DEPTH_LOST]:
        integers[GAP_STAGE] = RESYNCING
        integers[UPDATE_ID] += 2  # room for the ids of the message that shows the break
        integers[DUE + GAP_DUE] = integers[NOW] + np.int64(settings.resync_ns)
    else:
        if integers[GAP_STAGE] == RESYNCING:
            integers[GAP_STAGE] = WHOLE
            send_snapshot(state, settings, rows)
        integers[GAP_STAGE] = WHOLE
        integers[DUE + GAP_DUE] = wait(state, settings.gap_wait_ns)
