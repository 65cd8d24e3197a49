"""Desks that share a stream see the rows that each would have computed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.stream import FeatureStream, SharedStream
from market.errors import DataError
from tests.builders_features import MS, PARAMETERS, START, snapshot, synthetic_events

DESKS = 3
ROW = PARAMETERS.row_interval_ms * MS


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100), st.randoms(use_true_random=False))
def test_every_desk_sees_the_rows_of_a_stream_of_its_own_in_whatever_order_desks_come(seed, random):
    alone, stream = FeatureStream(PARAMETERS), FeatureStream(PARAMETERS)
    desks = [SharedStream(stream) for _ in range(DESKS)]
    events = synthetic_events(seed, 300)
    row_ts, start = PARAMETERS.row_at_or_after(int(events["ingest_ts"][0])), 0
    while start < events.size:
        stop = start + int(np.searchsorted(np.maximum.accumulate(events["ingest_ts"][start:]), row_ts, "right"))
        alone.push(events[start:stop])
        cuts = {desk: random.randint(start, stop) for desk in desks}
        for desk in random.sample(desks, DESKS):
            desk.push(events[start : cuts[desk]])
        expected = alone.close(row_ts)
        for desk in random.sample(desks, DESKS):
            assert desk.next_row_ts in (0, row_ts)  # 0: this one has not been shown an event yet
            desk.push(events[cuts[desk] : stop])
            row = desk.close(row_ts)
            assert row[:4] == expected[:4]
            assert row.raw.tobytes() + row.values.tobytes() == expected.raw.tobytes() + expected.values.tobytes()
        row_ts, start = row_ts + ROW, stop
        assert {desk.next_row_ts for desk in desks} == {alone.next_row_ts} == {row_ts}


def test_a_dump_goes_on_for_every_desk():
    stream = FeatureStream(PARAMETERS)
    desks = [SharedStream(stream) for _ in range(2)]
    for desk in desks:
        desk.push(snapshot(START + MS, 1))
        desk.close(START + ROW)
        desk.push(snapshot(START + ROW + MS, 2))
    dumps, other = [desk.dump() for desk in desks], FeatureStream(PARAMETERS)
    restored = [SharedStream(other) for _ in range(2)]
    for desk, dump in zip(restored, dumps, strict=True):
        desk.restore(dump)
    for group in (desks, restored):
        for desk in group:
            desk.push(snapshot(START + ROW + 2 * MS, 3))
    rows = [desk.close(START + 2 * ROW) for desk in (*desks, *restored)]
    assert {row.raw.tobytes() for row in rows} == {rows[0].raw.tobytes()}
    assert {desk.next_row_ts for desk in restored} == {START + 3 * ROW}


def test_a_row_that_nobody_has_open_is_refused():
    shared = SharedStream(FeatureStream(PARAMETERS))
    shared.push(snapshot(START + MS, 1))
    with pytest.raises(DataError, match="not the open row"):
        shared.close(START + 2 * ROW)
