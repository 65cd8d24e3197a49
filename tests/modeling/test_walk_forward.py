"""Slices: forward only, purged, and nothing outside the span."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import ConfigError, LeakageError
from modeling.walk_forward import Slice, assert_purged, split_validation, walk_forward

SECOND = 1_000_000_000
START = 1_723_161_300 * SECOND  # 2024-08-08 23:55:00 UTC


def test_slices_by_hand():
    first, second = walk_forward(START, START + 100 * SECOND, 50 * SECOND, 10 * SECOND, 15 * SECOND, 5 * SECOND)
    assert first.key == "20240808T235500Z-k0"
    assert [(start - START) // SECOND for _, (start, _) in first.windows] == [0, 55, 70]
    assert [(end - START) // SECOND for _, (_, end) in first.windows] == [50, 65, 85]
    assert second.key == "20240808T235515Z-k1"
    assert second.test == (START + 85 * SECOND, START + 100 * SECOND)


@given(lengths=st.tuples(*[st.integers(1, 50)] * 3), purge=st.integers(1, 20), span=st.integers(0, 500))
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
    assert split_validation((0, 110), 0.5, 0.25, 10) == ((0, 50), (60, 70), (80, 110))
    short = "val of 30 s cannot be split in three with purges of 10 s: search 10 s, calibration 0 s, conformal 0 s"
    with pytest.raises(ConfigError, match=short):
        split_validation((0, 30 * SECOND), 0.5, 0.5, 10 * SECOND)


@given(span=st.integers(1, 400), shares=st.tuples(*[st.floats(0.1, 0.9)] * 2), purge=st.integers(1, 100))
def test_parts_of_val_fill_it_in_order_a_purge_apart_or_are_refused(span, shares, purge):
    search, behind = ((span - purge) * share for share in (shares[0], 1 - shares[0]))
    shortest = min(search, *((behind - purge) * share for share in (shares[1], 1 - shares[1])))
    try:
        parts = split_validation((START, START + span), *shares, purge)
    except ConfigError:
        assert shortest <= 1
        return
    assert shortest > -1
    assert (parts.search[0], parts.conformal[1]) == (START, START + span)
    assert all(start < end for start, end in parts)
    assert [later[0] - earlier[1] for earlier, later in pairwise(parts)] == [purge, purge]


@given(edges=st.lists(st.integers(0, 12), min_size=6, max_size=6))
def test_no_slice_overlaps_runs_backwards_or_lacks_a_gap(edges):
    windows = list(zip(edges[::2], edges[1::2], strict=True))
    if all(earlier < later for earlier, later in pairwise(edges)):
        assert [window for _, window in Slice("k0", *windows).windows] == windows
        return
    with pytest.raises(LeakageError, match="slice k0: "):
        Slice("k0", *windows)


def test_a_slice_that_is_changed_is_checked_anew():
    piece = Slice("k0", (0, 10), (12, 20), (22, 30))
    with pytest.raises(LeakageError, match="val begins 1 ns before train is purged"):
        replace(piece, val=(9, 20))
    with pytest.raises(LeakageError, match="val begins 0 ns before train is purged"):
        replace(piece, train=(0, 12))
    with pytest.raises(LeakageError, match=r"test of \[30, 22\) ns is empty or runs backwards"):
        replace(piece, test=(30, 22))


def test_slices_and_parts_of_val_without_a_purge_are_refused():
    with pytest.raises(ConfigError, match="purge=0 ns must be above 0"):
        list(walk_forward(0, 100, 10, 10, 10, 0))
    with pytest.raises(ConfigError, match="purge=0 ns between the parts"):
        split_validation((0, 100), 0.5, 0.5, 0)


def test_empty_window_is_refused():
    with pytest.raises(ConfigError, match="val=0"):
        list(walk_forward(0, 100, 10, 0, 10, 1))
