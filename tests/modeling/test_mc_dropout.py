"""Dropout left on: a drawn member is what torch computes with those channels dropped."""

from dataclasses import replace

import numpy as np
import pytest

from market.errors import ModelError
from modeling.calibration import identity
from modeling.mc_dropout import dropout_members
from modeling.streaming import forecaster_from
from tests.builders_modeling import CELLS, random_model, random_rows, small_network


def test_a_drawn_member_is_the_network_with_channels_of_its_head_dropped() -> None:
    import torch

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
    with pytest.raises(ModelError, match="in 1 passes"):
        dropout_members(random_model(), 1, 0)
    with pytest.raises(ModelError, match="without dropout"):
        dropout_members(random_model(network=replace(small_network(), dropout=0.0)), 2, 0)
