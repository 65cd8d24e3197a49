"""The dilated causal network in torch. Shapes: B chunks, T rows, R rows forecast, F features, C channels.

Convolutions are not padded: an output exists only where its whole receptive field does, so T rows give
R = T - receptive_rows + 1 forecasts, and no forecast has seen a row that is later or made up.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from modeling.architecture import Architecture
from modeling.forecast import CLASSES


class DilatedBlock(nn.Module):
    """Residual convolution over rows spaced by the dilation; the output at a row reads rows at or before it."""

    def __init__(self, width: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation, self.lost_rows = dilation, (kernel_size - 1) * dilation
        self.linear = nn.Linear(kernel_size * width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T - lost_rows, C)
        rows = x.shape[1] - self.lost_rows
        taps = [x[:, first : first + rows] for first in range(0, self.lost_rows + 1, self.dilation)]
        y = self.norm(self.linear(torch.cat(taps, -1)))
        return x[:, self.lost_rows :] + self.dropout(functional.gelu(y))


class Branch(nn.Module):
    """One window's features through its dilated blocks."""

    columns: Tensor

    def __init__(self, network: Architecture, branch: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(network.columns[branch]), persistent=False)
        self.project = nn.Linear(len(network.columns[branch]), network.width)
        blocks = [
            DilatedBlock(network.width, network.kernel_size, dilation, network.dropout)
            for dilation in network.dilations[branch]
        ]
        self.blocks = nn.Sequential(*blocks)
        self.lost_rows = sum(block.lost_rows for block in blocks)

    def forward(self, x: Tensor, rows: int) -> Tensor:  # (B, T, F) -> (B, rows, C), the newest rows
        newest = x[:, x.shape[1] - rows - self.lost_rows :]
        return self.blocks(self.project(newest[..., self.columns]))


class DilatedNetwork(nn.Module):
    """Branches fused in the head; class logits for each cell, and a return for each class of each horizon [bp]."""

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
        self.register_buffer("return_scale", torch.ones(len(network.forecast.horizons_ms)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, F) -> (B, R, cells, 3), (B, R, horizons, 3)
        rows = x.shape[1] - self.architecture.receptive_rows + 1
        fused = self.fuse(torch.cat([branch(x, rows) for branch in self.branches], -1))
        y = self.dropout(functional.gelu(self.norm(fused)))
        logits = self.classes(y).unflatten(-1, (-1, CLASSES))
        returns = self.returns(y).unflatten(-1, (-1, CLASSES))
        return logits, returns * self.return_scale[:, None]

    def start_from(self, shares: Tensor, returns_bp: Tensor, scale_bp: Tensor) -> None:
        """Begin at the training shares (cells, 3) and mean returns (horizons, 3) of the classes."""
        with torch.no_grad():
            self.classes.weight.mul_(0.1)
            self.returns.weight.mul_(0.1)
            self.classes.bias.copy_(shares.log().flatten())
            self.return_scale.copy_(scale_bp)
            self.returns.bias.copy_((returns_bp / scale_bp[:, None]).flatten())


def network_weights(network: DilatedNetwork) -> dict[str, NDArray[np.float32]]:
    """The weights as ``modeling.streaming`` names and lays them: (inputs, outputs), returns already in bp."""
    weights: dict[str, Any] = {}
    for number, branch in enumerate(network.branches):
        _put(weights, f"branch{number}.project", branch.project)
        for place, block in enumerate(branch.blocks):
            _put(weights, f"branch{number}.block{place}", block.linear, block.norm)
    _put(weights, "fuse", network.fuse, network.norm)
    _put(weights, "classes", network.classes)
    _put(weights, "returns", network.returns)
    scale = network.return_scale.cpu().numpy().repeat(CLASSES)
    weights["returns.weight"] = weights["returns.weight"] * scale
    weights["returns.bias"] = weights["returns.bias"] * scale
    return weights


def _put(weights: dict[str, Any], name: str, linear: nn.Linear, norm: nn.LayerNorm | None = None) -> None:
    parts = {"weight": linear.weight.T, "bias": linear.bias}
    if norm is not None:
        parts |= {"gain": norm.weight, "shift": norm.bias}
    weights |= {f"{name}.{part}": tensor.detach().cpu().numpy().copy() for part, tensor in parts.items()}
