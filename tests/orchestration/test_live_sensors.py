"""An approval deploys, a finished segment is imported; each says why, or why not."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import RUN_KEY_TAG

from assets.registered_model import model_name
from config.loading import load_settings
from config.settings import Paths, Settings
from orchestration.definitions import build_definitions
from orchestration.instance import open_instance
from orchestration.live_sensors import finished_journal, new_approval, new_challenger
from storage.journal_writer import JournalWriter
from storage.promotions import Promotion
from storage.registry import Registry


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(load_settings("dev"), paths=Paths(tmp_path))


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings.paths.dagster) as opened:
        yield opened


def _registry(settings: Settings) -> Registry:
    return Registry(settings.paths.mlflow)


def _written(folder: Path) -> JournalWriter:
    writer = JournalWriter(folder, {}, 1_000_000)
    writer.frame(1, 0, b"{}")
    writer.flush()
    return writer


def _approve(
    settings: Settings, when: str, sha: str = "ab" * 32, alias: str = "champion", symbol: str | None = None
) -> None:
    name = model_name(settings, symbol or settings.live.symbol)
    approval = Promotion(when, "tester", name, alias, None, "1", sha, {}, "because")
    _registry(settings).ledger.append(approval)


def _tick(
    instance: dg.DagsterInstance,
    settings: Settings,
    sensor: Callable[..., dg.SensorDefinition] = new_approval,
    clock: Callable[[], float] = time.time,
) -> list[dg.RunRequest] | str:
    """What the sensor asks for, or why it does not."""
    with dg.build_sensor_context(instance) as context:
        answer = sensor(settings, clock)(context, registry=_registry(settings))
    return str(answer.skip_message) if isinstance(answer, dg.SkipReason) else answer


def _launch(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """The run that the daemon makes of a request."""

    @dg.op
    def nothing() -> None:
        return

    @dg.job
    def deployment() -> None:
        nothing()

    instance.create_run_for_job(deployment, tags={**request.tags, RUN_KEY_TAG: str(request.run_key)}, status=status)


def test_without_an_approval_nothing_is_deployed(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert "names no champion of tickloop-binance-coinm-btcusd_perp" in str(_tick(instance, settings))


def test_a_deployment_that_failed_is_asked_for_again_and_one_that_ran_is_not(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    _approve(settings, "2024-08-09T00:00:00+00:00")
    [first] = _tick(instance, settings)
    assert isinstance(first, dg.RunRequest)
    _launch(instance, first, dg.DagsterRunStatus.FAILURE)
    assert "failed, the next one 600 s after it" in str(_tick(instance, settings))
    [second] = _tick(instance, settings, clock=lambda: time.time() + 601)
    assert isinstance(second, dg.RunRequest)
    assert (second.run_key, second.run_config, second.tags) == (f"{first.run_key}|2", first.run_config, first.tags)
    _launch(instance, second, dg.DagsterRunStatus.FAILURE)
    assert "failed, the next one 1200 s after it" in str(_tick(instance, settings, clock=lambda: time.time() + 1_100))
    [third] = _tick(instance, settings, clock=lambda: time.time() + 1_300)
    assert isinstance(third, dg.RunRequest)
    _launch(instance, third, dg.DagsterRunStatus.SUCCESS)
    assert str(_tick(instance, settings, clock=lambda: time.time() + 1e6)).endswith(", success")


def test_each_line_of_the_ledger_deploys_once(settings: Settings, instance: dg.DagsterInstance) -> None:
    keys = []
    for when in ("2024-08-09T00:00:00+00:00", "2024-08-09T00:00:00+00:00", "2024-08-10T00:00:00+00:00"):
        if when not in "".join(keys):
            _approve(settings, when)
        [request] = _tick(instance, settings)
        assert isinstance(request, dg.RunRequest)
        assert request.tags["deploy/reason"] == "because"
        keys.append(request.run_key)
    assert keys[0] == keys[1] != keys[2]
    assert "abababababab" in keys[0]


def test_an_approved_challenger_is_deployed_as_one_where_it_has_a_desk(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    with_desk = replace(settings, live=replace(settings.live, challenger=True))
    job = build_definitions(with_desk).resolve_job_def("deployment")
    assert "live.challenger is off" in str(_tick(instance, settings, new_challenger))
    assert "names no challenger" in str(_tick(instance, with_desk, new_challenger))
    _approve(settings, "2024-08-09T00:00:00+00:00", alias="challenger")
    [request] = _tick(instance, with_desk, new_challenger)
    assert isinstance(request, dg.RunRequest)
    asked = request.run_config["ops"]["live_deployment"]["config"]
    assert asked == {"symbol": settings.live.symbol, "role": "challenger"}
    assert dg.validate_run_config(job, request.run_config)
    assert "names no champion" in str(_tick(instance, settings))


def test_every_symbol_of_the_floor_is_served_once_it_is_approved(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    names = ("binance-coinm-btcusd_perp", "binance-usdm-btcusdt", "binance-spot-btcusdt")
    floor = replace(settings, live=replace(settings.live, symbols=names, challenger=True))
    for sensor, alias in ((new_approval, "champion"), (new_challenger, "challenger")):
        said = str(_tick(instance, floor, sensor))
        assert all(name in said for name in names)
        for name in names[1:]:
            _approve(floor, "2024-08-09T00:00:00+00:00", alias=alias, symbol=name)
        requests = _tick(instance, floor, sensor)
        assert not isinstance(requests, str)
        asked = [request.run_config["ops"]["live_deployment"]["config"] for request in requests]
        assert asked == [{"symbol": name, "role": alias} for name in names[1:]]
        assert len({request.run_key for request in requests}) == 2


def test_a_journal_is_imported_when_a_segment_of_it_is_finished(settings: Settings) -> None:
    sensor, folder = finished_journal(settings), settings.paths.journal(settings.live.symbol)
    assert "no finished segment" in sensor().skip_message
    writer = _written(folder)
    assert "no finished segment" in sensor().skip_message
    writer.close()
    first, second = (sensor().run_key for _ in range(2))
    assert first == second
    _written(folder).close()
    assert sensor().run_key != first
