"""The blocking checks go red on what they are there to stop."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets import feature_checks
from assets.feature_checks import Sample, causality, parity
from assets.walk_forward_slices import divided, purged, slice_frame
from config.loading import load_settings
from features.batch import Rows, feature_rows, rows_to_frame
from features.layout import ALONE, LeaderRows, State
from features.parameters import FeatureParameters
from features.step import new_state
from features.stream import dump_state, load_state
from market.events import Events
from modeling.walk_forward import Slice
from tests.builders_features import leader_tape
from tests.builders_market import synthetic_events
from tests.builders_trading import FEATURES

SECOND = 1_000_000_000
ROW_NS = FEATURES.row_interval_ms * 1_000_000
FOLLOWER = replace(FEATURES, leader="the-leader")


def sample_of(parameters: FeatureParameters, leader: LeaderRows = ALONE) -> Sample:
    return Sample(synthetic_events(14.0), dump_state(new_state(parameters)), leader)


@pytest.fixture(scope="module")
def alone() -> Sample:
    return sample_of(FEATURES)


@pytest.fixture(scope="module")
def led(alone: Sample) -> Sample:
    return sample_of(FOLLOWER, leader_tape(0, 16, int(alone.events["ingest_ts"][0])))


def rows_of(sample: Sample, parameters: FeatureParameters) -> Rows:
    end = int(sample.events["ingest_ts"][-1])
    return feature_rows(sample.events, load_state(dict(sample.opening)), parameters, end, sample.leader)


def leaking_rows(
    events: Events, state: State, parameters: FeatureParameters, until: int, leader: LeaderRows = ALONE
) -> Rows:
    """Rows that each know the last price of the tape."""
    rows = feature_rows(events, state, parameters, until, leader)
    return rows._replace(raw=rows.raw + np.float32(events["price"][-1]))


def rows_with_an_early_leader(
    events: Events, state: State, parameters: FeatureParameters, until: int, leader: LeaderRows = ALONE
) -> Rows:
    """Rows that each know the leader's next row."""
    return feature_rows(events, state, parameters, until, (leader[0] - ROW_NS, *leader[1:]))


def test_a_feature_that_knows_the_future_fails_causality(alone: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    assert causality(alone, FEATURES).passed
    monkeypatch.setattr(feature_checks, "feature_rows", leaking_rows)
    assert not causality(alone, FEATURES).passed


def test_a_leader_that_is_seen_a_row_early_fails_causality(led: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    assert causality(led, FOLLOWER).passed
    monkeypatch.setattr(feature_checks, "feature_rows", rows_with_an_early_leader)
    verdict = causality(led, FOLLOWER)
    assert not verdict.passed
    assert verdict.facts["first_leak"] in rows_of(led, FOLLOWER).row_ts


def test_one_changed_bit_of_one_row_fails_parity(alone: Sample) -> None:
    frame = rows_to_frame(rows_of(alone, FEATURES), FEATURES)
    assert parity(frame.lazy(), alone, FEATURES).passed
    at = pl.int_range(pl.len()) == frame.height // 2
    spoiled = frame.with_columns(
        raw_queue_imbalance=pl.when(at).then(9.0).otherwise("raw_queue_imbalance").cast(pl.Float32)
    )
    verdict = parity(spoiled.lazy(), alone, FEATURES)
    assert (verdict.passed, verdict.facts["differing"]) == (False, "raw_queue_imbalance")


def test_a_stream_that_sees_its_leader_a_row_late_fails_parity(led: Sample) -> None:
    frame = rows_to_frame(rows_of(led, FOLLOWER), FOLLOWER).lazy()
    assert parity(frame, led, FOLLOWER).passed
    late = led._replace(leader=(led.leader[0] + ROW_NS, *led.leader[1:]))
    assert not parity(frame, late, FOLLOWER).passed


def test_no_part_of_val_learns_from_what_another_has_seen() -> None:
    assert [[edge / SECOND for edge in part] for part in SPLIT.split] == [[110, 145], [155, 167.5], [177.5, 190]]


WHOLE = Slice("k0", (0, 100 * SECOND), (110 * SECOND, 190 * SECOND), (200 * SECOND, 260 * SECOND))
SPLIT = divided(WHOLE, load_settings("dev").models.walk_forward)
REACH = {"longest_horizon_ns": 5 * SECOND, "latency_ns": 3 * SECOND, "clock_error_ns": SECOND}


@pytest.mark.parametrize(("later", "earlier"), [("calibration", "search"), ("conformal", "calibration")])
def test_a_purge_that_is_missing_inside_val_turns_the_check_red(later: str, earlier: str) -> None:
    frame = slice_frame([SPLIT])
    assert purged(frame, REACH).passed
    planted = frame.with_columns(pl.col(f"{earlier}_end") + 2 * SECOND)
    verdict = purged(planted, REACH)
    assert not verdict.passed
    assert f"8000000000 ns between {earlier} and {later}, labels reach 9000000000 ns" in verdict.facts["leak"]
    assert not purged(frame.with_columns(pl.col(f"{earlier}_end") + 20 * SECOND), REACH).passed
    beyond = frame.with_columns(pl.col("conformal_end") + 1)
    assert "the parts of val reach beyond it" in purged(beyond, REACH).facts["leak"]
