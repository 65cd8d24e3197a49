"""Rows that enter after latencies of their own are read at their own instants, in whatever order those come."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labeling.replay import OK
from labeling.targets import label_rows, net_returns
from market.errors import DataError
from market.events import BUY, SELL
from tests.builders_labels import (
    INSTRUMENTS,
    MS,
    START,
    booked_round_trip,
    label_parameters,
    random_tape,
    venue_book,
)

seeds = st.integers(0, 2**32 - 1)
contracts = st.sampled_from(INSTRUMENTS)
ROWS = START + np.arange(20, 900, 20) * MS


def drawn(seed):
    """Latencies of 0 to 200 ms, so that rows overtake one another."""
    return np.random.default_rng(seed).integers(0, 200 * MS, ROWS.size)


def labelled(events, instrument, latency_ns, **changed):
    return label_rows(events, ROWS, label_parameters(**changed), instrument, None, latency_ns=latency_ns)


@given(seeds, contracts, st.floats(0.0, 0.002), st.integers(0, ROWS.size - 1))
def test_a_label_of_its_own_latency_equals_what_the_ledger_books(seed, instrument, fee, row):
    events, latency_ns = random_tape(seed), drawn(seed)
    table = labelled(events, instrument, latency_ns, order_notional_usd=2_000.0)
    assume(table["status_250"][row] == OK)
    te, lots = table["te"][row], table["lots"][row]
    assert te == ROWS[row] + latency_ns[row]
    for net, side in zip(net_returns(table, 250, fee, instrument.contract), (BUY, SELL), strict=True):
        paid = booked_round_trip(events, instrument, side, lots, te, te + 250 * MS, fee)
        assert net[row] == pytest.approx(paid, abs=1e-12)


@given(seeds, contracts)
def test_gross_returns_at_both_anchors_lead_between_the_mids_of_their_instants(seed, instrument):
    events, latency_ns = random_tape(seed), drawn(seed)
    table = labelled(events, instrument, latency_ns)
    for row in np.flatnonzero(table["status_250"] == OK)[::9].tolist():
        te = table["te"][row]
        for name, start in (("gross", int(ROWS[row])), ("exec_gross", te)):
            mids = [sum(venue_book(events, ts)[2][:2].tolist()) / 2 for ts in (start, start + 250 * MS)]
            expected = 1 - mids[0] / mids[1] if instrument.inverse else mids[1] / mids[0] - 1
            assert table[f"{name}_250"][row] == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(seeds, contracts, st.sampled_from(["walk", "mid", "vwap"]), st.sampled_from(["mid", "vwap"]))
def test_rows_that_overtake_one_another_are_labelled_as_each_alone(seed, instrument, leave, target):
    events, latency_ns = random_tape(seed), drawn(seed)
    parameters = label_parameters(exit=leave, target=target)
    whole = label_rows(events, ROWS, parameters, instrument, None, latency_ns=latency_ns)
    for row in (3, 17, 30):
        one = slice(row, row + 1)
        alone = label_rows(events, ROWS[one], parameters, instrument, None, latency_ns=latency_ns[one])
        assert alone.equals(whole[one])


def test_equal_latencies_are_the_constant_one():
    events, parameters = random_tape(5), label_parameters()
    constant = np.full(ROWS.size, parameters.latency_ns)
    assert labelled(events, INSTRUMENTS[0], constant).equals(label_rows(events, ROWS, parameters, INSTRUMENTS[0], None))


@pytest.mark.parametrize("latency_ns", [np.full(ROWS.size, -1), np.zeros(ROWS.size - 1, np.int64)])
def test_latencies_below_0_or_of_other_rows_are_refused(latency_ns):
    with pytest.raises(DataError, match="latency_ns of shape"):
        labelled(random_tape(5), INSTRUMENTS[0], latency_ns)
