"""Dropout left on: draws differ, their mean is near the forecast without, and a seed repeats them."""

from dataclasses import replace

import numpy as np
import pytest

from market.errors import ModelError
from modeling.calibration import identity
from modeling.mc_dropout import mc_dropout
from modeling.streaming import forecaster_from
from modeling.uncertainty import member_spread
from tests.builders_modeling import CELLS, random_model, random_rows, small_network


def test_draws_scatter_about_the_forecast_and_come_back_with_their_seed() -> None:
    model = replace(random_model(), calibration=identity(len(CELLS)))
    network, values = small_network(), random_rows(60)
    drawn = mc_dropout(model, values, 64, 5)
    rows = 60 - network.receptive_rows + 1
    assert drawn.shape == (64, rows, len(CELLS), 3)
    assert np.array_equal(drawn, mc_dropout(model, values, 64, 5))
    assert not np.array_equal(drawn, mc_dropout(model, values, 64, 6))
    spread = member_spread(drawn)
    assert spread.disagreement.min() > 1e-6
    forecaster = forecaster_from(model)
    sure = forecaster.shape.probabilities(forecaster.run(values, np.ones(60, np.bool_))[-rows:])
    assert np.abs(spread.probabilities - sure).max() < 0.15


def test_models_that_drop_nothing_are_refused() -> None:
    with pytest.raises(ModelError, match="in 1 passes"):
        mc_dropout(random_model(), random_rows(60), 1, 0)
    with pytest.raises(ModelError, match="without dropout"):
        mc_dropout(random_model(network=replace(small_network(), dropout=0.0)), random_rows(60), 2, 0)


def test_a_drawn_member_is_the_network_with_channels_of_its_head_dropped() -> None:
    import torch

    from modeling.mc_dropout import dropout_members
    from modeling.networks.network import network_of

    model = replace(random_model(), calibration=identity(len(CELLS)))
    network, values = small_network(), random_rows(60)
    drawn = np.random.default_rng(4).random((2, network.width)) >= network.dropout
    for kept, member in zip(drawn, dropout_members(model, 2, 4), strict=True):
        module = network_of(network, model.weights)
        scale = torch.tensor(kept / (1 - network.dropout), dtype=torch.float32)
        module.dropout.register_forward_hook(lambda _, __, y, scale=scale: y * scale)
        with torch.no_grad():
            logits, returns = module(torch.from_numpy(values)[None])
        forecaster = forecaster_from(member)
        said = forecaster.run(values, np.ones(60, np.bool_))[-1:]
        assert np.abs(forecaster.shape.probabilities(said)[0] - logits[0, -1].softmax(-1).numpy()).max() < 1e-5
        assert np.abs(forecaster.shape.returns_bp(said)[0] - returns[0, -1].numpy()).max() < 1e-4
    with pytest.raises(ModelError, match="without dropout"):
        dropout_members(random_model(network=replace(small_network(), dropout=0.0)), 2, 0)
