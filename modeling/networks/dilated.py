"""The block of the dilated causal network. Shapes: B chunks, T rows, C channels."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modeling.networks.stored import Stored, stored


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

    def stored(self) -> Stored:
        """Its arrays as the compiled runtime names and lays them."""
        return stored("", self.linear, self.norm)
