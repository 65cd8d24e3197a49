"""Settings: what is out of its range is refused with the value and what is allowed."""

from dataclasses import replace

import pytest

from market.errors import ConfigError
from modeling.parameters import (
    BaselineParameters,
    CalibrationParameters,
    NetworkParameters,
    SearchParameters,
    WalkForwardParameters,
)
from tests.builders_modeling import quick_training

GOOD = (
    NetworkParameters("cnn", 64, 3, 3, 2, 0.1),
    quick_training(),
    WalkForwardParameters(180.0, 60.0, 60.0, 8.0, 0.5),
    SearchParameters(3, (1e-4, 3e-4), (0.05, 0.15), (64,), (2, 3), 7),
    CalibrationParameters("vector", 0.01),
    BaselineParameters("queue_imbalance", 0.05),
)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (0, "kind", "gru"),
        (0, "width", 32),
        (0, "width", 512),
        (0, "dropout", 0.2),
        (0, "kernel_size", 1),
        (1, "learning_rate", 1e-3),
        (1, "focal_gamma", 1.0),
        (1, "patience", 4),
        (1, "epochs", 0),
        (1, "seed", -1),
        (2, "val_s", 0.0),
        (2, "purge_s", 60.0),
        (2, "search_share", 1.0),
        (3, "trials", 0),
        (3, "learning_rate", (3e-4, 1e-4)),
        (3, "widths", (32,)),
        (3, "dilation_growths", ()),
        (4, "method", "platt"),
        (5, "imbalance_feature", ""),
        (5, "quantile_smoothing", 0.0),
    ],
)
def test_value_out_of_range_is_refused(kind, key, value):
    with pytest.raises(ConfigError, match=key):
        replace(GOOD[kind], **{key: value})
