"""What the model desk earned for its risk since it went live, against the walk-forward's Tests before."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from assets.backtests import MINUTES, ON_SURFACE
from assets.champion import champion_slice, newest_slice
from assets.checks import Verdict
from assets.journal_tables import DECISIONS_TABLE
from assets.partitions import WHOLE, Part
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from assets.walk_forward_slices import frame_slices
from backtest.performance import MINUTE_NS
from config.settings import Settings
from features.regimes import REGIME_NAMES, UNKNOWN, RegimeState, new_regime, regimes
from monitoring.ir_decay import DAY_MINUTES, SQUARES, SUM, DailyNet, IrReport, daily_net, ir_report, should_retrain
from monitoring.ir_decay import MINUTES as COUNT
from storage.journal import TRADING_DESK
from storage.lake import Lake

SIDE: Final = "side"
NET: Final = {
    "side": pl.String,
    "day": pl.String,
    "regime": pl.String,
    "minutes": pl.Float64,
    "net": pl.Float64,
    "net_squared": pl.Float64,
}
EMPTY: Final = {"minute": pl.Int64, "net": pl.Float64, "regime": pl.Int8, "run": pl.String}
PLACES: Final = (("minutes", COUNT), ("net", SUM), ("net_squared", SQUARES))


@dg.asset(deps=["live_journal", "registered_model", "backtests"], group_name="monitoring", kinds={"parquet"})
def ir_decay(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a side, day and regime: its minutes and their profits; the verdict on the newest month is metadata."""
    part, rules = Part(settings.live.symbol, WHOLE), settings.ir_decay
    champion = champion_slice(settings, lake, part.symbol)
    live, base = live_net(settings, lake, part.symbol), base_net(lake, champion)
    report = ir_report(live, base, rules)
    slices = {"champion_slice": champion.key, "newest_slice": newest_slice(lake, part.symbol)}
    upstream = [content_shas(passed(lake, "live_journal", part))[:1], champion.key]
    inputs = inputs_sha("ir_decay", [rules, settings.regimes], upstream, ["features", "monitoring"])
    frame = pl.concat([net_frame("base", base), net_frame("live", live)])
    return publish(lake, "ir_decay", part, Table(frame, {**report_facts(report), **slices}), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "ir_decay",
        every_day_summed_once="Each side has every day once for every regime, and no day has more minutes than a day.",
    )
)
def ir_decay_hold(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """Each side has every day once for every regime, and no day has more minutes than a day."""
    part = Part(settings.live.symbol, WHOLE)
    table = lake.scan("ir_decay", part.symbol, [part.key], unchecked=True).collect()
    yield from judge(lake, "ir_decay", part, [summed_once(table)])


def live_net(settings: Settings, lake: Lake, symbol: str) -> DailyNet:
    """Minutes of the model's desk by day and regime, from the journal's decisions, segment by segment."""
    journal, state = lake.scan("live_journal", symbol, [WHOLE]).collect(), new_regime(settings.regimes)
    minutes = [desk_minutes(_decisions(lake, symbol, key), state) for key in journal["segment"]]
    return net_of(
        pl.concat(minutes).group_by("minute", maintain_order=True).agg(pl.col("net").sum(), pl.col("regime").first())
    )


def desk_minutes(decisions: pl.DataFrame, state: RegimeState) -> pl.DataFrame:
    """Net profit and regime of each minute of one desk's decisions, in order; moves the regimes' state on.

    What a restart may have done to the equity between two segments is nobody's profit: each begins at 0.
    """
    bid, ask = decisions["best_bid"].to_numpy(), decisions["best_ask"].to_numpy()
    codes = regimes(state, decisions["row_ts"].to_numpy(), np.where((bid > 0) & (ask > 0), bid + ask, 0))
    equity = decisions["equity"].fill_nan(None).forward_fill()
    rows = decisions.select(minute=pl.col("row_ts") // MINUTE_NS * MINUTE_NS).with_columns(
        net=equity.diff().fill_null(0.0), regime=codes
    )
    return rows.group_by("minute", maintain_order=True).agg(pl.col("net").sum(), pl.col("regime").first())


def base_net(lake: Lake, champion: Part) -> DailyNet:
    """Minutes of Test of the champion's slice and of those before it, each traded by the model of its own slice."""
    pieces = frame_slices(lake.scan("walk_forward_slices", champion.symbol, [WHOLE]).collect())
    keys = [piece.key for piece in pieces]
    earlier = [key for key in keys[: keys.index(champion.key) + 1] if _tested(lake, Part(champion.symbol, key))]
    frames = [lake.scan(MINUTES, champion.symbol, [key]).collect() for key in earlier]
    found = pl.concat(frames) if frames else pl.DataFrame(schema=EMPTY)
    return net_of(found.filter(run=ON_SURFACE))


def net_of(minutes: pl.DataFrame) -> DailyNet:
    """Minutes of a known regime by UTC day and regime."""
    known = minutes.filter(pl.col("regime") != UNKNOWN)
    days = pl.from_epoch(known["minute"], time_unit="ns").dt.date().cast(pl.String).to_numpy()
    return daily_net(
        days.astype(str), known["regime"].to_numpy().astype(np.int64), known["net"].to_numpy(), len(REGIME_NAMES)
    )


def net_frame(side: str, net: DailyNet) -> pl.DataFrame:
    """One line a day and regime."""
    rows = [
        {SIDE: side, "day": day, "regime": name, **{key: float(net.sums[place, code, at]) for key, at in PLACES}}
        for place, day in enumerate(net.days)
        for code, name in REGIME_NAMES.items()
        if code != UNKNOWN
    ]
    return pl.DataFrame(rows, schema=NET)


def report_facts(report: IrReport) -> dict[str, Any]:
    """The report in brief; a sensor reads ``verdict``, ``said`` and ``retrain_reason`` and nothing else of it."""
    figures = {name: getattr(report, name) for name in ("live_ir", "base_ir", "decline", "low", "high")}
    return {
        "verdict": report.verdict,
        "said": report.reason,
        "retrain_reason": should_retrain(report) or "",
        "live_days": report.live_days,
        "base_days": report.base_days,
        "newest_day": report.newest_day,
        **{name: "insufficient" if figure is None else figure for name, figure in figures.items()},
        "report_sha": report.sha256,
    }


def summed_once(table: pl.DataFrame) -> Verdict:
    """Each side has every day once for every regime, and no day has more minutes than a day."""
    days = table.group_by(SIDE, "day").agg(pl.len(), pl.col("regime").n_unique(), pl.col("minutes").sum())
    whole = len(REGIME_NAMES) - 1
    odd = days.filter((pl.col("len") != whole) | (pl.col("regime") != whole) | (pl.col("minutes") > DAY_MINUTES)).height
    return Verdict("every_day_summed_once", odd == 0, {"days": days.height, "odd_days": odd})


def _tested(lake: Lake, part: Part) -> bool:
    return passed(lake, "backtests", part) is not None and passed(lake, MINUTES, part) is not None


def _decisions(lake: Lake, symbol: str, segment: str) -> pl.DataFrame:
    columns = ("row_ts", "best_bid", "best_ask", "equity")
    desk = lake.scan(DECISIONS_TABLE, symbol, [segment]).filter(pl.col("desk") == TRADING_DESK)
    return desk.select(columns).collect()
