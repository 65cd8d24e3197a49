"""How a torch layer's parameters are named and laid in a snapshot: weights (inputs, outputs), the rest as it is."""

from collections.abc import Iterator

from torch import Tensor, nn

Stored = Iterator[tuple[str, Tensor, bool]]  # name, parameter, whether it is stored transposed


def stored(prefix: str, linear: nn.Linear, norm: nn.LayerNorm | None = None) -> Stored:
    """The parameters of a linear layer and of the LayerNorm beside it."""
    yield f"{prefix}weight", linear.weight, True
    yield f"{prefix}bias", linear.bias, False
    if norm is not None:
        yield f"{prefix}gain", norm.weight, False
        yield f"{prefix}shift", norm.bias, False
