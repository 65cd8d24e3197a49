"""How an order goes to the venue: the limit a taker accepts, and where a quote may stand."""

from numba import njit

from market.events import BUY


@njit(cache=True)
def taker_limit(side, best_bid, best_ask, slippage_ticks):
    """Worst price in ticks that an immediate order accepts.

    >>> taker_limit(1, 99, 100, 2), taker_limit(-1, 99, 100, 2)
    (102, 97)
    """
    return best_ask + slippage_ticks if side == BUY else max(1, best_bid - slippage_ticks)


@njit(cache=True)
def quote_price(side, best_bid, best_ask):
    """Price in ticks of a quote that joins the touch.

    >>> quote_price(1, 99, 100), quote_price(-1, 99, 100)
    (99, 100)
    """
    return best_bid if side == BUY else best_ask
