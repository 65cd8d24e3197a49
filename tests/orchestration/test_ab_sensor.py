"""What a day's A/B asks for: harm bars the challenger once, a winner is put on the page once, else a sentence."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import RUN_KEY_TAG

from assets.partitions import WHOLE
from config.loading import load_settings
from config.settings import Paths, Settings
from market.schema import schema_sha
from monitoring.ab import HARM
from orchestration.ab_sensor import AB, MOST_ATTEMPTS, decided_contest, harmful_challenger
from orchestration.attempts import LONGEST_WAIT_S, wait_s
from orchestration.instance import open_instance
from orchestration.schedules import daily_ab
from storage.lake import Lake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    dev = load_settings("dev")
    return replace(dev, paths=Paths(tmp_path), live=replace(dev.live, challenger=True))


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings.paths.dagster) as opened:
        yield opened


def report(instance: dg.DagsterInstance, verdict: str, said: str, report: str = "cd") -> None:
    shas = {"champion_sha": "aa" * 32, "challenger_sha": "bb" * 32, "report_sha": report * 32}
    facts = {"verdict": verdict, "said": said, **shas}
    instance.report_runless_asset_event(dg.AssetMaterialization(AB.asset, metadata=facts))
    checked = dg.AssetCheckEvaluation(asset_key=dg.AssetKey(AB.asset), check_name=AB.check, passed=True, metadata={})
    instance.report_runless_asset_event(checked)


def tick(
    instance: dg.DagsterInstance,
    settings: Settings,
    sensor: Callable[..., dg.SensorDefinition] = harmful_challenger,
    clock: Callable[[], float] = time.time,
) -> dg.RunRequest | str:
    with dg.build_sensor_context(instance) as context:
        answer = sensor(settings, clock)(context)
    if isinstance(answer, dg.SkipReason):
        return str(answer.skip_message)
    [request] = answer
    assert isinstance(request, dg.RunRequest)
    return request


def after(seconds: float) -> Callable[[], float]:
    """A clock that is ahead."""
    return lambda: time.time() + seconds


def launch(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus, job: str) -> None:
    """The run that the daemon makes of a request."""

    @dg.op
    def nothing() -> None:
        return

    @dg.job(name=job)
    def asked() -> None:
        nothing()

    instance.create_run_for_job(asked, tags={**request.tags, RUN_KEY_TAG: str(request.run_key)}, status=status)


def test_only_harm_asks_for_anything(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert tick(instance, settings) == "the asset ab_test was never made"
    report(instance, "challenger", "challenger: its Sharpe ratio is higher.")
    assert tick(instance, settings) == "ab_test says challenger: its Sharpe ratio is higher."
    report(instance, HARM, "stopped for harm: by the end of day 3.")
    request = tick(instance, settings)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == f"harm|{settings.live.symbol}|bbbbbbbbbbbb|cdcdcdcdcdcd"
    assert request.tags == {"harm/reason": "stopped for harm: by the end of day 3."}


def test_a_winner_is_put_on_the_page_once_however_many_days_it_goes_on_winning(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    assert tick(instance, settings, decided_contest) == "the asset ab_test was never made"
    for verdict in ("not told apart", "insufficient", HARM):
        report(instance, verdict, f"{verdict}: so far.")
        assert tick(instance, settings, decided_contest) == f"ab_test says {verdict}: so far."
    keys = list[str]()
    for verdict, sha in (("challenger", "cd"), ("challenger", "ef"), ("champion", "ab")):
        report(instance, verdict, f"{verdict}: better.", sha)
        request = tick(instance, settings, decided_contest)
        assert isinstance(request, dg.RunRequest)
        assert request.tags == {"contest/reason": f"{verdict}: better."}
        keys.append(str(request.run_key))
    assert keys[0] == keys[1] == f"contest|{settings.live.symbol}|aaaaaaaaaaaa|bbbbbbbbbbbb|challenger"
    assert keys[2].endswith("|champion")


def keys_of_failures(
    instance: dg.DagsterInstance, settings: Settings, sensor: Callable[..., dg.SensorDefinition], job: str, count: int
) -> list[str]:
    """Run keys of so many requests, each made as soon as it may be after the one before has failed."""
    later, keys = 0.0, list[str]()
    for number in range(1, count + 1):
        request = tick(instance, settings, sensor, after(later))
        assert isinstance(request, dg.RunRequest), request
        keys.append(str(request.run_key))
        launch(instance, request, dg.DagsterRunStatus.FAILURE, job)
        if number < count:
            assert f"failed, the next one {wait_s(number):.0f} s after it" in str(tick(instance, settings, sensor))
        later = wait_s(number) + 1
    return keys


def test_a_page_that_failed_is_asked_for_again_so_often_and_no_more(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    report(instance, "challenger", "so far.")
    keys = keys_of_failures(instance, settings, decided_contest, "registry", MOST_ATTEMPTS)
    assert keys == [keys[0], *(f"{keys[0]}|{number}" for number in range(2, MOST_ATTEMPTS + 1))]
    said = str(tick(instance, settings, decided_contest, after(1e7)))
    assert said == f"{keys[0]}: {MOST_ATTEMPTS} runs failed, no other is asked for; run the job registry by hand"


def test_a_bar_is_asked_for_until_it_is_there_a_day_apart_at_most(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    report(instance, HARM, "so far.")
    failed = 2 * MOST_ATTEMPTS
    keys = keys_of_failures(instance, settings, harmful_challenger, "harm", failed)
    assert len(set(keys)) == failed
    assert isinstance(tick(instance, settings, harmful_challenger, after(LONGEST_WAIT_S + 1)), dg.RunRequest)


def test_what_ran_is_not_asked_for_again(settings: Settings, instance: dg.DagsterInstance) -> None:
    report(instance, HARM, "so far.")
    for number, status in ((1, dg.DagsterRunStatus.FAILURE), (2, dg.DagsterRunStatus.SUCCESS)):
        request = tick(instance, settings, clock=after(601))
        assert isinstance(request, dg.RunRequest)
        assert (number, request.tags) == (number, {"harm/reason": "so far."})
        launch(instance, request, status, "harm")
    assert str(tick(instance, settings, clock=after(1e7))).endswith(", success")


def test_a_day_without_two_models_is_skipped_and_says_what_is_missing(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    lake, four = Lake(settings.paths.lake), datetime(2024, 8, 9, 4, tzinfo=UTC)
    off = replace(settings, live=replace(settings.live, challenger=False))

    def ask(settings: Settings) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(instance, scheduled_execution_time=four, resources={"lake": lake}) as context:
            found: dg.RunRequest | dg.SkipReason = daily_ab(settings)(context)
        return found

    assert "live.challenger is off" in str(ask(off))
    assert "no live_journal" in str(ask(settings))
    for challenger, word in (
        ("", "does not hold a model at both desks"),
        ("bb", f"ab|2024-08-09|{settings.live.symbol}"),
    ):
        frame, facts = pl.DataFrame({"x": [1]}), {"running_sha": "aa", "challenger_sha": challenger}
        lake.write(
            "live_journal", settings.live.symbol, WHOLE, frame, schema_sha=schema_sha(frame.schema), metadata=facts
        )
        lake.set_verdict("live_journal", settings.live.symbol, WHOLE, True, {})
        assert word in str(ask(settings))
