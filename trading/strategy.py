"""Strategies: a fitted model under the configured rules and fees, or no model at all."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from market.instrument import Instrument
from modeling.certainty import Certainty
from modeling.forecast import CLASSES, Cell, ForecastShape
from modeling.snapshot import MEDIAN_BAND, ModelSnapshot
from modeling.streaming import forecaster_from
from trading.intents import TRADED
from trading.limits import DEGENERATE_ROWS, limits_of
from trading.parameters import REMEMBERED_ROWS, PolicyKind, TradingParameters
from trading.ports import Strategy

_IDLE_SIZE: Final = TRADED + 1


class NoForecast:
    """Stands where a model will: never ready, so that the policy has nothing to act on."""

    receptive_rows = 1

    def new_state(self) -> NDArray[np.float32]:
        """A forecast of zeros, not ready."""
        return np.zeros(_IDLE_SIZE, np.float32)

    def step(self, state: NDArray[np.float32], values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """The same zeros."""
        return state


class Missing(NoForecast):
    """Stands where a model was whose bundle is gone: what it decided can only be taken as it was written down."""


def forecast_columns(shape: ForecastShape, cell: Cell) -> NDArray[np.intp]:
    """Where a cell's probabilities, its horizon's conditional returns and its spread lie in a forecast, shape (7,).

    Raises ModelError if the model has no answer for that cell.
    """
    places = (shape.probability_at(cell), shape.return_at(cell.horizon_ms))
    return np.array([*(place + k for place in places for k in range(CLASSES)), shape.spread_at(cell)], np.intp)


def certainty_of(model: ModelSnapshot, cell: Cell) -> Certainty | None:
    """How sure a model is of a cell; None where that was fitted for none, or for another."""
    return model.certainty if model.certainty is not None and model.certainty.cell == cell else None


def model_strategy(
    model: ModelSnapshot,
    trading: TradingParameters,
    instrument: Instrument,
    kind: PolicyKind,
    fees: tuple[float, float],
) -> Strategy:
    """A model under the rules; ``fees`` are maker's and taker's, fractions of notional.

    Raises ModelError if the model has no answer for the traded cell, or reads more rows than a session remembers.
    """
    forecaster, cell = forecaster_from(model), Cell(trading.horizon_ms, trading.budget_bp)
    if forecaster.receptive_rows > REMEMBERED_ROWS:
        raise ModelError(f"a forecast reads {forecaster.receptive_rows} rows, a session remembers {REMEMBERED_ROWS}")
    columns, certainty = forecast_columns(forecaster.shape, cell), certainty_of(model, cell)
    limits = limits_of(trading, instrument, kind, fees)
    if model.kind == MEDIAN_BAND:
        limits[DEGENERATE_ROWS] = 0  # it has three answers a cell, and may give one of them all night
    return Strategy(forecaster, columns, limits, *fees, certainty)


def idle_strategy(
    trading: TradingParameters, instrument: Instrument, kind: PolicyKind, fees: tuple[float, float]
) -> Strategy:
    """The rules without a model: a policy that needs a forecast waits, one that needs none goes ahead."""
    columns = np.arange(TRADED, dtype=np.intp)
    return Strategy(NoForecast(), columns, limits_of(trading, instrument, kind, fees), *fees)


def missing_strategy(idle: Strategy) -> Strategy:
    """What stands in for a strategy whose bundle is gone, under the same rules as ``idle``."""
    return idle._replace(forecaster=Missing())


def is_missing(strategy: Strategy) -> bool:
    """Whether a strategy only stands where one was."""
    return isinstance(strategy.forecaster, Missing)
