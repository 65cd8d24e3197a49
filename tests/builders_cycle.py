"""The loop without a hand: a market that turns, a runner that follows it and serves its page, and Dagster's daemon."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
import httpx
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.tags import RUN_KEY_TAG

from assets.resources import resources_of
from config.settings import Settings
from live.api import Access, api
from live.floor import Floor
from live.pages import page_server
from live.plan import MODEL_DESK, plan_of, strategy_of
from live.rollout import Rollout
from live.runner import Runner
from market.simulator import Turn, synthetic_capture
from market.sources.capture import split_line
from orchestration.definitions import build_definitions
from orchestration.progress import step_logger
from orchestration.tapes import SEED, SYNTHETIC, write_days
from storage.journal import MODEL, Record
from storage.registry import Registry
from tests.builders_chain import BEFORE_S, MIDNIGHT
from tests.builders_processes import until
from tests.builders_runner import KEY, ROW, HandClock, close_all, drive, new_runner

TOKEN: Final = "deploy token"
TAPE_S: Final = 72.0  # the chain's minute, and the seconds after it
TURN: Final = Turn(after_s=60.0, buyers=0.98)
PLANTED: Final = "trade_sign_50ms"  # what hardly anybody but buyers shows in
SLOW: Final = {"drift_page"}  # Evidently, which no sensor reads
START: Final = MIDNIGHT - BEFORE_S * 1_000_000_000


def turned(settings: Settings) -> Settings:
    """The settings after the market has turned: the second day's capture is longer, and four seconds are a window."""
    lines = synthetic_capture(settings.instrument(SYNTHETIC), SEED, START, TAPE_S, TURN)
    write_days(lines, Path(str(settings.data.sources[SYNTHETIC])))
    rules = replace(settings.drift, window_s=4.0, min_shift=0.45, min_judged=0.1)
    off = replace(settings.warehouse, enabled=False)  # one folder of it a process, and the chain has had its own
    return replace(settings, drift=rules, live=replace(settings.live, symbol=SYNTHETIC), warehouse=off)


def followed(settings: Settings, bundle: Path, sha: str) -> None:
    """The journal of a runner that has followed the whole tape with a model, and has ended."""
    bundles = settings.paths.live_bundles(SYNTHETIC)
    bundles.mkdir(parents=True)
    bundle.rename(bundles / sha)
    runner = _runner(settings, HandClock(START))
    runner.desks[MODEL_DESK].deploy(strategy_of(runner.plan, bundles / sha), sha)
    runner.on_connection(True, START)
    runner.journal.append(Record(MODEL, MODEL_DESK, START, sha.encode()))
    drive(runner, map(split_line, synthetic_capture(runner.plan.instrument, SEED, START, TAPE_S, TURN)))
    close_all(runner)
    runner.close()


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Address of the page of the runner that goes on from the journal; its rows close, and it takes models."""
    listener, stop = socket.create_server(("127.0.0.1", 0)), threading.Event()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, _serve(settings, listener, stop))
        try:
            until(lambda: served.done() or _answers(url))
            yield url
        finally:
            stop.set()
            served.result()


def running(url: str) -> str:
    """The sha that the runner's page names for the model's desk."""
    found: str = (
        httpx.get(f"{url}/status", timeout=60).raise_for_status().json()["symbols"][0]["desks"][0]["bundle_sha"]
    )
    return found


class Daemon:
    """What Dagster's daemon does: asks, and runs what it is asked for, each run key once; nothing else starts a run."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance = (
            build_definitions(settings, {"steps": step_logger(lambda line: None)}),
            instance,
        )
        self.repository, self.resources = self.definitions.get_repository_def(), resources_of(settings)
        self.said: dict[str, str] = {}  # newest skip message, by sensor
        self.ran: list[str] = []  # jobs, in order

    def strike(self, when: datetime, schedule: str) -> None:
        """Let a schedule ask at its hour."""
        definition = self.repository.get_schedule_def(schedule)
        with (
            dg.build_schedule_context(
                self.instance, when, repository_def=self.repository, resources=self.resources
            ) as context,
            partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            answer = definition.evaluate_tick(context)
        self._run(definition.job_name, answer)

    def settle(self) -> None:
        """Let every sensor ask until none has anything new."""
        while sum(self._tick(sensor) for sensor in self.repository.sensor_defs if sensor.has_jobs):
            pass

    def _tick(self, sensor: dg.SensorDefinition) -> int:
        with (
            dg.build_sensor_context(self.instance, repository_def=self.repository, resources=self.resources) as context,
            partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            answer = sensor.evaluate_tick(context)
        if answer.skip_message:
            self.said[sensor.name] = answer.skip_message
        return self._run(sensor.job_name, answer)

    def _run(self, job: str, answer: Any) -> int:
        new = [one for one in answer.run_requests or () if not self._known(one)]
        for request in new:
            self._launch(job, request)
        return len(new)

    def _known(self, request: dg.RunRequest) -> bool:
        return bool(self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: str(request.run_key)}), limit=1))

    def _launch(self, name: str, request: dg.RunRequest) -> None:
        job = self.definitions.resolve_job_def(name)
        chosen = [key for key in job.asset_layer.selected_asset_keys if key.to_user_string() not in SLOW]
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            run_config={**(request.run_config or {}), "loggers": {"steps": {}}},
            asset_selection=sorted(chosen),
            tags={**request.tags, RUN_KEY_TAG: str(request.run_key)},
        )
        assert result.success
        self.ran.append(name)


def _runner(settings: Settings, clock: HandClock) -> Runner:
    plan = plan_of(settings, SYNTHETIC, START)
    return new_runner(settings.paths.journal(SYNTHETIC).parent, clock, plan)


async def _serve(settings: Settings, listener: socket.socket, stop: threading.Event) -> None:
    """Serve, and close row after row on a market that stands still."""
    clock = HandClock(START + round(TAPE_S * 1e9))
    runner = _runner(settings, clock)
    floor, registry = Floor([runner]), Registry(settings.paths.mlflow)
    bundles, name = settings.paths.live_bundles(SYNTHETIC), settings.registry.model_of(SYNTHETIC)
    rollout = Rollout(runner.plan, bundles, registry.ledger, KEY, name)
    server = page_server(api(floor, {SYNTHETIC: rollout}, runner.meters, Access("", TOKEN, 60.0)))
    pages = asyncio.create_task(server.serve(sockets=[listener]))
    runner.on_connection(True, clock.ns)
    _, snapshot = split_line(next(synthetic_capture(runner.plan.instrument, SEED, START, TAPE_S, TURN)))
    while not stop.is_set():
        clock.ns += ROW
        runner.on_frame(snapshot, clock.ns)
        floor.close_due()
        await asyncio.sleep(0.02)
    server.should_exit = True
    await pages
    runner.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
