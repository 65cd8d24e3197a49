"""Settings: what is out of its range is refused with the value and what is allowed."""

from dataclasses import asdict, replace

import pytest

from market.errors import ConfigError
from modeling.parameters import (
    BaselineParameters,
    CalibrationParameters,
    CnnParameters,
    GruParameters,
    SearchParameters,
    TransformerParameters,
    WalkForwardParameters,
    network_parameters,
)
from tests.builders_modeling import quick_training

GOOD = (
    CnnParameters("cnn", 64, 3, 3, 2, 0.1),
    quick_training(),
    WalkForwardParameters(180.0, 60.0, 60.0, 8.0, 0.5, 0.5, False),
    SearchParameters(3, 5, 5, 2, 1, "", (1e-4, 3e-4), (1.5, 2.0), (0.05, 0.15), (64,), (2, 3), (4, 8), 7),
    CalibrationParameters("vector", 0.01),
    BaselineParameters("queue_imbalance", 0.05),
    TransformerParameters("transformer", 64, 2, 4, 256, 2, 0.1),
    GruParameters("gru", 64, 1, 512, 0.1),
)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (0, "kind", "gru"),
        (0, "width", 32),
        (0, "width", 512),
        (0, "dropout", 0.2),
        (0, "kernel_size", 1),
        (1, "learning_rate", 2e-3),
        (1, "focal_gamma", 1.0),
        (1, "patience", 4),
        (1, "epochs", 0),
        (1, "seed", -1),
        (1, "precision", "fp16"),
        (1, "accelerator", "tpu"),
        (1, "devices", 0),
        (1, "mixup_alpha", 1.5),
        (1, "cutout_least_rows", 31),
        (1, "high_volatility_share", 0.0),
        (2, "val_s", 0.0),
        (2, "purge_s", 60.0),
        (2, "purge_s", 27.0),
        (2, "search_share", 1.0),
        (2, "calibration_share", 0.0),
        (3, "trials", 0),
        (3, "learning_rate", (3e-4, 1e-4)),
        (3, "widths", (32,)),
        (3, "dilation_growths", ()),
        (3, "focal_gamma", (1.0, 2.0)),
        (3, "heads", (5,)),
        (3, "startup_trials", 0),
        (3, "prune_after_trials", 0),
        (3, "prune_after_epochs", -1),
        (3, "workers", 0),
        (3, "storage", "postgresql://me:secret@host/studies"),
        (4, "method", "platt"),
        (5, "imbalance_feature", ""),
        (5, "quantile_smoothing", 0.0),
        (6, "band_rows", 128),
        (6, "heads", 5),
        (6, "kind", "cnn"),
        (7, "settle_rows", 2048),
        (7, "depth", 0),
    ],
)
def test_value_out_of_range_is_refused(kind, key, value):
    with pytest.raises(ConfigError, match=key):
        replace(GOOD[kind], **{key: value})


@pytest.mark.parametrize("place", [0, 6, 7])
def test_settings_of_a_network_come_back_from_plain_values(place):
    assert network_parameters(asdict(GOOD[place])) == GOOD[place]


def test_settings_of_another_kind_are_refused():
    values = asdict(GOOD[6])
    with pytest.raises(ConfigError, match=r"a gru has the settings .*settle_rows.*, not .*band_rows"):
        network_parameters({**values, "kind": "gru"})
    with pytest.raises(ConfigError, match="kind='lstm' is not one of"):
        network_parameters({**values, "kind": "lstm"})
