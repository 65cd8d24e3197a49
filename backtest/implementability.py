"""How much of what the signals asked for could be had: in the replay, at or inside the cost that they reckoned with.

A signal is an order that opens on a forecast: the lots by which a decision wanted more exposure, on the side it wanted
it. It is judged by what the market did, not by what was forecast: had its lots been taken at the mid of the touch that
the decision saw, they would have earned the move from there to the venue's mid at the horizon, less the modelled cost.
That is the profit at the decision's mid. What survives of it is the move from the price of each fill to that same later
mid, less the fee and the modelled cost of the way out. Where a signal was wrong, both are losses.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.markouts import move_bp
from backtest.mids import MidPath
from market.instrument import Instrument
from market.orders import POST_ONLY
from market.units import NS_PER_MS
from trading.records import (
    BAD_INPUT,
    DEGENERATE,
    DELAYED,
    DRAWDOWN,
    EXPOSURE,
    KILL_UNVERIFIED,
    KILLED,
    LATE_DECISION,
    LOSS_STREAK,
    PLACE,
    RATE,
    SILENT,
    STOOD_DOWN,
    THIN_BOOK,
)

STOPPED: Final = -1  # order id of a signal that no order was sent for
CAPS: Final = (RATE, EXPOSURE)
GATES: Final = (
    *(BAD_INPUT, DELAYED, SILENT, LATE_DECISION, THIN_BOOK, LOSS_STREAK),
    *(DRAWDOWN, DEGENERATE, KILLED, KILL_UNVERIFIED, STOOD_DOWN),
)
TOLERANCE_BP = 1e-6  # of rounding, on a price that is exactly the modelled one


@dataclass(frozen=True, slots=True)
class Implementability:
    """What became of the signals of a run; None: nothing to take a share of."""

    signals: int  # decisions that asked for more exposure, those that a cap stopped among them
    signalled_lots: int
    inside_lots: int  # filled at or inside the modelled cost
    quantity_share: float | None  # inside_lots of signalled_lots
    judged: int  # signals whose mid at the horizon is known
    signalled_bp: float | None  # mean net profit of a judged signal at its decision's mid, bp, weighted by lots
    survived_bp: float | None  # what its fills kept, bp of what was signalled
    profit_share: float | None  # survived of signalled, where there was a profit
    capped: int  # signals that a cap on rate or exposure stopped: nothing of them was filled
    gated_rows: int  # rows on which a gate or halt silenced a ready forecast; how much it wanted is not known
    cap_bound_share: float | None  # see the function of that name


def signals(decisions: NDArray[np.void], intents: NDArray[np.void]) -> pl.DataFrame:
    """One row an opening order: order_id, side, lots that open, lots that close, mid, cost_bp, decided_ts.

    ``mid`` is that of the touch which the session saw, ticks. An order that a cap stopped has the id ``STOPPED``; one
    that is stopped row after row is one signal. A resting quote opens with all of its lots; an immediate order with
    what takes the position beyond where it was.
    What was decided without a forecast, and so without a modelled cost, is no signal.
    """
    placed = intents[intents["verb"] == PLACE]
    made = decisions[np.searchsorted(decisions["decision_id"], placed["decision_id"])]
    quote = placed["tif"] == POST_ONLY
    position, target = made["position"], made["target"]
    reverses = position * target < 0
    opening = np.where(reverses, np.abs(target), np.maximum(np.abs(target) - np.abs(position), 0))
    frame = pl.DataFrame(
        {
            "order_id": placed["order_id"],
            "side": placed["side"].astype(np.int64),
            "opens": np.where(quote, placed["qty"], opening),
            "closes": np.where(~quote & reverses, np.abs(position), 0),
            "mid": 0.5 * (made["best_bid"] + made["best_ask"]),
            "cost_bp": made["cost_bp"],
            "decided_ts": made["infer_ts"],
        }
    )
    asked = pl.concat([frame, _stopped(decisions)]).sort("decided_ts", maintain_order=True)
    return asked.filter((pl.col("opens") > 0) & pl.col("cost_bp").is_finite())


def gated_rows(decisions: NDArray[np.void]) -> int:
    """Rows on which a gate or halt silenced a forecast that was ready."""
    return int((np.isin(decisions["reason"], GATES) & (decisions["ready"] != 0)).sum())


def cap_bound_share(decisions: NDArray[np.void]) -> float | None:
    """Of the decisions whose forecast asked for a position, the share in which a cap bound it and not the edge.

    None where no decision asked for one. The cap is that on risk or on visible depth.
    """
    asking = np.isfinite(decisions["mu_bp"]) & (decisions["target"] != 0)
    return float(decisions["capped"][asking].mean()) if asking.any() else None


def _stopped(decisions: NDArray[np.void]) -> pl.DataFrame:
    """What caps on rate and exposure kept from being sent, the first row of each stretch that wanted one side."""
    side = np.sign(decisions["target"].astype(np.int64) - decisions["position"])
    stopped = np.isin(decisions["reason"], CAPS) & (decisions["orders"] == 0)
    again = np.zeros(stopped.size, bool)
    again[1:] = stopped[1:] & stopped[:-1] & (side[1:] == side[:-1])
    made, side = decisions[stopped & ~again], side[stopped & ~again]
    position, target = made["position"].astype(np.int64), made["target"].astype(np.int64)
    reverses = position * target < 0
    return pl.DataFrame(
        {
            "order_id": np.full(made.size, STOPPED, np.int64),
            "side": side,
            "opens": np.where(reverses, np.abs(target), np.maximum(np.abs(target) - np.abs(position), 0)),
            "closes": np.where(reverses, np.abs(position), 0),
            "mid": 0.5 * (made["best_bid"] + made["best_ask"]),
            "cost_bp": made["cost_bp"],
            "decided_ts": made["infer_ts"],
        }
    )


def implementability(
    asked: pl.DataFrame,
    fills: pl.DataFrame,
    mids: MidPath,
    horizon_ms: int,
    instrument: Instrument,
    *,
    decisions: NDArray[np.void],
) -> Implementability:
    """What became of ``asked`` (see ``signals``) in a run's ``decisions`` and ``fills`` (see ``fills_frame``)."""
    later = mids.at(asked["decided_ts"].to_numpy() + horizon_ms * NS_PER_MS)
    asked = asked.with_columns(at_mid_bp=_moved(asked, later, instrument) - asked["cost_bp"].to_numpy(), later=later)
    got = opened_by(asked, fills, instrument)
    total, inside = int(asked["opens"].sum()), int(got.filter("inside")["lots"].sum())
    judged = asked.filter(pl.col("at_mid_bp").is_not_nan())
    weight, at_mid = _weighed(judged["at_mid_bp"], judged["opens"])
    known = got.filter(pl.col("kept_bp").is_not_nan())
    _, survived = _weighed(known["kept_bp"], known["lots"])
    return Implementability(
        signals=asked.height,
        signalled_lots=total,
        inside_lots=inside,
        quantity_share=inside / total if total else None,
        judged=judged.height,
        signalled_bp=at_mid / weight if weight else None,
        survived_bp=survived / weight if weight else None,
        profit_share=survived / at_mid if at_mid > 0 else None,
        capped=int((asked["order_id"] == STOPPED).sum()),
        gated_rows=gated_rows(decisions),
        cap_bound_share=cap_bound_share(decisions),
    )


