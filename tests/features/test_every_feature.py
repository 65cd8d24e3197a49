"""What each feature must pass by being in the catalogue."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from features.batch import feature_rows
from features.catalogue import VALID, catalogue
from features.step import new_state
from features.stream import dump_state, load_state
from tests.builders_features import MS, PARAMETERS, batch_rows, leader_tape, streamed_rows, synthetic_events
from tests.builders_market import recorded_events

FOLLOWING = replace(PARAMETERS, leader="the-leader")
FEATURES = catalogue(FOLLOWING)
MESSAGES = 6_000
columns = pytest.mark.parametrize("column", range(len(FEATURES)), ids=[feature.name for feature in FEATURES])
tapes = pytest.mark.parametrize("tape", ["recorded", "synthetic"])


@cache
def events_of(tape):
    return recorded_events(first_messages=MESSAGES) if tape == "recorded" else synthetic_events(1, MESSAGES)


@cache
def leader_of(tape):
    return leader_tape(0, seconds=60, start=int(events_of(tape)["ingest_ts"][0]))


@cache
def rows_of(tape):
    return batch_rows(events_of(tape), FOLLOWING, leader_of(tape))


def split(tape):
    """Halves of a tape and of its leader, and the instant between them."""
    events, leader = events_of(tape), leader_of(tape)
    middle = int(np.maximum.accumulate(events["ingest_ts"])[events.size // 2])
    position = int(np.flatnonzero(events["ingest_ts"] > middle)[0])
    early = leader[0] <= middle // (20 * MS) * 20 * MS
    return (events[:position], events[position:]), [tuple(x[half] for x in leader) for half in (early, ~early)], middle


@cache
def resumed_rows(tape):
    """The tape in two halves, the state saved and loaded between them."""
    (early, late), leaders, middle = split(tape)
    state, end = new_state(FOLLOWING), int(late["ingest_ts"].max())
    first = feature_rows(early, state, FOLLOWING, middle, leaders[0])
    second = feature_rows(late, load_state(dump_state(state)), FOLLOWING, end, leaders[1])
    return [np.concatenate(pair) for pair in zip(first, second, strict=True)]


@cache
def rows_with_another_future(tape):
    """Rows of a tape whose second half is poisoned, its leader's too, and how many of them are of the first."""
    events, (_, leading, middle) = events_of(tape).copy(), split(tape)
    future = events["ingest_ts"] > middle
    events["qty"][future] = events["qty"][future] * 7 + 3
    events["side"][future] = -events["side"][future]
    events["delay_ns"][future] += 10**9
    (row_ts, mid2, imbalance), (_, later, _) = leading
    known = np.concatenate((row_ts, leader_of(tape)[0][row_ts.size :]))
    poisoned = known, np.concatenate((mid2, later + 50)), np.concatenate((imbalance, np.zeros(later.size)))
    rows = batch_rows(events, FOLLOWING, poisoned)
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
    return streamed_rows(events_of(tape), list(range(0, events_of(tape).size, 37)), FOLLOWING, leader_of(tape))


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
    assert np.abs(rows.values[:, column]).max() <= FEATURES[column].bound(FOLLOWING)


@columns
def test_feature_varies_on_a_hostile_tape(column):
    rows = rows_of("synthetic")
    seen = np.unique(rows.values[rows.status == VALID, column])
    assert seen.tolist() == [0.0, 1.0] if FEATURES[column].unit == "flag" else seen.size > 2


@tapes
def test_events_are_left_alone(tape):
    events = events_of(tape)
    before = events.copy()
    batch_rows(events, FOLLOWING, leader_of(tape))
    assert events.tobytes() == before.tobytes()


def test_read_only_events_give_the_same_rows():
    events = events_of("synthetic").copy()
    events.flags.writeable = False
    assert (
        batch_rows(events, FOLLOWING, leader_of("synthetic")).values.tobytes() == rows_of("synthetic").values.tobytes()
    )
