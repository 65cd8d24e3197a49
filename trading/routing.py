"""How an order goes to the venue: taken or posted, by delay, silence and depth; the limit a taker accepts.

Standing aside altogether is a gate, ``trading/risk.py::market_gate``: it looks at the same three, and is wider.
"""

from typing import Final

from numba import njit

from market.events import BUY
from trading import limits as rule
from trading.sizing import value_of
from trading.view import ASK_QTY, BEST_ASK, BEST_BID, BID_QTY, DELAY_NS, INGEST_TS

POST: Final = 0
TAKE: Final = 1


@njit(cache=True)
def route(limits, view, side, now):
    """TAKE where the touch that a taker would meet is fresh and deep enough to trust, else POST."""
    if view[DELAY_NS] > limits[rule.TAKE_MAX_DELAY_NS]:
        return POST
    if now - view[INGEST_TS] > limits[rule.TAKE_MAX_SILENCE_NS]:
        return POST
    met = view[ASK_QTY] if side == BUY else view[BID_QTY]
    inverse = limits[rule.INVERSE] != 0.0
    worth = value_of(met, view[BEST_BID], limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], inverse)
    return TAKE if worth >= limits[rule.TAKE_MIN_TOUCH_USD] else POST


@njit(cache=True)
def taker_limit(side, best_bid, best_ask, slippage_ticks):
    """Worst price in ticks that an immediate order accepts.

    >>> taker_limit(1, 99, 100, 2), taker_limit(-1, 99, 100, 2)
    (102, 97)
    """
    return best_ask + slippage_ticks if side == BUY else max(1, best_bid - slippage_ticks)


@njit(cache=True)
def touch_price(side, view):
    """Price in ticks of an order that joins the touch of its side."""
    return view[BEST_BID] if side == BUY else view[BEST_ASK]


@njit(cache=True)
def touch_qty(side, view):
    """Lots at the touch of a side."""
    return view[BID_QTY] if side == BUY else view[ASK_QTY]


@njit(cache=True)
def reaches(side, limit, price):
    """Whether a limit of a buyer (seller) is at or above (below) a price.

    >>> reaches(1, 100, 100), reaches(-1, 101, 100)
    (True, False)
    """
    return price <= limit if side == BUY else price >= limit
