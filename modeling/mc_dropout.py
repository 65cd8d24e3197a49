"""Dropout left on: a network's forecasts under several draws of its channels. Only heavy callers import this."""

import numpy as np
import torch
from torch import nn

from market.errors import ModelError
from modeling.architecture import architecture_from
from modeling.forecast import Floats
from modeling.networks.network import network_of
from modeling.snapshot import NETWORKS, ModelSnapshot


def mc_dropout(model: ModelSnapshot, values: Floats, passes: int, seed: int) -> Floats:
    """Probabilities under ``passes`` draws, shape (passes, rows, cells, 3): members as ``member_spread`` takes them.

    Not calibrated. Rows that lack a whole receptive field before them are left out, so the first is that of row
    ``receptive_rows - 1``. The same draws from the same seed; the process's own random state is left alone.
    Raises ModelError if the model is no network, drops nothing, or ``passes`` is under 2.
    """
    if model.kind not in NETWORKS or passes < 2:
        raise ModelError(
            f"dropout of a {model.kind} in {passes} passes; it takes one of {list(NETWORKS)} and two passes"
        )
    architecture = architecture_from(model.kind, model.spec)
    if architecture.dropout == 0:
        raise ModelError("a network without dropout says the same in every pass")
    network = network_of(architecture, model.weights)
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.train()
    x = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [network(x)[0][0].softmax(-1).numpy() for _ in range(passes)]
    return np.stack(drawn)
