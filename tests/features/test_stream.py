"""The stream: any cut gives the same bytes, and the state survives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import feature_rows
from features.step import new_state
from features.stream import FeatureStream, dump_state, load_state
from market.errors import DataError
from tests.builders_features import (
    MS,
    PARAMETERS,
    START,
    batch_rows,
    same_bytes,
    snapshot,
    streamed_rows,
    synthetic_events,
)
from tests.builders_market import recorded_events


def state_bytes(state):
    return [array.tobytes() for array in state]


@settings(max_examples=15)
@given(st.integers(0, 50), st.lists(st.integers(1, 1_200), max_size=30))
def test_any_cut_of_a_synthetic_tape_gives_the_rows_of_the_batch(seed, cuts):
    events = synthetic_events(seed, messages=500)
    whole = batch_rows(events)
    live = streamed_rows(events, sorted(cuts))
    assert same_bytes(live, whole)


@settings(max_examples=8)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=40))
def test_any_cut_of_a_recording_gives_the_rows_of_the_batch(cuts):
    events = recorded_events(first_messages=3_000)
    whole = batch_rows(events)
    live = streamed_rows(events, sorted(cuts))
    assert live.row_ts.size > 500
    assert same_bytes(live, whole)


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), max_size=6))
def test_any_cut_of_the_batch_gives_the_same_rows_and_the_same_state(shares):
    events = synthetic_events(3)
    newest = np.maximum.accumulate(events["ingest_ts"])
    whole_state, state = new_state(PARAMETERS), new_state(PARAMETERS)
    whole = feature_rows(events, whole_state, PARAMETERS, int(newest[-1]))
    ends = sorted({*(int(newest[int(share * (events.size - 1))]) for share in shares), int(newest[-1])})
    parts, start = [], 0
    for end in ends:
        stop = int(np.searchsorted(newest, end, side="right"))
        parts.append(feature_rows(events[start:stop], state, PARAMETERS, end))
        state, start = load_state(dump_state(state)), stop
    joined = type(whole)(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    assert same_bytes(joined, whole)
    assert state_bytes(state) == state_bytes(whole_state)


def test_state_is_the_same_after_a_round_trip():
    state = new_state(PARAMETERS)
    events = recorded_events(first_messages=2_000)
    feature_rows(events, state, PARAMETERS, int(events["ingest_ts"].max()))
    arrays = dump_state(state)
    assert arrays["far_levels"].size
    assert state_bytes(load_state(arrays)) == state_bytes(state)
    assert sum(array.nbytes for array in arrays.values()) < 200_000


def test_a_torn_state_is_refused():
    arrays = dump_state(new_state(PARAMETERS))
    del arrays["ring"]
    with pytest.raises(DataError, match="lacks ring"):
        load_state(arrays)


@pytest.mark.parametrize(
    "change",
    [{"normalizer_window_s": 8}, {"normalizer_clip": 6.0}, {"windows_ms": (50, 250, 900)}, {"row_interval_ms": 10}],
    ids=str,
)
def test_a_stream_refuses_the_state_of_other_settings(change):
    with pytest.raises(DataError, match="other feature parameters"):
        FeatureStream(PARAMETERS, new_state(replace(PARAMETERS, **change)))


def test_events_beyond_the_open_row_are_refused_and_none_is_taken():
    stream = FeatureStream(PARAMETERS)
    stream.push(snapshot(START + MS, 1))
    before = state_bytes(stream.state)
    with pytest.raises(DataError, match="close that first"):
        stream.push(np.concatenate([snapshot(START + 2 * MS, 2), snapshot(START + 21 * MS, 3)]))
    assert state_bytes(stream.state) == before


def test_only_the_open_row_closes():
    stream = FeatureStream(PARAMETERS)
    with pytest.raises(DataError, match="not the open row"):
        stream.close(START)
    stream.push(snapshot(START + MS, 1))
    with pytest.raises(DataError, match="not the open row"):
        stream.close(START + 40 * MS)
    assert stream.next_row_ts == START + 20 * MS
    assert stream.close(START + 20 * MS).best_bid == 999
    assert stream.next_row_ts == START + 40 * MS
