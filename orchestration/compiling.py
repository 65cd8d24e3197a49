"""Kernels of the later stages are compiled by a process beside the chain, while its first stages run."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from config.settings import Settings
from features.batch import feature_rows
from features.step import new_state
from labeling.targets import label_rows
from live.plan import plan_of
from live.warmup import warm
from market.events import empty_events
from market.kernel_cache import ROOT
from orchestration.live_processes import last_line, settings_file, stop
from orchestration.progress import Progress


def compile_kernels(settings: Settings) -> None:
    """Compile what the first symbol's rows, forecasts, decisions and fills need; instant where the cache holds it.

    Features and labels come first: the chain beside us gets to them once it has compiled what reads and aligns.
    """
    symbol = settings.data.symbols[0]
    _compile_rows(settings, symbol)
    warm(plan_of(settings, symbol, 0))


def _compile_rows(settings: Settings, symbol: str) -> None:
    """No events and no rows will do: kernels are compiled for types."""
    parameters, nothing = settings.features_of(symbol), np.empty(0, np.int64)
    feature_rows(empty_events(0), new_state(parameters), parameters, 0)
    label_rows(empty_events(0), nothing, settings.labels, settings.instrument(symbol), None, latency_ns=nothing)


@contextlib.contextmanager
def compiled_ahead(settings: Settings, progress: Progress) -> Iterator[subprocess.Popen[bytes]]:
    """``main.py kernels`` beside the block, ended with it; one that ends badly is reported, and not needed."""
    folder = settings.paths.dagster / "kernels"
    settings_file(settings, folder / "kernels.yaml")
    log = folder / "kernels.log"
    command = [sys.executable, str(ROOT / "main.py"), "--config", str(folder / "kernels.yaml"), "kernels", "--tethered"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ)
        )
    try:
        yield process
    finally:
        if process.poll():
            progress(f"kernels were not compiled ahead, status {process.poll()}: {last_line(log)}")
        stop(process)
