"""The fast form: blocks that join, markets that are null or worth what was planted, months in a moment."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from market.errors import ConfigError
from market.simulator.alpha import expected_return_bp, oracle_net_bp
from market.simulator.fast import _react, fast_buckets, fast_rows
from market.simulator.parameters import (
    HIGH_VOLATILITY,
    RANGE,
    TREND,
    AlphaParameters,
    SimulationParameters,
    VolatilityParameters,
)
from market.simulator.path import DAY_S, _filter, autoregression, diurnal_cycle, market_path

FIRST, SECOND, THIRD = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
PLANTED = SimulationParameters(seed=3, mode="alpha", alpha=AlphaParameters(ic=0.1, horizon_s=5.0, halflife_s=10.0))


def rows(parameters: SimulationParameters, first: date, last: date, interval_ms: int = 1_000) -> pl.DataFrame:
    return pl.concat(fast_rows(parameters, first, last, interval_ms))


@pytest.mark.parametrize("mode", ["null", "alpha", "reactive"])
@pytest.mark.parametrize("interval_ms", [1_000, 60_000])
def test_a_block_made_alone_is_the_same(mode, interval_ms):
    parameters = replace(PLANTED, mode=mode)
    whole = rows(parameters, FIRST, THIRD, interval_ms)
    alone = rows(parameters, SECOND, SECOND, interval_ms)
    assert alone.height == DAY_S * 1_000 // interval_ms
    assert whole.slice(alone.height, alone.height).equals(alone)
    assert not rows(replace(parameters, seed=4), SECOND, SECOND, interval_ms).equals(alone)


def test_signals_join_at_midnight():
    first, second = (autoregression(0, (3, 0, day), 600.0, 86_400) for day in (10, 11))
    assert abs(second[0] - first[-1]) < 6 * np.sqrt(1 - 0.5 ** (2 / 600))
    together = np.concatenate([first, second])
    lag = np.corrcoef(together[:-600], together[600:])[0, 1]
    assert lag == pytest.approx(0.5, abs=0.15)


def test_compiled_loops_agree_with_plain_ones():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(50)
    expected = [noise[0]]
    for value in noise[1:]:
        expected.append(0.9 * expected[-1] + 0.4 * value)
    np.testing.assert_allclose(_filter(noise, 0.9, 0.4), expected)
    returns, sigma_bp = rng.standard_normal(60) * 1e-4, rng.random(60) + 0.5
    regime, direction = rng.integers(0, 3, 60).astype(np.int8), rng.choice([-1, 1], 60).astype(np.int8)
    moved, anchor, reacted = 0.0, 0.0, []
    for value, sigma, kind, way in zip(returns, sigma_bp * 1e-4, regime, direction, strict=True):
        drift = {TREND: 0.3 * way * sigma, RANGE: -0.2 * (moved - anchor) / 60**0.5, HIGH_VOLATILITY: 0.0}[int(kind)]
        reacted.append(value + drift)
        moved += reacted[-1]
        anchor += (moved - anchor) * 0.1
    _react(returns, sigma_bp, regime, direction, np.array([0.3, 0.2, 0.1]))
    np.testing.assert_allclose(returns, reacted)


def test_regimes_last_as_long_as_they_should_and_differ_in_volatility():
    parameters = SimulationParameters(volatility=VolatilityParameters(burst_deviation=0.0))
    paths = [market_path(parameters, day) for day in range(100, 140)]
    regime = np.concatenate([path.regime for path in paths])
    durations = np.array([1_800.0, 3_600.0, 600.0])
    shares = np.bincount(regime, minlength=3) / regime.size
    np.testing.assert_allclose(shares, durations / durations.sum(), atol=0.06)
    changes = np.count_nonzero(np.diff(regime[regime != HIGH_VOLATILITY]))
    assert changes > 100
    level = paths[0].multiplier / diurnal_cycle(parameters.volatility)
    np.testing.assert_allclose(level, np.array([1.1, 0.8, 2.0])[paths[0].regime])


def test_the_day_has_its_busiest_hour_and_unit_variance():
    cycle = diurnal_cycle(VolatilityParameters(diurnal_peak_hour=15.0))
    assert np.argmax(cycle) == 15 * 3_600
    assert np.mean(cycle**2) == pytest.approx(1.0)


def test_rows_are_as_volatile_as_they_say():
    frame = rows(SimulationParameters(seed=1), FIRST, SECOND)
    standardised = frame["mid"].pct_change().drop_nulls().to_numpy() * 1e4 / frame["sigma_bp"].to_numpy()[:-1]
    assert standardised.std() == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("ic", [0.02, 0.1, -0.3])
def test_the_realised_information_coefficient_is_the_planted_one(ic):
    parameters = replace(PLANTED, alpha=replace(PLANTED.alpha, ic=ic))
    frame = rows(parameters, FIRST, date(2024, 1, 5))
    mid, signal = frame["mid"].to_numpy(), frame["signal"].to_numpy()
    standardised = (mid[5:] / mid[:-5] - 1) * 1e4 / frame["sigma_bp"].to_numpy()[:-5]
    realised = np.corrcoef(signal[:-5], standardised)[0, 1]
    assert abs(realised - ic) < 3.0 / np.sqrt(standardised.size / 5)
    assert standardised.std() == pytest.approx(np.sqrt(5), rel=0.02)


def test_the_oracle_earns_what_the_formula_says():
    frame = rows(replace(PLANTED, alpha=replace(PLANTED.alpha, ic=0.2)), FIRST, date(2024, 1, 7))
    alpha = replace(PLANTED.alpha, ic=0.2)
    mid, expected = frame["mid"].to_numpy(), frame["expected_bp"].to_numpy()[:-5]
    earned = np.sign(expected) * (mid[5:] / mid[:-5] - 1) * 1e4 - alpha.cost_bp
    net = np.where(np.abs(expected) > alpha.cost_bp, earned, 0.0).mean()
    assert net == pytest.approx(np.mean(oracle_net_bp(alpha, frame["sigma_bp"].to_numpy())), rel=0.1)


def test_an_oracle_without_cost_earns_the_mean_of_what_it_expects():
    free = AlphaParameters(ic=0.1, horizon_s=4.0, cost_bp=0.0)
    assert oracle_net_bp(free, 1.0) == pytest.approx(0.2 * np.sqrt(2 / np.pi))
    assert expected_return_bp(free, "null", 1.0, 1.0) == 0.0


def test_no_rule_finds_an_edge_in_null_markets_more_often_than_chance():
    """200 seeds, one-minute returns that do not overlap, a t-test with five Newey-West lags at 5 %."""
    found = {"momentum": 0, "signal": 0, "imbalance": 0}
    for seed in range(200):
        frame = rows(SimulationParameters(seed=seed), FIRST, FIRST, 60_000)
        returns = np.diff(np.log(frame["mid"].to_numpy()))
        known = {"momentum": np.concatenate([[0.0], returns[:-1]])}
        known |= {name: frame[name].to_numpy()[:-1] for name in ("signal", "imbalance")}
        for name, values in known.items():
            found[name] += abs(_hac_t(np.sign(values) * returns)) > 1.96
    assert all(2 <= count <= 22 for count in found.values()), found  # within the binomial's 99.9 %


def _hac_t(series: np.ndarray) -> float:
    centred = series - series.mean()
    variance = centred @ centred
    for lag in range(1, 6):
        variance += 2 * (1 - lag / 6) * (centred[:-lag] @ centred[lag:])
    return float(series.sum() / np.sqrt(variance))


def test_reactive_markets_can_be_foreseen():
    alpha = AlphaParameters(trend_gain=0.02)
    frame = rows(SimulationParameters(mode="reactive", alpha=alpha), FIRST, THIRD, 60_000)
    returns = np.diff(np.log(frame["mid"].to_numpy()))
    trending = (frame["regime"].to_numpy()[1:-1] == TREND) & (frame["regime"].to_numpy()[:-2] == TREND)
    assert _hac_t((np.sign(returns[:-1]) * returns[1:])[trending]) > 3


def test_symbols_are_correlated_and_share_their_regimes():
    first, second = (rows(replace(PLANTED, symbol=symbol), FIRST, FIRST) for symbol in (0, 1))
    returns = [np.diff(np.log(frame["mid"].to_numpy())) for frame in (first, second)]
    assert np.corrcoef(*returns)[0, 1] == pytest.approx(0.7, abs=0.02)
    assert first["regime"].equals(second["regime"])
    assert abs(np.corrcoef(first["signal"], second["signal"])[0, 1]) < 0.1


def test_buckets_sum_up_the_rows():
    frame, buckets = rows(PLANTED, FIRST, SECOND), fast_buckets(PLANTED, FIRST, SECOND)
    assert buckets.height == 2 * 1_440
    minute = frame.slice(60 * 7, 61)
    bucket = buckets.row(7, named=True)
    assert (bucket["open"], bucket["close"]) == (minute["mid"][0], pytest.approx(minute["mid"][60]))
    assert bucket["high"] == pytest.approx(minute["mid"].max())
    assert bucket["low"] == pytest.approx(minute["mid"].min())
    assert (bucket["trades"], bucket["ts"]) == (minute["trades"][:60].sum(), minute["ts"][0])
    assert bucket["signal"] == minute["signal"][0]


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match="interval_ms=7 must divide 1000"):
        rows(PLANTED, FIRST, FIRST, 7)
    with pytest.raises(ConfigError, match="before the market's first_date"):
        rows(PLANTED, date(2023, 12, 31), FIRST)
    with pytest.raises(ConfigError, match="ic=0.9 cannot be had"):
        rows(replace(PLANTED, alpha=AlphaParameters(ic=0.9, horizon_s=600.0, halflife_s=1.0)), FIRST, FIRST)
