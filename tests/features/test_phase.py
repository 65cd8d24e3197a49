"""Phased rows: each symbol has a grid of its own, the same in batch and live, causal, and off unless asked for."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.loading import load_settings
from features.catalogue import catalogue_content, catalogue_sha
from features.layout import ALONE
from features.parameters import phase_of
from market.errors import ConfigError
from tests.builders_features import MS, PARAMETERS, batch_rows, leader_tape, same_bytes, streamed_rows, synthetic_events


def phased(phase_ms: int):
    return replace(PARAMETERS, phased=True, phase_ms=phase_ms, sessions={})


@pytest.mark.parametrize(
    ("ts_ms", "row_ms"), [(0, 7), (7, 7), (8, 27), (26, 27), (27, 27), (-12, -13 + 20), (-13, -13)]
)
def test_a_row_closes_seven_ms_after_each_multiple(ts_ms, row_ms):
    assert phased(7).row_at_or_after(ts_ms * MS) == row_ms * MS
    assert phased(7).row_at_or_after(row_ms * MS - 1) == row_ms * MS


@settings(max_examples=10)
@given(st.integers(0, 50), st.integers(0, 19), st.lists(st.integers(1, 1_200), max_size=20))
def test_batch_and_stream_give_the_same_bytes_at_any_phase_and_cut(seed, phase_ms, cuts):
    events, leader = synthetic_events(seed, messages=400), leader_tape(seed) if seed % 2 else ALONE
    parameters = replace(phased(phase_ms), leader="leader" if seed % 2 else "")
    whole = batch_rows(events, parameters, leader)
    assert whole.row_ts.size > 20
    assert set(whole.row_ts % (20 * MS)) == {phase_ms * MS}
    assert same_bytes(streamed_rows(events, sorted(cuts), parameters, leader), whole)


@settings(max_examples=10)
@given(st.integers(0, 50), st.integers(1, 19))
def test_a_phased_row_is_the_row_of_a_tape_that_came_earlier_by_the_phase(seed, phase_ms):
    events = synthetic_events(seed, messages=400)
    earlier = events.copy()
    earlier["ingest_ts"] -= phase_ms * MS
    late, early = batch_rows(events, phased(phase_ms)), batch_rows(earlier, phased(0))
    assert np.array_equal(late.row_ts, early.row_ts + phase_ms * MS)
    known = np.flatnonzero((late.raw == early.raw).all(axis=1))  # the time to funding alone may differ
    assert known.size > 0.9 * late.row_ts.size
    assert np.array_equal(late.status, early.status)
    names = [place for place in range(late.raw.shape[1]) if place != 30]
    assert np.array_equal(late.raw[:, names], early.raw[:, names])


@settings(max_examples=10)
@given(st.integers(0, 50), st.integers(0, 19), st.integers(100, 300))
def test_a_phased_row_knows_nothing_that_came_after_it(seed, phase_ms, at):
    events, parameters = synthetic_events(seed, messages=400), phased(phase_ms)
    rows = batch_rows(events, parameters)
    cut = int(events["ingest_ts"][at])
    poisoned = events.copy()
    after = events["ingest_ts"] > cut
    poisoned["qty"][after] = poisoned["qty"][after] * 3 + 1
    again = batch_rows(poisoned, parameters)
    before = rows.row_ts <= cut
    assert before.any()
    assert np.array_equal(rows.values[before], again.values[before])


def test_the_phase_of_a_symbol_is_its_own_and_for_ever():
    dev = load_settings("dev")
    prod = replace(dev, features=replace(dev.features, phased=True))
    phases = {symbol: prod.features_of(symbol).phase_ms for symbol in prod.instruments}
    assert phases["binance-usdm-btcusdt"] == 5
    assert phases["binance-coinm-btcusd_perp"] == 6
    assert {dev.features_of(symbol).phase_ms for symbol in dev.instruments} == {0}


def test_phases_spread_evenly():
    counts = np.bincount([phase_of(f"binance-usdm-{number}", 20) for number in range(20_000)], minlength=20)
    assert np.abs(counts - 1_000).max() < 150


def test_a_catalogue_without_phases_is_the_one_that_knew_none():
    content = catalogue_content(replace(PARAMETERS, phased=False))
    assert not {"phased", "phase_ms"} & set(content["parameters"])
    shas = [catalogue_sha(parameters) for parameters in (PARAMETERS, phased(0), phased(1))]
    assert all(one != other for one, other in pairwise(shas))


@pytest.mark.parametrize(
    ("wrong", "words"), [({"phase_ms": 20, "phased": True}, "phase_ms=20"), ({"phase_ms": 3}, "phased is off")]
)
def test_a_phase_outside_the_interval_or_unasked_is_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        replace(PARAMETERS, **wrong)
