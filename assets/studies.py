"""A backtest with its study: the runs of every policy, and the model's on other terms."""

from typing import Final, NamedTuple

import polars as pl

from assets.simulation import desk_of
from assets.sweeps import sweep_with
from backtest.compiled import Compiled, forecasts_on
from backtest.engine import Window
from backtest.report import Study
from backtest.runs import Run
from backtest.surface import (
    Desk,
    Grid,
    Sweep,
    band_points,
    budget_points,
    budgets,
    each_once,
    queue_band,
    run_desk,
    surface,
)
from config.settings import Settings
from modeling.forecast import Floats
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from storage.progress import Counting
from trading.parameters import PolicyKind

RESTING: Final = ("GTC", "post-only")


class Case(NamedTuple):
    """A desk, its market and its model's forecasts: what can be run on any terms."""

    desk: Desk
    stretch: Compiled
    forecasts: Floats

    def run(self, name: str) -> Run:
        """The run on the desk's own terms."""
        return run_desk(name, *self)


def case_of(
    settings: Settings, symbol: str, model: ModelSnapshot, kind: PolicyKind, span: Window, stretch: Compiled
) -> Case:
    """A model and a policy over a compiled stretch."""
    forecaster = forecaster_from(model)
    desk = desk_of(settings, symbol, forecaster.shape, kind, span, model.certainty)
    return Case(desk, stretch, forecasts_on(stretch, forecaster))


def sweep_of(settings: Settings, case: Case, jobs: int) -> Sweep:
    """How points of a case are run: here, or in processes that share the stretch below ``var``."""
    return sweep_with(*case, settings.paths.sweeps, jobs, told=Counting("points"))


def configured_grid(settings: Settings) -> Grid:
    """The surface that the settings ask for."""
    wanted = settings.reports
    return Grid(wanted.surface_fees_bp, wanted.surface_latencies, wanted.surface_sizes)


def study_of(settings: Settings, case: Case, run: Run, grid: Grid | None, jobs: int) -> Study:
    """What a case whose own run is known would have come to on other terms; every point is run once.

    Fee budgets and the surface over ``grid`` where there is one; the queue band where an order of the run may rest.
    """
    sweep, fees_bp = each_once(sweep_of(settings, case, jobs)), settings.labels.fee_budgets_bp
    rests = bool(run.orders.filter(pl.col("tif").is_in(RESTING)).height)
    wanted = [*budget_points(case.desk, fees_bp), *grid.points] if grid else []
    sweep(wanted + (band_points() if rests else []))  # all at once: one set of workers
    over_fees = (budgets(sweep, case.desk, run, fees_bp), surface(sweep, grid)) if grid else (None, None)
    return Study(run.name, *over_fees, queue_band(sweep) if rests else None)
