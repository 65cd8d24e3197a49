"""Training rows in parts: put behind each other they are the rows that they were cut from, and a hole stays one."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.gross_targets import pooled
from modeling.told import rows_between
from modeling.training_parts import LazyParts, equal_spans, newest_rows
from modeling.training_rows import TrainingSet, behind_each_other, window
from tests.builders_modeling import SHAPE, labelled_rows

ROWS = labelled_rows(400)
ROW_NS = int(ROWS.row_ts[1] - ROWS.row_ts[0])


def in_parts(data: TrainingSet, rows: int, context_rows: int) -> LazyParts:
    spans = equal_spans(int(data.row_ts[0]), int(data.row_ts[-1]) + 1, rows * ROW_NS)
    return LazyParts(SHAPE, spans, lambda start, end: window(data, start, end, context_rows))


def same(one: TrainingSet, other: TrainingSet) -> bool:
    arrays = (item.name for item in fields(TrainingSet) if item.name != "shape")
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in arrays)


@given(rows=st.integers(30, 400), context_rows=st.integers(1, 20))
def test_parts_behind_each_other_are_the_rows_they_were_cut_from(rows: int, context_rows: int) -> None:
    source = in_parts(ROWS, rows, context_rows)
    first, last = int(ROWS.row_ts[0]), int(ROWS.row_ts[-1])
    assert same(newest_rows(source, 10 * len(ROWS)), ROWS)
    assert same(rows_between(source, first, last), ROWS)


@pytest.mark.parametrize("read", ["newest_rows", "rows_between"])
def test_no_memory_runs_over_rows_that_are_missing_between_two_parts(read: str) -> None:
    after = replace(ROWS, row_ts=ROWS.row_ts + 1_000 * ROW_NS)
    source = LazyParts(SHAPE, ((0, 1), (1, 2)), lambda start, _: (ROWS, after)[start])
    first, last = int(ROWS.row_ts[0]), int(after.row_ts[-1])
    found = newest_rows(source, 800) if read == "newest_rows" else rows_between(source, first, last)
    assert np.flatnonzero(~found.valid).tolist() == [
        *np.flatnonzero(~ROWS.valid),
        400,
        *(400 + np.flatnonzero(~ROWS.valid)),
    ]


def test_pooled_symbols_are_behind_each_other_but_for_their_seams() -> None:
    both = pooled([ROWS, ROWS])
    plain = behind_each_other([ROWS, ROWS])
    assert same(replace(both, valid=plain.valid), plain)
    assert np.flatnonzero(both.valid != plain.valid).tolist() == [place for place in (0, 400) if plain.valid[place]]
    assert ROWS.valid[0] == labelled_rows(400).valid[0]  # what was pooled is as it was
