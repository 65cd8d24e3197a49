"""The simulated venue's book: moves of the touch, orders that rest and go, market orders.

The touch moves by takes and closes alone. A take removes one side's levels up to a jump's length, a close brings the
spread back to one tick; each moves the mid by half the jump, up or down by the toss of a coin. Everything else
leaves at least one lot at either best price. So the mid is a martingale wherever the coin is fair.
"""

from typing import Final

import numpy as np
from numba import njit

from market.book import ASK, BID
from market.events import BUY, SELL
from market.simulator.draws import exponential, geometric, normal, uniform
from market.simulator.layout import (
    BEST,
    BUYS,
    CHANGED,
    CLOSE_COIN,
    CLOSE_DUE,
    DUE,
    FLOW,
    HEAT,
    LIVE,
    NEVER,
    NOW,
    REACH,
    SELLS,
    SLOTS,
    UPDATE_ID,
)
from market.simulator.messages import send_touch, send_trade

LONG_SHARE: Final = 0.06  # of jumps that are LONG_TIMES as long: fat tails
LONG_TIMES: Final = 6.0
LONGEST: Final = 4_000  # ticks
_MOST_SWEPT: Final = 20  # trades that one sweep prints at most
_WHOLE_CANCEL: Final = 0.9  # share of cancels that take a level away, not half of it
_TOUCH_STEP: Final = 0.25  # mean change of the touch, of what it is drawn to


@njit(cache=True)
def set_lots(state, row, price, lots):
    """Let ``lots`` rest at a price, and remember that it changed."""
    integers, ladder, dirty, changed = state[1], state[3], state[4], state[5]
    slot = price & (SLOTS - 1)
    integers[LIVE + row] += np.int64(lots > 0) - np.int64(ladder[row, slot] > 0)
    ladder[row, slot] = lots
    integers[UPDATE_ID] += 1
    if dirty[row, slot] == 0:
        dirty[row, slot] = 1
        changed[row, integers[CHANGED + row]] = price
        integers[CHANGED + row] += 1


@njit(cache=True)
def open_book(state, settings):
    """Fill an empty book."""
    integers, ladder = state[1], state[3]
    for row in range(2):
        set_lots(state, row, integers[BEST + row], _fresh_lots(state, settings, row, 0.0))
        for _ in range(np.int64(settings.levels)):
            price = _far_price(state, settings, row)
            if ladder[row, price & (SLOTS - 1)] == 0:
                set_lots(state, row, price, _lots(state, settings.level_lots))


@njit(cache=True)
def take(state, settings, rows, up, length, signal):
    """One side's levels go, up to ``length`` ticks behind its best: the ask's if the mid goes up."""
    random, integers, ladder = state[0], state[1], state[3]
    row, step, side = (ASK, 1, BUY) if up else (BID, -1, SELL)
    best, swept = integers[BEST + row], 0
    sweeping = uniform(random, FLOW) < settings.sweep
    for price in range(best, best + step * length, step):
        lots = ladder[row, price & (SLOTS - 1)]
        if lots > 0:
            if sweeping and swept < _MOST_SWEPT:
                swept += 1
                send_trade(state, settings, rows, side, price, min(lots, _trade_lots(state, settings)))
            set_lots(state, row, price, 0)
    if sweeping:
        excite_markets(state, settings, side)
    integers[BEST + row] = best + step * length
    if ladder[row, integers[BEST + row] & (SLOTS - 1)] == 0:
        set_lots(state, row, integers[BEST + row], _fresh_lots(state, settings, row, signal))
    integers[DUE + CLOSE_DUE] = integers[NOW] + 1 + np.int64(settings.close * exponential(random, FLOW))
    state[2][HEAT] += 1.0
    send_touch(state, settings, rows)


@njit(cache=True)
def close(state, settings, rows, lean, signal):
    """The spread becomes one tick: the bid follows if the mid goes up, else the ask comes back."""
    integers, floats = state[1], state[2]
    integers[DUE + CLOSE_DUE] = NEVER
    up = floats[CLOSE_COIN] < 0.5 + 0.5 * lean
    row, other, step = (BID, ASK, 1) if up else (ASK, BID, -1)
    old, new = integers[BEST + row], integers[BEST + other] - step
    integers[BEST + row] = new
    if state[3][row, new & (SLOTS - 1)] == 0:
        set_lots(state, row, new, _fresh_lots(state, settings, row, signal))
    left = min(state[3][row, old & (SLOTS - 1)], _lots(state, settings.level_lots))
    set_lots(state, row, old, left)  # the others follow the touch
    for price in range(old - step * REACH, new - step * REACH, step):  # out of reach now
        if state[3][row, price & (SLOTS - 1)] > 0:
            set_lots(state, row, price, 0)
    send_touch(state, settings, rows)


@njit(cache=True)
def rest_or_cancel(state, settings, rows, signal):
    """A limit order or a cancel, on either side: at the touch or behind it."""
    random = state[0]
    row = BID if uniform(random, FLOW) < 0.5 else ASK
    if uniform(random, FLOW) < settings.touch_share:
        _change_touch(state, settings, row, signal)
        send_touch(state, settings, rows)
        return
    live = np.float64(state[1][LIVE + row])
    if uniform(random, FLOW) * (live + settings.levels) < live:  # the fuller, the likelier a cancel
        _cancel(state, settings, row)
    else:
        price = _far_price(state, settings, row)
        lots = state[3][row, price & (SLOTS - 1)]
        set_lots(state, row, price, lots + _lots(state, settings.level_lots))


