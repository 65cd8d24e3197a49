"""After the warm-up nothing is compiled any more, and the process has loaded no research library."""

import subprocess
import sys

CODE = """
import gc, sys
from dataclasses import replace
from pathlib import Path
from numba.core.registry import CPUDispatcher
import live.serve
from live.plan import strategy_of
from live.warmup import warm
from tests.builders_runner import close_all, drive, new_runner, quick_plan, synthetic_frames, write_band_bundle

def compiled():
    found = [item for item in gc.get_objects() if isinstance(item, CPUDispatcher)]
    return {f"{item.py_func.__module__}.{item.py_func.__name__}": len(item.signatures) for item in found}

warm(quick_plan())
before = compiled()
folder = Path(sys.argv[1])
write_band_bundle(folder / "bundle")
strategy = strategy_of(quick_plan(), folder / "bundle")
runner, frames = new_runner(folder), synthetic_frames(12.0, seed=5)
runner.on_connection(True, frames[0][0])
drive(runner, frames[:1500])
runner.desks[0].deploy(strategy, "sha")
drive(runner, frames[1500:])
runner.on_connection(False, frames[-1][0])
for desk in runner.desks:
    desk.session.standing_down = True
runner.clock.ns += 200_000_000
close_all(runner)
runner.journal.close()
after = compiled()
late = sorted(name for name in after if after[name] != before.get(name))
heavy = {"torch", "mlflow", "dagster", "pytorch_lightning", "lightning", "optuna", "evidently", "sklearn"}
fills = [runner.meters.value("fills_total", desk=desk.name) for desk in runner.desks]
print(late, sorted(heavy & set(sys.modules)), min(fills) > 0)
"""


def test_trading_compiles_nothing_after_the_warm_up_and_loads_no_research_library(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "[] [] True\n", done.stderr
