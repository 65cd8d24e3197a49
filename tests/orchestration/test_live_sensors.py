"""An approval deploys, a finished segment is imported; each says why, or why not."""

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
