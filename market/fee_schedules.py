"""What venues charged, by tier and date: rows of their published fee schedules, each with what attests it.

An entry holds from the first day on which it is attested until the day before ``until``; outside of that nothing is
known, and asking is an error: no fee is ever guessed, and none is 0 for want of an entry.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from market.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Fees of one tier, fractions of a leg's notional; a rebate is below 0."""

    maker: float
    taker: float

    def __post_init__(self) -> None:
        for key in ("maker", "taker"):
            if not -0.01 <= getattr(self, key) <= 0.01:
                raise ConfigError(f"{key}={getattr(self, key)} is a fraction of notional, allowed -0.01 to 0.01")


@dataclass(frozen=True, slots=True)
class FeeEntry:
    """Fees of one tier of a venue over some days. Raises ConfigError if it ends before it begins."""

    venue: str  # as in Instrument.venue
    tier: str  # the venue's name for it, lower case
    since: date  # first day on which it is known to hold
    until: date | None  # first day on which that is no longer known; None: holds to this day
    maker_bp: float
    taker_bp: float
    source: str

    def __post_init__(self) -> None:
        if self.until is not None and self.until <= self.since:
            raise ConfigError(f"{self.venue} {self.tier}: until={self.until} must lie after since={self.since}")

    @property
    def fees(self) -> FeeTier:
        """As fractions of a leg's notional."""
        return FeeTier(self.maker_bp * 1e-4, self.taker_bp * 1e-4)


_USDM: Final = "binance.com/en/fee/futureFee, USD-M; taker of regular users 5 bp in ccxt pull 22319 (2024-04)"
_USDM_OLD: Final = "binance.com/en/fee/futureFee, USD-M; 2 and 4 bp in ccxt issue 9483 (2021-06)"
_COINM: Final = (
    "binance.com/en/fee/futureFee, COIN-M; VIP 1 in ccxt pull 21206 (2024-02), after the change of 2023-09-26"
)
_SPOT: Final = "binance.com/en/fee/trading; regular users 10 bp in binance-java-api issue 211 (2019-05)"
_USDM_TIERS: Final = (  # maker, taker in bp, VIP 0 to 9
    (2.0, 5.0), (1.6, 4.0), (1.4, 3.5), (1.2, 3.2), (1.0, 3.0),
    (0.8, 2.7), (0.6, 2.5), (0.4, 2.2), (0.2, 2.0), (0.0, 1.7),
)  # fmt: skip

ENTRIES: Final = (
    FeeEntry("binance-usdm", "vip0", date(2021, 6, 30), date(2023, 9, 1), 2.0, 4.0, _USDM_OLD),
    *(
        FeeEntry("binance-usdm", f"vip{level}", date(2024, 2, 12), None, maker, taker, _USDM)
        for level, (maker, taker) in enumerate(_USDM_TIERS)
    ),
    FeeEntry("binance-coinm", "vip0", date(2024, 2, 12), None, 2.0, 5.0, _COINM),
    FeeEntry("binance-coinm", "vip1", date(2024, 2, 12), None, 1.6, 4.0, _COINM),
    FeeEntry("binance-spot", "vip0", date(2019, 5, 20), None, 10.0, 10.0, _SPOT),
)


def fee_entry(venue: str, tier: str, on: date, entries: tuple[FeeEntry, ...] = ENTRIES) -> FeeEntry:
    """The entry of a venue's tier in force on a day; no two of them overlap.

    Raises DataError if there is none: an unknown venue or tier, a day before its first entry, or one between two.

    >>> entry = fee_entry("binance-usdm", "vip9", date(2024, 8, 8))
    >>> entry.maker_bp, entry.taker_bp
    (0.0, 1.7)
    """
    known = [entry for entry in entries if (entry.venue, entry.tier) == (venue, tier)]
    if not known:
        held = ", ".join(sorted({f"{entry.venue} {entry.tier}" for entry in entries}))
        raise DataError(f"the fee table holds nothing for {venue} {tier}; it holds {held}")
    in_force = [entry for entry in known if entry.since <= on and (entry.until is None or on < entry.until)]
    if not in_force:
        spans = ", ".join(f"{entry.since} to {entry.until or 'now'}" for entry in known)
        raise DataError(f"the fee table has no entry of {venue} {tier} for {on}; it covers {spans}")
    return max(in_force, key=lambda entry: entry.since)


def fees_over(venue: str, tier: str, first: date, last: date) -> FeeTier:
    """Maker and taker fee of a tier that hold on every day from the first to the last.

    Raises DataError as fee_entry, and if another entry comes into force in between.
    """
    entry, later = fee_entry(venue, tier, first), fee_entry(venue, tier, last)
    if later != entry:
        raise DataError(f"fees of {venue} {tier} change between {first} and {last}, on {later.since}; split the window")
    return entry.fees
