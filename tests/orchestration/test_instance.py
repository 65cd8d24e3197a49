"""Dagster's home appears whole, has one driver, and forgets nobody's half-started run."""

from pathlib import Path

import dagster as dg
import pytest

from market.errors import TickloopError
from orchestration.instance import CHAIN_TAG, end_interrupted_runs, open_instance, sole_driver


@dg.job
def nothing() -> None:
    """A job without steps."""


def test_a_new_home_is_created_whole_and_sends_no_telemetry(tmp_path: Path) -> None:
    home = tmp_path / "var" / "dagster"
    (tmp_path / "var" / ".dagster.tmp" / "history").mkdir(parents=True)
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == [".dagster.lock", "dagster"]


def test_settings_that_a_person_changed_stay(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    with open_instance(home):
        pass
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with open_instance(home) as instance:
        assert not instance.telemetry_enabled
    assert "nux" not in (home / "dagster.yaml").read_text()


def test_only_one_process_drives_the_chain(tmp_path: Path) -> None:
    with sole_driver(tmp_path), pytest.raises(TickloopError, match="another process"), sole_driver(tmp_path):
        pass
    with sole_driver(tmp_path):
        pass


def test_a_run_whose_driver_died_is_reported_as_failed(tmp_path: Path) -> None:
    with open_instance(tmp_path / "dagster") as instance:
        mine = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags={CHAIN_TAG: "yes"})
        other = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
        assert end_interrupted_runs(instance) == 1
        statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {mine.run_id: dg.DagsterRunStatus.FAILURE, other.run_id: dg.DagsterRunStatus.STARTED}
