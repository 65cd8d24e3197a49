"""Augmentation: what it changes in a chunk, and what it leaves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.regimes import HIGH_VOLATILITY, RANGE
from modeling.augmentation import cut_out, mixing_share, partner
from modeling.batches import mixed


@given(rows=st.integers(1, 80), seed=st.integers(0, 2**16))
def test_cutout_repeats_the_row_before_it_and_leaves_the_rest(rows, seed):
    values = np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)
    cut = cut_out(values, np.random.default_rng(seed), 10, 30)
    changed = np.flatnonzero((cut != values).any(1))
    assert min(10, rows - 1) <= len(changed) <= min(30, rows - 1)
    if changed.size:
        assert np.array_equal(changed, np.arange(changed[0], changed[0] + len(changed)))
        assert (cut[changed] == values[changed[0] - 1]).all()


def test_chunks_are_mixed_within_their_regime():
    regimes = np.array([RANGE, HIGH_VOLATILITY, RANGE, HIGH_VOLATILITY, RANGE], np.int8)
    rng = np.random.default_rng(1)
    assert {partner(regimes, 0, rng) for _ in range(50)} == {0, 2, 4}
    assert {partner(regimes, 3, rng) for _ in range(50)} == {1, 3}


def test_mixing_keeps_most_of_a_chunk_and_nothing_is_mixed_at_zero():
    rng = np.random.default_rng(2)
    shares = [mixing_share(rng, 0.4) for _ in range(500)]
    assert 0.5 <= min(shares) < 0.6
    assert max(shares) > 0.99
    assert mixing_share(rng, 0.0) == 1.0


def test_a_mixed_chunk_has_both_labels_by_their_shares():
    one, other = (
        {
            "x": np.full((4, 2), value, np.float32),
            "truth": np.full((3, 1), value),
            "weights": np.ones((3, 1), np.float32),
        }
        for value in (1, 2)
    )
    chunk = mixed(one, other, np.float32(0.75))
    assert (chunk["x"] == 1.25).all()
    assert chunk["truth"][:, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert chunk["weights"][:, 0].tolist() == [0.75] * 3 + [0.25] * 3
