"""The upper two levels of the parity ladder: a desk's profit beside that of its backtest, and where the two part."""

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from backtest.answers import legs_of_answers, timed
from backtest.arrivals import legs_without_waiting
from backtest.fits import table_of, usable
from backtest.retold import CAUSES, NOTHING, Assumed, Backtests
from backtest.told import Told
from monitoring.parameters import ParityParameters
from monitoring.profit_parity import (
    INSUFFICIENT,
    Level,
    Waterfall,
    band,
    judge_band,
    judge_distance,
    side_by_side,
    waterfall,
)
from storage.progress import Weighed, unweighed

RECORDED_LATENCY = frozenset({"latency"})


class Profits(NamedTuple):
    """What levels 3 and 4 came to, and the minutes behind them."""

    levels: tuple[Level, ...]
    causes: Waterfall
    minutes: pl.DataFrame  # minute, made, again; with level 4 low, high, inside as well


class Asked(NamedTuple):
    """What is asked of a desk."""

    bar: ParityParameters
    at_bar: bool  # whether its venue plays a recording, so that level 3 has a bar
    rate_buckets: int  # parts of the message rate that drawn latencies are cut into
    upto: int  # the highest level, 3 or 4


def profits_of(told: Told, assumed: Assumed, asked: Asked, weighed: Weighed = unweighed) -> Profits:
    """Level 3 with recorded latencies, the causes step by step, level 4 with drawn ones; ``weighed`` hears of it."""
    runs = Backtests(told, assumed)
    made, again = told.minutes(told.decisions["equity"]), told.minutes(runs.equity(RECORDED_LATENCY))
    sides = side_by_side(made, again)
    levels = [judge_distance(sides, told.fills, asked.at_bar, asked.bar)]
    causes = causes_of(runs, weighed(f"level 3 of {asked.upto}", CAUSES, len(CAUSES)))
    if asked.upto > 3:
        level, drawn = in_band(runs, asked, weighed)
        levels.append(level)
        sides = sides.join(drawn, on="minute", how="left", maintain_order="left") if drawn is not None else sides
    return Profits(tuple(levels), causes, sides)


def causes_of(runs: Backtests, causes: Iterable[str] = CAUSES) -> Waterfall:
    """From the profit under assumptions to the one that was made: one cause after the other as it was recorded."""
    steps, recorded = [], NOTHING
    for cause in causes:
        recorded = recorded | {cause}
        steps.append((cause, float(runs.equity(recorded)[-1])))
    return waterfall(float(runs.equity(NOTHING)[-1]), steps, float(runs.told.decisions["equity"][-1]))


def in_band(runs: Backtests, asked: Asked, weighed: Weighed = unweighed) -> tuple[Level, pl.DataFrame | None]:
    """Level 4, and the band of each minute; none where too few orders were answered to draw from."""
    told, (answers, _) = runs.told, usable(timed(runs.told.answers))
    if answers.size < asked.bar.min_answers:
        why = f"{answers.size} answered orders and cancels, {asked.bar.min_answers} are needed to draw latencies from"
        return Level(4, INSUFFICIENT, why, {"answers": int(answers.size)}), None
    legs = legs_without_waiting(answers, told.tape, asked.bar.seed) if asked.at_bar else legs_of_answers(answers)
    table = table_of(answers, legs, told.tape, asked.rate_buckets)
    draws = weighed("level 4 of 4", range(asked.bar.draws), asked.bar.draws)
    drawn = [told.minutes(runs.drawn(table, asked.bar.seed + draw)) for draw in draws]
    found = band(told.minutes(told.decisions["equity"]), drawn, asked.bar)
    return judge_band(found, asked.bar), found.minutes.select("minute", "low", "high", "inside")
