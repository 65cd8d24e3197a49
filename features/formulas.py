"""The arithmetic of single features: compiled scalar functions in, a number out."""

import math

from numba import njit

from market.borrowing import BORROWING


@njit(**BORROWING)
def share(part, total):
    """``part`` of ``total``, signed like the part; 0 of nothing.

    >>> share(-3, 4), share(0, 0)
    (-0.75, 0.0)
    """
    return part / total if total > 0 else 0.0


@njit(**BORROWING)
def imbalance(left, right):
    """Signed share of two quantities, in [-1, 1]; 0 where there is neither.

    >>> imbalance(30, 10)
    0.5
    """
    return share(left - right, left + right)


@njit(**BORROWING)
def microprice_deviation(spread_ticks, bid_qty, ask_qty):
    """Microprice minus mid, in ticks, within half a spread of 0.

    The microprice weighs each side of the touch with the lots of the other one.

    >>> microprice_deviation(2, 30, 10)
    0.5
    """
    return 0.5 * spread_ticks * imbalance(bid_qty, ask_qty)


@njit(**BORROWING)
def touch_flow(price_before, qty_before, price, qty):
    """Lots that joined the best bid minus lots that left it, between two states of the book.

    Hand the best ask over with its prices negated; order-flow imbalance is the bid's flow
    minus the ask's.

    Source: Cont, Kukanov & Stoikov (2014), the event contribution e_n.

    >>> touch_flow(100, 5, 100, 8), touch_flow(100, 5, 101, 8), touch_flow(100, 5, 99, 8)
    (3, 8, -5)
    """
    joined = qty if price >= price_before else 0
    left = qty_before if price <= price_before else 0
    return joined - left


@njit(**BORROWING)
def log_count(count):
    """log(1 + count) for a count of at least 0.

    >>> log_count(0.0)
    0.0
    """
    return math.log1p(count)


@njit(**BORROWING)
def vwap_distance(mid2, priced, traded):
    """Mid minus the volume-weighted price of some trades, in ticks; 0 where none was traded.

    mid2 : best bid + best ask, ticks; priced : sum of price times lots

    >>> vwap_distance(201, 1_000, 10)
    0.5
    """
    return 0.5 * mid2 - priced / traded if traded > 0 else 0.0


@njit(**BORROWING)
def cancel_share(added, removed, traded):
    """Lots cancelled, of all lots cancelled or added, in [0, 1]; what was traded did not cancel.

    >>> cancel_share(30, 20, 10)
    0.25
    """
    cancelled = max(removed - traded, 0)
    return share(cancelled, cancelled + added)


@njit(**BORROWING)
def run_length(run):
    """Signed log(1 + trades in a row) for a run counted with its aggressor's sign.

    >>> run_length(0), run_length(-1) < 0
    (0.0, True)
    """
    return math.log1p(run) if run >= 0 else -math.log1p(-run)


@njit(**BORROWING)
def basis_points(value, base):
    """How far ``value`` lies above ``base``, bp; 0 where either is unknown (0).

    >>> basis_points(1_001, 1_000)
    10.0
    """
    return 1e4 * (value - base) / base if base > 0 and value > 0 else 0.0
