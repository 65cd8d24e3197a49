"""The runner against a replay venue in another process: loss by sequence, and from a row's instant to its decision.

Times come from the clocks that the journal holds, in our own time whatever the speed of the tape.
"""

import argparse
import asyncio
import json
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_inference import default_ensemble
from benchmarks.harness import Figure, print_figures
from config.loading import load_settings
from config.settings import Settings
from live.clock import replay_clock
from live.connectors.connect import connect
from live.exporter import PrometheusMeters
from live.feed import Subscription
from live.floor import Floor
from live.plan import plan_of, reader_of
from live.replay import decision_of
from live.runner import Folders, Runner
from live.warmup import warm
from market.kernel_cache import ROOT
from orchestration.live_processes import settings_file
from storage.journal import DECISION, FRAME, read_journal
from trading.strategy import model_strategy

SECONDS: Final = 60.0
READY_S: Final = 60.0


class Load(NamedTuple):
    """One run: which tape, under how many names, how fast, and the bars of p95 and p99 in ms of our own time."""

    name: str
    tape: str
    symbols: int
    speed: float
    bars_ms: tuple[float, float]


LOADS: Final = {
    "1x": Load("COIN-M BTC at 1x", "binance-coinm-btcusd_perp", 1, 1.0, (0.3, 1.0)),
    "20x": Load("USD-M BTC at 20x", "binance-usdm-btcusdt", 1, 20.0, (3.0, 10.0)),
    "32": Load("COIN-M BTC under 32 names at 1x", "binance-coinm-btcusd_perp", 32, 1.0, (3.0, 10.0)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of our own time, each run")
    parser.add_argument("--load", action="append", choices=sorted(LOADS), help="repeatable; all unless given")
    chosen = parser.parse_args(arguments)
    loads = [LOADS[name] for name in chosen.load or LOADS]
    print_figures([figure for load in loads for figure in figures(load, chosen.seconds)])


def figures(load: Load, seconds: float) -> list[Figure]:
    """Latency and loss of one run."""
    settings = many_names(load_settings("dev"), load)
    warm(plan_of(settings, settings.live.symbol, time.time_ns()))
    with tempfile.TemporaryDirectory() as folder, _venue(settings, load, Path(folder)) as ports:
        loop = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()))
        with loop as running:
            floor = running.run(_traded(_pointed_at(settings, ports), load, Path(folder), seconds))
        spans = [decision_ms(runner.folders.journal) for runner in floor.runners]
        messages, gaps = np.sum([messages_and_gaps(runner) for runner in floor.runners], axis=0).tolist()
    spent = np.concatenate(spans)
    if not spent.size:
        raise SystemExit(f"{load.name}: no row found the model warm within {seconds:g} s")
    p50, p95, p99 = np.percentile(spent, (50, 95, 99)) / load.speed
    return [
        Figure(f"{load.name}, close to decision p50", float(p50), None, "ms"),
        Figure(f"{load.name}, close to decision p95", float(p95), None, "ms", f"< {load.bars_ms[0]}"),
        Figure(f"{load.name}, close to decision p99", float(p99), None, "ms", f"< {load.bars_ms[1]}"),
        Figure(f"{load.name}, gaps in {messages:,} messages", gaps, None, "", "<= 0"),
    ]


def messages_and_gaps(runner: Runner) -> tuple[int, int]:
    """Messages of a runner's journal, and breaks of the venue's sequence in them."""
    reader = reader_of(runner.plan)
    for record in read_journal(runner.folders.journal):
        if record.kind == FRAME:
            reader.read(record.payload, record.ts, record.place)
    return reader.decoder.counts["messages"], reader.decoder.counts["gaps"]


def decision_ms(journal: Path) -> NDArray[np.float64]:
    """From the row's instant to the decision of the model's desk, ms of the tape's time, while the model was warm."""
    found = [decision_of(r.payload).record[0] for r in read_journal(journal) if r.kind == DECISION and r.place == 0]
    return np.array([(int(one["infer_ts"]) - int(one["row_ts"])) / 1e6 for one in found if one["ready"]])


def many_names(settings: Settings, load: Load) -> Settings:
    """The settings with the tape's instrument under as many names as are asked for, their rows phased."""
    tape = settings.instrument(load.tape)
    names = [f"{load.tape}-{number:02}" for number in range(load.symbols)] if load.symbols > 1 else [load.tape]
    copies = {name: replace(tape, name=name, venue_symbol=name.removeprefix(f"{tape.venue}-")) for name in names}
    features = replace(settings.features, phased=load.symbols > 1, normalizer_min_samples=2)  # soon valid
    live, data = replace(settings.live, symbol=names[0]), replace(settings.data, hold_back_s=0.0)
    return replace(settings, instruments=settings.instruments | copies, features=features, live=live, data=data)


def _symbols(settings: Settings, load: Load) -> list[str]:
    return [name for name in settings.instruments if name == load.tape or name.startswith(f"{load.tape}-")][
        -load.symbols :
    ]


async def _traded(settings: Settings, load: Load, folder: Path, seconds: float) -> Floor:
    plans = [plan_of(settings, symbol, time.time_ns()) for symbol in _symbols(settings, load)]
    clock = await replay_clock(settings.wire.venue(plans[0].instrument.venue).rest_url, READY_S)
    assert clock is not None
    runners = []
    for plan in plans:
        folders = Folders(folder / plan.instrument.name / "journal", folder / "bundles")
        runners.append(Runner(plan, folders, clock, PrometheusMeters(plan.instrument.name)))
        fees, kind = plan.venue.fees, plan.desks[0]
        model = model_strategy(default_ensemble(settings), plan.trading, plan.instrument, kind, fees)
        runners[-1].desks[0].session.swap(model)
    floor = Floor(runners, settings.live.awake_us / 1e6)
    subscriptions = [Subscription(runner.plan.instrument, runner.needs_snapshot) for runner in runners]
    feeds = connect(subscriptions, settings.wire, np.random.default_rng(1), until_end=True)
    asyncio.get_running_loop().call_later(seconds, floor.stop)
    await floor.run(feeds, load.speed, until_end=True)
    return floor


def _pointed_at(settings: Settings, ports: dict[str, Any]) -> Settings:
    ws_url, rest_url = f"ws://127.0.0.1:{ports['ws_port']}", f"http://127.0.0.1:{ports['rest_port']}"
    return replace(settings, live=replace(settings.live, ws_url=ws_url, rest_url=rest_url))


@contextmanager
def _venue(settings: Settings, load: Load, folder: Path) -> Iterator[dict[str, Any]]:
    """The ports of a replay venue in a process of its own."""
    ready, file = folder / "venue.json", folder / "settings.yaml"
    settings_file(settings, file)
    command = [sys.executable, str(ROOT / "main.py"), "--config", str(file), "exchange", "--speed", str(load.speed)]
    for symbol in _symbols(settings, load):
        command += ["--symbol", symbol if symbol == load.tape else f"{symbol}={load.tape}"]
    command += ["--ws-port", "0", "--rest-port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the venue of {load.tape} did not come up")
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
