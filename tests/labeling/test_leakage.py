"""The search for leaks finds planted ones, and none in labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.leakage import (
    LeakReport,
    labels_ignore_beyond_exit,
    poison_after,
    poison_beyond,
    truncate_after,
)
from labeling.targets import label_rows
from tests.builders_labels import INSTRUMENTS, MS, START, features_ignore_future, label_parameters, random_tape

ROWS = START + np.arange(20, 900, 20) * MS
HORIZONS = (250, 1_000)
INSTANTS = (START + 400 * MS, START + 777 * MS)


def trailing_price(events, until, reach_ns=0):
    """The newest price that had arrived ``reach_ns`` after each row: causal for a reach of 0."""
    rows = ROWS[until >= ROWS]
    newest = np.searchsorted(events["ingest_ts"], rows + reach_ns, side="right") - 1
    return rows, events["price"][newest].astype(np.float64)[:, None]


def test_a_causal_feature_is_clean():
    report = features_ignore_future(trailing_price, random_tape(1), INSTANTS)
    assert report.clean
    assert report.checked == 2 * sum(int((instant >= ROWS).sum()) for instant in INSTANTS)


@pytest.mark.parametrize("reach_ms", [5, 60])
def test_a_feature_that_peeks_is_caught_at_its_first_row(reach_ms):
    events = random_tape(1, steps=400)
    report = features_ignore_future(lambda tape, until: trailing_price(tape, until, reach_ms * MS), events, INSTANTS)
    peeking = ROWS[(ROWS + reach_ms * MS > INSTANTS[0]) & (INSTANTS[0] >= ROWS)]
    assert not report.clean
    assert report.first_ts == peeking[0]


def test_a_feature_fitted_on_the_whole_tape_is_caught():
    def scaled(events, until):
        rows, price = trailing_price(events, until)
        return rows, price / events["price"].mean()

    assert features_ignore_future(scaled, random_tape(2), INSTANTS).first_ts == ROWS[0]


def test_rows_that_depend_on_the_future_are_caught():
    def sparse(events, until):
        rows, price = trailing_price(events, until)
        kept = np.arange(rows.size) % (2 + events["qty"].max() % 2) == 0
        return rows[kept], price[kept]

    events = random_tape(2)
    events["qty"][-1] = 10_000
    assert not features_ignore_future(sparse, events, INSTANTS).clean


def test_nothing_compared_is_not_clean():
    assert not features_ignore_future(trailing_price, random_tape(1), ()).clean
    assert not LeakReport(checked=0, first_ts=None).clean


def test_poison_leaves_the_past_and_the_stamps_alone():
    events = random_tape(3)
    instant = INSTANTS[0]
    spoiled = poison_after(events, instant)
    late = events["ingest_ts"] > instant
    assert np.array_equal(spoiled[~late], events[~late])
    assert not np.any(spoiled[late]["price"] == events[late]["price"])
    assert not np.any(spoiled[late]["qty"] == events[late]["qty"])
    for name in ("kind", "side", "flags", "ingest_ts", "exchange_ts", "delay_ns", "update_id"):
        assert np.array_equal(spoiled[name], events[name])
    assert np.array_equal(truncate_after(events, instant), events[~late])


def test_poison_beyond_goes_by_the_venues_time():
    events = random_tape(3)
    instant = int(events["ingest_ts"][events.size // 2] - 1)
    spoiled = poison_beyond(events, instant)
    known_late = (events["ingest_ts"] > instant) & (events["ingest_ts"] - events["delay_ns"] <= instant)
    assert known_late.any()
    assert np.array_equal(spoiled[known_late], events[known_late])


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(INSTRUMENTS),
    st.sampled_from(["walk", "mid", "vwap"]),
    st.sampled_from(["mid", "vwap"]),
    st.integers(450, 1_500),
)
def test_labels_ignore_what_comes_after_their_exit(seed, instrument, leave, target, at_ms):
    parameters = label_parameters(exit=leave, target=target)
    latency_ns = np.random.default_rng(seed).integers(0, 100 * MS, ROWS.size)
    report = labels_ignore_beyond_exit(
        lambda events: label_rows(events, ROWS, parameters, instrument, None, latency_ns=latency_ns),
        random_tape(seed),
        [START + at_ms * MS],
        HORIZONS,
    )
    assert report.clean


def test_a_label_that_looks_past_its_exit_is_caught():
    def late(events):
        peeking = label_rows(events, ROWS + 30 * MS, label_parameters(), INSTRUMENTS[0], None)
        return peeking.with_columns(row_ts=peeking["row_ts"] - 30 * MS, te=peeking["te"] - 30 * MS)

    report = labels_ignore_beyond_exit(late, random_tape(4), INSTANTS, HORIZONS)
    assert report.first_ts is not None
    assert INSTANTS[0] - 300 * MS < report.first_ts < INSTANTS[0] - 230 * MS


def test_labels_past_the_end_of_a_sample_prove_nothing():
    events = random_tape(4)
    rows = ROWS + 60_000 * MS
    report = labels_ignore_beyond_exit(
        lambda tape: label_rows(tape, rows, label_parameters(), INSTRUMENTS[0], None), events, [int(rows[-1])], HORIZONS
    )
    assert report.first_ts is None
    assert not report.clean
