"""A verdict asks for new slices once, within one budget that outlives the process; every refusal says why."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import RUN_KEY_TAG

from config.loading import load_settings
from config.settings import Paths, Settings
from monitoring.parameters import RetrainingParameters
from orchestration.drift_sensors import MONITORS, monitor_sensor
from orchestration.instance import open_instance
from orchestration.retraining import NEW_SLICES, Wish, ask, asked

SLICE = "20240808T235500Z-k0"
NAMES = tuple(MONITORS)
NOON = 1_723_000_000.0  # s UTC
HOUR = 3_600.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new Dagster home, made once: that takes a second."""
    var = tmp_path_factory.mktemp("var")
    with open_instance(Paths(var).dagster):
        return Paths(var).dagster


@pytest.fixture
def settings(tmp_path: Path, home: Path) -> Settings:
    shutil.copytree(home, Paths(tmp_path).dagster)
    return replace(load_settings("dev"), paths=Paths(tmp_path), retraining=RetrainingParameters(2 * HOUR, 2))


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings.paths.dagster) as opened:
        yield opened


def judge(
    instance: dg.DagsterInstance, name: str, reason: str, report: str = "cd", *, passed: bool | None = True
) -> None:
    """A report of a monitor in the event log, and its check unless ``passed`` is None."""
    monitor = MONITORS[name]
    facts = {
        "verdict": "drift" if reason else "stable",
        "said": "nothing to speak of",
        "retrain_reason": reason,
        "report_sha": report * 32,
        "champion_slice": SLICE,
    }
    instance.report_runless_asset_event(dg.AssetMaterialization(monitor.asset, metadata=facts))
    if passed is not None:
        key = dg.AssetKey(monitor.asset)
        checked = dg.AssetCheckEvaluation(asset_key=key, check_name=monitor.check, passed=passed, metadata={})
        instance.report_runless_asset_event(checked)


def tick(instance: dg.DagsterInstance, settings: Settings, name: str, now: float) -> list[dg.RunRequest] | str:
    """What the sensor asks for, or why it does not."""
    sensor = monitor_sensor(name, MONITORS[name], settings, lambda: now)
    with dg.build_sensor_context(instance) as context:
        answer = sensor(context)
    return str(answer.skip_message) if isinstance(answer, dg.SkipReason) else answer


