"""Regimes: named by hand-made paths, kept by hysteresis, blind to the future, the same wherever the rows are cut."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.parameters import RegimeParameters
from features.regimes import (
    HIGH_VOLATILITY,
    RANGE,
    REGIME_NAMES,
    TREND,
    UNKNOWN,
    RegimeState,
    new_regime,
    regimes,
    spells,
)
from market.errors import ConfigError, DataError

S = 1_000_000_000
QUICK = RegimeParameters(
    span_s=10, memory_s=100, least_s=20, trend_enter=0.5, trend_leave=0.3, high_enter=0.9, high_leave=0.7
)


def codes_of(mid2, parameters=QUICK, step_ns=S):
    row_ts = S * 1_000 + step_ns * np.arange(len(mid2))
    return regimes(new_regime(parameters), row_ts, np.asarray(mid2, np.int64))


def wandering(seconds, seed=0, size=4):
    return 200_000 + 2 * np.cumsum(np.random.default_rng(seed).integers(-size, size + 1, seconds))


def reference(mid2, parameters):
    """The same again from the definition, one row a second, with lists."""
    code, codes, volatilities = UNKNOWN, [], []
    for now in range(len(mid2)):
        if now >= parameters.span_s:
            moves = np.diff(np.log(np.asarray(mid2[now - parameters.span_s : now + 1], float)))
            volatility = np.float32(np.sqrt(np.sum(moves**2)))
            past = volatilities[-parameters.memory_s :]
            high = (sum(v < volatility for v in past) + 0.5 * sum(v == volatility for v in past)) / max(1, len(past))
            volatilities.append(volatility)
            efficiency = abs(moves.sum()) / np.abs(moves).sum() if np.abs(moves).sum() else 0.0
            if len(volatilities) >= parameters.least_s:
                if high >= (parameters.high_leave if code == HIGH_VOLATILITY else parameters.high_enter):
                    code = HIGH_VOLATILITY
                elif efficiency >= (parameters.trend_leave if code == TREND else parameters.trend_enter):
                    code = TREND
                else:
                    code = RANGE
        codes.append(code)
    return codes


@pytest.mark.parametrize("seed", range(4))
def test_regimes_equal_the_slow_reference(seed):
    mid2 = wandering(400, seed)
    assert codes_of(mid2).tolist() == reference(mid2, QUICK)
    assert set(codes_of(mid2).tolist()) == set(REGIME_NAMES)


def test_a_straight_path_is_a_trend_and_a_zigzag_a_range():
    calm = wandering(60, size=40)
    up = calm[-1] + 20 * np.arange(1, 30)
    zigzag = up[-1] + 20 * (np.arange(30) % 2)
    codes = codes_of(np.concatenate((calm, up, zigzag)))
    assert codes[60 + 15 : 60 + 29].tolist() == [TREND] * 14
    assert codes[-10:].tolist() == [RANGE] * 10


def test_a_storm_is_high_volatility_whatever_its_direction():
    storm = 200_000 + 2_000 * np.arange(20)
    assert codes_of(np.concatenate((wandering(60), storm)))[-8:].tolist() == [HIGH_VOLATILITY] * 8


def test_nothing_is_named_before_there_is_history():
    codes = codes_of(wandering(60))
    assert (codes[: QUICK.span_s + QUICK.least_s - 1] == UNKNOWN).all()
    assert (codes[QUICK.span_s + QUICK.least_s :] != UNKNOWN).all()


def test_a_lower_threshold_keeps_what_a_higher_one_began():
    mid2 = wandering(2_000, seed=7)
    sharp = replace(QUICK, trend_leave=0.5, high_leave=0.9)
    changes = [np.count_nonzero(np.diff(codes_of(mid2, parameters))) for parameters in (QUICK, sharp)]
    assert changes[0] < 0.8 * changes[1]


def test_a_long_hole_forgets_the_path_and_a_short_one_does_not():
    mid2 = wandering(80)
    short, long = mid2.copy(), mid2.copy()
    short[50:53], long[50:60] = 0, 0
    assert (codes_of(short)[50:] != UNKNOWN).all()
    assert (codes_of(long)[50:55] != UNKNOWN).all()
    assert (codes_of(long)[55:60] == UNKNOWN).all()
    assert codes_of(long)[60:70].tolist() == [UNKNOWN] * 10
    assert codes_of(long)[71] != UNKNOWN


@given(cut=st.integers(1, 399), seed=st.integers(0, 20))
def test_regimes_do_not_depend_on_the_cut_or_on_the_future(cut, seed):
    mid2, row_ts = wandering(400, seed), S * 1_000 + S // 2 * np.arange(400)
    whole, state = regimes(new_regime(QUICK), row_ts, mid2), new_regime(QUICK)
    first = regimes(state, row_ts[:cut], mid2[:cut])
    saved = RegimeState(*(array.copy() for array in state))
    assert np.concatenate((first, regimes(saved, row_ts[cut:], mid2[cut:]))).tolist() == whole.tolist()


def test_spells_count_shares_and_durations():
    codes = np.array([UNKNOWN, RANGE, RANGE, TREND, TREND, TREND, RANGE, HIGH_VOLATILITY], np.int8)
    assert spells(codes, 500) == {"range": (3 / 7, 0.75), "trend": (3 / 7, 1.5), "high volatility": (1 / 7, 0.5)}


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="not of the same rows"):
        regimes(new_regime(QUICK), np.zeros(2, np.int64), np.zeros(3, np.int64))


@pytest.mark.parametrize(
    "change", [{"span_s": 1}, {"memory_s": 5}, {"least_s": 0}, {"trend_leave": 0.6}, {"high_enter": 1.2}]
)
def test_thresholds_that_cannot_be_are_refused(change):
    with pytest.raises(ConfigError, match="allowed"):
        replace(QUICK, **change)
