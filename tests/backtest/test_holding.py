"""The longest hold: by hand, and against a loop over the rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backtest.holding import longest_hold_ns


def test_a_position_is_held_until_it_turns_or_the_rows_end() -> None:
    stamps = np.array([0, 10, 30, 60, 100])
    assert longest_hold_ns(stamps, np.array([0, 2, 5, -1, -1])) == 50  # 10 to 60
    assert longest_hold_ns(stamps, np.array([1, 1, 1, 1, 1])) == 100
    assert longest_hold_ns(stamps, np.zeros(5, np.int64)) == 0
    assert longest_hold_ns(stamps[:0], np.zeros(0, np.int64)) == 0


@given(positions=st.lists(st.integers(-2, 2), min_size=1, max_size=30))
def test_holds_are_those_that_a_loop_finds(positions: list[int]) -> None:
    stamps, longest, since = np.cumsum(np.arange(len(positions))), 0, 0
    for place in range(len(positions)):
        if place and (positions[place] > 0) - (positions[place] < 0) != (positions[since] > 0) - (positions[since] < 0):
            since = place
        later = min(place + 1, len(positions) - 1)
        if positions[place]:
            longest = max(longest, int(stamps[later] - stamps[since]))
    assert longest_hold_ns(stamps, np.array(positions)) == longest
