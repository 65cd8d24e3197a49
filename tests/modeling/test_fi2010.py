"""FI-2010: shape, labels, splits and windows, on a small matrix of the same shape."""

import numpy as np
import pytest

from market.errors import DataError, NotEnoughData
from modeling.baselines import persisting
from modeling.fi2010 import HORIZONS, NAMES, SPLITS, Files, Matrix, branch_bases, matrix_of, parts_of, window_count
from modeling.parameters import CnnParameters
from modeling.sampling import learnable
from tests.builders_fi2010 import matrix


def test_book_and_labels_are_read_from_their_rows() -> None:
    values = matrix(120, 1)
    book, classes = matrix_of(values)
    assert book.shape == (120, 40)
    assert np.array_equal(book[:, 39], values[39].astype(np.float32))
    assert np.array_equal(classes, (2 - values[144:149]).T)
    assert set(np.unique(classes)) == {-1, 0, 1}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda values: values[:148], "148 rows, FI-2010 has 149"),
        (lambda values: [*values, values[0]], "150 rows, FI-2010 has 149"),
        (lambda values: [], "0 rows, FI-2010 has 149"),
        (lambda values: [*values[:7], values[7][:-1], *values[8:]], "row 7 has 119 columns, row 0 has 120"),
        (lambda values: [*values[:3], values[3] * np.nan, *values[4:]], "row 3 holds a number that is not finite"),
        (lambda values: [*values[:146], values[146] + 1, *values[147:]], "row 146 holds the label 4"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line(changed, why) -> None:
    with pytest.raises(DataError, match=why):
        matrix_of(changed(matrix(120, 1)))


def test_published_window_counts_follow_from_the_files_lengths() -> None:
    assert [window_count(n) for n in (203_800, 50_950, 139_587)] == [203_701, 50_851, 139_488]
    assert int(254_750 * 0.8) == 203_800
    with pytest.raises(NotEnoughData, match="99 columns hold no window of 100"):
        window_count(99)


def test_the_published_files_hold_the_published_windows_or_are_refused() -> None:
    columns = (254_750, 55_478, 52_172, 31_937)
    train, *tests = (Matrix(np.ones((n, 40)), np.zeros((n, len(HORIZONS)), np.int8)) for n in columns)
    assert parts_of(Files(train, tuple(tests))).windows == (203_701, 50_851, 139_488)
    with pytest.raises(
        DataError, match=r"set-up 2 holds \(203701, 50851, 139488\) windows of 100 columns, these files"
    ):
        parts_of(Files(train, tuple(tests[:2])))


def test_test_files_follow_each_other_and_the_training_file_is_cut_at_four_fifths() -> None:
    pieces = [matrix_of(matrix(columns, columns)) for columns in (1000, 150, 120)]
    parts = parts_of(Files(pieces[0], (pieces[1], pieces[2])))
    assert parts.windows == (701, 101, 171)
    assert parts.windows[2] == learnable(parts.test, 100)[:, 0].sum()
    assert np.array_equal(parts.val.values[:, :40], pieces[0].book[800:])
    assert np.array_equal(parts.test.classes[150:], pieces[2].classes)
    assert parts.train.values.shape[1] == len(NAMES)
    assert np.array_equal(parts.train.values[:, -1], pieces[0].book[:800, 3] - pieces[0].book[:800, 1])


def test_a_label_is_known_once_its_events_have_passed() -> None:
    part = parts_of(Files(matrix_of(matrix(1000, 0)), (matrix_of(matrix(150, 2)),))).test
    assert (part.known_ts[7] - 7).tolist() == [1, 2, 3, 5, 10]
    assert np.array_equal(persisting(part)[10:, 4], part.classes[:-10, 4])


def test_anchored_folds_test_the_day_behind_their_training_days() -> None:
    assert len(SPLITS) == 10
    assert SPLITS["anchored3"][1:] == (3, (3,))
    assert SPLITS["setup2"][1:] == (7, (7, 8, 9))
    assert len(HORIZONS) == 5


def test_network_that_reaches_beyond_a_window_is_refused() -> None:
    assert branch_bases(CnnParameters("cnn", 64, 5, 3, 2, 0.1)) == (1,)
    with pytest.raises(NotEnoughData, match="reaches 127 columns back"):
        branch_bases(CnnParameters("cnn", 64, 6, 3, 2, 0.1))
