"""The clockwork of the simulated venue: what happens next, and when, until enough events are written.

Moves of the touch and market orders excite themselves and each other (Hawkes processes with exponential kernels,
drawn by thinning); limit orders and cancels follow the moves. What the next moves have in common with other symbols
comes from streams that those symbols draw alike.
"""

from typing import Final

import numpy as np
from numba import njit

from market.events import BUY, SELL
from market.simulator.draws import exponential, uniform
from market.simulator.layout import (
    ANCHOR,
    BEST,
    BOUND,
    BUYS,
    CANDIDATE,
    CLOSE_COIN,
    CLOSE_DUE,
    COMMON_AT,
    COMMON_DUE,
    COMMON_STREAM,
    DERIVATIVES,
    DIRECTION,
    DUE,
    DUES,
    FLOW,
    FLUSH_DUE,
    GAP_DUE,
    HEAT,
    INDEX_MID,
    JUMP,
    KEEP,
    LEAN,
    MARK_DUE,
    MOVES,
    MULTIPLIER,
    NEVER,
    NOW,
    OWN,
    REGIME,
    ROWS,
    SECOND_DUE,
    SELLS,
    SHARED,
    SIGMA,
    SIGNAL_STEP_NS,
    STALL_DUE,
)
from market.simulator.messages import send_depth, send_liquidation, send_mark, send_snapshot, stall, turn_gap, wait
from market.simulator.parameters import RANGE, TREND
from market.simulator.venue import (
    close,
    excite_markets,
    jump_length,
    least_square,
    market_order,
    mean_jump,
    mean_length,
    open_book,
    queue_imbalance,
    rest_or_cancel,
    take,
)

_SECOND_NS: Final = 1_000_000_000
_MOST_LEAN: Final = 0.95
_ANCHOR_S: Final = 60.0  # trailing mean that ranging prices come back to, and liquidations look at
_INDEX_S: Final = 10.0
_CALM: Final = 1.5  # deviations of the minute's move without liquidations


