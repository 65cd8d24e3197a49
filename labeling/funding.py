"""Funding of perpetual contracts: what was paid when, and what of it falls into the life of a round trip."""

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


def payments(tape: Tape, instrument: Instrument) -> Payments:
    """What was paid on the tape; none on spot.

    A message says the rate and when it is paid next. It is paid then, at the last rate that had been said for that
    time, on the last mark before it; a tape that ends earlier has not seen the payment.
    """
    kinds = tape.events["kind"][tape.order]
    said = np.flatnonzero((kinds == FUNDING) if instrument.contract != "spot" else np.zeros(kinds.size, np.bool_))
    due = tape.events["qty"][tape.order[said]]
    known = said[(tape.times[said] <= due) & (due <= (tape.times[-1] if tape.times.size else 0))]
    due = tape.events["qty"][tape.order[known]]
    ts, last = np.unique(due[::-1], return_index=True)
    rates = tape.events["price"][tape.order[known[::-1][last]]]
    return Payments(ts, rates * RATE_UNIT, _marks(tape, kinds, ts, instrument.tick_size))


def _marks(tape: Tape, kinds: NDArray[np.uint8], ts: NDArray[np.int64], tick_size: float) -> Floats:
    marks = np.flatnonzero(kinds == MARK)
    newest = np.searchsorted(tape.times[marks], ts, side="right") - 1
    if not marks.size:
        return np.full(ts.size, np.nan)
    prices = tape.events["price"][tape.order[marks[newest]]] * (MARK_UNIT / tick_size)
    return np.where(newest >= 0, prices, np.nan)


def paid_by_longs(paid: Payments, te: NDArray[np.int64], horizon_ns: int, entry_mid: Floats, inverse: bool) -> Floats:
    """What a long position pays from te (not itself) to te + h, a fraction of its value at the mid of te, shape (N,).

    0 where no payment falls there. Without a mark a payment is reckoned at the mid of te. Linear: rate x mark / mid;
    inverse, in coin: rate x mid / mark.
    """
    total = np.zeros(te.size)
    for ts, rate, mark in zip(*paid, strict=True):
        held = np.flatnonzero((te < ts) & (ts <= te + horizon_ns))
        mid = entry_mid[held]
        ratio = np.ones(held.size) if np.isnan(mark) else (mid / mark if inverse else mark / mid)
        total[held] += rate * ratio
    return total
