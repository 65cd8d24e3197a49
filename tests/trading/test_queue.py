"""Events wait for their row, whatever pieces they came in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.events import Events, empty_events
from trading.queue import EventQueue


def stamped(stamps: list[int]) -> Events:
    events = empty_events(len(stamps))
    events["ingest_ts"] = stamps
    events["update_id"] = np.arange(len(stamps))
    return events


@given(
    st.lists(st.integers(0, 100), max_size=40).map(sorted), st.lists(st.integers(0, 40)), st.lists(st.integers(0, 100))
)
def test_every_event_is_handed_out_once_and_not_before_its_time(
    stamps: list[int], cuts: list[int], asks: list[int]
) -> None:
    tape, queue = stamped(stamps), EventQueue()
    for piece in np.split(tape, sorted(min(cut, len(stamps)) for cut in cuts)):
        queue.push(piece)
    seen = []
    for until in [*sorted(asks), 100]:
        taken = queue.take(until)
        assert (taken["ingest_ts"] <= until).all()
        seen.extend(taken["update_id"].tolist())
        assert queue.next_ingest_ts is None or queue.next_ingest_ts > until
    assert seen == list(range(len(stamps)))


def test_a_stamp_that_runs_backwards_waits_behind_its_predecessor() -> None:
    queue = EventQueue()
    queue.push(stamped([5, 9, 3]))
    assert queue.take(5)["update_id"].tolist() == [0]
    assert queue.take(9)["update_id"].tolist() == [1, 2]
