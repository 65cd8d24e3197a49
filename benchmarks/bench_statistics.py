"""How often the statistics find an edge where there is none, and where one is planted; SPA's speed beside arch's.

A market is one-minute buckets of the simulator's fast form. Twelve rules (signal, imbalance, momentum, reversal, some
in one regime only) each take a side at every minute for the next five, so that neighbouring trades overlap.
"""

from collections import Counter
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.hac import diebold_mariano, mean_test, regime_tests
from backtest.overfitting import deflated_sharpe, overfitting
from backtest.reality import reality_check, resample, spa, step_m
from backtest.resampling import block_length, interval_of, mean
from benchmarks.harness import Figure, medians_of, peer_module, print_figures
from market.simulator.fast import fast_buckets
from market.simulator.parameters import HIGH_VOLATILITY, RANGE, AlphaParameters, SimulationParameters

Floats = NDArray[np.float64]

FIRST: Final = date(2024, 1, 1)
HORIZON: Final = 5  # minutes that a trade lasts
NULL_SEEDS: Final = 1_000  # a day each
PLANTED_SEEDS: Final = 100
PLANTED_UNTIL: Final = date(2024, 1, 5)
PLANTED: Final = AlphaParameters(ic=0.15, horizon_s=300.0, halflife_s=300.0)
SLOW_SEEDS: Final = 200  # of what takes tens of milliseconds a market
DRAWS: Final = 499
LEVEL: Final = 0.05
REGIMES: Final = ("trend", "range", "high volatility")
TESTS: Final = ("SPA", "Reality Check", "StepM", "HAC t by regime, Holm", "HAC t", "Diebold-Mariano")


class Market(NamedTuple):
    """Rules on one simulated market, a row a minute."""

    names: tuple[str, ...]
    series: Floats  # (minutes, rules): return over the next five minutes on the rule's side, bp
    regimes: NDArray[np.int64]  # (minutes,)
    losses: Floats  # (minutes, 2): squared errors of two forecasts as bold as each other, by signal and by momentum


def main() -> None:
    """Print every figure."""
    print_figures(figures())


def figures() -> list[Figure]:
    """Rejections of null markets and finds in planted ones, % of the seeds; calibration; speed."""
    null = [null_market(seed) for seed in range(NULL_SEEDS)]
    planted = [planted_market(seed) for seed in range(PLANTED_SEEDS)]
    rejected, found = share_found(null), share_found(planted)
    sizes = [Figure(f"{test}: rejected in null markets", rejected[test], None, "%", "<= 7") for test in TESTS]
    powers = [Figure(f"{test}: planted alpha found", found[test], None, "%", ">= 80") for test in TESTS]
    naive = Figure("t as if minutes were independent: rejected", rejected["i.i.d. t"], None, "%")
    return [*sizes, naive, *powers, *calibration_figures(null, planted), speed_figure(planted[0])]


def null_market(seed: int) -> Market:
    """A day without an edge; the signal is as slow as the planted one, and means nothing."""
    return market_of(fast_buckets(SimulationParameters(seed, alpha=PLANTED), FIRST, FIRST))


def planted_market(seed: int) -> Market:
    """Five days in which the signal knows something of the next five minutes."""
    return market_of(fast_buckets(SimulationParameters(seed, mode="alpha", alpha=PLANTED), FIRST, PLANTED_UNTIL))


def market_of(buckets: pl.DataFrame) -> Market:
    """The rules' trades on a frame of buckets."""
    price = np.append(buckets["open"].to_numpy(), buckets["close"][-1])
    forward = 1e4 * (price[HORIZON:] / price[:-HORIZON] - 1)
    regimes = buckets["regime"].to_numpy()[: forward.size].astype(np.int64)
    sides = _sides(buckets, price[:-1], buckets["regime"].to_numpy())
    table = np.column_stack([side[: forward.size] for side in sides.values()])
    forecasts = np.column_stack([sides["signal"], sides["momentum 5"]])[: forward.size]
    losses = (forward[:, None] - forecasts) ** 2
    return Market(tuple(sides), table * forward[:, None], regimes, losses)


def _sides(buckets: pl.DataFrame, price: Floats, regimes: NDArray[np.int8]) -> dict[str, Floats]:
    signal, imbalance = (np.sign(buckets[name].to_numpy()) for name in ("signal", "imbalance"))
    past = {back: np.sign(np.concatenate([np.zeros(back), price[back:] - price[:-back]])) for back in (1, 5, 15, 60)}
    return {
        "signal": signal,
        "signal, sized": buckets["signal"].to_numpy(),
        "signal in high volatility": signal * (regimes == HIGH_VOLATILITY),
        "signal in a range": signal * (regimes == RANGE),
        "imbalance": imbalance,
        "signal and imbalance": np.where(signal == imbalance, signal, 0.0),
        **{f"momentum {back}": side for back, side in past.items()},
        "reversal 5": -past[5],
        "reversal 60": -past[60],
    }


