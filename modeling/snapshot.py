"""A fitted model as plain arrays and numbers: what training leaves, a bundle stores and streaming runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from modeling.calibration import Calibration, identity

CNN: Final = "cnn"
TRANSFORMER: Final = "transformer"
GRU: Final = "gru"
NETWORKS: Final = (CNN, TRANSFORMER, GRU)
ENSEMBLE: Final = "ensemble"
MEDIAN_BAND: Final = "median_band"


@dataclass(frozen=True)
class ModelSnapshot:
    """``spec`` is JSON-able and says how to read the weights; its fields depend on the kind."""

    kind: str  # one of NETWORKS, ENSEMBLE or MEDIAN_BAND
    spec: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.generic]]
    calibration: Calibration


def ensemble_of(members: Sequence[ModelSnapshot]) -> ModelSnapshot:
    """The mixture of networks, of one kind or several, not calibrated: calibrate the mixture, not its members.

    Raises ModelError if there is none, one is no network, or one is calibrated already.
    """
    if not members or any(member.kind not in NETWORKS for member in members):
        raise ModelError(f"an ensemble is made of networks, not of {[member.kind for member in members]}")
    cells = len(members[0].calibration.scale)
    if any(member.calibration.as_dict() != identity(cells).as_dict() for member in members):
        raise ModelError("a member is calibrated, or answers for other cells; the mixture is what is calibrated")
    weights = {_of(number, name): array for number, m in enumerate(members) for name, array in m.weights.items()}
    specs = [{"kind": member.kind, **member.spec} for member in members]
    return ModelSnapshot(ENSEMBLE, {"members": specs}, weights, identity(cells))


def member_of(ensemble: ModelSnapshot, number: int) -> ModelSnapshot:
    """One network of an ensemble, as ``ensemble_of`` was given it."""
    spec, prefix = dict(ensemble.spec["members"][number]), _of(number, "")
    weights = {name.removeprefix(prefix): a for name, a in ensemble.weights.items() if name.startswith(prefix)}
    return ModelSnapshot(spec.pop("kind"), spec, weights, identity(len(ensemble.calibration.scale)))


def _of(number: int, name: str) -> str:
    return f"member{number}.{name}"
