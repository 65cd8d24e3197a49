"""A fitted model as plain arrays and numbers: what training leaves, a bundle stores and streaming runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modeling.calibration import Calibration

CNN: Final = "cnn"
MEDIAN_BAND: Final = "median_band"


@dataclass(frozen=True)
class ModelSnapshot:
    """``spec`` is JSON-able and says how to read the weights; its fields depend on the kind."""

    kind: str  # CNN or MEDIAN_BAND
    spec: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.generic]]
    calibration: Calibration