@njit(cache=True)
def open_venue(state, settings, rows):
    """Fill the book, set every clock going and send the first snapshot."""
    integers = state[1]
    integers[ROWS] = 0
    open_book(state, settings)
    now = integers[NOW]
    integers[DUE + SECOND_DUE] = now
    integers[DUE + FLUSH_DUE] = now + np.int64(settings.flush_ns)
    integers[DUE + MARK_DUE] = (now // np.int64(settings.mark_ns) + 1) * np.int64(settings.mark_ns)
    integers[DUE + STALL_DUE] = wait(state, settings.stall_wait_ns)
    integers[DUE + GAP_DUE] = wait(state, settings.gap_wait_ns)
    send_snapshot(state, settings, rows)


@njit(cache=True)
def run(state, settings, path, day_start, until, rows, full):
    """Let the market go on until ``until`` (ns, within the day of ``path``) or ``full`` events; how many are written.

    path : multiplier, regime and direction by the second of the day, signal by SIGNAL_STEP_NS
    """
    integers = state[1]
    integers[ROWS] = 0
    while integers[ROWS] < full:
        if integers[CANDIDATE] == 0:
            _draw_candidate(state, settings)
        which = _next_due(integers)
        due = integers[DUE + which]
        at = min(due, integers[CANDIDATE])
        if at >= until:
            break
        _advance(state, settings, at)
        signal = path[3][(at - day_start) // SIGNAL_STEP_NS]
        if due <= integers[CANDIDATE]:
            _keep_time(state, settings, path, day_start, rows, which, signal)
        else:
            integers[CANDIDATE] = 0
            _arrive(state, settings, rows, signal)
    return integers[ROWS]


@njit(cache=True)
def _next_due(integers):
    which = 0
    for i in range(1, DUES):
        if integers[DUE + i] < integers[DUE + which]:
            which = i
    return which


@njit(cache=True)
def _advance(state, settings, at):
    """Let time pass: excitation fades."""
    integers, floats = state[1], state[2]
    seconds = np.float64(at - integers[NOW]) * 1e-9
    integers[NOW] = at
    moves = np.exp(-seconds / settings.excitation_decay)
    markets = np.exp(-seconds / settings.market_decay)
    floats[OWN] *= moves
    floats[HEAT] *= moves
    floats[BUYS] *= markets
    floats[SELLS] *= markets


@njit(cache=True)
def _own_rate(settings, floats):
    """Moves that this symbol makes alone, 1/s."""
    base = settings.moves * floats[MULTIPLIER] * (1.0 - settings.excitation) * (1.0 - settings.common)
    return base + floats[OWN]


@njit(cache=True)
def _stir(settings, floats):
    """How busy orders are: half by the volatility, half by the moves just made; 1 on average in a calm market."""
    return 0.5 * floats[MULTIPLIER] + 0.5 * floats[HEAT] / (settings.moves * settings.excitation_decay)


@njit(cache=True)
def _draw_candidate(state, settings):
    integers, floats = state[1], state[2]
    stir = _stir(settings, floats)
    rate = _own_rate(settings, floats) + floats[BUYS] + floats[SELLS]
    rate += stir * (settings.orders + 2.0 * settings.markets)
    floats[BOUND] = rate
    integers[CANDIDATE] = integers[NOW] + 1 + np.int64(exponential(state[0], FLOW) / rate * 1e9)


@njit(cache=True)
def _arrive(state, settings, rows, signal):
    """What the candidate turns out to be; nothing, where rates have fallen since it was drawn."""
    random, floats = state[0], state[2]
    stir = _stir(settings, floats)
    left = uniform(random, FLOW) * floats[BOUND] - stir * settings.orders
    if left < 0.0:
        rest_or_cancel(state, settings, rows, signal)
        return
    left -= _own_rate(settings, floats)
    if left < 0.0:
        _own_move(state, settings, rows, signal)
        return
    lean = 0.8 * settings.expression * np.tanh(signal)
    base = stir * settings.markets
    left -= floats[BUYS] + base * (1.0 + lean)
    if left < 0.0:
        _market(state, settings, rows, BUY)
        return
    left -= floats[SELLS] + base * (1.0 - lean)
    if left < 0.0:
        _market(state, settings, rows, SELL)


@njit(cache=True)
def _market(state, settings, rows, side):
    market_order(state, settings, rows, side)
    excite_markets(state, settings, side)


@njit(cache=True)
def _own_move(state, settings, rows, signal):
    state[2][OWN] += settings.excitation / settings.excitation_decay
    _move(state, settings, rows, MOVES, signal)


@njit(cache=True)
def _common_move(state, settings, rows, signal):
    """A move that other symbols make too; this one takes part in its share of them."""
    taking_part = uniform(state[0], MOVES) < settings.common
    if taking_part:
        _move(state, settings, rows, COMMON_STREAM, signal)
    else:
        for _ in range(4):  # what a move draws of the stream
            uniform(state[0], COMMON_STREAM)
    _draw_common(state, settings)


@njit(cache=True)
def _move(state, settings, rows, stream, signal):
    """A spread still open closes; then the touch is taken away on one side."""
    random, integers, floats = state[0], state[1], state[2]
    kind, size = uniform(random, stream), uniform(random, stream)
    coin, close_coin = uniform(random, stream), uniform(random, stream)
    integers[CANDIDATE] = 0  # rates rise
    if uniform(random, MOVES) >= floats[KEEP]:
        return
    if integers[DUE + CLOSE_DUE] != NEVER:
        close(state, settings, rows, _lean(state, settings, signal), signal)
    up = coin < 0.5 + 0.5 * _lean(state, settings, signal)
    floats[CLOSE_COIN] = close_coin
    take(state, settings, rows, up, jump_length(kind, size, floats[JUMP]), signal)


@njit(cache=True)
def _lean(state, settings, signal):
    """How far the coin of the next move leans upwards, within -1 and 1; 0 in null mode."""
    integers, floats = state[1], state[2]
    lean = floats[LEAN] * signal
    if settings.imbalance_gain != 0.0:
        lean += settings.imbalance_gain * queue_imbalance(state)
    if integers[REGIME] == TREND:
        lean += settings.trend_gain * integers[DIRECTION]
    elif integers[REGIME] == RANGE:
        lean -= settings.range_gain * _minute_move(integers, floats)
    return max(-_MOST_LEAN, min(_MOST_LEAN, lean))


@njit(cache=True)
def _minute_move(integers, floats):
    """Mid less its trailing mean, in deviations of a minute's move."""
    mid = 0.5 * np.float64(integers[BEST] + integers[BEST + 1])
    return (mid - floats[ANCHOR]) / (floats[SIGMA] * np.sqrt(_ANCHOR_S))


@njit(cache=True)
def _keep_time(state, settings, path, day_start, rows, which, signal):
    integers, floats = state[1], state[2]
    if which == FLUSH_DUE:
        integers[DUE + FLUSH_DUE] += np.int64(settings.flush_ns)
        send_depth(state, settings, rows)
    elif which == CLOSE_DUE:
        close(state, settings, rows, _lean(state, settings, signal), signal)
    elif which == COMMON_DUE:
        _common_move(state, settings, rows, signal)
    elif which == SECOND_DUE:
        second = (integers[NOW] - day_start) // _SECOND_NS
        floats[MULTIPLIER] = path[0][second]
        integers[REGIME], integers[DIRECTION] = path[1][second], path[2][second]
        _begin_second(state, settings, rows)
    elif which == MARK_DUE:
        integers[DUE + MARK_DUE] += np.int64(settings.mark_ns)
        send_mark(state, settings, rows)
    elif which == STALL_DUE:
        integers[DUE + STALL_DUE] = stall(state, settings)
    else:
        turn_gap(state, settings, rows)


@njit(cache=True)
def _begin_second(state, settings, rows):
    """Set what depends on the volatility, draw the common moves on, liquidate."""
    integers, floats = state[1], state[2]
    integers[DUE + SECOND_DUE] = (integers[NOW] // _SECOND_NS + 1) * _SECOND_NS
    integers[CANDIDATE] = 0
    floats[SIGMA] = settings.sigma * floats[MULTIPLIER]
    rate = settings.moves * floats[MULTIPLIER]
    mean_square = 2.0 * floats[SIGMA] ** 2 / rate  # take and close: each moves the mid by half a jump
    floats[JUMP] = mean_jump(mean_square)
    floats[KEEP] = min(1.0, mean_square / least_square())
    floats[LEAN] = settings.signal_lean * floats[SIGMA] / (rate * floats[KEEP] * mean_length(floats[JUMP]))
    mid = 0.5 * np.float64(integers[BEST] + integers[BEST + 1])
    floats[INDEX_MID] += (mid - floats[INDEX_MID]) / _INDEX_S
    _liquidate(state, settings, rows)
    floats[ANCHOR] += (mid - floats[ANCHOR]) / _ANCHOR_S
    integers[COMMON_AT] = integers[NOW]
    _draw_common(state, settings)


@njit(cache=True)
def _draw_common(state, settings):
    """When the next common move comes within this second, by thinning."""
    random, integers, floats = state[0], state[1], state[2]
    base = settings.moves * floats[MULTIPLIER] * (1.0 - settings.excitation)
    end = integers[DUE + SECOND_DUE]
    while True:
        bound = base + floats[SHARED]
        step = np.int64(exponential(random, COMMON_STREAM) / bound * 1e9) + 1
        at = min(integers[COMMON_AT] + step, end)
        floats[SHARED] *= np.exp(-np.float64(at - integers[COMMON_AT]) * 1e-9 / settings.excitation_decay)
        integers[COMMON_AT] = at
        if at == end:
            integers[DUE + COMMON_DUE] = NEVER
            return
        if uniform(random, COMMON_STREAM) * bound < base + floats[SHARED]:
            floats[SHARED] += settings.excitation / settings.excitation_decay
            integers[DUE + COMMON_DUE] = at
            return


@njit(cache=True)
def _liquidate(state, settings, rows):
    """Forced orders: few while prices are calm, clusters after a large move, in its direction."""
    random, integers, floats = state[0], state[1], state[2]
    move = _minute_move(integers, floats)
    beyond = max(0.0, abs(move) - _CALM)
    left = settings.liquidations + settings.liquidation_gain * beyond * beyond
    side = BUY if move > 0.0 else SELL
    waited = exponential(random, DERIVATIVES)
    while waited < left:
        waited += exponential(random, DERIVATIVES)
        price = integers[BEST + 1] if side == BUY else integers[BEST]
        lots = market_order(state, settings, rows, side)
        if lots > 0:
            send_liquidation(state, settings, rows, side, price, lots)
