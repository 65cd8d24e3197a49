"""What the members of a slice's ensemble count, learned from what earlier slices' members said of their Test."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.bundles import NETWORK, slice_model
from assets.fitting import Bench, longest_memory_rows
from assets.partitions import WHOLE, Part
from assets.slice_data import slice_data, slice_of
from assets.tables import passed
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from labeling.targets import NO_CLASS
from modeling.calibration import identity
from modeling.ensemble import SliceForecasts, fit_stacking, require_earlier
from modeling.sampling import learnable
from modeling.snapshot import ENSEMBLE, ModelSnapshot
from modeling.streaming import NetworkForecaster, forecaster_from
from modeling.told import member_forecasts_of, told_of
from modeling.training_parts import TrainingSource
from modeling.training_rows import NOTHING_HEARD
from storage.lake import Lake


def earlier_slices(settings: Settings, lake: Lake, part: Part) -> list[Part]:
    """Slices of the symbol that end before this one and have models, if the settings ask for stacking."""
    if not settings.models.ensemble.stacking:
        return []
    end = slice_of(lake, part).test[1]
    pieces = frame_slices(lake.scan("walk_forward_slices", part.symbol, [WHOLE]).collect())
    parts = [Part(part.symbol, piece.key) for piece in pieces if piece.test[1] < end]
    return [earlier for earlier in parts if passed(lake, "models", earlier) is not None]


def stacking_inputs(settings: Settings, lake: Lake, part: Part) -> list[Any]:
    """The bundles that a slice's shares are learned from."""
    return [lake.manifest("models", *one).metadata["bundle_sha"] for one in earlier_slices(settings, lake, part)]


def earlier_shares(on: Bench, lake: Lake, part: Part, kinds: list[str]) -> NDArray[np.float64] | None:
    """Shares of members of these kinds, shape (cells, members); None where no earlier slice has such an ensemble.

    Their labels are known before this slice calibrates: what its sets begin with is later than all that it learned.
    Raises LeakageError if one is not.
    """
    first, pieces = slice_of(lake, part).split.calibration[0], []
    for earlier in earlier_slices(on.settings, lake, part):
        model = slice_model(on.settings, lake, earlier, NETWORK)
        if answers_alike(model, kinds, on):
            test = slice_data(on.settings, lake, earlier, longest_memory_rows(on.settings)).test
            pieces.append(said_before(earlier.key, model, test, first))
    pieces = [piece for piece in pieces if piece.row_ts.size]
    if not pieces:
        return None
    stacking = fit_stacking(pieces)
    require_earlier(stacking, first, part.key)
    return stacking.weights


def answers_alike(model: ModelSnapshot, kinds: list[str], on: Bench) -> bool:
    """Whether a model is an ensemble of these kinds, in this order, that answers for the same cells."""
    same = model.kind == ENSEMBLE and [member["kind"] for member in model.spec["members"]] == kinds
    return same and forecaster_from(model).shape == on.shape


def said_before(key: str, model: ModelSnapshot, window: TrainingSource, first: int) -> SliceForecasts:
    """What the members said, not calibrated, of the rows whose labels the last one before ``first`` knows, ns UTC."""
    forecaster = forecaster_from(replace(model, calibration=identity(len(window.shape.cells))))
    assert isinstance(forecaster, NetworkForecaster)
    test, (said,) = told_of(window, member_forecasts_of(forecaster))
    scored = learnable(test, forecaster.receptive_rows)
    heard_ts = test.over_ts[test.row_ts < first].max(initial=NOTHING_HEARD)
    rows = np.flatnonzero((test.known_ts <= heard_ts).all(1) & scored.any(1))
    made = said[rows]
    members = np.stack([test.shape.probabilities(made[:, member]) for member in range(forecaster.members)])
    classes = np.where(scored, test.classes, np.int8(NO_CLASS)).astype(np.int8)[rows]
    known_ts = test.known_ts[rows][:, list(test.shape.horizon_of_cell)]
    return SliceForecasts(key, members.astype(np.float64), classes, test.row_ts[rows], known_ts)
