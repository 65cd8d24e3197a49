"""Events in batches: the rows and the state of one batch, wherever the cuts fall, also beside a leader."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import batch
from features.batch import Rows, feature_rows, leader_rows, row_batches
from features.catalogue import VALID, feature_names
from features.step import new_state
from features.stream import dump_state, load_state
from market.errors import DataError
from market.events import empty_events
from tests.builders_features import MS, PARAMETERS, START, leader_tape, same_bytes, snapshot, synthetic_events

LED = replace(PARAMETERS, leader="the-leader")
COARSE = 4 * MS  # stamps are multiples of it, so that many messages share one and some lie on the grid of the rows


@cache
def tape():
    events = synthetic_events(13, messages=3_000)
    events["ingest_ts"] = np.maximum.accumulate(events["ingest_ts"]) // COARSE * COARSE
    return events


def joined(parts):
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def one_batch():
    state, end = new_state(LED), int(tape()["ingest_ts"][-1])
    return feature_rows(tape(), state, LED, end, leader_tape(5)), state, end


def state_bytes(state):
    return [array.tobytes() for array in state]


@settings(max_examples=25)
@given(st.lists(st.integers(0, tape().size), max_size=20))
def test_any_batches_give_the_rows_and_the_state_of_one(cuts):
    whole, state, end = one_batch()
    again = new_state(LED)
    parts = row_batches(np.split(tape(), sorted(cuts)), again, LED, end, leader_tape(5))
    assert same_bytes(joined(list(parts)), whole)
    assert state_bytes(again) == state_bytes(state)
    assert np.count_nonzero(whole.status == VALID) > 20


def test_a_cut_between_events_of_one_stamp_moves_none_of_them_to_another_row():
    whole, _, end = one_batch()
    ties = np.flatnonzero(np.diff(tape()["ingest_ts"]) == 0) + 1
    assert ties.size > 300
    assert same_bytes(
        joined(list(row_batches(np.split(tape(), ties), new_state(LED), LED, end, leader_tape(5)))), whole
    )


@given(st.floats(0.01, 0.99))
@settings(max_examples=15)
def test_a_restart_in_the_middle_gives_the_same_bytes(share):
    whole, state, end = one_batch()
    middle = int(tape()["ingest_ts"][int(share * tape().size)])
    late, seen = tape()["ingest_ts"] > middle, leader_tape(5)
    first = new_state(LED)
    early = row_batches([tape()[~late]], first, LED, middle, tuple(each[seen[0] <= middle] for each in seen))
    parts = list(early)
    second = load_state(dump_state(first))
    parts += row_batches([tape()[late]], second, LED, end, tuple(each[seen[0] > middle] for each in seen))
    assert same_bytes(joined(parts), whole)
    assert state_bytes(second) == state_bytes(state)


def test_a_day_without_events_has_no_rows_and_empty_batches_add_none():
    assert joined(list(row_batches([], new_state(LED), LED, START))).row_ts.size == 0
    batches = [empty_events(0), snapshot(START, 1), empty_events(0)]
    assert joined(list(row_batches(batches, new_state(PARAMETERS), PARAMETERS, START + 50 * MS))).row_ts.size == 3


def test_batches_beyond_the_end_are_refused():
    with pytest.raises(DataError, match="later than until"):
        list(row_batches([snapshot(START, 1)], new_state(PARAMETERS), PARAMETERS, START - 1))


def test_what_a_follower_sees_is_the_mid_and_the_imbalance_of_valid_rows():
    rows = feature_rows(tape(), new_state(PARAMETERS), PARAMETERS, int(tape()["ingest_ts"][-1]))
    row_ts, mid2, imbalance = leader_rows(rows, PARAMETERS)
    valid = rows.status == VALID
    assert np.array_equal(row_ts, rows.row_ts)
    assert np.array_equal(mid2[valid], (rows.best_bid + rows.best_ask)[valid])
    assert not mid2[~valid].any()
    assert np.array_equal(imbalance, rows.raw[:, feature_names(PARAMETERS).index("queue_imbalance")])


EARLY = START - 3_000 * MS  # when the leader's rows begin, three seconds before the follower's events


@cache
def silent_tape():
    """A follower's events with ten silent seconds in the middle."""
    events, middle = tape().copy(), tape().size // 2
    events["ingest_ts"][middle:] += 10_000 * MS
    return events


def early_leader(offset=0):
    """A leader that is valid and never silent, from before the follower's first event on."""
    stamps = EARLY + offset + 20 * MS * np.arange(2_000)
    return stamps, 4_000 + stamps // MS % 97, np.cos(stamps // MS)


@pytest.mark.parametrize("offset", [0, 7 * MS], ids=["on our grid", "between our rows"])
@pytest.mark.parametrize("most", [1, 7, 50_000])
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, silent_tape().size), max_size=8), first=st.integers(0, 3))
def test_a_leader_that_starts_earlier_is_seen_alike_wherever_the_cuts_fall(most, offset, cuts, first):
    end = int(silent_tape()["ingest_ts"][-1])
    state, again = new_state(LED), new_state(LED)
    whole = feature_rows(silent_tape(), state, LED, end, early_leader(offset))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "MOST_ROWS", most)
        pieces = np.split(silent_tape(), sorted([first, *cuts]))
        parts = list(row_batches(pieces, again, LED, end, early_leader(offset)))
    assert max(part.row_ts.size for part in parts) <= most
    assert same_bytes(joined(parts), whole)
    assert state_bytes(again) == state_bytes(state)


def test_a_first_batch_of_one_stamp_loses_no_row_of_the_leader():
    stamp = int(silent_tape()["ingest_ts"][0])
    place = int(np.searchsorted(silent_tape()["ingest_ts"], stamp, side="right"))
    end = int(silent_tape()["ingest_ts"][-1])
    state, again = new_state(LED), new_state(LED)
    whole = feature_rows(silent_tape(), state, LED, end, early_leader())
    parts = list(row_batches(np.split(silent_tape(), [place]), again, LED, end, early_leader()))
    assert parts[0].row_ts.size == 0
    assert same_bytes(joined(parts), whole)
    assert state_bytes(again) == state_bytes(state)


def test_two_silent_hours_come_in_small_parts():
    events = np.concatenate((snapshot(START, 1), snapshot(START + 7_200_000 * MS, 2)))
    parts = row_batches([events], new_state(PARAMETERS), PARAMETERS, int(events["ingest_ts"][-1]))
    sizes = [part.row_ts.size for part in parts]
    assert max(sizes) == batch.MOST_ROWS
    assert sum(sizes) == 360_001
