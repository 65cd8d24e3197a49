"""The block of the gated recurrent network. Shapes: B chunks, T rows, C channels."""

import torch
from torch import Tensor, nn

from modeling.networks.stored import Stored


class RecurrentBlock(nn.Module):
    """Gated recurrent unit from a state of zeros; the output at a row is the state behind it."""

    lost_rows = 0  # every row has an output; the branch drops those before the state has settled

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        with torch.autocast(x.device.type, enabled=False):  # a state carried over thousands of rows is kept in float32
            return self.dropout(self.gru(x.float())[0])

    def stored(self) -> Stored:
        """Its arrays as the compiled runtime names and lays them; gates are reset, update, new, as in torch."""
        parameters = dict(self.gru.named_parameters())
        for name, ours in (("ih", "input"), ("hh", "hidden")):
            yield f"{ours}.weight", parameters[f"weight_{name}_l0"], True
            yield f"{ours}.bias", parameters[f"bias_{name}_l0"], False
