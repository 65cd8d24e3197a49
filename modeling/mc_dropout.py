"""Dropout left on: a network's forecasts under several draws of its channels. Only heavy callers import this."""

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from market.errors import ModelError
from modeling.architecture import architecture_from
from modeling.forecast import Floats
from modeling.networks.network import network_of
from modeling.snapshot import NETWORKS, ModelSnapshot

_HEADS: Final = ("classes.weight", "returns.weight")


def dropout_members(model: ModelSnapshot, passes: int, seed: int) -> list[ModelSnapshot]:
    """The network under ``passes`` draws of the channels that its head reads, as networks for an ensemble.

    Draws are made once and written into the weights: what is served does not depend on chance, and can be replayed.
    Only the dropout before the head is drawn; that inside the blocks changes with every row and fits no weights.
    Raises ModelError as ``mc_dropout`` does.
    """
    dropout = _dropout_of(model, passes)
    drawn = np.random.default_rng(seed).random((passes, len(model.weights["classes.weight"]))) >= dropout
    return [_thinned(model, kept / (1.0 - dropout)) for kept in drawn]


def _thinned(model: ModelSnapshot, scale: NDArray[np.float64]) -> ModelSnapshot:
    heads = {name: model.weights[name] * scale[:, None].astype(np.float32) for name in _HEADS}
    return replace(model, weights={**model.weights, **heads})


def _dropout_of(model: ModelSnapshot, passes: int) -> float:
    if model.kind not in NETWORKS or passes < 2:
        raise ModelError(
            f"dropout of a {model.kind} in {passes} passes; it takes one of {list(NETWORKS)} and two passes"
        )
    dropout = architecture_from(model.kind, model.spec).dropout
    if dropout == 0:
        raise ModelError("a network without dropout says the same in every pass")
    return dropout


def mc_dropout(model: ModelSnapshot, values: Floats, passes: int, seed: int) -> Floats:
    """Probabilities under ``passes`` draws, shape (passes, rows, cells, 3): members as ``member_spread`` takes them.

    Not calibrated. Rows that lack a whole receptive field before them are left out, so the first is that of row
    ``receptive_rows - 1``. The same draws from the same seed; the process's own random state is left alone.
    Raises ModelError if the model is no network, drops nothing, or ``passes`` is under 2.
    """
    _dropout_of(model, passes)
    network = network_of(architecture_from(model.kind, model.spec), model.weights)
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.train()
    x = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [network(x)[0][0].softmax(-1).numpy() for _ in range(passes)]
    return np.stack(drawn)
