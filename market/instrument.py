"""What is traded: its grid of prices and quantities, and how its value is reckoned."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from market.errors import ConfigError, OffGrid

Contract = Literal["linear", "inverse", "spot"]
CONTRACT_CODES: Final = {"linear": 0, "inverse": 1, "spot": 2}
GRID_TOLERANCE: Final = 1e-3  # of a step: float64 is off by less up to 1e12 steps
MOST_STEPS: Final = 2.0**53  # whole numbers beyond it are not exact in a float64
_NAME: Final = re.compile(r"[a-z0-9_]+(-[a-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol of one venue. Prices are counted in ticks, quantities in lots.

    ``multiplier`` is the value of one unit of quantity: base coins a unit for linear
    contracts and spot, quote currency a contract for inverse ones.
    """

    name: str  # ours, unique over all venues: "binance-coinm-btcusd_perp"
    venue: str  # the decoder to read it with: "binance-coinm"
    venue_symbol: str  # the venue's own name, lower case: "btcusd_perp"
    contract: Contract
    tick_size: float  # quote currency
    lot_size: float  # base coins, or contracts
    multiplier: float
    base: str
    quote: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"instrument name {self.name!r} may hold only a-z, 0-9, _ and single - between them")
        if self.contract not in CONTRACT_CODES:
            raise ConfigError(f"contract={self.contract!r} of {self.name} is not one of {sorted(CONTRACT_CODES)}")
        for key in ("tick_size", "lot_size", "multiplier"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key}={getattr(self, key)} of {self.name} must be above 0")

    @property
    def inverse(self) -> bool:
        """Whether profit is booked in the base coin."""
        return self.contract == "inverse"

    @property
    def synthetic(self) -> bool:
        """Whether no market ever traded it: its name begins with "synthetic-"."""
        return self.name.startswith("synthetic-")

    @property
    def settlement(self) -> str:
        """The currency that profit is booked in."""
        return self.base if self.inverse else self.quote

    @property
    def lot_value(self) -> float:
        """What one lot is worth: base coins (linear, spot) or quote currency (inverse)."""
        return self.lot_size * self.multiplier

    def price(self, ticks: float) -> float:
        """Quote currency of a price in ticks."""
        return ticks * self.tick_size

    def notional(self, ticks: float, lots: float) -> float:
        """Value in the settlement currency of ``lots`` at ``ticks``.

        >>> coin = Instrument("v-x", "v", "x", "inverse", 0.1, 1.0, 100.0, "BTC", "USD")
        >>> coin.notional(500_000, 5)
        0.01
        """
        if self.inverse:
            return lots * self.lot_value / (ticks * self.tick_size)
        return lots * self.lot_value * ticks * self.tick_size


def whole_steps(value: float, step: float, what: str) -> int:
    """How many steps ``value`` is.

    Raises OffGrid if it lies between two steps, is negative or not finite.

    >>> whole_steps(61_773.6, 0.1, "price")
    617736
    """
    steps = value / step
    if 0 <= steps < MOST_STEPS:
        whole = round(steps)
        if -GRID_TOLERANCE < steps - whole < GRID_TOLERANCE:
            return whole
    raise OffGrid(f"{what}={value} is no multiple of {step} at or above 0")
