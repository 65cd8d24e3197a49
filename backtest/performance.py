"""What a run of decisions earned, in settlement currency and in quote currency: trips, minutes, drawdown, costs."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market.instrument import Instrument
from trading.records import REASON_NAMES

MINUTE_NS: Final = 60_000_000_000
MINUTES_FOR_RATIO: Final = 30  # fewer one-minute returns say nothing of a ratio


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of one run. Money is in ``currency``; None: too little data for that figure."""

    currency: str
    decisions: int
    orders: int
    fills: int
    maker_share: float | None  # of filled lots
    round_trips: int  # flat to flat
    hit_rate: float | None  # share of round trips with a net profit
    average_r_bp: float | None  # mean net return of a round trip on its entry notional
    net: float  # profit after fees, open position at the last mid
    net_quote: float  # the same in quote currency at the last mid
    fees: float
    volume: float  # traded notional
    net_bp: float | None  # net over traded notional
    breakeven_fee_bp: float | None  # fee a leg at which net would be 0
    max_drawdown: float
    information_ratio: float | None  # mean over deviation of one-minute profits, a minute
    minutes: int
    open_lots: int  # position when the run ended
    end_reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def drawdown(equity: NDArray[np.float64]) -> float:
    """Largest fall below an earlier peak, the start counting as one.

    >>> drawdown(np.array([1.0, 3.0, 2.0, 5.0]))
    1.0
    """
    peaks = np.maximum.accumulate(np.concatenate([[0.0], equity]))
    return float((peaks[1:] - equity).max(initial=0.0))


def minute_profits(row_ts: NDArray[np.int64], equity: NDArray[np.float64]) -> pl.DataFrame:
    """Profit of each UTC minute that holds a row: ``minute`` (ns) and ``net``, settlement currency.

    >>> minute_profits(np.array([0, 30, 60, 90]) * 10**9, np.array([0.0, 1.0, 1.5, 4.0]))["net"].to_list()
    [1.0, 3.0]
    """
    frame = pl.DataFrame({"minute": row_ts // MINUTE_NS * MINUTE_NS, "equity": equity})
    closes = frame.group_by("minute", maintain_order=True).agg(pl.col("equity").last())
    return closes.select("minute", net=pl.col("equity") - pl.col("equity").shift(1, fill_value=0.0))


def _ratio(profits: NDArray[np.float64]) -> float | None:
    if profits.size < MINUTES_FOR_RATIO:
        return None
    deviation = float(profits.std(ddof=1))
    return float(profits.mean()) / deviation if deviation > 0 else None


def performance(
    decisions: NDArray[np.void], orders: int, fills: pl.DataFrame, instrument: Instrument, end_reason: str
) -> Performance:
    """Figures of a run from its decisions and its fills (``fills_frame``)."""
    equity = decisions["equity"].astype(np.float64)
    net = float(equity[-1]) if equity.size else 0.0
    trips = round_trips(fills)
    net_trips = trips["net"].to_numpy()
    volume, fees, lots = (float(fills[name].sum()) for name in ("notional", "fee", "qty"))
    profits = minute_profits(decisions["row_ts"], equity)["net"].to_numpy()
    return Performance(
        currency=instrument.settlement,
        decisions=len(decisions),
        orders=orders,
        fills=fills.height,
        maker_share=float(fills.filter("maker")["qty"].sum()) / lots if lots else None,
        round_trips=trips.height,
        hit_rate=float(np.mean(net_trips > 0)) if trips.height else None,
        average_r_bp=float(np.mean(1e4 * net_trips / trips["entry"].to_numpy())) if trips.height else None,
        net=net,
        net_quote=net * _last_mid(decisions, instrument) if instrument.inverse else net,
        fees=fees,
        volume=volume,
        net_bp=1e4 * net / volume if volume else None,
        breakeven_fee_bp=1e4 * (net + fees) / volume if volume else None,
        max_drawdown=drawdown(equity),
        information_ratio=_ratio(profits),
        minutes=profits.size,
        open_lots=int(fills["position"][-1]) if fills.height else 0,
        end_reason=end_reason,
    )


def _last_mid(decisions: NDArray[np.void], instrument: Instrument) -> float:
    quoted = decisions[(decisions["best_bid"] > 0) & (decisions["best_ask"] > 0)]
    if quoted.size == 0:
        return 0.0
    return instrument.price(0.5 * (int(quoted["best_bid"][-1]) + int(quoted["best_ask"][-1])))


def round_trips(fills: pl.DataFrame) -> pl.DataFrame:
    """One row a flat-to-flat round trip: its end, its net profit, and the notional it opened."""
    trip = (pl.col("position") == 0).cum_sum().shift(1, fill_value=0)
    adding = pl.col("position") * pl.col("side") > 0
    opened = pl.when(adding).then(pl.min_horizontal(pl.col("position").abs(), "qty") / pl.col("qty")).otherwise(0.0)
    per_trip = fills.with_columns(trip=trip, opened=opened * pl.col("notional")).group_by("trip", maintain_order=True)
    trips = per_trip.agg(
        end_ts=pl.col("visible_ts").last(),
        net=pl.col("cash").sum() - pl.col("fee").sum(),
        entry=pl.col("opened").sum(),
        closed=pl.col("position").last() == 0,
    )
    return trips.filter("closed").drop("closed")


def reason_counts(decisions: NDArray[np.void]) -> pl.DataFrame:
    """How often each reason was given, most frequent first: ``reason``, ``rows``, ``share``."""
    codes, counts = np.unique(decisions["reason"], return_counts=True)
    frame = pl.DataFrame({"reason": [REASON_NAMES[code] for code in codes], "rows": counts})
    return frame.with_columns(share=pl.col("rows") / max(1, len(decisions))).sort("rows", descending=True)
