"""Strategies: a fitted model under the configured rules and fees, or no model at all."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.instrument import Instrument
from modeling.forecast import CLASSES, Cell, ForecastShape
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters
from trading.session import Strategy

_IDLE_SIZE: Final = 2 * CLASSES + 1


class NoForecast:
    """Stands where a model will: never ready, so that the policy has nothing to act on."""

    receptive_rows = 1

    def new_state(self) -> NDArray[np.float32]:
        """A forecast of zeros, not ready."""
        return np.zeros(_IDLE_SIZE, np.float32)

    def step(self, state: NDArray[np.float32], values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """The same zeros."""
        return state


def forecast_columns(shape: ForecastShape, cell: Cell) -> NDArray[np.intp]:
    """Where a cell's probabilities and its horizon's conditional returns lie in a forecast, shape (6,).

    Raises ModelError if the model has no answer for that cell.
    """
    places = (shape.probability_at(cell), shape.return_at(cell.horizon_ms))
    return np.concatenate([np.arange(place, place + CLASSES) for place in places]).astype(np.intp)


def model_strategy(
    model: ModelSnapshot,
    trading: TradingParameters,
    instrument: Instrument,
    kind: PolicyKind,
    fees: tuple[float, float],
) -> Strategy:
    """A model under the rules; ``fees`` are maker's and taker's, fractions of notional.

    Raises ModelError if the model has no answer for the traded cell.
    """
    forecaster = forecaster_from(model)
    columns = forecast_columns(forecaster.shape, Cell(trading.horizon_ms, trading.budget_bp))
    return Strategy(forecaster, columns, limits_of(trading, instrument, kind, fees), *fees)


def idle_strategy(
    trading: TradingParameters, instrument: Instrument, kind: PolicyKind, fees: tuple[float, float]
) -> Strategy:
    """The rules without a model: a policy that needs a forecast waits, one that needs none goes ahead."""
    columns = np.arange(2 * CLASSES, dtype=np.intp)
    return Strategy(NoForecast(), columns, limits_of(trading, instrument, kind, fees), *fees)
