"""The clock on planted offsets, skews, bursts, stalls and steps, and on real recordings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from market.clock import BUCKET_NS, SLOPE, align, new_clock
from market.errors import DataError
from market.events import NO_VENUE_TIME, REPLAYED, SNAPSHOT, Events, aligned_ts, empty_events
from market.parameters import ClockParameters
from tests.builders_clock import MS, OFFSET, SECOND, START, aligned, error_ms, planted
from tests.builders_market import CLOCK, RUNS, RUNS_2024, recorded_events


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_offset_is_found(seed):
    events, true = planted(120, seed)
    assert error_ms(aligned(events), true, 10).max() < 0.2


@pytest.mark.parametrize("skew_ppm", [-20.0, 20.0])
def test_skew_is_taken_out_once_there_is_enough_history(skew_ppm):
    events, true = planted(900, 1, skew_ppm)
    aligned(events)
    assert np.percentile(error_ms(events, true, 400), 95) < 0.02
    assert error_ms(events, true, 400).max() < 0.1


def test_no_skew_is_assumed_before_there_is_enough_history():
    events, _ = planted(290, 1, 20.0)
    state = new_clock(CLOCK)
    align(state, CLOCK, events)
    assert state[1][0, SLOPE] == 0.0


def test_a_burst_of_late_messages_does_not_move_the_offset():
    events, _ = planted(200, 2)
    late = (events["ingest_ts"] // SECOND - START // SECOND) % 10 < 4  # 4 s of every 10 come 400 ms late
    events["ingest_ts"][late] += 400 * MS
    events = events[np.argsort(events["ingest_ts"], kind="stable")]
    aligned(events)
    assert error_ms(events, np.full(events.size, OFFSET), 10).max() < 0.3


def test_a_stall_and_its_flood_do_not_move_the_offset():
    events, true = planted(200, 3)
    sent = events["exchange_ts"]
    stalled = (sent > START + 90 * SECOND) & (sent < START + 110 * SECOND)
    events["ingest_ts"][stalled] = START + 110 * SECOND + OFFSET + np.arange(stalled.sum()) * 1_000
    events["ingest_ts"] = np.maximum.accumulate(events["ingest_ts"])
    aligned(events)
    assert error_ms(events, true, 10).max() < 0.3
    assert events["delay_ns"].max() > 19 * SECOND


@pytest.mark.parametrize("step_ms", [-300, 300])
def test_a_step_of_a_clock_is_followed_within_its_patience(step_ms):
    events, true = planted(200, 4)
    stepped = events["exchange_ts"] > START + 100 * SECOND
    events["ingest_ts"][stepped] += step_ms * MS
    true[stepped] += step_ms * MS
    aligned(events)
    settled = events["exchange_ts"] > START + (100 + CLOCK.step_minimum_s + CLOCK.step_patience_s + 0.5) * SECOND
    before = (events["exchange_ts"] > START + 10 * SECOND) & ~stepped
    assert np.abs(events["offset_ns"] - true)[settled | before].max() < 0.3 * MS


def test_a_single_stamp_from_the_future_is_forgotten_like_a_step():
    events, true = planted(120, 5)
    events["exchange_ts"][2_000] += 10 * SECOND
    aligned(events)
    assert error_ms(events, true, 65).max() < 0.3


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 45)), min_size=1, max_size=80), st.integers(0, 20))
def test_the_offset_is_the_documented_formula(messages, halflife_s):
    """Re-derived with plain sums; differences stay below a step's threshold, and the span below the skew's."""
    parameters = ClockParameters(3.0, max(halflife_s, 0.5), 1.0, 50.0, 2.0, 5.0, 3_600.0)
    events = empty_events(len(messages))
    events["ingest_ts"] = START + np.cumsum([gap for gap, _ in messages]) * MS
    difference = np.array([ms for _, ms in messages]) * MS
    events["exchange_ts"] = events["ingest_ts"] - difference
    aligned(events, parameters)
    buckets, smoothed = events["ingest_ts"] // BUCKET_NS, float(difference[0])
    for i in range(events.size):
        elapsed = events["ingest_ts"][i] - events["ingest_ts"][max(i - 1, 0)]
        floor = difference[: i + 1][buckets[: i + 1] > buckets[i] - 30].min()
        share = 1 - 2 ** (-elapsed / (parameters.halflife_s * SECOND))
        smoothed = min(smoothed + share * (floor - smoothed), floor)
        assert abs(events["offset_ns"][i] - smoothed) <= 2
        assert events["delay_ns"][i] == difference[i] - events["offset_ns"][i] + MS


@given(st.lists(st.integers(1, 7_999), max_size=5))
def test_cutting_the_tape_anywhere_gives_the_same_bytes(cuts):
    whole = planted(400, 6, 10.0, rate=20)[0]
    whole["ingest_ts"][4_000:] += 200 * MS
    parts = whole.copy()
    aligned(whole)
    state = new_clock(CLOCK)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), parts.size], strict=True):
        align(state, CLOCK, parts[start:end])
    assert parts.tobytes() == whole.tobytes()


def test_the_future_changes_nothing_of_the_past():
    calm, wild = planted(60, 7)[0], planted(60, 7)[0]
    wild["exchange_ts"][1_000:] += 40 * SECOND
    assert aligned(calm)[:1_000].tobytes() == aligned(wild)[:1_000].tobytes()


def test_what_does_not_feed_the_clock_does_not_move_it():
    events = planted(60, 8)[0]
    silent = slice(1_000, 1_010)
    plain = aligned(events.copy())
    events["exchange_ts"][silent] += 5 * SECOND
    events["flags"][1_000:1_005], events["kind"][1_005:1_010] = REPLAYED, SNAPSHOT
    aligned(events)
    assert events["offset_ns"][1_010:].tolist() == plain["offset_ns"][1_010:].tolist()
    assert events["delay_ns"][silent].max() < -4 * SECOND


def test_an_event_without_venue_time_takes_the_newest_delay():
    events = planted(10, 9)[0]
    events["flags"][50], events["exchange_ts"][50] = NO_VENUE_TIME, 0
    aligned(events)
    assert events["delay_ns"][50] == events["delay_ns"][49]
    assert events["offset_ns"][50] == events["offset_ns"][49]


def test_before_any_venue_time_the_delay_is_the_base_feed_latency():
    events = empty_events(2)
    events["flags"], events["ingest_ts"] = NO_VENUE_TIME, START
    aligned(events, ClockParameters(60.0, 10.0, 7.0, 50.0, 2.0, 5.0, 300.0))
    assert events["delay_ns"].tolist() == [7 * MS, 7 * MS]


def test_the_base_feed_latency_is_added_to_every_delay():
    events = planted(30, 10)[0]
    plain = aligned(events.copy())
    aligned(events, ClockParameters(60.0, 10.0, 7.0, 50.0, 2.0, 5.0, 300.0))
    assert (events["delay_ns"] - plain["delay_ns"] == 7 * MS).all()
    assert (aligned_ts(plain) - aligned_ts(events) == 7 * MS).all()


def test_a_local_clock_that_runs_backwards_leaves_no_negative_delay():
    events = planted(60, 11)[0]
    events["ingest_ts"][1_000:1_100] -= 20 * MS
    assert aligned(events)["delay_ns"].min() >= 0


def test_a_state_of_another_window_is_refused():
    other = ClockParameters(30.0, 10.0, 0.0, 50.0, 2.0, 5.0, 300.0)
    with pytest.raises(DataError, match="window_s=60"):
        align(new_clock(other), CLOCK, empty_events(1))


def feeding(events: Events) -> Events:
    return events[(events["flags"] & (NO_VENUE_TIME | REPLAYED) == 0) & (events["kind"] != SNAPSHOT)]


def hindsight_minimum(times: NDArray[np.int64], differences: NDArray[np.int64], half_ns: int) -> NDArray[np.int64]:
    """Minimum of the differences within +-``half_ns`` of each time, to a bucket of 100 ms."""
    buckets = times // BUCKET_NS - times[0] // BUCKET_NS
    minima = np.full(buckets[-1] + 1, np.iinfo(np.int64).max)
    np.minimum.at(minima, buckets, differences)
    half = half_ns // BUCKET_NS
    padded = np.pad(minima, half, constant_values=np.iinfo(np.int64).max)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).min(axis=1)[buckets]


@pytest.mark.parametrize("run", RUNS)
def test_a_recording_leaves_no_negative_delay_after_the_first_minute(run):
    events = recorded_events(run)
    late = events["ingest_ts"] > events["ingest_ts"][0] + 60 * SECOND
    assert late.sum() > 100_000
    assert events["delay_ns"][late].min() >= 0


@pytest.mark.parametrize("run", RUNS_2024)
def test_a_recording_is_followed_within_the_bar_of_a_hindsight_minimum(run):
    events = feeding(recorded_events(run))
    difference = events["ingest_ts"] - events["exchange_ts"]
    hindsight = hindsight_minimum(events["ingest_ts"], difference, 60 * SECOND)
    late = events["ingest_ts"] > events["ingest_ts"][0] + 60 * SECOND
    error = np.abs(events["offset_ns"] - hindsight)[late]
    assert np.percentile(error, 95) < 1.5 * MS
    assert -1_280 * MS < events["offset_ns"][-1] < -1_260 * MS
