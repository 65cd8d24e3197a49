"""A runner that sends its orders to the replay venue, both processes, and whole days of it: tape, journal, lake."""

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.checks import feeds_clock
from assets.journal_tables import EVENTS_TABLE
from assets.live_journal import live_journal, live_journal_hold
from assets.partitions import Part, day_key, symbols
from assets.resources import resources_of
from config.loading import load_settings
from config.settings import Paths, Settings
from config.sources import FileSource
from live.gateways.permission import KEY as KEY_NAME
from live.gateways.permission import SECRET as SECRET_NAME
from live.ladder import Ladder, climb
from market.schema import frame_to_events
from market.sources.capture import split_line
from orchestration.definitions import build_definitions
from orchestration.instance import open_instance
from storage.captures import capture_lines
from storage.deployment import push
from storage.journal import FRAME, finished_segments, read_journal
from storage.lake import Lake, Manifest
from storage.promotions import PromotionLedger
from tests.builders_orders import KEYS
from tests.builders_processes import SYMBOL, Process, ended_at_last, journal_of, settings_file, venue_process
from tests.builders_runner import KEY, approve, write_band_bundle

TOKEN: Final = "deploy token"
KEYS_SET: Final = {KEY_NAME: KEYS.key, SECRET_NAME: KEYS.secret}


def runner_to(folder: Path, ports: dict[str, Any], name: str, *more: str) -> Process:
    """A runner whose orders go to the venue."""
    settings_file(folder, ports["ws_port"], ports["rest_port"])
    orders = (
        f'rest_url: "http://127.0.0.1:{ports["order_rest_port"]}", ws_url: "ws://127.0.0.1:{ports["order_ws_port"]}"'
    )
    path = folder / "settings.yaml"
    where = f"snapshot_min: 0.02, gateway: exchange, orders: {{{orders}, dead_man_s: 5}}}}"
    path.write_text(path.read_text().replace("snapshot_min: 0.02}", where))
    deploy = {"TICKLOOP_DEPLOY_TOKEN": TOKEN, "TICKLOOP_DEPLOY_KEY": KEY.decode()}
    return Process(folder, name, ["live", "--gateway", "exchange", *more], **KEYS_SET, **deploy)


def deploy(folder: Path, runner: Process) -> None:
    """A champion that trades."""
    sha = write_band_bundle(folder / "bundle", 0.8)
    ledger = PromotionLedger(Paths(folder / "var").ledger)
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    approve(ledger, sha)
    assert push(f"http://127.0.0.1:{runner.ready()['api_port']}", TOKEN, KEY, folder / "bundle")["running_sha"] == sha


class Rehearsed(NamedTuple):
    """What a tape came to on its way through venue, runner, journal, lake and backtest."""

    settings: Settings  # of the runner
    lost: float  # share of the tape's messages, from the first that the runner had, that its journal lacks
    messages: int  # that it could have had
    journal: dict[str, Any]  # facts of the live_journal asset, its checks passed
    lag_p95_ms: float  # of all events together; the asset's is that of the worst segment
    ladder: Ladder  # three levels

    def line(self) -> str:
        """The figures, for whoever reads the log."""
        facts, three = self.journal, self.ladder.levels[2].figures
        return (
            f"{self.messages:,} messages, {100 * self.lost:.4f} % lost, {facts['lost_by_sequence']} by sequence; "
            f"ingest lag p95 {self.lag_p95_ms:.1f} ms, of the worst segment {facts['ingest_lag_p95_ms']:.1f}; "
            f"{self.ladder.why}; {three}"
        )


def rehearsed(folder: Path, start: str, speed: float, patience_s: float) -> Rehearsed:
    """Play the tape that lies in ``folder`` to a runner that takes by a band, to its end, and climb its journal."""
    played(folder, start, speed, patience_s)
    return judged(folder)


def played(folder: Path, start: str, speed: float, patience_s: float) -> None:
    """The tape that lies in ``folder``, to its end: what the runner has journalled lies there afterwards."""
    with (
        ended_at_last(venue_process(folder, start, "--speed", str(speed), **KEYS_SET)) as venue,
        ended_at_last(runner_to(folder, venue.ready(), "runner", "--until-end")) as runner,
    ):
        deploy(folder, runner)
        assert runner.popen.wait(patience_s) == 0, runner.lines()


def judged(folder: Path) -> Rehearsed:
    """What came of a tape that was played in ``folder``."""
    settings = replace(load_settings(path=folder / "settings.yaml"), paths=Paths(folder / "var"))
    lost, messages = lost_of(folder)
    facts = imported(settings)
    bundles = settings.paths.live_bundles(SYMBOL)
    lag = lag_p95_ms(settings)
    return Rehearsed(settings, lost, messages, facts, lag, climb(settings, journal_of(folder), bundles, 3))


def imported(settings: Settings) -> dict[str, Any]:
    """Facts of the journal in the lake, once its checks have passed."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([live_journal, live_journal_hold], resources=resources_of(settings), instance=instance)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    [made] = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in made.materialization.metadata.items()}


def lag_p95_ms(settings: Settings) -> float:
    """How late the journal's events came, those that tell the venue's clock: the 95th percentile of all, ms."""
    events = map(frame_to_events, Lake(settings.paths.lake).batches(EVENTS_TABLE, SYMBOL))
    delays = [batch["delay_ns"][feeds_clock(batch)] for batch in events]
    return float(np.percentile(np.concatenate(delays), 95)) / 1e6


def labelled(settings: Settings, symbol: str, day: str, hold_back_s: float = 0.0) -> Manifest:
    """The labels of what the runner has seen: the data job on its journal, every blocking check passed.

    day : UTC date that all segments are of
    hold_back_s : what is left out at the end; of a whole day the last messages may arrive after midnight
    """
    segments = finished_segments(settings.paths.journal(symbol))
    source = settings.paths.var / "segments"
    source.mkdir(exist_ok=True)
    for segment in segments:
        named = source / f"{segment.stem}_{day.replace('-', '')}{segment.suffix}"
        if not named.exists():
            named.hardlink_to(segment)
    sources = {symbol: FileSource("journal", str(source))}
    data = replace(settings.data, symbols=(symbol,), sources=sources, hold_back_s=hold_back_s)
    alone = replace(settings, data=data, warehouse=replace(settings.warehouse, enabled=False))
    with open_instance(alone.paths.dagster) as instance:
        instance.add_dynamic_partitions(symbols.name, [symbol])
        job = build_definitions(alone).resolve_job_def("data")
        assert job.execute_in_process(instance=instance, partition_key=day_key(Part(symbol, day))).success
    return Lake(alone.paths.lake).manifest("labels", symbol, day)


def lost_of(folder: Path) -> tuple[float, int]:
    """Share of the tape's messages that the journal lacks, and how many it could have had, from its first one on."""
    tape = itertools.chain.from_iterable(capture_lines(path) for path in sorted((folder / "tape").iterdir()))
    sent = digests(frame for _, frame in map(split_line, tape) if b"lastUpdateId" not in frame)
    got = digests(record.payload for record in read_journal(journal_of(folder)) if record.kind == FRAME)
    found = np.isin(sent, got)
    first = int(np.argmax(found))
    assert found[first], "the journal holds no message of the tape"
    return 1.0 - float(found[first:].mean()), int(found.size - first)


def digests(frames: Iterable[bytes]) -> NDArray[np.uint64]:
    """Eight bytes a message that stand for it."""
    found = (int.from_bytes(hashlib.blake2b(frame, digest_size=8).digest()) for frame in frames)
    return np.fromiter(found, np.uint64)
