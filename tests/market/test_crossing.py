"""Whether the book is crossed after a message, beside two plain dictionaries that say the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.book import new_book
from market.crossing import APART, CROSSED, LOCKED, NOT_JUDGED, touch_states
from market.events import BUY, FIRST, GAP, LAST, LEVEL, SELL, SNAPSHOT, Events, empty_events
from tests.builders_market import synthetic_events

levels = st.tuples(
    st.sampled_from([LEVEL] * 8 + [GAP, SNAPSHOT]),
    st.sampled_from([BUY, SELL]),
    st.integers(95, 105),
    st.integers(0, 1),
    st.booleans(),
)


def states_of(events: Events) -> list[int]:
    states = np.full(events.size, 255, np.uint8)
    touch_states(new_book(), events, states)
    return list(states.tolist())


def plain_states(events: Events) -> list[int]:
    sides: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
    is_open, states = False, []
    for event in events:
        kind, side, last = int(event["kind"]), int(event["side"]), bool(event["flags"] & LAST)
        if kind == GAP:
            is_open = False
        elif kind == SNAPSHOT:
            if event["flags"] & FIRST:
                sides, is_open = {BUY: {}, SELL: {}}, False
            is_open = is_open or last
        if kind == SNAPSHOT or (kind == LEVEL and is_open):
            sides[side][int(event["price"])] = int(event["qty"])
        bids, asks = ([price for price, qty in sides[s].items() if qty] for s in (BUY, SELL))
        if not (is_open and last and bids and asks):
            states.append(NOT_JUDGED)
        else:
            gap = min(asks) - max(bids)
            states.append(APART if gap > 0 else LOCKED if gap == 0 else CROSSED)
    return states


@given(st.lists(levels, max_size=80))
def test_the_states_are_those_of_two_plain_dictionaries(rows: list[tuple[int, int, int, int, bool]]) -> None:
    events = empty_events(len(rows))
    for place, (event, (kind, side, price, qty, last)) in enumerate(zip(events, rows, strict=True), 1):
        event["kind"], event["side"], event["price"], event["qty"], event["update_id"] = kind, side, price, qty, place
        event["flags"] = FIRST | LAST if kind in (GAP, SNAPSHOT) else LAST * last
    assert states_of(events) == plain_states(events)


def test_a_simulated_feed_is_never_crossed_and_is_judged_after_every_message() -> None:
    events = synthetic_events(4.0)
    states = np.array(states_of(events))
    opened = int(np.flatnonzero(states)[0])
    assert set(states.tolist()) == {NOT_JUDGED, APART}
    assert (states[opened:] > NOT_JUDGED).tolist() == (events["flags"][opened:] & LAST > 0).tolist()
