"""Gross three-class targets: margins that Train alone fixes, and symbols whose memories do not meet."""

from dataclasses import replace

import numpy as np
import pytest

from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from modeling.gross_targets import classified, margins_bp, pooled
from modeling.sampling import ready_rows
from tests.builders_modeling import labelled_rows


def _with_gross(*returns_bp: float):
    gross = np.array(returns_bp, np.float32)[:, None] * np.ones(2, np.float32)
    return replace(labelled_rows(len(returns_bp)), gross_bp=gross)


def test_margin_leaves_a_third_flat_by_hand():
    data = _with_gross(-4.0, -3.0, -0.5, 0.0, 0.5, 3.0, 4.0)
    margins = margins_bp(data)
    assert margins.tolist() == [0.5, 0.5]
    assert classified(data, margins).classes[:, 0].tolist() == [-1, -1, 0, 0, 0, 1, 1]


def test_market_that_stands_still_is_flat_where_it_does_not_move_at_all():
    data = _with_gross(0.0, 0.0, 0.0, 0.0, 0.0, 0.1, -0.1)
    assert margins_bp(data).tolist() == [0.0, 0.0]
    assert classified(data, margins_bp(data)).classes[:, 0].tolist() == [0, 0, 0, 0, 0, 1, -1]


def test_unknown_returns_have_no_class_and_move_no_margin():
    data = _with_gross(np.nan, 2.0, -2.0, 2.0)
    assert margins_bp(data).tolist() == [2.0, 2.0]
    assert classified(data, np.array([1.0, 1.0])).classes[:, 0].tolist() == [NO_CLASS, 1, -1, 1]
    with pytest.raises(NotEnoughData, match="none of 1 rows tells the gross return"):
        margins_bp(_with_gross(np.nan))


def test_invalid_rows_move_no_margin():
    data = _with_gross(100.0, 100.0, 1.0, 1.0, 1.0, 1.0)
    valid = np.array([False, False, True, True, True, True])
    assert margins_bp(replace(data, valid=valid)).tolist() == [1.0, 1.0]


def test_no_memory_runs_from_one_symbol_into_the_next():
    one, other = labelled_rows(50, seed=1), labelled_rows(40, seed=2)
    both = pooled((one, other))
    assert len(both) == 90
    assert np.array_equal(both.values[50:], other.values)
    ready = ready_rows(both.valid, 10)
    assert not ready[50:60].any()
    assert ready[60:].all()
    assert one.valid[0]  # what was pooled is left alone
    with pytest.raises(ModelError, match="0 training sets to pool"):
        pooled(())
