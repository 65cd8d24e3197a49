"""The loop closes: a market turns, and without a hand the runner answers with a model that has seen it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.live_deployment import bundle_of
from orchestration.instance import open_instance
from orchestration.running import run_chain
from orchestration.tapes import SYNTHETIC
from storage.registry import CHAMPION, Registry
from tests.builders_chain import tiny_settings
from tests.builders_cycle import PLANTED, TOKEN, Daemon, followed, running, serving, turned
from tests.builders_runner import KEY

pytestmark = pytest.mark.acceptance


def test_a_market_that_turns_is_learnt_anew_and_the_new_model_answers_without_a_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLOOP_DEPLOY_TOKEN", TOKEN)
    monkeypatch.setenv("TICKLOOP_DEPLOY_KEY", KEY.decode())
    before = tiny_settings(tmp_path / "var")
    with open_instance(before.paths.dagster) as instance:
        run_chain(before, instance, lambda line: None)
    settings, registry = turned(before), Registry(before.paths.mlflow)
    model = settings.registry.model_of(SYNTHETIC)
    first = registry.aliased(model, CHAMPION)
    assert first is not None
    followed(settings, bundle_of(registry, first, tmp_path), first.bundle_sha)
    with open_instance(settings.paths.dagster) as instance, serving(settings) as url:
        live = replace(settings, live=replace(settings.live, runner_url=url))
        daemon = Daemon(live, instance)
        daemon.settle()
        assert running(url) == first.bundle_sha
        assert "never made" in daemon.said["feature_drift"]
        daemon.strike(datetime(2024, 8, 10, 0, 10, tzinfo=UTC), "daily_data")
        daemon.strike(datetime(2024, 8, 10, 0, 30, tzinfo=UTC), "monitors")
        daemon.settle()
        second = registry.aliased(model, CHAMPION)
        assert second is not None
        assert running(url) == second.bundle_sha != first.bundle_sha
        [asked] = instance.get_runs(dg.RunsFilter(job_name="slices", tags={"retrain/cause": "drift"}))
    assert daemon.ran[-6:] == ["data", "monitoring", "slices", "training", "registry", "deployment"]
    assert PLANTED in asked.tags["retrain/reason"]
    approval = registry.ledger.newest(model, CHAMPION)
    assert approval is not None
    assert (approval.from_version, approval.to_version) == (first.version, second.version)
    assert approval.reason.startswith("demo approval, gates: ")
