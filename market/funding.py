"""Funding of perpetual contracts: when it was paid, at which rate, on which mark; labels and the ledger ask here."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.events import FUNDING, MARK, PRICE_UNIT, RATE_UNIT, Events, aligned_ts


class Payments(NamedTuple):
    """P payments of a perpetual contract, oldest first; longs pay shorts where the rate is above 0."""

    ts: NDArray[np.int64]  # (P,) when each is paid, ns
    rate: NDArray[np.float64]  # (P,) a fraction of the position's value at the mark
    mark: NDArray[np.float64]  # (P,) mark price in ticks; NaN where none had been heard by then


def tells_funding(events: Events) -> NDArray[np.bool_]:
    """Which events payments are made of: marks and fundings."""
    return (events["kind"] == MARK) | (events["kind"] == FUNDING)


def payments(told: Events, tick_size: float) -> Payments:
    """What falls due by the messages of a perpetual contract, whatever its time, with what was known at that instant.

    A message says the rate and when it is paid next. It is paid then, at the last rate that had been heard for that
    time by then, on the last mark heard by then; what is heard later changes nothing.
    told : marks and fundings in the order of arrival
    """
    known = _known_ts(told)
    order = np.argsort(known, kind="stable")
    told, known = told[order], known[order]
    newest_first = told[(told["kind"] == FUNDING) & (known <= told["qty"])][::-1]
    ts, newest = np.unique(newest_first["qty"], return_index=True)
    marked = told["kind"] == MARK
    marks = np.concatenate(([np.nan], told["price"][marked] * (PRICE_UNIT / tick_size)))
    heard = np.searchsorted(known[marked], ts, side="right")
    return Payments(ts, newest_first["price"][newest] * RATE_UNIT, marks[heard])


def still_told(told: Events, paid_until: int) -> Events:
    """Of marks and fundings in the order of arrival, those that payments after an instant (ns) are made of."""
    early, funding = _known_ts(told) <= paid_until, told["kind"] == FUNDING
    keys = np.where(funding, told["qty"], -1)  # of one key only the last that was heard by then counts
    last = told.size - 1 - np.unique(np.where(early, keys, -2)[::-1], return_index=True)[1]
    counts = ~early & (~funding | (told["qty"] > paid_until))
    counts[last] = True
    return told[counts & (~funding | (told["qty"] > paid_until))]


def _known_ts(told: Events) -> NDArray[np.int64]:
    """When a message was heard; never before the venue said it, whatever the clock is off by."""
    return np.asarray(np.maximum(told["ingest_ts"], aligned_ts(told)))
