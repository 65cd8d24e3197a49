"""A model bent to the frequencies of a window that it was not fitted on: what every command and asset calibrates by."""

from dataclasses import replace

import numpy as np

from labeling.targets import NO_CLASS
from modeling.calibration import fit_calibration
from modeling.parameters import CalibrationParameters
from modeling.sampling import learnable
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from modeling.told import forecasts_of, told_of
from modeling.training_parts import TrainingSource


def calibrated_on(
    model: ModelSnapshot, data: TrainingSource, parameters: CalibrationParameters, memory_rows: int = 0
) -> ModelSnapshot:
    """The model with its probabilities bent to what came on ``data``.

    memory_rows : valid rows that a row must follow to count, where that is more than the model itself needs
    Raises NotEnoughData if a cell has no labelled row that the model has a forecast for.
    """
    forecaster = forecaster_from(model)
    rows, (forecasts,) = told_of(data, forecasts_of(forecaster))
    known = learnable(rows, max(memory_rows, forecaster.receptive_rows))
    classes = np.where(known, rows.classes, NO_CLASS).astype(np.int8)
    return replace(model, calibration=fit_calibration(parameters, data.shape.probabilities(forecasts), classes))
