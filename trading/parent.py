"""A parent order: what is to be bought or sold within a window; the executing policy works it in child orders."""

from dataclasses import dataclass

from market.errors import ConfigError
from market.events import BUY, SELL


@dataclass(frozen=True, slots=True)
class ParentOrder:
    """Buy or sell ``lots`` at rows in [start_ts, end_ts)."""

    side: int
    lots: int
    start_ts: int  # ns UTC
    end_ts: int

    def __post_init__(self) -> None:
        if self.side not in (BUY, SELL) or self.lots < 1:
            raise ConfigError(f"parent order side={self.side} lots={self.lots}: side is 1 or -1, lots at least 1")
        if not self.start_ts < self.end_ts:
            raise ConfigError(f"the parent order's window [{self.start_ts}, {self.end_ts}) is empty")
