"""Kernels of the later stages are compiled by a process beside the chain, while its first stages run."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from config.settings import Settings
from live.plan import plan_of
from live.warmup import warm
from market.kernel_cache import ROOT
from orchestration.live_processes import last_line, settings_file, stop
from orchestration.progress import Progress


def compile_kernels(settings: Settings) -> None:
    """Compile what the first symbol's forecasts, decisions and fills need; instant where the cache holds it."""
    warm(plan_of(settings, settings.data.symbols[0], 0))


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
