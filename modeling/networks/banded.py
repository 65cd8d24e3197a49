"""The block of the causal transformer. Shapes: B chunks, T rows, C channels, H heads, D channels a head, W rows a band.

Attention over a band, and no padding: an output exists only where the whole band does. Positions enter by a learned
bias of the distance alone, so that the keys and values of a row never change: a rolling cache is the same function.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modeling.networks.stored import Stored, stored


class BandedBlock(nn.Module):
    """Pre-norm attention of each row over the band that ends with it, then a feed-forward part; both residual."""

    def __init__(self, width: int, heads: int, band_rows: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.band_rows, self.lost_rows = heads, band_rows, band_rows - 1
        self.attend_norm, self.attend = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.expand_norm, self.expand = nn.LayerNorm(width), nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)  # Press et al. (2022), "Train Short, Test Long"
        self.distance = nn.Parameter(-slopes[:, None] * torch.arange(band_rows))  # (H, W), 0 rows back first

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T - lost_rows, C)
        query, key, value = self.attend(self.attend_norm(x)).chunk(3, -1)
        x = x[:, self.lost_rows :] + self.dropout(self.mix(self._banded(query[:, self.lost_rows :], key, value)))
        hidden = functional.gelu(self.expand(self.expand_norm(x)))
        return x + self.dropout(self.contract(hidden))

    def _banded(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # (B, R, C), (B, T, C) twice -> (B, R, C)
        """Queries in groups of at most W rows, each against the up to 2 W - 1 rows that its bands cover."""
        rows = query.shape[1]
        size = min(rows, self.band_rows)
        missing = -rows % size
        query, key, value = (functional.pad(part, (0, 0, 0, missing)) for part in (query, key, value))
        firsts = range(0, rows, size)
        reach = size + self.band_rows - 1
        q = torch.stack([query[:, first : first + size] for first in firsts], 1)
        k, v = (torch.stack([part[:, first : first + reach] for first in firsts], 1) for part in (key, value))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in (q, k, v))  # (B, group, H, ., D)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + self._bias(size)
        mixed = scores.softmax(-1).to(v.dtype) @ v
        return mixed.transpose(-3, -2).flatten(-2).flatten(1, 2)[:, :rows]

    def _bias(self, size: int) -> Tensor:  # -> (H, size, size + W - 1), no entry outside a query's band
        place = torch.arange(size + self.band_rows - 1, device=self.distance.device)
        back = self.lost_rows + torch.arange(size, device=self.distance.device)[:, None] - place
        outside = (back < 0) | (back > self.lost_rows)
        bias = self.distance[:, back.clamp(0, self.lost_rows)]
        return bias.masked_fill(outside, float("-inf"))

    def stored(self) -> Stored:
        """Its arrays as the compiled runtime names and lays them."""
        yield from stored("attend.", self.attend, self.attend_norm)
        yield "attend.distance", self.distance, False
        yield from stored("mix.", self.mix)
        yield from stored("expand.", self.expand, self.expand_norm)
        yield from stored("contract.", self.contract)
