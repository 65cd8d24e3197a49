"""What a run of decisions earned: trips, minutes, drawdown and costs, of the whole run or of any part of its rows.

Money is in settlement currency unless a name says otherwise. A figure that too little data stands behind is None.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.engine import Result
from backtest.hac import effective_sample_size
from backtest.ledger import Ledger
from backtest.mids import MidPath
from backtest.resampling import FEWEST_BUCKETS, Interval, block_length, information_ratio, interval_of, ratio_of_sums
from market.events import MARK, PRICE_UNIT, Events
from market.instrument import Instrument
from trading.records import REASON_NAMES

MINUTE_NS: Final = 60_000_000_000
HOUR_NS: Final = 60 * MINUTE_NS
MARK_PRICE: Final = "the last mark price"
LAST_MID: Final = "the last mid"


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of some rows of a run; over a partition of the rows, counts and money sum to the whole run's."""

    decisions: int
    fills: int
    maker_share: float | None  # of filled lots
    round_trips: int  # flat to flat, counted where they began
    hit_rate: float | None  # share of round trips with a net profit
    average_r_bp: float | None  # mean net return of a round trip on its entry notional
    net: float  # trading + funding - fees, open position at the last mid
    trading: float  # profit of fills and of the open position
    funding: float  # received less paid
    fees: float
    volume: float  # traded notional
    net_bp: float | None  # net over traded notional
    breakeven_fee_bp: float | None  # fee a leg at which net would be 0, funding counted
    breakeven_low_bp: float | None  # its 95 % interval, by blocks of minutes
    breakeven_high_bp: float | None
    cost_pct: float | None  # fees and distance from the venue's mid, % of traded notional
    max_drawdown: float
    information_ratio: float | None  # mean over deviation of one-minute net profits, a minute
    information_ratio_low: float | None  # its 95 % interval
    information_ratio_high: float | None
    effective_minutes: float | None  # independent minutes that say as much about the mean
    minutes: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Performance(Figures):
    """Figures of a whole run, and what only a whole run has."""

    currency: str
    quote: str
    orders: int  # orders and cancels
    net_quote: float  # net in quote currency
    settlement_price: float  # quote currency a unit of settlement currency
    valued_at: str  # MARK_PRICE or LAST_MID: the price by which that was found
    open_lots: int  # position when the run ended
    end_reason: str
    orders_met: int  # orders and cancels that reached the venue, and their shares that came to nothing
    cancels_met: int
    orders_refused_share: float | None  # refused for no reason of ours
    cancels_late_share: float | None  # the order was done already, or not there yet
    cancels_refused_share: float | None
    cancels_unanswered_share: float | None


class Valuation(NamedTuple):
    """The price at which settlement currency is worth quote currency when a run ends."""

    price: float  # quote currency; 1 where the two are one
    source: str  # MARK_PRICE or LAST_MID


class Steps:
    """A run cut into its rows, so that any choice of them can be summed up.

    rows : row_ts, minute, net (profit booked at the row), funding (of it; received less paid) and whatever column it is
        to be grouped by
    fills : see ``fills_frame``, with ``row``, the place of the row that saw it, its ``minute``, and ``off_mid``
    trips : see ``round_trips``, likewise with ``row``, that of its first fill
    """

    def __init__(self, rows: pl.DataFrame, fills: pl.DataFrame, trips: pl.DataFrame, horizon_ms: int) -> None:
        self.rows, self.fills, self.trips, self.horizon_ms = rows, fills, trips, horizon_ms

    def by(self, column: str) -> dict[Any, "Steps"]:
        """The steps of each value of a column of ``rows``, in order of the values; together they are the whole."""
        values = self.rows[column]
        return {value: self._chosen(values == value) for value in values.unique().sort()}

    def _chosen(self, rows: pl.Series) -> "Steps":
        fills, trips = (frame.filter(rows.gather(frame["row"])) for frame in (self.fills, self.trips))
        return Steps(self.rows.filter(rows), fills, trips, self.horizon_ms)


def steps_of(
    decisions: NDArray[np.void],
    fills: pl.DataFrame,
    mids: MidPath,
    regimes: NDArray[np.int8],
    instrument: Instrument,
    horizon_ms: int,
    *,
    funding: NDArray[np.float64],
) -> Steps:
    """A run by rows, each with its UTC hour and regime.

    funding : (decisions,), paid less received by each; empty where none could be
    regimes : (decisions,), see features.regimes
    horizon_ms : of the forecast that was traded; blocks of minutes are never short of it
    """
    row_ts, equity = decisions["row_ts"], decisions["equity"].astype(np.float64)
    rows = pl.DataFrame(
        {
            "row_ts": row_ts,
            "minute": row_ts // MINUTE_NS * MINUTE_NS,
            "hour": row_ts // HOUR_NS % 24,
            "regime": regimes,
            "net": np.diff(equity, prepend=0.0),
            "funding": -np.diff(funding, prepend=0.0) if funding.size else np.zeros(equity.size),
        }
    )
    seen = fills.with_columns(_row(fills["visible_ts"], row_ts), off_mid=off_mid(fills, mids, instrument))
    seen = seen.with_columns(minute=rows["minute"].gather(seen["row"]))
    trips = round_trips(fills)
    return Steps(rows, seen, trips.with_columns(_row(trips["start_ts"], row_ts)), horizon_ms)


