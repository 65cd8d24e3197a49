"""Draws without a state: uniform, and independent across seeds, subjects and legs."""

import numpy as np
import pytest
from scipy import stats

from market.counter_hash import draw

N = 20_000


def _draws(axis: int) -> np.ndarray:
    at = [7, 11, 3]
    found = np.empty(N)
    for number in range(N):
        at[axis] = number
        found[number] = draw(*at)
    return found


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["seed", "subject", "leg"])
def test_draws_are_uniform_along_each_argument(axis: int) -> None:
    found = _draws(axis)
    assert found.min() > 0.0
    assert found.max() < 1.0
    assert stats.kstest(found, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 4 / np.sqrt(N)


def test_two_legs_of_one_subject_are_independent() -> None:
    pairs = np.array([[draw(5, subject, leg) for leg in (0, 1)] for subject in range(N)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(N)


def test_negative_subjects_are_other_subjects() -> None:
    assert len({draw(1, subject, 0) for subject in (-2, -1, 0, 1)}) == 4
