"""What is said behind Val's second part, as a session would say it: probabilities and shares that go on learning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from modeling.adaptive_calibration import carried_on
from modeling.decision import DecisionRule
from modeling.evaluation import Prediction, likeliest
from modeling.forecast import ForecastShape
from modeling.sampling import ready_rows
from modeling.training_rows import TrainingSet


def going_on(
    settings: Settings, windows: Sequence[TrainingSet], memory_rows: int, *said: Prediction
) -> tuple[Prediction, ...]:
    """What is said of consecutive windows of a symbol by probabilities that learn from labels as a session's do."""
    parameters, row_ms = settings.models.adaptive_calibration, settings.features.row_interval_ms
    asked = [(rows, one.probabilities) for rows, one in zip(windows, said, strict=True)]
    bent = carried_on(parameters, row_ms, asked, memory_rows)
    return tuple(likeliest(one.name, probabilities) for one, probabilities in zip(said, bent, strict=True))


def said_by_rule(
    settings: Settings, rule: DecisionRule, windows: Sequence[TrainingSet], memory_rows: int, *said: Prediction
) -> Prediction:
    """What somebody says of the last of consecutive windows of a symbol by a decision rule, against shares of late."""
    heard = [(ready_rows(rows.valid, memory_rows), one.probabilities) for rows, one in zip(windows, said, strict=True)]
    return rule.said(said[-1].name, heard, share_rates(settings, windows[-1].shape))


def share_rates(settings: Settings, shape: ForecastShape) -> NDArray[np.float64]:
    """What one row counts among the shares of each cell: as calibration learns, so do they; shape (C,)."""
    learnt, row_ms = settings.models.adaptive_calibration, settings.features.row_interval_ms
    return np.array([learnt.of_rows(cell.horizon_ms, row_ms).rate for cell in shape.cells])