def _row(stamps: pl.Series, row_ts: NDArray[np.int64]) -> pl.Series:
    """The row at which each stamp was first known."""
    places = np.minimum(np.searchsorted(row_ts, stamps.to_numpy(), side="left"), max(row_ts.size - 1, 0))
    return pl.Series("row", places, pl.UInt32)


def off_mid(fills: pl.DataFrame, mids: MidPath, instrument: Instrument) -> pl.Series:
    """What each fill paid beyond the venue's mid of that moment, settlement currency; below 0 for most makers' fills.

    Null where the venue had no mid.
    """
    mid = mids.at(fills["venue_ts"].to_numpy())
    price, lots = fills["price"].to_numpy() / instrument.tick_size, fills["side"].to_numpy() * fills["qty"].to_numpy()
    values = [-1.0 / each if instrument.inverse else each for each in (price, mid)]
    return pl.Series((values[0] - values[1]) * lots * Ledger(instrument).unit, dtype=pl.Float64).fill_nan(None)


def figures(steps: Steps) -> Figures:
    """Figures of some rows."""
    fills, trips = steps.fills, steps.trips
    net, funding = (float(steps.rows[name].sum()) for name in ("net", "funding"))
    volume, fees, lots = (float(fills[name].sum()) for name in ("notional", "fee", "qty"))
    minutes = minute_sums(steps)
    ratio, breakeven = minute_intervals(minutes, steps)
    return Figures(
        decisions=steps.rows.height,
        fills=fills.height,
        maker_share=float(fills.filter("maker")["qty"].sum()) / lots if lots else None,
        round_trips=trips.height,
        hit_rate=float((trips["net"] > 0).to_numpy().mean()) if trips.height else None,
        average_r_bp=_average_r_bp(trips),
        net=net,
        trading=net - funding + fees,
        funding=funding,
        fees=fees,
        volume=volume,
        net_bp=1e4 * net / volume if volume else None,
        breakeven_fee_bp=1e4 * (net + fees) / volume if volume else None,
        breakeven_low_bp=_scaled(breakeven.low, 1e4),
        breakeven_high_bp=_scaled(breakeven.high, 1e4),
        cost_pct=_cost_pct(fills),
        max_drawdown=drawdown(steps.rows["net"].cum_sum().to_numpy()),
        information_ratio=ratio.estimate if minutes.height >= FEWEST_BUCKETS else None,
        information_ratio_low=ratio.low,
        information_ratio_high=ratio.high,
        effective_minutes=_effective(minutes["net"].to_numpy(), ratio.block),
        minutes=minutes.height,
    )


def _average_r_bp(trips: pl.DataFrame) -> float | None:
    return float(np.mean(1e4 * trips["net"].to_numpy() / trips["entry"].to_numpy())) if trips.height else None


def _cost_pct(fills: pl.DataFrame) -> float | None:
    """Fees and distance from the mid, % of the notional of fills whose mid is known; None without any."""
    known = fills.filter(pl.col("off_mid").is_not_null())
    return (
        100 * float((known["fee"] + known["off_mid"]).sum()) / float(known["notional"].sum()) if known.height else None
    )


def performance(steps: Steps, valued: Valuation, result: Result, instrument: Instrument) -> Performance:
    """Figures of a whole run."""
    whole, shares = figures(steps), result.shares()
    return Performance(
        **whole.as_dict(),
        currency=instrument.settlement,
        quote=instrument.quote,
        orders=len(result.intents),
        net_quote=whole.net * valued.price,
        settlement_price=valued.price,
        valued_at=valued.source,
        open_lots=int(steps.fills["position"][-1]) if steps.fills.height else 0,
        end_reason=result.end_reason,
        orders_met=result.tallies.get("orders", 0),
        cancels_met=result.tallies.get("cancels", 0),
        orders_refused_share=shares.get("orders_refused"),
        cancels_late_share=shares.get("cancels_late"),
        cancels_refused_share=shares.get("cancels_refused"),
        cancels_unanswered_share=shares.get("cancels_unanswered"),
    )