def share_found(markets: list[Market]) -> dict[str, float]:
    """In how many of the markets each test finds something, %."""
    generator = np.random.default_rng(0)
    counts = Counter(test for market in markets for test in found_by(market, generator))
    return {test: 100 * counts[test] / len(markets) for test in (*TESTS, "i.i.d. t")}


def found_by(market: Market, generator: np.random.Generator) -> list[str]:
    """Names of the tests that find something in a market."""
    signal = market.series[:, 0]
    drawn = resample(market.names, market.series, block_length(market.series, HORIZON, HORIZON), generator, DRAWS)
    by_regime = regime_tests(signal, market.regimes, REGIMES, HORIZON, LEVEL)
    naive = abs(signal.mean()) * np.sqrt(signal.size) / signal.std() > 1.96
    verdicts = (
        spa(drawn, LEVEL).verdict == "better",
        reality_check(drawn, LEVEL).verdict == "better",
        step_m(drawn, LEVEL).verdict == "better",
        any(test.verdict in ("positive", "negative") for test in by_regime),
        mean_test("signal", signal, HORIZON, LEVEL).verdict in ("positive", "negative"),
        diebold_mariano(*market.losses.T, HORIZON, LEVEL).verdict in ("first is better", "second is better"),
    )
    names = [test for test, found in zip(TESTS, verdicts, strict=True) if found]
    return [*names, "i.i.d. t"] if naive else names


def calibration_figures(null: list[Market], planted: list[Market]) -> list[Figure]:
    """Deflated Sharpe, PBO and intervals on null and planted markets; no bar is set."""
    generator, some = np.random.default_rng(1), null[:SLOW_SEEDS]
    deflated = [[deflated_probability(market) for market in markets] for markets in (some, planted)]
    pbo = [[backtest_overfitting(market) for market in markets] for markets in (some, planted)]
    covered = np.mean([_covers_zero(market, generator) for market in null])
    return [
        Figure("deflated Sharpe, mean probability in null markets", float(np.mean(deflated[0])), None, ""),
        Figure("deflated Sharpe: rejected in null markets", _share_above(deflated[0]), None, "%", "<= 7"),
        Figure("deflated Sharpe: planted alpha found", _share_above(deflated[1]), None, "%"),
        Figure("PBO, mean in null markets", float(np.mean(pbo[0])), None, ""),
        Figure("PBO, deviation from one null market to another", float(np.std(pbo[0])), None, ""),
        Figure("PBO, mean with planted alpha", float(np.mean(pbo[1])), None, ""),
        Figure("95 % interval of a mean: holds 0 in null markets", 100 * float(covered), None, "%"),
    ]


def deflated_probability(market: Market) -> float:
    """Of the best rule."""
    sharpes = market.series.mean(axis=0) / market.series.std(axis=0)
    chosen = market.series[:, int(np.argmax(sharpes))]
    return deflated_sharpe(chosen, sharpes, len(sharpes), HORIZON, LEVEL).probability or 0.0


def backtest_overfitting(market: Market) -> float:
    """PBO of choosing among the rules."""
    found = overfitting(market.series, block_length(market.series, HORIZON, HORIZON))
    return np.nan if found.pbo is None else found.pbo


def _share_above(probabilities: list[float]) -> float:
    return 100 * float(np.mean(np.array(probabilities) >= 1 - LEVEL))


def _covers_zero(market: Market, generator: np.random.Generator) -> bool:
    signal = market.series[:, 0]
    block = block_length(signal, HORIZON, HORIZON)
    return interval_of(mean, signal, block, generator, draws=DRAWS).verdict == "not told from zero"


def speed_figure(market: Market) -> Figure:
    """SPA of twelve rules over five days beside arch's, which does not studentise."""
    arch = peer_module("arch.bootstrap")
    series = market.series
    names = [str(column) for column in range(series.shape[1])]
    zeros = np.zeros(len(series))

    def ours() -> None:
        spa(resample(names, series, 20, np.random.default_rng(0), DRAWS))

    def theirs() -> None:
        arch.SPA(zeros, -series, block_size=20, reps=DRAWS, seed=0).compute()

    return Figure("SPA of 12 rules over 7,196 minutes", *medians_of(ours, theirs, 3), "s")


if __name__ == "__main__":
    main()
