"""A fitted model as plain arrays and numbers: what training leaves, a bundle stores and streaming runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from modeling.calibration import Calibration, identity
from modeling.certainty import Certainty

CNN: Final = "cnn"
TRANSFORMER: Final = "transformer"
GRU: Final = "gru"
NETWORKS: Final = (CNN, TRANSFORMER, GRU)
ENSEMBLE: Final = "ensemble"
MEDIAN_BAND: Final = "median_band"
SHARES: Final = "shares"  # weight of an ensemble: what each member counts in each cell, shape (cells, members)


@dataclass(frozen=True)
class ModelSnapshot:
    """``spec`` is JSON-able and says how to read the weights; its fields depend on the kind."""

    kind: str  # one of NETWORKS, ENSEMBLE or MEDIAN_BAND
    spec: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.generic]]
    calibration: Calibration
    certainty: Certainty | None = None  # of the traded cell; None until it is fitted


def ensemble_of(members: Sequence[ModelSnapshot], shares: NDArray[np.float64] | None = None) -> ModelSnapshot:
    """The mixture of networks, of one kind or several, not calibrated: calibrate the mixture, not its members.

    shares : shape (cells, members), what each counts in each cell; None: all alike
    Raises ModelError if there is no member, one is no network, one is calibrated already, or the shares are none.
    """
    if not members or any(member.kind not in NETWORKS for member in members):
        raise ModelError(f"an ensemble is made of networks, not of {[member.kind for member in members]}")
    cells = len(members[0].calibration.scale)
    if any(member.calibration.as_dict() != identity(cells).as_dict() for member in members):
        raise ModelError("a member is calibrated, or answers for other cells; the mixture is what is calibrated")
    weights = {_of(number, name): array for number, m in enumerate(members) for name, array in m.weights.items()}
    specs = [{"kind": member.kind, **member.spec} for member in members]
    shares = np.full((cells, len(members)), 1 / len(members)) if shares is None else shares
    if shares.shape != (cells, len(members)) or (shares < 0).any() or not np.allclose(shares.sum(1), 1.0):
        raise ModelError(f"shares {shares.tolist()} of {len(members)} members in {cells} cells must sum to 1 in each")
    return ModelSnapshot(ENSEMBLE, {"members": specs}, weights | {SHARES: shares}, identity(cells))


def shares_of(model: ModelSnapshot) -> NDArray[np.float64]:
    """What each member counts in each cell, shape (cells, members); one network is its own only member.

    Raises ModelError if an ensemble says nothing of it.
    """
    if model.kind != ENSEMBLE:
        return np.ones((len(model.calibration.scale), 1))
    if SHARES not in model.weights:
        raise ModelError("an ensemble that does not say what its members count")
    return model.weights[SHARES].astype(np.float64)


def member_of(ensemble: ModelSnapshot, number: int) -> ModelSnapshot:
    """One network of an ensemble, as ``ensemble_of`` was given it."""
    spec, prefix = dict(ensemble.spec["members"][number]), _of(number, "")
    weights = {name.removeprefix(prefix): a for name, a in ensemble.weights.items() if name.startswith(prefix)}
    return ModelSnapshot(spec.pop("kind"), spec, weights, identity(len(ensemble.calibration.scale)))


def _of(number: int, name: str) -> str:
    return f"member{number}.{name}"