def valuation(decisions: NDArray[np.void], tape: Events, instrument: Instrument) -> Valuation:
    """The newest mark price that the tape told by the last decision, else the last mid that a decision saw.

    A contract that settles in its quote currency needs neither: its price is 1.
    """
    marks = tape[tape["kind"] == MARK]
    told = marks[marks["ingest_ts"] <= decisions["row_ts"][-1]] if decisions.size else marks[:0]
    price, source = (int(told["price"][-1]) * PRICE_UNIT, MARK_PRICE) if told.size else _last_mid(decisions, instrument)
    return Valuation(price if instrument.inverse else 1.0, source)


def minute_sums(steps: Steps) -> pl.DataFrame:
    """Net profit, profit before fees (funding counted) and traded notional of each UTC minute that holds a row.

    A fill belongs to the minute of the row that first knew of it, as it does in every group: none is left out.
    """
    minutes = steps.rows.group_by("minute", maintain_order=True).agg(pl.col("net").sum())
    traded = steps.fills.group_by("minute").agg(pl.col("fee").sum(), pl.col("notional").sum())
    joined = minutes.join(traded, on="minute", how="left", maintain_order="left").fill_null(0.0)
    return joined.select("minute", "net", gross=pl.col("net") + pl.col("fee"), notional="notional")


def minute_regimes(rows: pl.DataFrame) -> pl.DataFrame:
    """Net profit of each UTC minute that holds a row, and the regime of most of its rows, the lowest code of equals.

    rows : ``minute``, ``net`` and ``regime``, see Steps

    >>> frame = pl.DataFrame({"minute": [0, 0, 0, 60], "net": [1.0, 2.0, -1.0, 5.0], "regime": [2, 1, 1, 3]})
    >>> minute_regimes(frame).rows()
    [(0, 2.0, 1), (60, 5.0, 3)]
    """
    grouped = rows.group_by("minute", maintain_order=True)
    return grouped.agg(pl.col("net").sum(), pl.col("regime").mode().min())


def minute_intervals(minutes: pl.DataFrame, steps: Steps) -> tuple[Interval, Interval]:
    """Intervals of the information ratio and of profit before fees over notional (the break-even fee), by minutes."""
    profits, pairs = minutes["net"].to_numpy(), minutes.select("gross", "notional").to_numpy()
    horizon = steps.horizon_ms / 60_000
    block = block_length(profits, horizon, longest_holding(steps))
    return (
        interval_of(information_ratio, profits, block, np.random.default_rng(0)),
        interval_of(ratio_of_sums, pairs, block, np.random.default_rng(0)),
    )


def longest_holding(steps: Steps) -> float:
    """How long the longest round trip lasted, minutes."""
    lasted = (steps.trips["end_ts"] - steps.trips["start_ts"]).max()
    return float(lasted) / MINUTE_NS if lasted is not None else 0.0  # type: ignore[arg-type]


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


def _effective(profits: NDArray[np.float64], block: int) -> float | None:
    told = profits.size >= FEWEST_BUCKETS and np.ptp(profits) > 0
    return effective_sample_size(profits, block) if told else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _last_mid(decisions: NDArray[np.void], instrument: Instrument) -> tuple[float, str]:
    quoted = decisions[(decisions["best_bid"] > 0) & (decisions["best_ask"] > 0)]
    if quoted.size == 0:
        return 0.0, LAST_MID
    return instrument.price(0.5 * (int(quoted["best_bid"][-1]) + int(quoted["best_ask"][-1]))), LAST_MID


def round_trips(fills: pl.DataFrame) -> pl.DataFrame:
    """One row a flat-to-flat round trip: its start and end, its net profit, and the notional it opened."""
    trip = (pl.col("position") == 0).cum_sum().shift(1, fill_value=0)
    adding = pl.col("position") * pl.col("side") > 0
    opened = pl.when(adding).then(pl.min_horizontal(pl.col("position").abs(), "qty") / pl.col("qty")).otherwise(0.0)
    per_trip = fills.with_columns(trip=trip, opened=opened * pl.col("notional")).group_by("trip", maintain_order=True)
    trips = per_trip.agg(
        start_ts=pl.col("visible_ts").first(),
        end_ts=pl.col("visible_ts").last(),
        net=pl.col("cash").sum() - pl.col("fee").sum(),
        entry=pl.col("opened").sum(),
        closed=pl.col("position").last() == 0,
    )
    return trips.filter("closed").drop("closed", "trip")


def reason_counts(decisions: NDArray[np.void]) -> pl.DataFrame:
    """How often each reason was given, most frequent first: ``reason``, ``rows``, ``share``."""
    codes, counts = np.unique(decisions["reason"], return_counts=True)
    frame = pl.DataFrame({"reason": [REASON_NAMES[code] for code in codes], "rows": counts})
    return frame.with_columns(share=pl.col("rows") / max(1, len(decisions))).sort("rows", descending=True)
