"""The model of a slice out of several networks: each from its own seed, mixed, calibrated together, and how sure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assets.epochs import Epochs
from assets.fitting import Bench, calibrate, train
from assets.train_parts import traded_cell
from assets.warm_start import Start
from modeling.certainty import Labelled, fit_certainty, question_of
from modeling.parameters import EnsembleParameters
from modeling.sampling import learnable
from modeling.search_space import Candidate
from modeling.snapshot import ModelSnapshot, ensemble_of
from modeling.streaming import forecaster_from
from modeling.told import forecasts_of, told_of

if TYPE_CHECKING:
    from modeling.training import Fit


@dataclass(frozen=True)
class Trained:
    """One network of an ensemble and how it was fitted."""

    seed: int
    fit: "Fit"
    start: str  # what its weights began with

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest, JSON-able."""
        fit = self.fit
        return {"kind": fit.model.kind, "seed": self.seed, "val_nll": fit.val_nll, "best_epoch": fit.best_epoch} | {
            "start": self.start
        }


def member_candidates(ensemble: EnsembleParameters, candidate: Candidate) -> Iterator[tuple[int, Candidate]]:
    """Seed and settings of each network to fit; draws of dropout are all of one."""
    shapes = (candidate.network, *ensemble.networks)
    for number in range(ensemble.members if ensemble.method == "ensemble" else 1):
        yield candidate.training.seed + number, replace(candidate, network=shapes[number % len(shapes)])


def train_members(
    on: Bench, candidate: Candidate, start: Callable[[Candidate, int], Start], folder: Path, log: Logger
) -> list[Trained]:
    """The networks of an ensemble, fitted one after the other.

    start : what a member's fit begins with, by its settings and number
    folder : below which killed fits go on, see ``assets.fitting.checkpoints``
    log : gets a line a member, and one an epoch that only those who look for it see
    """
    members, candidates = [], list(member_candidates(on.settings.models.ensemble, candidate))
    for number, (seed, one) in enumerate(candidates):
        begun = start(one, number)
        heard = Epochs(f"member {number + 1} of {len(candidates)}", one.training.epochs, log.debug)
        fitted = train(on, one, seed, report=heard, folder=folder / str(seed), before=begun.model)
        kept = f"{fitted.val_nll:.4f} nats on Val after epoch {fitted.best_epoch + 1} of {len(fitted.history)}"
        log.info(f"member {number + 1}, {fitted.model.kind} from seed {seed}: {kept}")
        members.append(Trained(seed, fitted, begun.line))
    return members


def combined(on: Bench, members: list[Trained], shares: NDArray[np.float64] | None = None) -> ModelSnapshot:
    """One model of the members, calibrated as a whole, that knows how sure it is of the traded cell.

    shares : shape (cells, members), see ``assets.stacking``; None: all alike
    """
    return certain(on, calibrate(on, mixed(on.settings.models.ensemble, members, shares)))


def mixed(
    ensemble: EnsembleParameters, members: list[Trained], shares: NDArray[np.float64] | None = None
) -> ModelSnapshot:
    """The members as one model, not calibrated; a single one stays what it is."""
    if ensemble.method == "mc_dropout":
        from modeling.mc_dropout import dropout_members

        return ensemble_of(dropout_members(members[0].fit.model, ensemble.passes, members[0].seed))
    models = [member.fit.model for member in members]
    return models[0] if len(models) == 1 else ensemble_of(models, shares)


def certain(on: Bench, model: ModelSnapshot) -> ModelSnapshot:
    """The model with the calibration and conformal state that the third part of Val leads to, in the traded cell."""
    forecaster = forecaster_from(model)
    data, (made,) = told_of(on.data.conformal, forecasts_of(forecaster))
    cell, shape = traded_cell(on.settings), on.shape
    place = shape.cells.index(cell)
    known = learnable(data, forecaster.receptive_rows)[:, place]
    horizon, models = shape.horizon_of_cell[place], on.settings.models
    times = data.known_ts[known, horizon], data.over_ts[known]
    came = Labelled(data.classes[known, place], data.gross_bp[known, horizon], *times)
    shared = cell.horizon_ms, on.settings.features.row_interval_ms
    asked, adaptive = models.conformal.of_rows(*shared), models.adaptive_calibration.of_rows(*shared)
    question = question_of(on.settings.labels, cell)
    return replace(model, certainty=fit_certainty(shape, question, made[known], came, asked, adaptive))
