"""Position, cash and profit of one instrument, exact for linear, inverse and spot; the only place fills become money.

A buy of ``lots`` at ``price`` exchanges cash for ``lots * value(price)``, where a lot's value is the price for
linear contracts and spot, and minus its inverse for inverse contracts. Everything else follows from that rule.
The compiled functions keep two arrays: ``counts`` in lots, ``money`` in value units (ticks x lots, or lots / tick);
integers below 2**53 are exact there, so that linear cash never rounds.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.borrowing import BORROWING
from market.errors import BacktestError
from market.events import FUNDING as FUNDING_EVENT
from market.events import MARK, Events, empty_events
from market.funding import payments, still_told, tells_funding
from market.instrument import Instrument

# places in counts
POSITION: Final = 0  # lots, signed
TRADED_LOTS: Final = 1
FILLS: Final = 2
COUNTS: Final = 3

# places in money
CASH: Final = 0  # flows of all fills, before fees
BASIS: Final = 1  # entry value of the open position at its average price, signed
FEES: Final = 2  # paid; rebates lower it
VOLUME: Final = 3  # traded value
FUNDING: Final = 4  # paid; what was received lowers it
MONEY: Final = 5

_NEVER: Final = 2**62  # ns
_MANY: Final = 1_024  # marks and fundings that are kept before those without effect are dropped


@njit(**BORROWING)
def lot_value_at(price, inverse):
    """Value units of one lot at a price in ticks, rising with the price."""
    return -1.0 / price if inverse else float(price)


@njit(**BORROWING)
def apply_fill(counts, money, inverse, side, price, lots, fee):
    """Book ``lots`` bought (side 1) or sold (side -1) at ``price`` ticks for ``fee``, a fraction of notional.

    Closing lots release their share of the basis, so that realised profit is CASH + BASIS at any time.
    """
    each = lot_value_at(price, inverse)
    value = lots * each
    held = abs(counts[POSITION])
    closing = min(lots, held) if counts[POSITION] * side < 0 else 0
    if held > 0:
        money[BASIS] *= (held - closing) / held
    money[BASIS] += side * (lots - closing) * each
    money[CASH] -= side * value
    money[FEES] += fee * abs(value)
    money[VOLUME] += abs(value)
    counts[POSITION] += side * lots
    counts[TRADED_LOTS] += lots
    counts[FILLS] += 1


@njit(**BORROWING)
def apply_funding(counts, money, inverse, rate, mark):
    """Pay ``rate``, a fraction of the position's value at ``mark`` ticks: longs pay shorts where it is above 0."""
    money[FUNDING] += rate * counts[POSITION] * abs(lot_value_at(mark, inverse))


@njit(**BORROWING)
def equity_units(counts, money, inverse, mark):
    """Profit since the start after fees, in value units, with the position valued at ``mark`` ticks.

    A flat position needs no mark.
    """
    cash = money[CASH] - money[FEES] - money[FUNDING]
    if counts[POSITION] == 0:
        return cash
    return cash + counts[POSITION] * lot_value_at(mark, inverse)


@njit(**BORROWING)
def _any_told(events):
    """Whether marks or fundings are among the events."""
    found = False
    for i in range(events.size):
        found = found or events[i].kind == MARK or events[i].kind == FUNDING_EVENT
    return found


