"""The catalogue: order, names, branches and sha."""

from dataclasses import fields, replace

import pytest

from features.catalogue import branch_columns, catalogue, catalogue_sha, feature_names
from features.parameters import FeatureParameters, TradingSession
from tests.builders_features import PARAMETERS

FEATURES = catalogue(PARAMETERS)
OTHER = {
    "phased": False,
    "phase_ms": 7,
    "row_interval_ms": 50,
    "windows_ms": (50, 250, 2_000),
    "normalizer_window_s": 8,
    "normalizer_sample_ms": 400,
    "normalizer_min_samples": 5,
    "normalizer_clip": 6.0,
    "max_silence_ms": 1_000,
    "max_funding_age_s": 60,
    "liquidation_reach_bp": 40.0,
    "liquidation_halflife_s": 3.0,
    "burst_deviations": 2.0,
    "session_flag_minutes": 2,
    "sessions": {"night": TradingSession("Asia/Tokyo", "01:00", "07:15")},
    "leader": "another",
}  # a changed value for each setting of PARAMETERS


def test_names_are_unique():
    assert len(set(feature_names(PARAMETERS))) == len(FEATURES)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_feature_is_described(feature):
    assert feature.unit
    assert feature.definition
    assert (feature.floor > 0) == (feature.normalization == "median_mad")


def test_a_branch_reads_the_instant_features_and_its_own_window():
    branches = branch_columns(PARAMETERS)
    for window_ms, columns in zip(PARAMETERS.windows_ms, branches, strict=True):
        assert {FEATURES[column].window_ms for column in columns} == {0, window_ms}
    assert set().union(*branches) == set(range(len(FEATURES)))


def test_other_windows_rename_the_columns_and_keep_their_number():
    other = replace(PARAMETERS, windows_ms=(100, 500, 2_000))
    assert len(catalogue(other)) == len(FEATURES)
    assert "momentum_500ms" in feature_names(other)


@pytest.mark.parametrize("name", [field.name for field in fields(FeatureParameters)])
def test_sha_changes_with_every_setting(name):
    phased = replace(PARAMETERS, phased=True)  # or there is no phase
    assert catalogue_sha(replace(phased, **{name: OTHER[name]})) != catalogue_sha(phased)
