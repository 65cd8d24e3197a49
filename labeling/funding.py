"""Funding of perpetual contracts: what was paid when, and what of it falls into the life of a round trip."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labeling.replay import Tape
from market.events import FUNDING, MARK
from market.instrument import Instrument

RATE_UNIT: Final = 1e-12  # of an event's price, kind FUNDING
MARK_UNIT: Final = 1e-8  # quote currency, kind MARK

Floats = NDArray[np.float64]


class Payments(NamedTuple):
    """P payments of a perpetual contract, oldest first."""

    ts: NDArray[np.int64]  # (P,) when each is paid, ns
    rate: Floats  # (P,) a fraction of the position's value at the mark; above 0, longs pay shorts
    mark: Floats  # (P,) mark price in ticks; NaN before any was seen


def payments(tape: Tape, told: NDArray[np.int64], instrument: Instrument) -> Payments:
    """What was paid on the tape, whose marks and fundings have the places ``told``; nothing on spot.

    A message says the rate and when it is paid next. It is paid then, at the last rate that had been said for that
    time, on the last mark before it; a tape that ends earlier has not seen the payment.
    """
    events, times = tape.events[tape.order[told]], tape.times[told]
    end = tape.times[-1] if tape.times.size and instrument.contract != "spot" else np.iinfo(np.int64).min
    counts = (events["kind"] == FUNDING) & (times <= events["qty"]) & (events["qty"] <= end)
    newest_first = events[counts][::-1]
    ts, newest = np.unique(newest_first["qty"], return_index=True)
    marked = events["kind"] == MARK
    marks = _marks(times[marked], events["price"][marked] * (MARK_UNIT / instrument.tick_size), ts)
    return Payments(ts, newest_first["price"][newest] * RATE_UNIT, marks)


def _marks(times: NDArray[np.int64], prices: Floats, ts: NDArray[np.int64]) -> Floats:
    """The price in force at each instant; NaN before the first."""
    place = np.searchsorted(times, ts, side="right")
    return np.concatenate(([np.nan], prices))[place]


def paid_by_longs(
    paid: Payments,
    instants: tuple[NDArray[np.int64], NDArray[np.int64]],
    horizons_ns: NDArray[np.int64],
    mids: Floats,
    inverse: bool,
) -> Iterator[tuple[Floats, NDArray[np.intp]]]:
    """For each horizon h what a long position pays from te (not itself) to te + h, and the rows that pay, or get, any.

    The first is a fraction of the position's value at the mid of te, shape (N,).
    instants : row_ts, which rises, and te; mids : at te; each (N,)
    0 where no payment falls there. Without a mark a payment is reckoned at the mid of te. Linear: rate x mark / mid;
    inverse, in coin: rate x mid / mark.
    """
    row_ts, te = instants
    slowest = int((te - row_ts).max(initial=0))
    for horizon_ns in horizons_ns:
        total, payers = np.zeros(mids.size), [np.zeros(0, np.intp)]
        for ts, rate, mark in zip(*paid, strict=True):
            near = slice(*np.searchsorted(row_ts, (ts - horizon_ns - slowest, ts)))
            held = near.start + np.flatnonzero((te[near] < ts) & (ts <= te[near] + horizon_ns))
            total[held] += rate * _mark_over_entry(mark, mids[held], inverse)
            payers.append(held)
        yield total, np.concatenate(payers)


def _mark_over_entry(mark: float, mids: Floats, inverse: bool) -> Floats:
    """Value at the mark over value at the entry."""
    if np.isnan(mark):
        return np.ones(mids.size)
    return mids / mark if inverse else mark / mids
