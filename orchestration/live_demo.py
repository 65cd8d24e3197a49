"""The demo's second half: what the chain never saw is played to a runner, which trades it with the approved model."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
import httpx
from prometheus_client.parser import text_string_to_metric_families

from assets.live_deployment import approved_version
from assets.resources import registry_of
from config.settings import Settings
from live.parity import ParityReport, parity_of
from market.errors import JournalError, TickloopError, VenueError
from orchestration.definitions import build_definitions
from orchestration.instance import CHAIN_TAG, REPOSITORY_TAGS, sole_driver
from orchestration.live_processes import Child, last_line, settings_file, started
from orchestration.progress import Progress, step_logger
from orchestration.running import failure_line

LOOPBACK: Final = "127.0.0.1"
LINE_S: Final = 5.0  # between two lines of progress
POLL_S: Final = 0.2
PATIENCE_S: Final = 60.0  # beyond the length of the tape before a runner that goes on is given up


@dataclass(frozen=True, slots=True)
class Playing:
    """How much of the tape is played, and how fast; anything but 1 compresses delays and serves tests alone."""

    seconds: float  # of tape, at its end
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What the live half came to."""

    journal: dict[str, Any]  # facts of the live_journal asset
    drift: dict[str, Any]  # facts of the drift asset
    running_sha: str  # what the runner answered with
    fills: dict[str, int]  # by desk
    parity: ParityReport


def run_live(settings: Settings, instance: dg.DagsterInstance, progress: Progress, playing: Playing) -> LiveFigures:
    """Venue and runner up, model deployed, tape played to its end, journal brought back, drift and parity judged.

    Raises TickloopError if any of it fails; both processes are gone then.
    """
    chosen = replace(settings, live=replace(settings.live, symbol=settings.data.symbols[0]))
    with sole_driver(settings.paths.dagster):
        sha = approved_version(chosen, registry_of(chosen), chosen.live.symbol).bundle_sha
        progress(f"live: {playing.seconds:g} s that the chain never saw, with bundle {sha[:12]}")
        fills = play(chosen, instance, progress, playing)
        journal = run_job(chosen, instance, progress, "live", "live_journal")
        drift = run_job(chosen, instance, progress, "monitoring", "drift", without="drift_page")
    progress("live: parity of the journal, levels 1 and 2")
    symbol = chosen.live.symbol
    parity = parity_of(chosen.paths.journal(symbol), chosen.paths.live_bundles(symbol))
    return LiveFigures(journal, drift, journal["running_sha"], fills, parity)


def play(settings: Settings, instance: dg.DagsterInstance, progress: Progress, playing: Playing) -> dict[str, int]:
    """Fills by desk of one replay, traded by a runner with a fresh journal."""
    folder = run_folder(settings)
    with granted(settings) as environment:
        settings_file(settings, folder / "venue.yaml")
        with started("venue", _venue_arguments(settings, playing), folder, environment) as venue:
            ports = venue.said["ws_port"], venue.said["rest_port"]
            settings_file(pointed_at(settings, *ports), folder / "runner.yaml")
            with started("runner", ["live", "--until-end"], folder, environment) as runner:
                url = f"http://{LOOPBACK}:{runner.said['api_port']}"
                deploying = replace(settings, live=replace(settings.live, runner_url=url))
                run_job(deploying, instance, progress, "deployment", "live_deployment")
                fills = follow(runner, url, playing, progress)
                runner.require_good_end()
    return fills


def run_folder(settings: Settings) -> Path:
    """A folder for this run's settings and logs; the journal of an earlier run is moved beside it.

    Raises JournalError if it cannot be moved.
    """
    journal = settings.paths.journal(settings.live.symbol)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    folder = journal.parent / "runs" / stamp
    try:
        folder.mkdir(parents=True)
        if journal.exists():
            journal.rename(folder / "journal-before")
    except OSError as error:
        raise JournalError(f"cannot put {journal} aside: {error.strerror}") from error
    return folder


@contextlib.contextmanager
def granted(settings: Settings) -> Iterator[dict[str, str]]:
    """The children's environment with tokens of this run alone, which our own deployment has meanwhile, too."""
    names = ("TICKLOOP_READ_TOKEN", "TICKLOOP_DEPLOY_TOKEN", "TICKLOOP_DEPLOY_KEY")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: secrets.token_hex(32) for name in names})
    try:
        yield {**os.environ, "TICKLOOP_VAR": str(settings.paths.var.resolve())}
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def pointed_at(settings: Settings, ws_port: int, rest_port: int) -> Settings:
    """The settings of a runner that trades at a venue on these ports, with its own pages on a free one."""
    ws_url, rest_url = f"ws://{LOOPBACK}:{ws_port}", f"http://{LOOPBACK}:{rest_port}"
    return replace(settings, live=replace(settings.live, ws_url=ws_url, rest_url=rest_url, api_port=0))


