"""Whether labels find an edge where there is none, and all of one that was planted.

Markets of the simulator's fast form become books of a second, which the label kernel reads as it reads any tape. On
null markets, simple rules known at the decision are judged by what their labels say, in one-minute buckets; on markets
with a planted signal, whoever knows it trades, and the labels must net what the formula says.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from multiprocessing import get_context
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import Figure, print_figures
from config.loading import load_settings
from labeling.targets import label_rows, net_returns, regression_target
from market.costs import leg_fee
from market.events import BUY, FIRST, LAST, LEVEL, SELL, SNAPSHOT, Events, empty_events
from market.instrument import Instrument
from market.simulator.alpha import oracle_net_bp
from market.simulator.fast import fast_rows
from market.simulator.parameters import AlphaParameters, SimulationParameters

Floats = NDArray[np.float64]

PERPETUAL: Final = Instrument("synthetic-usdt", "binance-usdm", "btcusdt", "linear", 0.1, 0.001, 1.0, "BTC", "USDT")
DAY: Final = date(2024, 1, 1)
DEEP: Final = 1_000_000  # lots on each side: a walk never leaves the touch
MINUTE: Final = 60  # rows
LAGS: Final = 5  # minutes: more than twice the longest horizon
CRITICAL: Final = 1.96
NULL_SEEDS: Final = 1_000
ALPHA_SEEDS: Final = 30
BUDGET_BP: Final = 0.2
LABELS: Final = replace(
    load_settings("dev").labels,
    horizons_ms=(1_000, 5_000, 30_000, 60_000),
    fee_budgets_bp=(0.0, BUDGET_BP),
    anchor="executable",
    exit="walk",
)
PLANTED: Final = AlphaParameters(ic=0.2, horizon_s=5.0, halflife_s=10.0)
RULES: Final = ("imbalance", "momentum", "signal")


def main() -> None:
    """Print every figure."""
    print_figures(figures())


def figures() -> list[Figure]:
    """How often each statistic of the null markets finds an edge, the worst held to the bar; what the oracle nets."""
    with ProcessPoolExecutor(min(2, len(os.sched_getaffinity(0))), get_context("spawn")) as pool:
        found = list(pool.map(null_statistics, range(NULL_SEEDS), chunksize=20))
        planted = list(pool.map(oracle_of, range(ALPHA_SEEDS)))
    shares = rejected(found)
    worst = max(shares, key=lambda name: shares[name])
    return [
        *(Figure(f"edge found in null markets: {name}", 100 * share, None, "%") for name, share in shares.items()),
        Figure(f"edge found in null markets, the worst: {worst}", 100 * shares[worst], None, "%", "<= 7"),
        Figure("planted alpha: the oracle's net by labels", *recovered(planted), "bp a decision", "> 0.9x"),
        Figure("planted alpha, off by", 100 * abs(error_of(planted)), None, "%", "<= 10"),
    ]


@dataclass(frozen=True, slots=True)
class Market:
    """A day of a simulated market as labels see it, a decision a second."""

    rows: pl.DataFrame  # of the fast form, N
    labels: pl.DataFrame  # N


def market_of(parameters: SimulationParameters) -> Market:
    """The first day of a market, labelled."""
    rows = pl.concat(fast_rows(parameters, DAY, DAY, 1_000))
    return Market(rows, label_rows(tape_of(rows), rows["ts"].to_numpy(), LABELS, PERPETUAL, None))


def tape_of(rows: pl.DataFrame) -> Events:
    """A book for every row: one tick wide around its mid, as deep as any order, known at once.

    Of each pair of levels that moves, the one ahead of the move goes first, so that they never cross.
    """
    bid = np.floor(rows["mid"].to_numpy() / PERPETUAL.tick_size).astype(np.int64)
    before = np.concatenate([bid[:1], bid[:-1]])
    rises = bid >= before
    ahead = np.where(rises, SELL, BUY)
    events = empty_events(4 * rows.height)
    for place, side in enumerate((ahead, ahead, -ahead, -ahead)):
        here = events[place::4]
        here["side"], here["kind"], here["qty"] = side, LEVEL, DEEP
        here["price"] = (before if place % 2 else bid) + (side == SELL)
        if place % 2:
            here["qty"] = np.where(bid == before, DEEP, 0)
        for name in ("exchange_ts", "ingest_ts"):
            here[name] = rows["ts"].to_numpy()
        here["update_id"] = np.arange(1, rows.height + 1)
    events["flags"][::4], events["flags"][3::4] = FIRST, LAST
    events["kind"][:4] = SNAPSHOT
    return events


def null_statistics(seed: int) -> dict[str, float]:
    """t of each rule at each horizon on a null market: what its labels say gross, and net of the spread."""
    market, found = market_of(SimulationParameters(seed=seed)), {}
    for horizon_ms in LABELS.horizons_ms:
        gross = regression_target(market.labels, horizon_ms, LABELS.anchor)
        nets = net_returns(market.labels, horizon_ms, 0.0, PERPETUAL.contract)
        for rule in RULES:
            side = side_of(market.rows, rule)
            found[f"{rule}, {horizon_ms / 1e3:g} s, gross"] = abs(minute_t(side * gross))
            found[f"{rule}, {horizon_ms / 1e3:g} s, net of the spread"] = minute_t(np.where(side > 0, *nets))
    return found


def side_of(rows: pl.DataFrame, rule: str) -> Floats:
    """The side that a rule takes at each row from what is known there: +1 or -1."""
    if rule != "momentum":
        return np.where(rows[rule].to_numpy() >= 0, 1.0, -1.0)
    mid = rows["mid"].to_numpy()
    before = np.concatenate([np.full(MINUTE, mid[0]), mid[:-MINUTE]])
    return np.where(mid >= before, 1.0, -1.0)


def minute_t(values: Floats) -> float:
    """t of the mean of one-minute means, with the variance of Newey and West over LAGS minutes.

    Minutes of which a label is unknown are left out: those at the end of the day.
    """
    minutes = values[: values.size // MINUTE * MINUTE].reshape(-1, MINUTE).mean(axis=1)
    minutes = minutes[~np.isnan(minutes)]
    centred = minutes - minutes.mean()
    variance = centred @ centred
    for lag in range(1, LAGS + 1):
        variance += 2 * (1 - lag / (LAGS + 1)) * (centred[:-lag] @ centred[lag:])
    return float(minutes.sum() / np.sqrt(variance))


def rejected(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Share of the markets in which each statistic finds an edge at 5 %."""
    return {name: float(np.mean([market[name] > CRITICAL for market in found])) for name in found[0]}


