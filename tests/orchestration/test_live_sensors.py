"""An approval deploys, a finished segment is imported, a drift verdict asks for a model; each says why, or why not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from assets.registered_model import model_name
from config.loading import load_settings
from config.settings import Paths, Settings
from orchestration.definitions import build_definitions
from orchestration.instance import open_instance
from orchestration.live_sensors import feature_drift, finished_journal, new_approval, new_challenger
from storage.journal_writer import JournalWriter
from storage.promotions import Promotion
from storage.registry import Registry

SLICE = "20240808T235500Z-k0"


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


def test_without_an_approval_nothing_is_deployed(settings: Settings) -> None:
    skipped = new_approval(settings)(registry=_registry(settings))
    assert "names no champion of tickloop-binance-coinm-btcusd_perp" in skipped.skip_message


def test_each_line_of_the_ledger_deploys_once(settings: Settings) -> None:
    keys = []
    for when in ("2024-08-09T00:00:00+00:00", "2024-08-09T00:00:00+00:00", "2024-08-10T00:00:00+00:00"):
        if when not in "".join(keys):
            _approve(settings, when)
        [request] = new_approval(settings)(registry=_registry(settings))
        assert request.tags["deploy/reason"] == "because"
        keys.append(request.run_key)
    assert keys[0] == keys[1] != keys[2]
    assert "abababababab" in keys[0]


@pytest.mark.usefixtures("instance")  # a job is resolved against the newest instance, which must not be gone
def test_an_approved_challenger_is_deployed_as_one_where_it_has_a_desk(settings: Settings) -> None:
    with_desk = replace(settings, live=replace(settings.live, challenger=True))
    job = build_definitions(with_desk).resolve_job_def("deployment")
    assert "live.challenger is off" in new_challenger(settings)(registry=_registry(settings)).skip_message
    assert "names no challenger" in new_challenger(with_desk)(registry=_registry(settings)).skip_message
    _approve(settings, "2024-08-09T00:00:00+00:00", alias="challenger")
    [request] = new_challenger(with_desk)(registry=_registry(settings))
    asked = request.run_config["ops"]["live_deployment"]["config"]
    assert asked == {"symbol": settings.live.symbol, "role": "challenger"}
    assert dg.validate_run_config(job, request.run_config)
    assert "names no champion" in new_approval(settings)(registry=_registry(settings)).skip_message


def test_every_symbol_of_the_floor_is_served_once_it_is_approved(settings: Settings) -> None:
    names = ("binance-coinm-btcusd_perp", "binance-usdm-btcusdt", "binance-spot-btcusdt")
    floor = replace(settings, live=replace(settings.live, symbols=names, challenger=True))
    for sensor, alias in ((new_approval, "champion"), (new_challenger, "challenger")):
        said = sensor(floor)(registry=_registry(floor)).skip_message
        assert all(name in said for name in names)
        for name in names[1:]:
            _approve(floor, "2024-08-09T00:00:00+00:00", alias=alias, symbol=name)
        requests = sensor(floor)(registry=_registry(floor))
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


def _judge(instance: dg.DagsterInstance, verdict: str, reason: str, report: str = "cd") -> None:
    facts = {
        "verdict": verdict,
        "retrain_reason": reason,
        "worst_feature": "delay_ms",
        "worst_shift": 0.3,
        "feature_shift_ks": 0.5,
        "judged": 12,
        "report_sha": report * 32,
        "champion_slice": SLICE,
        "newest_slice": SLICE,
    }
    instance.report_runless_asset_event(dg.AssetMaterialization("drift", metadata=facts))


def test_drift_that_nobody_judged_starts_nothing(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert "never made" in feature_drift(settings)(dg.build_sensor_context(instance)).skip_message


@pytest.mark.parametrize("verdict", ["stable", "insufficient"])
def test_without_a_reason_the_sensor_says_what_was_found(
    settings: Settings, instance: dg.DagsterInstance, verdict: str
) -> None:
    _judge(instance, verdict, "")
    said = feature_drift(settings)(dg.build_sensor_context(instance)).skip_message
    assert said == f"verdict {verdict}, 12 features judged; farthest delay_ms by 0.300, raw KS 0.500"


def test_drift_asks_for_a_model_once_and_then_cools_down(settings: Settings, instance: dg.DagsterInstance) -> None:
    sensor = feature_drift(settings)
    _judge(instance, "drift", "3 of 12 features drifted")
    context = dg.build_sensor_context(instance)
    request = sensor(context)
    assert request.tags["retrain/reason"] == "3 of 12 features drifted"
    assert request.partition_key == f"{SLICE}|{settings.live.symbol}"
    _judge(instance, "drift", "4 of 12 features drifted", "ef")
    assert sensor(context).skip_message == "4 of 12 features drifted; the last request is under 3600 s old"
    later = replace(settings, drift=replace(settings.drift, cooldown_s=0.0))
    assert feature_drift(later)(context).run_key != request.run_key
