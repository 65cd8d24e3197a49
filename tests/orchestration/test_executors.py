"""Where the steps of a run work: by what the profile names, and for true on a Dask cluster of two workers."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository

from assets.partitions import Part, day_key, symbols
from assets.tables import passed
from config.loading import load_settings
from config.orchestration import ExecutorKind, OrchestrationSettings
from config.settings import Settings
from market.errors import ConfigError
from orchestration.definitions import build_definitions
from orchestration.executors import executor_of
from orchestration.instance import open_instance
from orchestration.live_processes import settings_file
from storage.lake import Lake
from tests.builders_chain import DAYS, tiny_settings

MADE = ("raw_ticks", "aligned_events")
LOCATION = """\
from config.loading import load_settings
from orchestration.definitions import build_definitions

defs = build_definitions(load_settings())
"""


def running_on(executor: ExecutorKind, **others: object) -> OrchestrationSettings:
    return replace(load_settings("dev").orchestration, executor=executor, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["in_process", "multiprocess", "dask", "k8s"])
def test_each_executor_is_the_one_named_and_is_told_how_many_at_a_time(kind: ExecutorKind) -> None:
    found = executor_of(running_on(kind, workers=3))
    assert found.name == kind
    if kind != "in_process":
        assert "3" in str(found.config_schema.resolve_config({}).value)  # type: ignore[union-attr]


def test_a_cluster_of_ones_own_is_asked_at_its_address() -> None:
    found = executor_of(running_on("dask", dask_address="tls://scheduler:8786"))
    assert "tls://scheduler:8786" in str(found.config_schema.resolve_config({}).value)  # type: ignore[union-attr]


@pytest.mark.parametrize(("wrong", "line"), [({"workers": 0}, "workers=0"), ({"dask_address": "host"}, "dask_address")])
def test_what_no_executor_can_take_is_one_line(wrong: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        running_on("dask", **wrong)


@pytest.fixture
def own_clusters() -> Iterator[None]:
    """Ends what a Dask cluster of this process leaves behind; elsewhere the run's process ends, and that with it."""
    from distributed.deploy.spec import close_clusters

    yield
    close_clusters()
    assert [child for child in multiprocessing.active_children() if "Dask" in child.name] == []


def on_two_dask_workers(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ReconstructableJob:
    """The data job as a worker finds it: by a file, under settings that name a cluster of this machine."""
    chosen = replace(settings, orchestration=running_on("dask", workers=2))
    settings_file(chosen, folder / "settings.yaml")
    monkeypatch.setenv("TICKLOOP_CONFIG", str(folder / "settings.yaml"))
    monkeypatch.setenv("TICKLOOP_VAR", str(settings.paths.var))
    (folder / "location.py").write_text(LOCATION)
    found = ReconstructableRepository.for_file(str(folder / "location.py"), "defs", str(Path.cwd()))
    return found.get_reconstructable_job("data")


@pytest.mark.usefixtures("own_clusters")
def test_events_are_made_by_a_dask_cluster_of_two_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny_settings(tmp_path / "var")
    part = Part(settings.data.symbols[0], DAYS[0])
    job = on_two_dask_workers(settings, tmp_path, monkeypatch)
    partitions = build_definitions(settings).resolve_job_def("data").partitions_def
    assert partitions is not None
    with open_instance(settings.paths.dagster) as instance:
        instance.add_dynamic_partitions(symbols.name, [part.symbol])
        with dg.execute_job(
            job,
            instance,
            asset_selection=[dg.AssetKey(name) for name in MADE],
            tags=partitions.get_tags_for_partition_key(day_key(part)),
        ) as result:
            done = {event.step_key: event.pid for event in result.all_events if event.is_step_success}
    assert result.success
    assert set(done) == {*MADE, *(f"{name}_hold" for name in MADE)}
    assert os.getpid() not in done.values()
    assert all(passed(Lake(settings.paths.lake), name, part) for name in MADE)