@njit(cache=True)
def market_order(state, settings, rows, side):
    """Trades at the best price until the order is filled or one lot is left; how many lots it took."""
    random, integers, ladder = state[0], state[1], state[3]
    row = ASK if side == BUY else BID
    price = integers[BEST + row]
    slot = price & (SLOTS - 1)
    resting, taken = ladder[row, slot], 0
    for _ in range(geometric(uniform(random, FLOW), settings.fills)):
        lots = min(_trade_lots(state, settings), resting - 1 - taken)
        if lots <= 0:
            break
        taken += lots
        send_trade(state, settings, rows, side, price, lots)
    if taken > 0:
        set_lots(state, row, price, resting - taken)
        send_touch(state, settings, rows)
    return taken


@njit(cache=True)
def excite_markets(state, settings, side):
    """A market order makes others of its side likelier, and some of the other side."""
    floats = state[2]
    same, other = (BUYS, SELLS) if side == BUY else (SELLS, BUYS)
    floats[same] += settings.market_excitation / settings.market_decay
    floats[other] += settings.market_cross / settings.market_decay


@njit(cache=True)
def queue_imbalance(state):
    """Signed share of the lots at the touch, within -1 and 1."""
    integers, ladder = state[1], state[3]
    bid = ladder[BID, integers[BEST] & (SLOTS - 1)]
    ask = ladder[ASK, integers[BEST + 1] & (SLOTS - 1)]
    return np.float64(bid - ask) / np.float64(bid + ask)


@njit(cache=True)
def jump_length(kind, size, mean):
    """Ticks of a jump, from two uniform draws."""
    length = geometric(size, mean * LONG_TIMES if kind < LONG_SHARE else mean)
    return min(length, np.int64(LONGEST))


@njit(cache=True)
def mean_jump(mean_square):
    """Mean of the common kind of jump, for the mean square of all jumps wanted (ticks squared, at least 1)."""
    square = 2.0 * (1.0 - LONG_SHARE + LONG_SHARE * LONG_TIMES**2)
    linear = 1.0 - LONG_SHARE + LONG_SHARE * LONG_TIMES
    mean = (linear + np.sqrt(linear * linear + 4.0 * square * mean_square)) / (2.0 * square)
    return mean if mean > 1.0 else 1.0


@njit(cache=True)
def mean_length(mean):
    """Mean of all jumps, ticks, of the mean of the common kind."""
    return mean * (1.0 - LONG_SHARE + LONG_SHARE * LONG_TIMES)


@njit(cache=True)
def least_square():
    """Mean square of the shortest jumps that there are, ticks squared."""
    return 1.0 - LONG_SHARE + LONG_SHARE * (2.0 * LONG_TIMES**2 - LONG_TIMES)


@njit(cache=True)
def _change_touch(state, settings, row, signal):
    """Queue-reactive: the shorter the queue, the likelier it grows; a cancel leaves one lot at least."""
    random, price = state[0], state[1][BEST + row]
    lots = state[3][row, price & (SLOTS - 1)]
    drawn_to = _drawn_to(settings, row, signal)
    change = _lots(state, _TOUCH_STEP * drawn_to)
    grows = uniform(random, FLOW) * (np.float64(lots) + drawn_to) < drawn_to
    after = lots + change if grows else max(np.int64(1), lots - change)
    if after != lots:
        set_lots(state, row, price, after)


@njit(cache=True)
def _drawn_to(settings, row, signal):
    """Lots that a touch is drawn to: more on the bid where the signal shows, and is up."""
    lean = settings.expression * (signal if row == BID else -signal)
    return settings.touch_lots * np.exp(0.5 * max(-2.0, min(2.0, lean)))


@njit(cache=True)
def _cancel(state, settings, row):
    """The first level beyond a random distance goes, or half of it; none if there is none."""
    random, ladder = state[0], state[3]
    step = -1 if row == BID else 1
    end = state[1][BEST + row] + step * (REACH + 1)
    for price in range(_far_price(state, settings, row), end, step):
        lots = ladder[row, price & (SLOTS - 1)]
        if lots > 0:
            set_lots(state, row, price, 0 if uniform(random, FLOW) < _WHOLE_CANCEL else lots // 2)
            return


@njit(cache=True)
def _far_price(state, settings, row):
    """A price behind the touch."""
    distance = np.int64(1) + np.int64(settings.depth_scale * exponential(state[0], FLOW))
    distance = min(distance, np.int64(REACH))
    return max(np.int64(1), state[1][BEST + row] + (-distance if row == BID else distance))


@njit(cache=True)
def _fresh_lots(state, settings, row, signal):
    """What comes to a touch that moves to an empty price."""
    drawn_to = _drawn_to(settings, row, signal)
    return np.int64(2) + np.int64(drawn_to * (0.3 + 0.7 * exponential(state[0], FLOW)))


@njit(cache=True)
def _lots(state, mean):
    return np.int64(1) + np.int64(mean * exponential(state[0], FLOW))


@njit(cache=True)
def _trade_lots(state, settings):
    size = np.exp(settings.trade_log + settings.trade_deviation * normal(state[0], FLOW))
    return np.int64(1) + np.int64(min(size - 0.5, 1e9)) if size >= 0.5 else np.int64(1)