def run_job(
    settings: Settings, instance: dg.DagsterInstance, progress: Progress, job: str, asset: str, without: str = ""
) -> dict[str, Any]:
    """Metadata of the job's asset, all of its assets made but one that is left out.

    Raises TickloopError, one line, if the job fails.
    """
    definitions = build_definitions(settings, {"steps": step_logger(progress)})
    whole = definitions.resolve_job_def(job)
    result = whole.execute_in_process(
        instance=instance,
        asset_selection=sorted(whole.asset_layer.selected_asset_keys - {dg.AssetKey(without)}) if without else None,
        run_config={"loggers": {"steps": {}}},
        tags={CHAIN_TAG: "yes", **REPOSITORY_TAGS},
        raise_on_error=False,
    )
    if not result.success:
        raise TickloopError(failure_line(job, result))
    [made] = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in made.materialization.metadata.items()}


def follow(runner: Child, url: str, playing: Playing, progress: Progress) -> dict[str, int]:
    """Fills by desk when the runner has come to the end of the tape, a line every few seconds on the way.

    Raises VenueError if it does not come to it.
    """
    begun, next_line, fills = time.monotonic(), 0.0, {}
    while runner.running:
        passed = time.monotonic() - begun
        if passed > playing.seconds / playing.speed + PATIENCE_S:
            raise VenueError(f"the runner is not through after {passed:.0f} s: {last_line(runner.log)}")
        if passed >= next_line:
            fills = fills_by_desk(url) or fills
            shown = ", ".join(f"{desk} {count}" for desk, count in fills.items()) or "none yet"
            progress(f"  live {passed:3.0f} s, fills: {shown}")
            next_line += LINE_S
        time.sleep(POLL_S)
    return fills


def fills_by_desk(url: str) -> dict[str, int]:
    """What a runner's metrics say at this moment; nothing where it does not answer any more."""
    try:
        text = httpx.get(f"{url}/metrics", timeout=2.0).text
    except httpx.TransportError:
        return {}
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.labels["desk"]: int(sample.value) for sample in samples if sample.name == "fills_total"}


def _venue_arguments(settings: Settings, playing: Playing) -> list[str]:
    start = ["--start", f"last:{playing.seconds}s", "--speed", str(playing.speed)]
    return ["exchange", "--symbol", settings.live.symbol, *start, "--ws-port", "0", "--rest-port", "0"]


def live_facts(figures: LiveFigures) -> dict[str, Any]:
    """The live half as plain values."""
    journal, drift, parity = figures.journal, figures.drift, figures.parity
    told = ("fills", "lost_by_sequence", "ingest_lag_p95_ms", "batch_to_decision_p95_ms")
    judged = ("verdict", "retrain_reason", "judged", "worst_feature", "feature_shift_ks")
    levels = (parity.orders, parity.decisions)
    return {
        **{name: journal[name] for name in told},
        "fills_by_desk": figures.fills,
        "running_sha": figures.running_sha,
        "drift": {name: drift[name] for name in judged},
        "parity": [{"exact": level.exact, "told": str(level)} for level in levels],
    }


def live_lines(facts: dict[str, Any]) -> list[str]:
    """The live half on the demo's screen, from its plain values."""
    drift = facts["drift"]
    desks = ", ".join(f"{desk} {count}" for desk, count in sorted(facts["fills_by_desk"].items()))
    why = drift["retrain_reason"] or f"{drift['judged']} features judged, farthest {drift['worst_feature']}"
    orders, decisions = (level["told"] for level in facts["parity"])
    return [
        f"  live       fills {facts['fills']} ({desks}), lost by sequence {facts['lost_by_sequence']}",
        f"             ingest lag p95 {facts['ingest_lag_p95_ms']:.1f} ms, "
        f"batch to decision p95 {facts['batch_to_decision_p95_ms']:.2f} ms",
        f"             the runner answered with bundle {facts['running_sha']}",
        f"  drift      {drift['verdict']}: {why}, raw KS {drift['feature_shift_ks']:.2f}",
        f"  parity     {orders}",
        f"             {decisions}",
    ]
