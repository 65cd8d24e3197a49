"""Everything Dagster shows: assets, checks, jobs, schedules, sensors and resources. Loads no torch and no MLflow."""

import os
from collections.abc import Mapping
from typing import Final

import dagster as dg

import market  # noqa: F401  (points numba at its cache before an asset imports a kernel)
from assets.ab_test import ab_test, ab_test_hold, rejected_challenger
from assets.aligned_events import aligned_events, aligned_events_hold
from assets.backtests import backtests, backtests_hold
from assets.drift import drift, drift_hold
from assets.drift_page import drift_page
from assets.evaluation import evaluation, evaluation_hold
from assets.execution_drift import execution_drift, execution_drift_hold
from assets.features import features, features_hold
from assets.ir_decay import ir_decay, ir_decay_hold
from assets.label_shift import label_shift, label_shift_hold
from assets.labels import labels, labels_hold
from assets.live_deployment import live_deployment
from assets.live_journal import live_journal, live_journal_hold
from assets.models import models, models_hold
from assets.paid_cost import paid_cost, paid_cost_hold
from assets.parity import parity, parity_hold
from assets.promotion import promotion, promotion_hold
from assets.raw_ticks import raw_ticks, raw_ticks_hold
from assets.registered_model import registered_model, registered_model_hold
from assets.resources import resources_of
from assets.search import search, search_hold
from assets.venue_models import venue_models
from assets.walk_forward_slices import walk_forward_slices, walk_forward_slices_hold
from assets.warehouse import warehouse_events, warehouse_events_hold
from config.loading import load_settings, refuse_live_keys
from config.settings import Settings
from orchestration.ab_sensor import decided_contest, harmful_challenger
from orchestration.climbing import JournalClimber
from orchestration.drift_sensors import monitor_sensors
from orchestration.executors import executor_of
from orchestration.failures import run_failures
from orchestration.jobs import JOBS
from orchestration.live_sensors import finished_journal, new_approval, new_challenger
from orchestration.retraining import retraining
from orchestration.schedules import daily_ab, daily_data, daily_parity, monitors, weekly_slices
from orchestration.sensors import evaluated_model, new_slices

ASSETS: Final = (
    raw_ticks,
    aligned_events,
    features,
    labels,
    walk_forward_slices,
    search,
    models,
    backtests,
    evaluation,
    registered_model,
    promotion,
    live_deployment,
    live_journal,
    venue_models,
    drift,
    label_shift,
    paid_cost,
    parity,
    ir_decay,
    execution_drift,
    drift_page,
    ab_test,
    rejected_challenger,
    retraining,
)
CHECKS: Final = (
    raw_ticks_hold,
    aligned_events_hold,
    features_hold,
    labels_hold,
    walk_forward_slices_hold,
    search_hold,
    models_hold,
    backtests_hold,
    evaluation_hold,
    registered_model_hold,
    promotion_hold,
    live_journal_hold,
    drift_hold,
    label_shift_hold,
    paid_cost_hold,
    parity_hold,
    ir_decay_hold,
    execution_drift_hold,
    ab_test_hold,
)


def build_definitions(settings: Settings, loggers: Mapping[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """The code location of one profile. Raises ConfigError if this process holds a key to an exchange."""
    refuse_live_keys(os.environ)
    warehouse = settings.warehouse.enabled
    return dg.Definitions(
        assets=[*ASSETS, *([warehouse_events] if warehouse else [])],
        asset_checks=[*CHECKS, *([warehouse_events_hold] if warehouse else [])],
        jobs=JOBS,
        schedules=[
            daily_data(settings),
            weekly_slices(settings),
            monitors(settings),
            daily_parity(settings),
            daily_ab(settings),
        ],
        sensors=[
            new_slices(settings),
            new_approval(settings),
            new_challenger(settings),
            finished_journal(settings),
            *monitor_sensors(settings),
            harmful_challenger(settings),
            decided_contest(settings),
            evaluated_model(settings),
            run_failures(settings),
        ],
        resources={**resources_of(settings), "climber": JournalClimber()},
        executor=executor_of(settings.orchestration),
        loggers=loggers,
    )


defs = build_definitions(load_settings())
