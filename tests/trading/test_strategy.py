"""Strategies: where a model's traded cell lies in its forecast, and no model at all."""

from dataclasses import replace

import numpy as np
import pytest

from backtest.ledger import Ledger
from features.stream import FeatureStream
from market.errors import ModelError
from modeling.forecast import Cell
from modeling.streaming import forecaster_from
from tests.builders_market import COINM_BTC
from tests.builders_modeling import SHAPE, random_model, random_rows, small_network
from tests.builders_trading import CERTAINTY, FEATURES, TRADING, session, strategy
from trading import account as own
from trading.session import Session
from trading.strategy import forecast_columns, idle_strategy, model_strategy


@pytest.mark.parametrize("cell", SHAPE.cells)
def test_columns_hold_the_cells_probabilities_and_its_horizons_returns(cell: Cell) -> None:
    model = random_model()
    forecaster = forecaster_from(model)
    forecasts = forecaster.run(random_rows(100), np.ones(100, np.bool_))
    columns = forecast_columns(forecaster.shape, cell)
    number, horizon = SHAPE.cells.index(cell), SHAPE.horizons_ms.index(cell.horizon_ms)
    assert np.array_equal(forecasts[:, columns[:3]], SHAPE.probabilities(forecasts)[:, number])
    assert np.array_equal(forecasts[:, columns[3:6]], SHAPE.returns_bp(forecasts)[:, horizon])
    assert np.array_equal(forecasts[:, columns[6]], SHAPE.spreads_bp(forecasts)[:, number])
    assert forecasts[-1, columns[:3]].sum() == pytest.approx(1.0)


def test_a_model_trades_its_cell_at_the_given_fees() -> None:
    made = model_strategy(random_model(), TRADING, COINM_BTC, "take", (0.0001, 0.0004))
    assert (made.maker_fee, made.taker_fee) == (0.0001, 0.0004)
    assert np.array_equal(made.columns, forecast_columns(SHAPE, Cell(TRADING.horizon_ms, TRADING.budget_bp)))


def test_a_model_brings_its_certainty_of_the_traded_cell_alone() -> None:
    elsewhere = replace(CERTAINTY, question=replace(CERTAINTY.question, cell=SHAPE.cells[0]))
    model, other = (replace(random_model(), certainty=one) for one in (CERTAINTY, elsewhere))
    assert model_strategy(model, TRADING, COINM_BTC, "take", (0.0, 0.0)).certainty is CERTAINTY
    assert model_strategy(other, TRADING, COINM_BTC, "take", (0.0, 0.0)).certainty is None


def test_a_model_without_the_traded_cell_is_refused() -> None:
    with pytest.raises(ModelError):
        model_strategy(random_model(), replace(TRADING, horizon_ms=30_000), COINM_BTC, "take", (0.0, 0.0))


def test_a_model_that_reads_more_rows_than_a_session_remembers_is_refused() -> None:
    endless = random_model(network=small_network(depth=9))
    with pytest.raises(ModelError, match="reads 5111 rows, a session remembers 4096"):
        model_strategy(endless, TRADING, COINM_BTC, "take", (0.0, 0.0))


def test_no_model_is_never_ready() -> None:
    forecaster = idle_strategy(TRADING, COINM_BTC, "take", (0.0, 0.0)).forecaster
    state = forecaster.new_state()
    for row in random_rows(20, 24):
        assert not forecaster.step(state, row, True).any()


def test_a_session_with_a_position_or_an_order_takes_no_other_model() -> None:
    trader = session("take")
    trader.account[1][own.POSITION] = -2
    with pytest.raises(ModelError, match="a position of -2 lots or an open order is in the way"):
        trader.swap(strategy("take"))
    trader.account[1][own.POSITION] = 0
    own.take_slot(trader.account, own.TAKER_SLOT, 1, 100, 5, 0)
    with pytest.raises(ModelError, match="an open order is in the way"):
        trader.swap(strategy("take"))


def test_a_model_swapped_in_forecasts_as_if_it_had_seen_every_row() -> None:
    model, rows = random_model(), random_rows(400)
    valid = np.random.default_rng(2).random(400) > 0.01
    valid[-100:] = True
    made = model_strategy(model, TRADING, COINM_BTC, "take", (0.0, 0.0))
    trader = Session(FeatureStream(FEATURES), strategy("take"), Ledger(COINM_BTC))
    trader.forecasting.recent.extend(zip(rows[:-1], valid[:-1].tolist(), strict=True))
    trader.swap(made)
    after = made.forecaster.step(trader.forecasting.memory, rows[-1], True)
    assert np.array_equal(after, forecaster_from(model).run(rows, valid)[-1])
    assert after[-1] == 1.0
