"""What is said behind Val's second part, as a session would say it: probabilities and shares that go on learning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from modeling.adaptive_calibration import Doubles, carried_on
from modeling.decision import DecisionRule
from modeling.evaluation import Prediction
from modeling.forecast import ForecastShape
from modeling.sampling import ready_rows
from modeling.training_rows import TrainingSet

Probabilities = NDArray[np.floating]


def going_on(
    settings: Settings, windows: Sequence[TrainingSet], memory_rows: int, *said: Probabilities
) -> list[Doubles]:
    """Probabilities of consecutive windows of a symbol, (N, C, 3) each, that learn from labels as a session's do."""
    parameters, row_ms = settings.models.adaptive_calibration, settings.features.row_interval_ms
    return carried_on(parameters, row_ms, list(zip(windows, said, strict=True)), memory_rows)


def said_by_rule(
    settings: Settings,
    rule: DecisionRule,
    windows: Sequence[TrainingSet],
    memory_rows: int,
    name: str,
    *said: Probabilities,
) -> Prediction:
    """What somebody says of the last of consecutive windows of a symbol by a decision rule, against shares of late."""
    heard = [(ready_rows(rows.valid, memory_rows), given) for rows, given in zip(windows, said, strict=True)]
    return rule.said(name, heard, share_rates(settings, windows[-1].shape))


def share_rates(settings: Settings, shape: ForecastShape) -> NDArray[np.float64]:
    """What one row counts among the shares of each cell: as calibration learns, so do they; shape (C,)."""
    learnt, row_ms = settings.models.adaptive_calibration, settings.features.row_interval_ms
    return np.array([learnt.of_rows(cell.horizon_ms, row_ms).rate for cell in shape.cells])
