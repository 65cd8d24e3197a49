"""The clock against planted truths: whatever offset, skew, burst, stall or step, and whatever way of being fed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market.clock import ClockState, align, new_clock
from market.events import CONNECTION_SHIFT, CONNECTIONS, Events
from market.reader import FrameReader
from market.sources.capture import split_line
from storage.captures import capture_lines
from tests.builders import recording
from tests.builders_clock import MS, SECOND, START, aligned, error_ms, planted, received
from tests.builders_market import CLOCK, COINM_BTC, RUNS, recorded_events

DAY = 86_400 * SECOND
FOUND_S = CLOCK.step_minimum_s + CLOCK.step_patience_s + 0.5  # a step is found within this
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15)


@few
@given(st.integers(-DAY, DAY), seeds)
def test_any_constant_offset_is_found_and_leaves_no_negative_delay(offset, seed):
    events, true = planted(60, seed, offset=offset)
    aligned(events)
    assert np.percentile(error_ms(events, true, 10), 95) < 0.15
    assert events["delay_ns"].min() >= 0


@few
@given(st.floats(-20, 20), seeds)
def test_any_skew_is_followed_at_once_and_taken_out_with_history(ppm, seed):
    events, true = planted(700, seed, ppm, rate=20)
    aligned(events)
    assert np.percentile(error_ms(events, true, 10), 95) < 1.6
    assert np.percentile(error_ms(events, true, 400), 95) < 0.05


@few
@given(st.lists(st.tuples(st.integers(15, 25), st.floats(0.1, 6.0), st.floats(60, 500)), max_size=8), seeds)
def test_no_burst_shorter_than_the_patience_moves_the_offset(bursts, seed):
    """Each burst: seconds since the end of the last, length in seconds, longest queueing delay in ms.

    Messages stay in order, so what was sent behind a burst waits for up to 500 ms more; 7 s of it would be a step.
    """
    events, true = planted(300, seed)
    sent, rng, start = events["exchange_ts"], np.random.default_rng(seed), START
    queueing = np.zeros(sent.size)
    for pause_s, length_s, longest_ms in bursts:
        start += pause_s * SECOND
        inside = (sent >= start) & (sent < start + length_s * SECOND)
        queueing[inside] = rng.uniform(55 * MS, longest_ms * MS, inside.sum())
        start += round(length_s * SECOND)
    late = received(sent, events["ingest_ts"] - sent + queueing.astype(np.int64))
    assert error_ms(aligned(late), true, 10).max() < 0.5


@few
@given(st.integers(1, 50), st.integers(0, 20_000), seeds)
def test_no_stall_within_the_window_nor_its_flood_moves_the_offset(length_s, gap_ns, seed):
    events, true = planted(200, seed)
    sent, end = events["exchange_ts"], START + (90 + length_s) * SECOND
    stalled = (sent > START + 90 * SECOND) & (sent < end)
    differences = events["ingest_ts"] - sent
    differences[stalled] = end - sent[stalled] + true[stalled].astype(np.int64) + np.arange(stalled.sum()) * gap_ns
    flooded = aligned(received(sent, differences))
    assert error_ms(flooded, true, 10).max() < 0.5
    assert flooded["delay_ns"][stalled].max() > (length_s - 0.5) * SECOND


@few
@given(st.integers(80, 2_000), st.sampled_from([-1, 1]), seeds)
def test_any_step_is_found_within_the_stated_patience_and_the_error_bars_say_so_meanwhile(size_ms, sign, seed):
    events, true = planted(180, seed)
    sent, step = events["exchange_ts"], sign * size_ms * MS
    stepped = sent > START + 100 * SECOND
    true[stepped] += step
    jumped = received(sent[~stepped], (events["ingest_ts"] - sent)[~stepped])
    after = received(sent[stepped], (events["ingest_ts"] - sent)[stepped] + step)
    events = aligned(np.concatenate([jumped, after]))
    error = np.abs(events["offset_ns"] - true)
    since_s = (sent - START) / SECOND - 100
    assert error[since_s > FOUND_S].max() < 0.5 * MS
    warned = since_s > CLOCK.step_minimum_s + 0.2
    assert (error <= events["clock_error_us"] * 1_000.0 + 0.5 * MS)[warned].all()
    assert error[(since_s < 0) & (since_s > -90)].max() < 0.5 * MS


def numbered(events: Events, connection: int) -> Events:
    events["flags"] |= connection << CONNECTION_SHIFT
    return events


@few
@given(st.lists(st.integers(0, CONNECTIONS - 1), min_size=2, max_size=3, unique=True), seeds)
def test_hosts_of_other_offsets_interleaved_are_each_followed_as_if_alone(connections, seed):
    offsets = [number * 700 * MS - 1_000 * MS for number in range(len(connections))]
    apart = [
        numbered(planted(90, seed + number, offset=offset)[0], connection)
        for number, (connection, offset) in enumerate(zip(connections, offsets, strict=True))
    ]
    together = np.concatenate(apart)
    together = aligned(together[np.argsort(together["ingest_ts"], kind="stable")])
    for connection, offset, alone in zip(connections, offsets, apart, strict=True):
        ours = together[together["flags"] >> CONNECTION_SHIFT == connection]
        assert ours.tobytes() == aligned(alone).tobytes()
        assert abs(ours["offset_ns"][-1] - offset) < 0.3 * MS


@few
@given(st.integers(1, 4_799), seeds)
def test_no_future_however_wild_changes_the_past(cut, seed):
    calm = planted(60, 7, rate=80)[0]
    wild, rng = calm.copy(), np.random.default_rng(seed)
    for name in ("exchange_ts", "ingest_ts"):
        wild[name][cut:] += rng.integers(-(10**12), 10**12, calm.size - cut)
    wild["flags"][cut:] = rng.integers(0, 2**16, calm.size - cut)
    assert aligned(calm)[:cut].tobytes() == aligned(wild)[:cut].tobytes()


def restored(state: ClockState) -> ClockState:
    """The state from its bytes alone."""
    integers, floats, minima, slopes = (
        np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape).copy() for array in state
    )
    return integers, floats, minima, slopes


@few
@given(st.lists(st.integers(1, 11_999), max_size=6), seeds)
def test_cuts_and_restarts_anywhere_on_several_hosts_give_the_same_bytes(cuts, seed):
    whole = planted(600, seed, 15.0, rate=20)[0]
    whole["flags"] |= np.random.default_rng(seed).integers(0, 3, whole.size).astype(np.uint16) << CONNECTION_SHIFT
    whole["ingest_ts"][9_000:] += 200 * MS
    parts, state = whole.copy(), new_clock(CLOCK)
    aligned(whole)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), parts.size], strict=True):
        state = restored(state)
        align(state, CLOCK, parts[start:end])
    assert parts.tobytes() == whole.tobytes()


def test_frame_by_frame_a_recording_is_aligned_to_the_bytes_of_the_whole_array():
    run = "binance-coinm-btcusd_perp"
    reader, read = FrameReader(COINM_BTC, CLOCK), []
    for number, line in enumerate(capture_lines(recording(RUNS[run][1][0]))):
        if number == 25_000:
            break
        ts, frame = split_line(line)
        read.append(reader.read(frame, ts))
    online, offline = np.concatenate(read), recorded_events(run)
    assert online.size > 50_000
    assert online.tobytes() == offline[: online.size].tobytes()
