"""The registry is created whole, keeps runs and versions, and moves aliases by way of the ledger."""

import multiprocessing
import os
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from market.errors import RegistryError
from storage.promotions import Promotion
from storage.registry import CHAMPION, Registry, RunRecord, create_database

TAGS = {"slice": "20240808T235500Z-k0", "catalogue_sha": "c" * 64, "config_sha": "f" * 64, "data_sha": "d" * 64}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("mlflow"))


def recorded(registry: Registry, folder: Path, tags: dict[str, str] = TAGS) -> str:
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    run = RunRecord("cnn", {f"p{i}": i for i in range(150)}, {"val/nll": 0.5}, tags, {"bundle": bundle})
    return registry.record("slices", run)


def promotion(version: str, sha: str) -> Promotion:
    return Promotion("2024-08-09T00:00:00+00:00", "tester", "coin", CHAMPION, None, version, sha, {}, "test")


def test_a_run_keeps_parameters_metrics_tags_and_files(registry: Registry, tmp_path: Path) -> None:
    run_id = recorded(registry, tmp_path)
    run = registry.client.get_run(run_id)
    assert len(run.data.params) == 150
    assert run.data.metrics == {"val/nll": 0.5}
    assert TAGS.items() <= run.data.tags.items()
    assert [item.path for item in registry.client.list_artifacts(run_id, "bundle")] == ["bundle/manifest.json"]
    assert registry.find_run("slices", TAGS) == run_id
    assert registry.find_run("slices", {"slice": "another"}) is None


def test_an_experiment_opens_as_a_table_of_trained_models(registry: Registry) -> None:
    run_id = registry.record("opened", RunRecord("cnn", {}, {"val/nll": 0.5}, TAGS))
    experiment = registry.client.get_experiment(registry.client.get_run(run_id).info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_keeps_its_curves_step_by_step(registry: Registry) -> None:
    curves = {f"fit/val_nll/member{member}": [float(step + member) for step in range(130)] for member in range(2)}
    run_id = registry.record("curves", RunRecord("cnn", {}, {"fit/total_seconds": 2.0}, TAGS, curves=curves))
    for key, line in curves.items():
        found = registry.client.get_metric_history(run_id, key)
        assert [(metric.step, metric.value) for metric in found] == list(enumerate(line))
    assert registry.client.get_run(run_id).data.metrics["fit/val_nll/member1"] == 130.0


def test_an_equal_bundle_keeps_its_version(registry: Registry, tmp_path: Path) -> None:
    run_id = recorded(registry, tmp_path)
    first = registry.register("twice", run_id, "aa", TAGS)
    assert registry.register("twice", run_id, "aa", TAGS) == first
    assert registry.register("twice", run_id, "bb", TAGS).version == "2"
    assert [version.bundle_sha for version in registry.versions("twice")] == ["bb", "aa"]


def test_a_promotion_moves_the_alias_and_stands_in_the_ledger(registry: Registry, tmp_path: Path) -> None:
    version = registry.register("coin", recorded(registry, tmp_path), "aa", TAGS)
    assert registry.aliased("coin", CHAMPION) is None
    assert registry.promote(promotion(version.version, "aa"))
    assert registry.aliased("coin", CHAMPION) == version
    assert registry.ledger.approves("aa", "coin")


def test_a_repeated_promotion_adds_no_line_but_repairs_the_alias(registry: Registry, tmp_path: Path) -> None:
    version = registry.register("again", recorded(registry, tmp_path), "cc", TAGS)
    entry = Promotion("2024-08-09T00:00:00+00:00", "tester", "again", CHAMPION, None, version.version, "cc", {}, "test")
    registry.ledger.append(entry)
    before = len(registry.ledger.promotions())
    assert not registry.promote(entry)
    assert registry.aliased("again", CHAMPION) == version
    assert len(registry.ledger.promotions()) == before


def test_a_version_of_the_same_number_is_another_if_its_bundle_is(registry: Registry, tmp_path: Path) -> None:
    """As after a database that was lost and made anew beside the ledger."""
    version = registry.register("anew", recorded(registry, tmp_path), "ee", TAGS)
    lost = replace(promotion(version.version, "dd"), model="anew")
    registry.ledger.append(lost)
    assert registry.promote(replace(lost, bundle_sha="ee"))
    assert registry.ledger.approves("ee", "anew")


def test_a_run_that_was_killed_is_not_left_running(registry: Registry) -> None:
    experiment = registry.client.create_experiment("killed")
    run_id = registry.client.create_run(experiment).info.run_id
    assert registry.end_interrupted_runs("killed") == 1
    assert registry.client.get_run(run_id).info.status == "KILLED"


def test_an_unknown_run_is_one_clear_line(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="cannot register nothing") as caught:
        registry.register("nothing", "0" * 32, "aa", {})
    assert "\n" not in str(caught.value)


def test_a_kill_during_the_first_migration_ruins_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    context = multiprocessing.get_context("spawn")
    creator = context.Process(target=create_database, args=(path,))
    creator.start()
    deadline = time.monotonic() + 60
    half_made = tmp_path / ".mlflow.db.tmp"
    while not (half_made.exists() and half_made.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert creator.pid is not None
    os.kill(creator.pid, signal.SIGKILL)
    creator.join(60)
    assert half_made.exists()
    assert not path.exists()
    assert Registry(tmp_path).versions("coin") == []
    assert not half_made.exists()


def test_two_processes_create_one_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    creators = [context.Process(target=create_database, args=(tmp_path / "mlflow.db",)) for _ in range(2)]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join(120)
    assert [creator.exitcode for creator in creators] == [0, 0]
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("select count(*) from alembic_version").fetchone() == (1,)
