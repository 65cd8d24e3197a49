"""The shape of a network as plain numbers, which training builds from and streaming lays its memory out by."""

from dataclasses import dataclass
from typing import Any

from market.errors import ModelError
from modeling.forecast import ForecastShape
from modeling.parameters import NetworkParameters

Places = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Architecture:
    """A dilated causal network: branches of residual blocks, fused in the head."""

    forecast: ForecastShape
    features: int  # numbers in a row
    columns: Places  # for each branch the features that it reads
    dilations: Places  # for each branch the dilation of each block, rows
    width: int
    kernel_size: int
    dropout: float

    def __post_init__(self) -> None:
        if not self.columns or len(self.columns) != len(self.dilations):
            raise ModelError(f"{len(self.columns)} branches with columns and {len(self.dilations)} with dilations")
        if not all(branch and 0 <= min(branch) <= max(branch) < self.features for branch in self.columns):
            raise ModelError(f"columns={self.columns} must name features 0 to {self.features - 1} for every branch")
        if self.width < 1 or self.kernel_size < 1:
            raise ModelError(f"width={self.width} and kernel_size={self.kernel_size} must be above 0")
        if len({len(branch) for branch in self.dilations}) != 1 or min(map(min, self.dilations), default=0) < 1:
            raise ModelError(f"dilations={self.dilations} must be above 0, and as many in each branch")

    @property
    def receptive_rows(self) -> int:
        """Rows, the newest included, that one forecast depends on."""
        return 1 + (self.kernel_size - 1) * max(sum(branch) for branch in self.dilations)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``architecture_from``."""
        return {
            **self.forecast.as_dict(),
            "features": self.features,
            "columns": [list(branch) for branch in self.columns],
            "dilations": [list(branch) for branch in self.dilations],
            "width": self.width,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }


def architecture_from(stored: dict[str, Any]) -> Architecture:
    """The architecture that ``as_dict`` wrote."""
    return Architecture(
        ForecastShape.from_dict(stored),
        int(stored["features"]),
        tuple(tuple(int(column) for column in branch) for branch in stored["columns"]),
        tuple(tuple(int(dilation) for dilation in branch) for branch in stored["dilations"]),
        int(stored["width"]),
        int(stored["kernel_size"]),
        float(stored["dropout"]),
    )


def base_dilations(windows_ms: tuple[int, ...], row_interval_ms: int) -> tuple[int, ...]:
    """Dilation of the first block of each window's branch, rows.

    >>> base_dilations((50, 250, 1000), 20)
    (2, 12, 50)
    """
    return tuple(max(1, round(window / row_interval_ms)) for window in windows_ms)


def architecture(
    parameters: NetworkParameters, columns: Places, bases: tuple[int, ...], features: int, forecast: ForecastShape
) -> Architecture:
    """The network that the settings describe over ``features`` inputs, one branch for each base dilation."""
    growths = [parameters.dilation_growth**block for block in range(parameters.depth)]
    dilations = tuple(tuple(base * growth for growth in growths) for base in bases)
    return Architecture(
        forecast, features, columns, dilations, parameters.width, parameters.kernel_size, parameters.dropout
    )
