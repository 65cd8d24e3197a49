"""What fills cost, beside what their decisions had assumed: in bp of notional, by side, liquidity, size and hour.

A cost is positive where money is lost against the mid: a taker pays, a maker that is filled at the touch earns half the
spread, and a rebate is a negative fee. docs/label_shift.md has the formulas.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from market.errors import DataError

Floats = NDArray[np.float64]
Verdict = Literal["no fills yet", "insufficient", "dearer", "cheaper", "as assumed"]

LIQUIDITY: Final = ("taker", "maker")
GROUPS: Final = ("all", "side", "size", "hour")
BLOCK_NS: Final = 60_000_000_000  # fills of a minute share one market, and count as one observation
MIN_BLOCKS: Final = 10  # minutes with a fill, below which no interval is given
INTERVAL: Final = 0.95
SIZES: Final = (1e3, 1e4, 1e5)  # quote currency
SIZE_NAMES: Final = (
    f"under {SIZES[0]:,.0f}",
    *(f"{low:,.0f} to {high:,.0f}" for low, high in pairwise(SIZES)),
    f"from {SIZES[-1]:,.0f}",
)
SUMMARY: Final[dict[str, Any]] = {
    "liquidity": pl.String,
    "by": pl.String,
    "group": pl.String,
    "fills": pl.Int64,
    "unassumed": pl.Int64,
    "minutes": pl.Int64,
    "assumed_bp": pl.Float64,
    "paid_bp": pl.Float64,
    "arrival_bp": pl.Float64,
    "slippage_bp": pl.Float64,
    "assumed_fee_bp": pl.Float64,
    "excess_bp": pl.Float64,
    "low_bp": pl.Float64,
    "high_bp": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Fills:
    """N fills, each beside the decision that its order came from. Arrays of shape (N,)."""

    decided_ts: NDArray[np.int64]  # ns UTC
    side: NDArray[np.int64]  # +1 bought, -1 sold
    maker: NDArray[np.bool_]
    price: Floats  # ticks
    decision_mid: Floats  # ticks, the mid that the decision saw
    arrival_mid: Floats  # ticks, the venue's when the order met it
    quote_value: Floats  # of the fill, quote currency
    round_trip_bp: Floats  # that the decision assumed: spread and fees of both legs; NaN: it assumed none
    fee: Floats  # of the tier in force, a fraction of notional; below 0: a rebate. What was charged no report says

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name).shape for name in self.__slots__}
        if len(set(sizes.values())) > 1 or len(self.price.shape) != 1:
            raise DataError(f"columns of fills differ in shape: {sizes}")
        if not np.isin(self.side, (-1, 1)).all() or not (self.price > 0).all() or not (self.decision_mid > 0).all():
            raise DataError("a fill has a side of +1 or -1, and a price and a mid above 0")


def distance_bp(side: NDArray[np.int64], price: Floats, mid: Floats, inverse: bool) -> Floats:
    """What trading at ``price`` costs against ``mid``, bp of the notional at the mid; below 0 where it earns.

    In the settlement currency: an inverse contract is worth its contracts over the price.

    >>> distance_bp(np.array([1, -1]), np.array([101.0, 101.0]), np.array([100.0, 100.0]), False).round(6)
    array([ 100., -100.])
    """
    away = 1.0 - mid / price if inverse else price / mid - 1.0
    return np.asarray(side * away * 1e4)


def fill_costs(fills: Fills, inverse: bool) -> pl.DataFrame:
    """One row a fill, in order; costs in bp of the notional at the decision's mid.

    assumed_bp is half of the decision's round trip. slippage_bp is what was paid to the mid at the decision, and
    assumed_fee_bp the fee of the tier in force, which nobody reports as charged; paid_bp is their sum, arrival_bp
    that of the distance to the mid at arrival and the same fee; excess_bp = paid_bp - assumed_bp.
    """
    scale = fills.decision_mid / fills.price if inverse else fills.price / fills.decision_mid
    fee_bp = fills.fee * scale * 1e4
    slippage = distance_bp(fills.side, fills.price, fills.decision_mid, inverse)
    paid = slippage + fee_bp
    assumed = fills.round_trip_bp / 2
    return pl.DataFrame(
        {
            "decided_ts": fills.decided_ts,
            "liquidity": np.where(fills.maker, "maker", "taker").tolist(),
            "side": np.where(fills.side > 0, "buy", "sell").tolist(),
            "size": [SIZE_NAMES[place] for place in np.searchsorted(SIZES, fills.quote_value, side="right")],
            "hour": [f"{hour:02d}" for hour in fills.decided_ts // 3_600_000_000_000 % 24],
            "quote_value": fills.quote_value,
            "assumed_bp": assumed,
            "paid_bp": paid,
            "arrival_bp": distance_bp(fills.side, fills.price, fills.arrival_mid, inverse) + fee_bp,
            "slippage_bp": slippage,
            "assumed_fee_bp": fee_bp,
            "excess_bp": paid - assumed,
        },
        schema_overrides=dict.fromkeys(("liquidity", "side", "size", "hour"), pl.String),
    )


def summarise(costs: pl.DataFrame) -> pl.DataFrame:
    """Mean costs by liquidity within each group: of all fills, by side, size and UTC hour; weighted by value.

    low_bp and high_bp bound the mean excess at 95 %; NaN under MIN_BLOCKS minutes with a fill. ``unassumed`` fills had
    a decision without a cost: they count in paid and arrival, not in assumed and excess.
    """
    rows = [
        {"liquidity": liquidity, "by": by, "group": str(group), **_means(part)}
        for by in GROUPS
        for (liquidity, group), part in _grouped(costs, by)
    ]
    return pl.DataFrame(rows, schema_overrides=SUMMARY) if rows else pl.DataFrame(schema=SUMMARY)


def _grouped(costs: pl.DataFrame, by: str) -> Iterable[tuple[tuple[Any, ...], pl.DataFrame]]:
    keyed = costs.with_columns(pl.lit("all").alias("all")) if by == "all" else costs
    return keyed.sort("liquidity", by).group_by("liquidity", by, maintain_order=True)


def _means(part: pl.DataFrame) -> dict[str, float | int]:
    known = part.filter(pl.col("assumed_bp").is_not_nan())
    excess, low, high = mean_interval(
        known["excess_bp"].to_numpy(), known["quote_value"].to_numpy(), known["decided_ts"].to_numpy() // BLOCK_NS
    )
    return {
        "fills": part.height,
        "unassumed": part.height - known.height,
        "minutes": int((known["decided_ts"] // BLOCK_NS).n_unique()),
        "assumed_bp": _weighted(known, "assumed_bp"),
        **{name: _weighted(part, name) for name in ("paid_bp", "arrival_bp", "slippage_bp", "assumed_fee_bp")},
        "excess_bp": excess,
        "low_bp": low,
        "high_bp": high,
    }


def _weighted(part: pl.DataFrame, name: str) -> float:
    known = part.filter(pl.col(name).is_not_nan())
    weights = known["quote_value"].to_numpy()
    return float(np.average(known[name].to_numpy(), weights=weights)) if known.height else float("nan")


def mean_interval(values: Floats, weights: Floats, blocks: NDArray[np.int64]) -> tuple[float, float, float]:
    """Weighted mean and its 95 % interval, values of one block taken for one observation.

    NaN without a value; an interval of NaN under MIN_BLOCKS blocks. The squared error is that of a ratio of two sums
    over blocks, with Student's t.
    """
    if not values.size:
        return float("nan"), float("nan"), float("nan")
    mean = float(np.average(values, weights=weights))
    _, place = np.unique(blocks, return_inverse=True)
    off = np.bincount(place, weights * (values - mean))
    if off.size < MIN_BLOCKS:
        return mean, float("nan"), float("nan")
    error = np.sqrt(off.size / (off.size - 1) * np.sum(off**2)) / weights.sum()
    reach = float(special.stdtrit(off.size - 1, (1 + INTERVAL) / 2) * error)
    return mean, mean - reach, mean + reach


def cost_verdict(summary: pl.DataFrame, liquidity: str) -> Verdict:
    """Whether fills of one liquidity cost more than their decisions assumed, beyond chance."""
    found = summary.filter((pl.col("liquidity") == liquidity) & (pl.col("by") == "all"))
    if found.is_empty():
        return "no fills yet"
    low, high = found.select("low_bp", "high_bp").row(0)
    if np.isnan(low):
        return "insufficient"
    if low > 0:
        return "dearer"
    return "cheaper" if high < 0 else "as assumed"
