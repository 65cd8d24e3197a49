"""What became of the price after our fills: positive where it went our way, apart for maker and taker."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.mids import MidPath
from market.instrument import Instrument

SCHEMA = {
    "kind": pl.String,  # maker or taker
    "horizon_ms": pl.Int64,
    "fills": pl.Int64,  # whose mid at the horizon is known
    "unknown": pl.Int64,  # the tape ended, or the book was closed
    "markout_bp": pl.Float64,  # mean weighted by notional; null where no fill counts
}


def move_bp(
    side: NDArray[np.int64], price: NDArray[np.float64], later: NDArray[np.float64], inverse: bool
) -> NDArray[np.float64]:
    """What a lot bought (sold) at ``price`` has gained once it is worth ``later``, bp of its notional; both in ticks.

    >>> move_bp(np.array([1, -1]), np.array([100.0, 100.0]), np.array([101.0, 101.0]), False).round(6).tolist()
    [100.0, -100.0]
    """
    gained = 1.0 - price / later if inverse else later / price - 1.0
    return np.asarray(1e4 * side * gained)


def markouts(fills: pl.DataFrame, mids: MidPath, horizons_ms: Sequence[int], instrument: Instrument) -> pl.DataFrame:
    """Mean move of the venue's mid from the price of a fill, bp, ``horizons_ms`` after the venue made it; see SCHEMA.

    fills : see ``fills_frame``
    """
    maker, weight = fills["maker"].to_numpy(), fills["notional"].to_numpy()
    side, price = fills["side"].to_numpy(), fills["price"].to_numpy() / instrument.tick_size
    rows = []
    for horizon_ms in horizons_ms:
        later = mids.at(fills["venue_ts"].to_numpy() + horizon_ms * 1_000_000)
        moved = move_bp(side, price, later, instrument.inverse)
        for kind, chosen in (("maker", maker), ("taker", ~maker)):
            known = chosen & np.isfinite(moved)
            count = int(known.sum())
            mean = float(np.average(moved[known], weights=weight[known])) if count else None
            rows.append((kind, horizon_ms, count, int(chosen.sum()) - count, mean))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
