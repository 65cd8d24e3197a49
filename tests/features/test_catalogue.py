"""The catalogue: order, names, branches and sha."""

from dataclasses import replace

import pytest

from features.catalogue import branch_columns, catalogue, catalogue_sha, feature_names
from tests.builders_features import PARAMETERS

FEATURES = catalogue(PARAMETERS)


def test_names_are_unique():
    assert len(set(feature_names(PARAMETERS))) == len(FEATURES)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_feature_is_described(feature):
    assert feature.unit
    assert feature.definition
    assert feature.warm_up_ms == feature.window_ms
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


@pytest.mark.parametrize(
    "change",
    [{"row_interval_ms": 50}, {"windows_ms": (50, 250, 2_000)}, {"normalizer_clip": 6.0}, {"max_silence_ms": 1_000}],
    ids=str,
)
def test_sha_changes_with_every_setting(change):
    assert catalogue_sha(replace(PARAMETERS, **change)) != catalogue_sha(PARAMETERS)
