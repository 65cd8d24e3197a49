"""Distance, waterfall and band, on numbers worked by hand and on any."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import ConfigError
from monitoring.profit_parity import band, distance, judge_band, judge_distance, side_by_side, waterfall
from tests.builders_parity import BAR

MINUTE = 60_000_000_000
PROFITS = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


def minutes(*profits: float, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"minute": [(first + k) * MINUTE for k in range(len(profits))], "net": list(profits)})


def test_a_pair_by_hand() -> None:
    """Off by 0.5, 0, 1 and 2, where profits moved by 10 + 4 + 6 + 0."""
    sides = side_by_side(minutes(10.0, -4.0, 6.0), minutes(10.5, -4.0, 5.0, 2.0))
    assert sides["made"].to_list() == [10.0, -4.0, 6.0, 0.0]
    assert distance(sides) == 3.5 / 20


@given(PROFITS)
def test_equal_runs_are_no_distance_apart(profits: list[float]) -> None:
    found = distance(side_by_side(minutes(*profits), minutes(*profits)))
    assert found == 0 or (math.isnan(found) and not any(profits))


@given(PROFITS, PROFITS, st.floats(0.01, 100))
def test_a_distance_does_not_depend_on_the_currency(made: list[float], again: list[float], rate: float) -> None:
    one = distance(side_by_side(minutes(*made), minutes(*again)))
    other = distance(side_by_side(minutes(*np.multiply(made, rate)), minutes(*np.multiply(again, rate))))
    assert one == pytest.approx(other, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("again", "fills", "at_bar", "verdict"),
    [
        (99.6, 200, True, "passed"),
        (99.4, 200, True, "failed"),
        (99.6, 199, True, "insufficient"),
        (50.0, 10, True, "insufficient"),
        (50.0, 500, False, "reported"),
        (99.6, 199, False, "insufficient"),
    ],
)
def test_the_bar_of_level_3(again: float, fills: int, at_bar: bool, verdict: str) -> None:
    level = judge_distance(side_by_side(minutes(100.0), minutes(again)), fills, at_bar, BAR)
    assert level.verdict == verdict
    assert f"{fills} fills" in level.why


def test_no_profit_at_all_is_insufficient() -> None:
    level = judge_distance(side_by_side(minutes(0.0, 0.0), minutes(0.0, 1.0)), 500, True, BAR)
    assert (level.verdict, level.figures["distance"]) == ("insufficient", None)


@given(st.floats(-1e6, 1e6), st.lists(st.floats(-1e6, 1e6), max_size=6), st.floats(-1e6, 1e6))
def test_bars_add_up_to_the_difference(assumed: float, profits: list[float], made: float) -> None:
    found = waterfall(assumed, [(str(place), profit) for place, profit in enumerate(profits)], made)
    assert math.fsum(bar.amount for bar in found.bars) == pytest.approx(made - assumed, abs=1e-8)
    assert len(found.bars) == len(profits) + 1


def test_a_band_by_hand() -> None:
    """Drawn totals 0 to 100; 5 % of them lie below 5 and above 95; level 3 allows half a percent of 96 more."""
    drawn = [minutes(float(k), 0.0) for k in range(101)]
    inside, outside = (band(minutes(total, 0.0), drawn, BAR) for total in (95.4, 95.6))
    assert (inside.low, inside.high) == (pytest.approx(5.0), pytest.approx(95.0))
    assert (inside.inside, outside.inside) == (True, False)
    assert inside.minutes["inside"].to_list() == [True, True]
    assert outside.minutes["inside"].to_list() == [False, True]
    assert (judge_band(inside, BAR).verdict, judge_band(outside, BAR).verdict) == ("passed", "failed")


@pytest.mark.parametrize(
    "change", [{"most_distance": 0.0}, {"band": 1.0}, {"draws": 19}, {"min_fills": 0}, {"recent_days": 0}]
)
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        replace(BAR, **change)  # type: ignore[arg-type]