def oracle_of(seed: int) -> tuple[float, float]:
    """Net bp a decision of whoever knows the planted signal: by its labels, and by the formula.

    It takes the side of the expected return wherever that exceeds the cost of the round trip: fees and one tick.
    """
    market = market_of(SimulationParameters(seed=seed, mode="alpha", alpha=PLANTED))
    mid, expected = (market.rows[name].to_numpy() for name in ("mid", "expected_bp"))
    cost_bp = BUDGET_BP + 1e4 * PERPETUAL.tick_size / mid
    horizon_ms = round(PLANTED.horizon_s * 1e3)
    long, short = net_returns(market.labels, horizon_ms, leg_fee(BUDGET_BP), PERPETUAL.contract)
    net = np.where(np.abs(expected) > cost_bp, 1e4 * np.where(expected > 0, long, short), 0.0)
    known = ~np.isnan(net)
    priced = AlphaParameters(PLANTED.ic, PLANTED.horizon_s, PLANTED.halflife_s, float(cost_bp.mean()))
    planted = oracle_net_bp(priced, market.rows["sigma_bp"].to_numpy())
    return float(net[known].mean()), float(np.mean(planted[known]))


def recovered(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Mean over the markets of what the labels net, and of what was planted."""
    by_labels, planted = np.mean(list(pairs), axis=0)
    return float(by_labels), float(planted)


def error_of(pairs: Iterable[tuple[float, float]]) -> float:
    """What the labels net beyond what was planted, as a share of it."""
    by_labels, planted = recovered(pairs)
    return by_labels / planted - 1


if __name__ == "__main__":
    main()
