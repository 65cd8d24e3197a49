"""What each feature must pass by being in the catalogue."""

from functools import cache

import numpy as np
import pytest

from features.batch import feature_rows
from features.catalogue import FEATURES, VALID
from features.step import new_state
from features.stream import dump_state, load_state
from tests.builders_features import PARAMETERS, batch_rows, streamed_rows, synthetic_events
from tests.builders_market import recorded_events

MESSAGES = 6_000
columns = pytest.mark.parametrize("column", range(len(FEATURES)), ids=[feature.name for feature in FEATURES])
tapes = pytest.mark.parametrize("tape", ["recorded", "synthetic"])


@cache
def events_of(tape):
    return recorded_events(first_messages=MESSAGES) if tape == "recorded" else synthetic_events(1, MESSAGES)


@cache
def rows_of(tape):
    return batch_rows(events_of(tape))


@cache
def resumed_rows(tape):
    """The tape in two halves, the state saved and loaded between them."""
    events, state = events_of(tape), new_state(PARAMETERS)
    middle = int(np.maximum.accumulate(events["ingest_ts"])[events.size // 2])
    position = int(np.flatnonzero(events["ingest_ts"] > middle)[0])
    early = feature_rows(events[:position], state, PARAMETERS, middle)
    late = feature_rows(events[position:], load_state(dump_state(state)), PARAMETERS, int(events["ingest_ts"].max()))
    return [np.concatenate(pair) for pair in zip(early, late, strict=True)]


@cache
def rows_with_another_future(tape):
    """Rows of a tape whose second half is poisoned, and how many of them are of the first."""
    events = events_of(tape).copy()
    middle = int(np.maximum.accumulate(events["ingest_ts"])[events.size // 2])
    future = events["ingest_ts"] > middle
    events["qty"][future] = events["qty"][future] * 7 + 3
    events["side"][future] = -events["side"][future]
    events["delay_ns"][future] += 10**9
    rows = batch_rows(events)
    return rows, int(np.searchsorted(rows.row_ts, middle, side="right"))


@tapes
@columns
def test_feature_ignores_the_future(tape, column):
    poisoned, count = rows_with_another_future(tape)
    rows = rows_of(tape)
    assert (rows.status[:count] == VALID).any()
    assert np.array_equal(poisoned.raw[:count, column], rows.raw[:count, column])
    assert np.array_equal(poisoned.values[:count, column], rows.values[:count, column])


@tapes
def test_the_poison_reaches_the_future(tape):
    poisoned, count = rows_with_another_future(tape)
    assert not np.array_equal(poisoned.values[count:], rows_of(tape).values[count:])


@cache
def streamed(tape):
    return streamed_rows(events_of(tape), list(range(0, events_of(tape).size, 37)))


@tapes
@columns
def test_stream_equals_batch_to_the_last_bit(tape, column):
    live, rows = streamed(tape), rows_of(tape)
    count = live.row_ts.size
    assert count > 500
    assert live.raw[:, column].tobytes() == rows.raw[:count, column].tobytes()
    assert live.values[:, column].tobytes() == rows.values[:count, column].tobytes()


@tapes
@columns
def test_feature_resumes_from_a_saved_state(tape, column):
    resumed, rows = resumed_rows(tape), rows_of(tape)
    assert resumed[4][:, column].tobytes() == rows.raw[:, column].tobytes()
    assert resumed[5][:, column].tobytes() == rows.values[:, column].tobytes()


@tapes
@columns
def test_feature_is_finite_and_within_its_scale(tape, column):
    rows = rows_of(tape)
    assert np.isfinite(rows.raw[:, column]).all()
    assert np.abs(rows.values[:, column]).max() <= FEATURES[column].bound(PARAMETERS)


@columns
def test_feature_varies_on_a_hostile_tape(column):
    rows = rows_of("synthetic")
    assert np.unique(rows.values[rows.status == VALID, column]).size > 2


@tapes
def test_events_are_left_alone(tape):
    events = events_of(tape)
    before = events.copy()
    batch_rows(events)
    assert events.tobytes() == before.tobytes()


def test_read_only_events_give_the_same_rows():
    events = events_of("synthetic").copy()
    events.flags.writeable = False
    assert batch_rows(events).values.tobytes() == rows_of("synthetic").values.tobytes()
