"""The event record and its clocks."""

import numpy as np

from market.events import (
    CONNECTION_SHIFT,
    CONNECTIONS,
    EVENT,
    FIRST,
    KIND_NAMES,
    LAST,
    NO_VENUE_TIME,
    REPLAYED,
    SNAPSHOT,
    SYNTHETIC,
    aligned_ts,
    connection_of,
    empty_events,
    venue_ts,
)


def test_an_event_is_one_cache_line():
    assert EVENT.itemsize == 64


def test_every_kind_has_a_name():
    assert sorted(KIND_NAMES) == list(range(1, 10))


def test_every_connection_can_be_told_from_the_flags_whatever_else_they_say():
    events = empty_events(CONNECTIONS)
    events["flags"] = FIRST | LAST | NO_VENUE_TIME | REPLAYED | SYNTHETIC
    events["flags"] |= (np.arange(CONNECTIONS) << CONNECTION_SHIFT).astype(np.uint16)
    assert connection_of(events["flags"]).tolist() == list(range(CONNECTIONS))


def test_the_aligned_time_is_the_arrival_less_the_delay():
    events = empty_events(2)
    events["ingest_ts"], events["delay_ns"] = [1_000, 2_000], [30, -5]
    assert aligned_ts(events).tolist() == [970, 2_005]


def test_depth_matched_before_a_snapshot_that_it_follows_is_in_the_book_with_it():
    events = empty_events(3)
    events["kind"][1] = SNAPSHOT
    events["ingest_ts"], events["delay_ns"] = [100, 200, 210], [50, 20, 90]
    assert venue_ts(events).tolist() == [50, 180, 180]
    assert np.argsort(venue_ts(events), kind="stable").tolist() == [0, 1, 2]
