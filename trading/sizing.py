"""From a forecast to a target position: expected edge, its uncertainty, and the caps."""

from typing import Final

from numba import njit

# how a limit was found
EDGE_BOUND: Final = 0
CAP_BOUND: Final = 1


@njit(cache=True)
def edge(mean_bp, spread_bp, cost_bp, lcb_z):
    """Expected return that is left after the cost of a round trip and ``lcb_z`` spreads of the members, bp, never
    below 0: what is taken off is how far the members are apart on the mean, not how far a return may lie from it.

    >>> edge(-3.0, 1.0, 1.5, 0.5)
    1.0
    """
    return max(0.0, abs(mean_bp) - lcb_z * spread_bp - cost_bp)


@njit(cache=True)
def cap_share(edge_bp, variance_bp2, kappa_bp):
    """Share of the risk cap to hold, in [0, 1], and whether the cap bound.

    A variance of 0 with an edge asks for all of it: the cap, not the forecast, is the limit.

    >>> cap_share(1.0, 4.0, 2.0)
    (0.5, 0)
    >>> cap_share(1.0, 0.0, 2.0)
    (1.0, 1)
    """
    if edge_bp <= 0.0 or kappa_bp <= 0.0:
        return 0.0, EDGE_BOUND
    if kappa_bp * edge_bp >= variance_bp2:
        return 1.0, CAP_BOUND
    return kappa_bp * edge_bp / variance_bp2, EDGE_BOUND


@njit(cache=True)
def confidence_scale(confidence, cancel_below, halve_below):
    """1, a half or 0 by the largest class probability.

    >>> confidence_scale(0.5, 0.4, 0.6)
    0.5
    """
    if confidence < cancel_below:
        return 0.0
    return 0.5 if confidence < halve_below else 1.0


@njit(cache=True)
def jitter_scale(jitter_ms, reference_ms):
    """Share of the target that is left at this latency jitter: a half at the reference.

    >>> jitter_scale(5.0, 5.0)
    0.5
    """
    return reference_ms / (reference_ms + max(jitter_ms, 0.0))


@njit(cache=True)
def lots_of(quote_value, price_ticks, lot_value, tick_size, inverse):
    """Whole lots that are worth at most ``quote_value`` of quote currency.

    >>> lots_of(1_050.0, 500_000, 100.0, 0.1, True)
    10
    """
    return int(quote_value / value_of(1, price_ticks, lot_value, tick_size, inverse))


@njit(cache=True)
def value_of(lots, price_ticks, lot_value, tick_size, inverse):
    """Quote currency that lots are worth at a price.

    >>> value_of(10, 500_000, 0.001, 0.1, False)
    500.0
    """
    return lots * lot_value if inverse else lots * (lot_value * price_ticks * tick_size)
