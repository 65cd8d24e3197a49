"""A network in torch: branches over the features of one window each, fused in the head.

Shapes: B chunks, T rows, R rows forecast, F features, C channels. Nothing is padded: an output exists only where its
whole receptive field does, so T rows give R = T - receptive_rows + 1 forecasts, and no forecast has seen a row that
is later or made up.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from modeling.architecture import Architecture, CnnArchitecture, GruArchitecture, TransformerArchitecture
from modeling.forecast import CLASSES
from modeling.networks.banded import BandedBlock
from modeling.networks.dilated import DilatedBlock
from modeling.networks.recurrent import RecurrentBlock
from modeling.networks.stored import Stored, stored


class Branch(nn.Module):
    """One window's features through its blocks."""

    columns: Tensor

    def __init__(self, network: Architecture, branch: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(network.columns[branch]), persistent=False)
        self.project = nn.Linear(len(network.columns[branch]), network.width)
        self.blocks = nn.Sequential(*(_block(network, branch, place) for place in range(network.depth)))
        self.lost_rows = network.branch_rows(branch) - 1

    def forward(self, x: Tensor, rows: int) -> Tensor:  # (B, T, F) -> (B, rows, C), the newest rows
        newest = x[:, x.shape[1] - rows - self.lost_rows :]
        y = self.blocks(self.project(newest[..., self.columns]))
        return y[:, y.shape[1] - rows :]


def _block(network: Architecture, branch: int, place: int) -> nn.Module:
    match network:
        case CnnArchitecture():
            dilation = network.dilations[branch][place]
            return DilatedBlock(network.width, network.kernel_size, dilation, network.dropout)
        case TransformerArchitecture():
            return BandedBlock(network.width, network.heads, network.band_rows, network.hidden, network.dropout)
        case GruArchitecture():
            return RecurrentBlock(network.width, network.dropout)
    raise TypeError(f"{type(network).__name__} has no block in torch")


class Network(nn.Module):
    """Class logits for each cell, and a return for each class of each horizon [bp]."""

    return_scale: Tensor
    branches: Any  # a ModuleList of Branch

    def __init__(self, network: Architecture) -> None:
        super().__init__()
        self.architecture = network
        self.branches = nn.ModuleList(Branch(network, branch) for branch in range(len(network.columns)))
        self.fuse = nn.Linear(len(network.columns) * network.width, network.width)
        self.norm = nn.LayerNorm(network.width)
        self.dropout = nn.Dropout(network.dropout)
        self.classes = nn.Linear(network.width, CLASSES * len(network.forecast.cells))
        self.returns = nn.Linear(network.width, CLASSES * len(network.forecast.horizons_ms))
        scores = CLASSES * len(network.forecast.cells)
        self.direct = nn.Linear(network.features, scores, bias=False) if network.direct else None
        self.register_buffer("return_scale", torch.ones(len(network.forecast.horizons_ms)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, F) -> (B, R, cells, 3), (B, R, horizons, 3)
        rows = x.shape[1] - self.architecture.receptive_rows + 1
        fused = self.fuse(torch.cat([branch(x, rows) for branch in self.branches], -1))
        y = self.dropout(functional.gelu(self.norm(fused)))
        scores, returns = self.classes(y), self.returns(y).unflatten(-1, (-1, CLASSES))
        if self.direct is not None:
            scores = scores + self.direct(x[:, x.shape[1] - rows :])
        logits = scores.unflatten(-1, (-1, CLASSES))
        return logits, returns * self.return_scale[:, None]

    def start_from(self, shares: Tensor, returns_bp: Tensor, scale_bp: Tensor) -> None:
        """Begin at the training shares (cells, 3) and mean returns (horizons, 3) of the classes, whatever the row."""
        with torch.no_grad():
            for layer in (self.classes, self.returns, self.direct):
                if layer is not None:
                    layer.weight.zero_()
            self.classes.bias.copy_(shares.log().flatten())
            self.return_scale.copy_(scale_bp)
            self.returns.bias.copy_((returns_bp / scale_bp[:, None]).flatten())

    def stored(self) -> Stored:
        """Every parameter with its name in a snapshot."""
        for number, branch in enumerate(self.branches):
            yield from stored(f"branch{number}.project.", branch.project)
            for place, block in enumerate(branch.blocks):
                yield from ((f"branch{number}.block{place}.{name}", *rest) for name, *rest in block.stored())
        yield from stored("fuse.", self.fuse, self.norm)
        yield from stored("classes.", self.classes)
        yield from stored("returns.", self.returns)
        if self.direct is not None:
            yield "direct.weight", self.direct.weight, True


def network_weights(network: Network) -> dict[str, NDArray[np.float32]]:
    """The weights as ``modeling.streaming`` names and lays them: (inputs, outputs), returns already in bp."""
    weights = {
        name: (tensor.T if transposed else tensor).detach().cpu().float().numpy().copy()
        for name, tensor, transposed in network.stored()
    }
    scale = network.return_scale.cpu().numpy().repeat(CLASSES)
    weights["returns.weight"] = weights["returns.weight"] * scale
    weights["returns.bias"] = weights["returns.bias"] * scale
    return weights


def network_of(network: Architecture, weights: Mapping[str, NDArray[Any]]) -> Network:
    """The torch network with a snapshot's weights, ready to forecast: the inverse of ``network_weights``."""
    module = Network(network)
    load_weights(module, weights)
    return module.eval()


def load_weights(module: Network, weights: Mapping[str, NDArray[Any]]) -> None:
    """Put a snapshot's weights into a network, which keeps its scale of returns."""
    scale = module.return_scale.repeat_interleave(CLASSES)
    with torch.no_grad():
        for name, tensor, transposed in module.stored():
            array = torch.tensor(np.asarray(weights[name], np.float32))
            array = array / scale if name.startswith("returns.") else array
            tensor.copy_(array.T if transposed else array)
