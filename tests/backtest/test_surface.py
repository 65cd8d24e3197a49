"""Points of a surface: what changes on other terms, and what they are compared with."""

from dataclasses import replace

import polars as pl
import pytest

from backtest.parameters import QUEUE_MODELS
from backtest.surface import (
    Grid,
    Point,
    band_points,
    budget_points,
    budgets,
    each_once,
    figures_at,
    point_frame,
    queue_band,
    run_desk,
    scaled,
    surface,
    venue_at,
)
from modeling.forecast import Cell, ForecastShape
from tests.builders_backtest import desk, imbalance_forecasts, stretch
from tests.builders_trading import TRADING, VENUE
from trading.strategy import forecast_columns


def serial(kind: str) -> object:
    return lambda points: [figures_at(desk(kind), stretch()[0], imbalance_forecasts(), point) for point in points]


def test_a_point_changes_its_own_terms_and_no_others() -> None:
    venue = venue_at(VENUE, Point(4.0, 2.0, 1.0))
    assert (venue.maker_fee, venue.taker_fee) == pytest.approx((2e-4, 2e-4))
    assert (venue.order_latency_ms, venue.ack_latency_ms) == (20.0, 20.0)
    assert venue_at(VENUE, Point(None, 1.0, 3.0)) == VENUE
    larger = scaled(TRADING, 3.0)
    assert larger.sizing.risk_cap_usd == 3 * TRADING.sizing.risk_cap_usd
    assert larger.risk.max_position_usd == 3 * TRADING.risk.max_position_usd
    assert larger.probe.order_usd == 3 * TRADING.probe.order_usd
    assert scaled(TRADING, 1.0) == TRADING


def test_every_combination_of_a_grid_is_one_row_and_the_first_point_is_the_run_itself() -> None:
    grid = Grid((0.0, 0.5), (1.0, 4.0), (1.0, 2.0))
    table = surface(serial("take"), grid)
    assert table.select("fee_bp", "latency", "size").rows() == [
        (fee, latency, size) for fee in (0.0, 0.5) for latency in (1.0, 4.0) for size in (1.0, 2.0)
    ]
    run = run_desk("model", desk("take"), stretch()[0], imbalance_forecasts())
    assert table["net"][0] == run.performance.net
    assert table["fills"][0] == run.performance.fills > 0
    assert table["net"].n_unique() > 4


def test_budgets_reprice_the_run_and_decide_afresh() -> None:
    run = run_desk("model", desk("take"), stretch()[0], imbalance_forecasts())
    table = budgets(serial("take"), desk("take"), run, (0.0, 2.0, 400.0))
    before_fees = run.performance.net_bp or 0.0
    assert table["same_fills_net_bp"].to_list() == pytest.approx([before_fees, before_fees - 1.0, before_fees - 200.0])
    assert table["net_bp"][0] == pytest.approx(before_fees)
    assert (table["fills"][2], table["net_bp"][2]) == (0, None)  # nobody trades at 4 %
    assert table["head_bp"].to_list() == [TRADING.budget_bp] * 3  # the model has no other


def test_a_budget_is_decided_by_its_own_class_head_where_the_model_has_one() -> None:
    cells = (Cell(TRADING.horizon_ms, TRADING.budget_bp), Cell(TRADING.horizon_ms, 4.0))
    own = replace(desk("take"), shape=ForecastShape(cells))
    points = budget_points(own, (TRADING.budget_bp, 2.0, 4.0))
    assert [point.head_bp for point in points] == [None, None, 4.0]
    columns = [own.at(point).strategy.columns.tolist() for point in points]
    assert columns[0] == columns[1] == own.strategy.columns.tolist()
    assert columns[2] == forecast_columns(own.shape, cells[1]).tolist() != columns[0]


def test_the_queue_band_runs_from_the_pessimistic_model_to_the_optimistic_one() -> None:
    names = [point.queue_model for point in band_points()]
    assert sorted(map(str, names)) == sorted(QUEUE_MODELS)
    assert names[0] == "risk_averse"
    assert names[-1] == ("front" if "front" in QUEUE_MODELS else "risk_averse")
    table = queue_band(serial("probe"))
    assert table["queue_model"].to_list() == names
    assert table["fills"][-1] >= table["fills"][0] > 0


def test_no_point_is_run_twice() -> None:
    asked: list[Point] = []

    def noted(points: list[Point]) -> list[dict[str, object]]:
        asked.extend(points)
        return [{"fee_bp": point.fee_bp} for point in points]

    sweep = each_once(noted)
    one, two = Point(0.0, 1.0, 1.0), Point(2.0, 1.0, 1.0)
    assert [row["fee_bp"] for row in sweep([one, two, one])] == [0.0, 2.0, 0.0]
    assert [row["fee_bp"] for row in sweep([two])] == [2.0]
    assert asked == [one, two]


def test_a_table_of_points_keeps_its_types_when_nothing_traded() -> None:
    assert point_frame([]).schema["fills"] == pl.Int64
    assert point_frame([]).schema["net_bp"] == pl.Float64
