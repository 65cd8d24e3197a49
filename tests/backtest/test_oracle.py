"""Single orders of one lot end as hftbacktest ends them, to the nanosecond; 5,000 of them in bench_oracle.py."""

from dataclasses import replace

import pytest

from market.events import BBO
from tests.builders_market import COINM_BTC, recorded_events
from tests.builders_venue import VENUE

pytest.importorskip("hftbacktest")

from benchmarks.oracle import CANCELLED, FILLED, REFUSED, at_the_venue, our_ends, peer_ends

ORDERS = 200


@pytest.mark.parametrize(("model", "power"), [("risk_averse", 1.0), ("power", 3.0)])
def test_single_orders_end_as_the_peer_ends_them(model: str, power: float) -> None:
    events = recorded_events()
    tape = at_the_venue(events[events["kind"] != BBO])  # the peer passes over best bids and offers
    venue = replace(VENUE, queue_model=model, queue_power=power, crossed_book="fill")
    orders, ours = our_ends(tape, COINM_BTC, venue, ORDERS)
    theirs = peer_ends(tape, COINM_BTC, venue, orders)
    assert {FILLED, CANCELLED, REFUSED} <= set(ours.end.tolist())
    assert ours.end.tolist() == theirs.end.tolist()
    assert ours.venue_ts.tolist() == theirs.venue_ts.tolist()