def _weighed(values_bp: pl.Series, lots: pl.Series) -> tuple[float, float]:
    """Lots in all, and the sum of a figure over them."""
    return float(lots.sum()), float((values_bp * lots).sum())


def opened_by(asked: pl.DataFrame, fills: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    """The lots of each fill that opened what its signal asked for, whether inside its cost, and what they kept, bp.

    An order's first lots close what was held; only those behind them open.
    """
    own = fills.join(asked, on="order_id", how="inner", suffix="_asked", maintain_order="left")
    earlier = pl.col("qty").cum_sum().over("order_id") - pl.col("qty")
    return (
        own.with_columns(before=earlier)
        .with_columns(
            lots=pl.min_horizontal("opens", (pl.col("before") + pl.col("qty") - pl.col("closes")).clip(0))
            - pl.min_horizontal("opens", (pl.col("before") - pl.col("closes")).clip(0))
        )
        .pipe(_judged, instrument)
    )


def _judged(own: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    side, price = own["side"].to_numpy(), own["price"].to_numpy() / instrument.tick_size
    fee_bp = 1e4 * (own["fee"] / own["notional"]).to_numpy()
    leg_bp = own["cost_bp"].to_numpy() / 2
    paid_bp = fee_bp + 1e4 * side * (price / own["mid"].to_numpy() - 1.0)  # of the mid, as the modelled cost is
    kept_bp = move_bp(side, price, own["later"].to_numpy(), instrument.inverse) - fee_bp - leg_bp
    return own.with_columns(inside=pl.Series(paid_bp <= leg_bp + TOLERANCE_BP), kept_bp=pl.Series(kept_bp))


def _moved(asked: pl.DataFrame, later: NDArray[np.float64], instrument: Instrument) -> NDArray[np.float64]:
    return move_bp(asked["side"].to_numpy(), asked["mid"].to_numpy(), later, instrument.inverse)