def launch(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """The run that the daemon makes of a request."""

    @dg.op
    def nothing() -> None:
        return

    @dg.job
    def slices() -> None:
        nothing()

    instance.create_run_for_job(slices, tags={**request.tags, RUN_KEY_TAG: request.run_key}, status=status)


@pytest.mark.parametrize("name", NAMES)
def test_a_monitor_that_never_reported_starts_nothing(
    settings: Settings, instance: dg.DagsterInstance, name: str
) -> None:
    assert tick(instance, settings, name, NOON) == f"the asset {MONITORS[name].asset} was never made"


@pytest.mark.parametrize("name", NAMES)
def test_without_a_reason_the_sensor_says_what_was_found(
    settings: Settings, instance: dg.DagsterInstance, name: str
) -> None:
    judge(instance, name, "")
    assert tick(instance, settings, name, NOON) == f"{MONITORS[name].asset} says stable: nothing to speak of"


@pytest.mark.parametrize("name", NAMES)
def test_a_reason_asks_for_slices_of_the_symbol_and_is_on_the_run(
    settings: Settings, instance: dg.DagsterInstance, name: str
) -> None:
    judge(instance, name, "it drifted")
    [request] = tick(instance, settings, name, NOON)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == settings.live.symbol
    assert request.tags == {"retrain/cause": MONITORS[name].asset, "retrain/reason": "it drifted"}
    assert request.run_key == f"{MONITORS[name].asset}|{settings.live.symbol}|{SLICE}|cdcdcdcdcdcd"


def test_a_report_that_is_not_checked_or_did_not_pass_is_not_read(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    judge(instance, "feature_drift", "it drifted", passed=None)
    assert tick(instance, settings, "feature_drift", NOON) == "the newest drift has not been checked yet"
    judge(instance, "feature_drift", "it drifted", passed=False)
    said = tick(instance, settings, "feature_drift", NOON)
    assert said == "the newest drift did not pass its check every_feature_judged_once"
    judge(instance, "feature_drift", "it drifted", "ef", passed=None)
    assert "not been checked yet" in str(tick(instance, settings, "feature_drift", NOON))


def test_a_cause_cools_down_and_says_how_long_ago_it_asked(settings: Settings, instance: dg.DagsterInstance) -> None:
    judge(instance, "feature_drift", "3 features")
    tick(instance, settings, "feature_drift", NOON)
    judge(instance, "feature_drift", "4 features", "ef")
    said = tick(instance, settings, "feature_drift", NOON + HOUR)
    assert said == "4 features; the last request for drift is 3600 s old, the cooldown 7200 s"
    [later] = tick(instance, settings, "feature_drift", NOON + 2 * HOUR)
    assert isinstance(later, dg.RunRequest)


def test_all_causes_share_two_requests_a_day(settings: Settings, instance: dg.DagsterInstance) -> None:
    for name in NAMES:
        judge(instance, name, "it drifted")
    answers = [tick(instance, settings, name, NOON + 60 * place) for place, name in enumerate(NAMES)]
    assert [isinstance(answer, list) for answer in answers] == [True, True, False, False]
    assert "2 models were asked for within a day (" in str(answers[2])
    assert isinstance(tick(instance, settings, NAMES[2], NOON + 25 * HOUR), list)


def test_what_was_asked_for_outlives_the_process(settings: Settings) -> None:
    with open_instance(settings.paths.dagster) as before:
        judge(before, "feature_drift", "it drifted")
        [request] = tick(before, settings, "feature_drift", NOON)
        assert isinstance(request, dg.RunRequest)
    with open_instance(settings.paths.dagster) as after:
        [again] = tick(after, settings, "feature_drift", NOON + 60)  # the process ended before there was a run
        assert again == request
        assert len(asked(after)) == 1
        launch(after, request, dg.DagsterRunStatus.FAILURE)
    with open_instance(settings.paths.dagster) as last:
        said = tick(last, settings, "feature_drift", NOON + 48 * HOUR)
        assert "it drifted; asked for on 2024-08-07 03:06 UTC: run " in str(said)
        assert str(said).endswith(", failure")


def test_training_has_a_budget_of_its_own_and_the_newest_slices_first(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    wishes = [Wish(NEW_SLICES, f"new_slice|{name}", name, f"slice {name}") for name in ("k3", "k2", "k1")]
    judge(instance, "feature_drift", "it drifted")
    tick(instance, settings, "feature_drift", NOON)
    answer = ask(instance, settings, wishes, lambda: NOON)
    assert [request.partition_key for request in answer.granted] == ["k3", "k2"]
    assert answer.refused == ["slice k1; 2 models were asked for within a day (new_slices, new_slices), 2 allowed"]
    for request in answer.granted:
        launch(instance, request, dg.DagsterRunStatus.SUCCESS)
    [third] = ask(instance, settings, wishes, lambda: NOON + 25 * HOUR).granted
    assert third.partition_key == "k1"


def test_requests_stand_in_the_event_log_with_their_reason(settings: Settings, instance: dg.DagsterInstance) -> None:
    judge(instance, "decayed_ir", "half is gone")
    tick(instance, settings, "decayed_ir", NOON)
    [record] = instance.fetch_observations(dg.AssetKey("retraining"), limit=5).records
    facts = {name: entry.value for name, entry in record.asset_observation.metadata.items()}
    assert (facts["cause"], facts["reason"], facts["at"]) == ("ir_decay", "half is gone", NOON)
