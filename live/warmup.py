"""Compiles every kernel of the live path on a synthetic tape, before the first frame: trading compiles nothing."""

from typing import Final

import numpy as np

from features.catalogue import FEATURE_COUNT, branch_columns
from live.plan import LivePlan, desks_of, reader_of
from market.simulator import synthetic_capture
from market.sources.capture import split_line
from modeling.architecture import Architecture
from modeling.calibration import identity
from modeling.forecast import Cell, ForecastShape
from modeling.snapshot import CNN, MEDIAN_BAND, ModelSnapshot
from modeling.streaming import layers
from trading.session import close_row
from trading.strategy import model_strategy

TAPE_S: Final = 3.0
TAPE_START: Final = 1_700_000_000_000_000_000


def warm(plan: LivePlan) -> None:
    """Run scratch desks over a few synthetic seconds, and a step of each kind of model."""
    reader, desks = reader_of(plan), desks_of(plan)
    for line in synthetic_capture(plan.instrument, 0, TAPE_START, TAPE_S):
        ingest_ts, frame = split_line(line)
        events = reader.read(frame, ingest_ts)
        for desk in desks:
            desk.session.queue.push(events)
            while 0 < (row_ts := desk.session.next_row_ts) < ingest_ts:
                close_row(desk.session, desk.gateway, row_ts, row_ts)
    for model in (_blank_network(plan), _blank_band(plan)):
        forecaster = model_strategy(model, plan.trading, plan.instrument, plan.desks[0], plan.fees).forecaster
        forecaster.step(forecaster.new_state(), np.zeros(FEATURE_COUNT, np.float32), True)


def _shape(plan: LivePlan) -> ForecastShape:
    return ForecastShape((Cell(plan.trading.horizon_ms, plan.trading.budget_bp),))


def _blank_network(plan: LivePlan) -> ModelSnapshot:
    shape, columns = _shape(plan), branch_columns(plan.features)
    network = Architecture(shape, FEATURE_COUNT, columns, ((1,),) * len(columns), 64, 2, 0.1)
    weights = {}
    for name, inputs, outputs, normalised in layers(network):
        weights[f"{name}.weight"] = np.zeros((inputs, outputs), np.float32)
        for part in ("bias", "gain", "shift") if normalised else ("bias",):
            weights[f"{name}.{part}"] = np.zeros(outputs, np.float32)
    return ModelSnapshot(CNN, network.as_dict(), weights, identity(1))


def _blank_band(plan: LivePlan) -> ModelSnapshot:
    shape = _shape(plan)
    weights = {
        "linear": np.zeros((1, FEATURE_COUNT + 1), np.float32),
        "bands": np.zeros(1, np.float32),
        "tables": np.full((1, 3, 3), 1 / 3, np.float32),
        "returns_bp": np.zeros((1, 3), np.float32),
    }
    return ModelSnapshot(MEDIAN_BAND, shape.as_dict(), weights, identity(1))
