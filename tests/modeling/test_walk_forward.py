"""Slices: forward only, purged, and nothing outside the span."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import ConfigError, LeakageError
from modeling.walk_forward import assert_purged, split_validation, walk_forward

SECOND = 1_000_000_000
START = 1_723_161_300 * SECOND  # 2024-08-08 23:55:00 UTC


def test_slices_by_hand():
    first, second = walk_forward(START, START + 100 * SECOND, 50 * SECOND, 10 * SECOND, 15 * SECOND, 5 * SECOND)
    assert first.key == "20240808T235500Z-k0"
    assert [(start - START) // SECOND for start, _ in first[1:]] == [0, 55, 70]
    assert [(end - START) // SECOND for _, end in first[1:]] == [50, 65, 85]
    assert second.key == "20240808T235515Z-k1"
    assert second.test == (START + 85 * SECOND, START + 100 * SECOND)


@given(lengths=st.tuples(*[st.integers(1, 50)] * 3), purge=st.integers(0, 20), span=st.integers(0, 500))
def test_slices_move_forward_and_stay_apart(lengths, purge, span):
    slices = list(walk_forward(START, START + span, *lengths, purge))
    for piece in slices:
        assert START <= piece.train[0] < piece.train[1]
        assert piece.val[0] - piece.train[1] == piece.test[0] - piece.val[1] == purge
        assert piece.test[1] <= START + span
        assert not set("|,") & set(piece.key)
    for earlier, later in pairwise(slices):
        assert later.test[0] == earlier.test[1]
    assert (len(slices) == 0) == (sum(lengths) + 2 * purge > span)


def test_purge_shorter_than_a_label_is_leakage():
    (piece,) = walk_forward(0, 100, 50, 10, 20, 10)
    assert_purged(piece, 7, 2, 1)
    with pytest.raises(LeakageError, match="10 ns between train and val, labels reach 11 ns"):
        assert_purged(piece, 8, 2, 1)


def test_validation_is_split_and_purged():
    assert split_validation((0, 110), 0.5, 10) == ((0, 50), (60, 110))
    with pytest.raises(ConfigError, match="cannot be split"):
        split_validation((0, 10), 0.5, 10)


def test_empty_window_is_refused():
    with pytest.raises(ConfigError, match="val=0"):
        list(walk_forward(0, 100, 10, 0, 10, 1))
