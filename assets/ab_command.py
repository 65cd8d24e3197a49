"""The champion's and the challenger's desks of the journal, minute by minute, and what their A/B comes to."""

import argparse
from typing import Final

import numpy as np
import polars as pl

from assets.journal_tables import DECISIONS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE, Part
from assets.report import Report
from assets.resources import lake_of
from assets.tables import passed
from backtest.performance import MINUTE_NS, minute_profits
from backtest.report import figure_text
from config.settings import Settings
from market.errors import DataError
from monitoring.ab import FIGURES, AbResult, Arm, Pair, judge_ab
from monitoring.ab_design import side_by_side
from storage.journal import CHALLENGER_DESK, TRADING_DESK
from storage.lake import Lake

DESKS: Final = {"champion": TRADING_DESK, "challenger": CHALLENGER_DESK}
NAMES: Final = {
    "sharpe": "Sharpe ratio, a minute",
    "hit_rate": "hit rate of minutes",
    "tail_loss": "mean loss of the worst 1 % of minutes",
    "cost_bp": "cost, bp of turnover",
}


def ab_report(settings: Settings, arguments: argparse.Namespace) -> Report:
    """The verdict on the newest journal of a symbol.

    Raises DataError if the lake holds no journal of it that passed its checks, or one without a challenger's desk.
    """
    symbol = settings.instrument(arguments.symbol or settings.live.symbol).name
    found = judge_journal(settings, lake_of(settings), symbol)
    return Report(
        "\n".join([f"{symbol}: {found.sentence}", *figure_lines(found)]), {"symbol": symbol, **found.as_dict()}
    )


def judge_journal(settings: Settings, lake: Lake, symbol: str) -> AbResult:
    """The A/B of both desks; each takes the risk of the same settings, so their money is of one scale."""
    pair = desk_pair(lake, symbol)
    return judge_ab(pair, settings.trading.horizon_ms / 60_000, np.random.default_rng(0))


def desk_pair(lake: Lake, symbol: str) -> Pair:
    """Both desks on every minute from the first to the last that both decided in; a hole counts for neither."""
    if passed(lake, "live_journal", Part(symbol, WHOLE)) is None:
        raise DataError(f"the lake holds no journal of {symbol}; run the job live")
    journal = lake.scan("live_journal", symbol, [WHOLE]).collect()
    decisions = live_table(lake, symbol, journal, DECISIONS_TABLE)
    costs = (
        lake.scan("paid_cost", symbol, [WHOLE]).collect() if passed(lake, "paid_cost", Part(symbol, WHOLE)) else None
    )
    found = {name: desk_minutes(decisions, costs, desk) for name, desk in DESKS.items()}
    empty = [name for name, minutes in found.items() if minutes.is_empty()]
    if empty:
        raise DataError(f"the journal of {symbol} holds no desk of a {empty[0]}; live.challenger gives one a desk")
    first = max(minutes["minute"][0] for minutes in found.values())
    last = min(minutes["minute"][-1] for minutes in found.values())
    grid = pl.DataFrame({"minute": np.arange(first, last + MINUTE_NS, MINUTE_NS)})
    return side_by_side(*(arm_of(grid.join(minutes, on="minute", how="left")) for minutes in found.values()))


def desk_minutes(decisions: pl.DataFrame, costs: pl.DataFrame | None, desk: int) -> pl.DataFrame:
    """Profit, cost and turnover of every UTC minute in which a desk decided.

    costs : the table ``paid_cost``; None: no cost is known, and none is compared
    """
    own = decisions.filter(desk=desk).sort("row_ts")
    profits = minute_profits(own["row_ts"].to_numpy(), own["equity"].to_numpy())
    if costs is None:
        return profits.with_columns(cost=pl.lit(0.0), turnover=pl.lit(0.0))
    of_minute = costs.filter(desk=desk).group_by(minute=pl.col("decided_ts") // MINUTE_NS * MINUTE_NS)
    paid = of_minute.agg(
        cost=(pl.col("quote_value") * pl.col("paid_bp") * 1e-4).sum(), turnover=pl.col("quote_value").sum()
    )
    return profits.join(paid, on="minute", how="left", maintain_order="left").with_columns(
        pl.col("cost", "turnover").fill_null(0.0)
    )


def arm_of(minutes: pl.DataFrame) -> Arm:
    """A desk's minutes as an arm; a minute without a row is not a number."""
    return Arm(*(minutes[name].fill_null(np.nan).to_numpy() for name in ("net", "cost", "turnover")))


def figure_lines(found: AbResult) -> list[str]:
    """Both arms and their difference, a line a figure."""
    return [_line(found, name) for name in FIGURES if name in found.differences]


def _line(found: AbResult, name: str) -> str:
    gap, arms = found.differences[name], [f"{arm} {figure_text(found.arms[arm][name]):>10}" for arm in DESKS]
    interval = f"[{gap.low:+.4g}, {gap.high:+.4g}]" if gap.low is not None and gap.high is not None else gap.note
    return f"  {NAMES[name]:40} {'  '.join(arms)}  {figure_text(gap.estimate)} {interval}"