class Ledger:
    """The books of one instrument, kept in its settlement currency; starts flat and at zero.

    Spot below zero lots is borrowed base currency, and is booked like a short linear position.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.counts = np.zeros(COUNTS, np.int64)
        self.money = np.zeros(MONEY, np.float64)
        tick = instrument.tick_size
        self.unit = instrument.lot_value / tick if instrument.inverse else instrument.lot_value * tick
        self._told = empty_events(0)  # marks and fundings that later payments are made of
        self._paid_until = -_NEVER
        self._next_due = _NEVER

    def dump(self) -> dict[str, NDArray[Any]]:
        """The whole state as arrays, so that ``load`` goes on to the same books, to the last bit."""
        paid = np.array([self._paid_until, self._next_due], np.int64)
        return {"counts": self.counts.copy(), "money": self.money.copy(), "told": self._told.copy(), "paid": paid}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a ``dump``."""
        self.counts[:], self.money[:], self._told = arrays["counts"], arrays["money"], arrays["told"].copy()
        self._paid_until, self._next_due = arrays["paid"].tolist()

    def book_fill(self, side: int, price_ticks: int, lots: int, fee_fraction: float) -> None:
        """Book one fill: side 1 bought, -1 sold; a fee below 0 is a rebate.

        Raises BacktestError if side, price or lots cannot be a fill's.
        """
        if side not in (1, -1) or price_ticks <= 0 or lots <= 0:
            raise BacktestError(f"fill side={side} price={price_ticks} lots={lots}: side is 1 or -1, the rest above 0")
        apply_fill(self.counts, self.money, self.instrument.inverse, side, price_ticks, lots, fee_fraction)

    def on_events(self, events: Events) -> None:
        """Take in marks and fundings in the order of arrival, and book what has fallen due by the newest event.

        ``market.funding.payments`` says when, at which rate and on which mark, as it does for labels; the position is
        the one that fills booked so far have left. Spot and a feed without funding events book nothing.
        Raises BacktestError as ``pay_funding``.
        """
        if self.instrument.contract == "spot" or not events.size:
            return
        if _any_told(events):
            told = events[tells_funding(events)]
            self._told = np.concatenate([self._told, told])
            self._next_due = min(self._next_due, *told["qty"][told["kind"] == FUNDING_EVENT].tolist(), _NEVER)
        self.pay_funding(int(events["ingest_ts"][-1]))

    def pay_funding(self, until: int) -> None:
        """Book every payment that is due up to an instant (ns UTC) and not booked yet, by what was heard of it.

        Raises BacktestError if one falls due on a position before any mark was heard: its amount is not known.
        """
        if until >= self._next_due:
            for ts, rate, mark in zip(*payments(self._told, self.instrument.tick_size), strict=True):
                if self._paid_until < ts <= until and self.position:
                    self.book_funding(rate, mark)
        if until >= self._next_due or self._told.size > _MANY:
            self._told = still_told(self._told, until)
            pending = self._told["qty"][self._told["kind"] == FUNDING_EVENT].tolist()
            self._next_due = min([due for due in pending if due > until], default=_NEVER)
        self._paid_until = max(self._paid_until, until)

    def book_funding(self, rate: float, mark_ticks: float) -> None:
        """Book one funding payment on the position held: ``rate`` is a fraction of its value at ``mark_ticks``.

        Raises BacktestError unless the rate is finite and the mark above 0.
        """
        if not np.isfinite(rate) or not mark_ticks > 0:
            raise BacktestError(f"funding rate={rate} at mark={mark_ticks}: finite, and a mark above 0")
        apply_funding(self.counts, self.money, self.instrument.inverse, rate, mark_ticks)

    @property
    def position(self) -> int:
        """Lots held, below 0 when short."""
        return int(self.counts[POSITION])

    @property
    def fills(self) -> int:
        """How many fills were booked."""
        return int(self.counts[FILLS])

    @property
    def cash(self) -> float:
        """Flows of all fills less fees and funding: what equity is without the position's value."""
        return float(self.money[CASH] - self.money[FEES] - self.money[FUNDING]) * self.unit

    @property
    def realised(self) -> float:
        """Profit of closed lots against the average entry price (harmonic for inverse), before fees."""
        return float(self.money[CASH] + self.money[BASIS]) * self.unit

    @property
    def fees(self) -> float:
        """Fees paid less rebates."""
        return float(self.money[FEES]) * self.unit

    @property
    def funding(self) -> float:
        """Funding paid less received."""
        return float(self.money[FUNDING]) * self.unit

    @property
    def volume(self) -> float:
        """Traded notional, both sides."""
        return float(self.money[VOLUME]) * self.unit

    def equity(self, mark_ticks: float) -> float:
        """Profit since the start after fees, the position valued at ``mark_ticks``.

        >>> coin = Instrument("v-x", "v", "x", "inverse", 0.5, 1.0, 100.0, "BTC", "USD")
        >>> ledger = Ledger(coin)
        >>> ledger.book_fill(1, 100_000, 50, 0.0)
        >>> round(ledger.equity(125_000), 12)
        0.02
        """
        return float(equity_units(self.counts, self.money, self.instrument.inverse, mark_ticks)) * self.unit
