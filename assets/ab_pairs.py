"""The champion's and the challenger's desks of a journal, minute by minute, since both models have been theirs."""

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from assets.journal_tables import DECISIONS_TABLE, MODELS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE, Part
from assets.tables import passed
from backtest.performance import MINUTE_NS, minute_profits
from config.settings import Settings
from market.errors import DataError
from monitoring.ab import AbResult, judge_ab
from monitoring.ab_design import side_by_side
from monitoring.ab_figures import Arm, Pair
from storage.journal import CHALLENGER_DESK, TRADING_DESK
from storage.lake import Lake

DESKS: Final = {"champion": TRADING_DESK, "challenger": CHALLENGER_DESK}


class Contest(NamedTuple):
    """Two models, and what the minutes that they share come to."""

    shas: dict[str, str]  # bundle of either arm
    since_ts: int  # row from which both were in force, ns UTC
    result: AbResult


def contest_of(settings: Settings, lake: Lake, symbol: str) -> Contest:
    """The A/B of both desks; each takes the risk of the same settings, so their money is of one scale.

    Raises DataError if the lake holds no journal of the symbol that passed its checks, or one without two models.
    """
    if passed(lake, "live_journal", Part(symbol, WHOLE)) is None:
        raise DataError(f"the lake holds no journal of {symbol}; run the job live")
    journal = lake.scan("live_journal", symbol, [WHOLE]).collect()
    models = live_table(lake, symbol, journal, MODELS_TABLE)
    shas, since = in_force(symbol, models), pair_since(models)
    pair = desk_pair(lake, symbol, journal, since)
    return Contest(shas, since, judge_ab(pair, settings.trading.horizon_ms / 60_000, np.random.default_rng(0)))


def in_force(symbol: str, models: pl.DataFrame) -> dict[str, str]:
    """The bundle that decides at either desk, by the newest line. Raises DataError if one has none."""
    found = {name: models.filter(desk=desk)["bundle_sha"].to_list()[-1:] for name, desk in DESKS.items()}
    empty = [name for name, newest in found.items() if newest in ([], [""])]
    if empty:
        raise DataError(f"the journal of {symbol} holds no model of a {empty[0]}; live.challenger gives one a desk")
    return {name: newest for name, [newest] in found.items()}


def pair_since(models: pl.DataFrame) -> int:
    """Row from which both desks have had the models that they have now, ns UTC; one pushed again is the same.

    >>> desks, stamps, shas = [0, 2, 2, 2, 0], [10, 20, 30, 40, 50], ["a", "x", "y", "y", "a"]
    >>> pair_since(pl.DataFrame({"desk": desks, "row_ts": stamps, "bundle_sha": shas}))
    30
    """
    own = models.filter(pl.col("desk").is_in(list(DESKS.values())))
    changed = pl.col("bundle_sha").ne_missing(pl.col("bundle_sha").shift(1).over("desk"))
    return int(own.filter(changed)["row_ts"].max())  # type: ignore[arg-type]


def desk_pair(lake: Lake, symbol: str, journal: pl.DataFrame, since: int) -> Pair:
    """Both desks on every whole minute from ``since`` on that both decided in; a hole counts for neither."""
    decisions = live_table(lake, symbol, journal, DECISIONS_TABLE).filter(pl.col("row_ts") >= since)
    costs = (
        lake.scan("paid_cost", symbol, [WHOLE]).collect() if passed(lake, "paid_cost", Part(symbol, WHOLE)) else None
    )
    found = {name: desk_minutes(decisions, costs, desk) for name, desk in DESKS.items()}
    empty = [name for name, minutes in found.items() if minutes.is_empty()]
    if empty:
        raise DataError(f"the journal of {symbol} holds no decision of the {empty[0]} since {since} ns")
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
