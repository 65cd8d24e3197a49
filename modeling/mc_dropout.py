"""Dropout left on: a network under several draws of its channels, as the members of an ensemble."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from modeling.architecture import architecture_from
from modeling.snapshot import NETWORKS, ModelSnapshot

_HEADS: Final = ("classes.weight", "returns.weight")


def dropout_members(model: ModelSnapshot, passes: int, seed: int) -> list[ModelSnapshot]:
    """The network under ``passes`` draws of the channels that its head reads, as networks for an ensemble.

    Draws are made once and written into the weights: what is served does not depend on chance, and can be replayed.
    Only the dropout before the head is drawn; that inside the blocks changes with every row and fits no weights.
    Raises ModelError if the model is no network, drops nothing, or ``passes`` is under 2.
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
