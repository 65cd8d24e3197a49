"""The blocking checks go red on what they are there to stop."""

import numpy as np
import polars as pl
import pytest

from assets import features as feature_asset
from assets.features import causality, parity
from assets.slice_data import search_windows
from config.loading import load_settings
from features.batch import Rows, feature_rows, rows_to_frame
from features.layout import State
from features.parameters import FeatureParameters
from features.step import new_state
from market.events import Events
from modeling.walk_forward import Slice
from tests.builders_market import synthetic_events
from tests.builders_trading import FEATURES

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def sample() -> Events:
    return synthetic_events(8.0)


def leaking_rows(events: Events, state: State, parameters: FeatureParameters, until: int) -> Rows:
    """Rows that each know the last price of the tape."""
    rows = feature_rows(events, state, parameters, until)
    return rows._replace(raw=rows.raw + np.float32(events["price"][-1]))


def test_a_feature_that_knows_the_future_fails_causality(sample: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    assert causality(sample, new_state(FEATURES), FEATURES).passed
    monkeypatch.setattr(feature_asset, "feature_rows", leaking_rows)
    assert not causality(sample, new_state(FEATURES), FEATURES).passed


def test_one_changed_bit_of_one_row_fails_parity(sample: Events) -> None:
    rows = feature_rows(sample, new_state(FEATURES), FEATURES, int(sample["ingest_ts"][-1]))
    frame = rows_to_frame(rows, FEATURES)
    assert parity(frame, sample, new_state(FEATURES), FEATURES).passed
    at = pl.int_range(pl.len()) == frame.height // 2
    spoiled = frame.with_columns(
        raw_queue_imbalance=pl.when(at).then(9.0).otherwise("raw_queue_imbalance").cast(pl.Float32)
    )
    assert not parity(spoiled, sample, new_state(FEATURES), FEATURES).passed


def test_calibration_learns_from_nothing_that_the_search_has_seen() -> None:
    settings = load_settings("dev")
    piece = Slice("k0", (0, 100 * SECOND), (110 * SECOND, 190 * SECOND), (200 * SECOND, 260 * SECOND))
    search, calibration = search_windows(settings, piece)
    assert piece.val[0] <= search.start < search.end
    assert (
        search.end + settings.models.walk_forward.purge_s * SECOND
        <= calibration.start
        < calibration.end
        <= piece.val[1]
    )
