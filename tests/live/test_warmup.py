"""After the warm-up nothing is compiled any more, and the process has loaded no research library."""

import subprocess
import sys
from dataclasses import replace

import pytest

from live.warmup import warm
from market.instrument import Instrument
from tests.builders_live import bybit_of
from tests.builders_market import COINM_BTC, SPOT_BTC, USDM_BTC
from tests.builders_runner import quick_plan

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


@pytest.mark.parametrize(
    "instrument", [bybit_of(COINM_BTC), bybit_of(USDM_BTC), bybit_of(replace(SPOT_BTC, lot_size=0.01))]
)
def test_a_runner_of_any_venue_warms(instrument: Instrument) -> None:
    warm(replace(quick_plan(), instrument=instrument))


SWAPS = """
import gc, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from numba.core.event import install_recorder
from numba.core.registry import CPUDispatcher
from features.catalogue import branch_columns, feature_names
from live.warmup import warm
from modeling.architecture import CnnArchitecture, GruArchitecture, TransformerArchitecture
from modeling.calibration import identity
from modeling.forecast import Cell, ForecastShape
from modeling.snapshot import ModelSnapshot, ensemble_of
from tests.builders_modeling import random_calibration, random_weights
from tests.builders_runner import band_model, drive, new_runner, quick_plan, synthetic_frames
from tests.builders_trading import CERTAINTY
from trading.strategy import model_strategy

plan = quick_plan()
cell = Cell(plan.trading.horizon_ms, plan.trading.budget_bp)
features, columns = feature_names(plan.features), branch_columns(plan.features)
asked = ForecastShape((cell,)), len(features), columns, 8, 0.1
networks = (
    CnnArchitecture(*asked, ((1, 2),) * len(columns), 3),
    TransformerArchitecture(*asked, 2, 2, 10, 16),
    GruArchitecture(*asked, 2, 20),
)
rng = np.random.default_rng(0)
members = [ModelSnapshot(n.kind, n.as_dict(), random_weights(n, rng), identity(1)) for n in networks]
certainty = replace(CERTAINTY, question=replace(CERTAINTY.question, cell=cell))
ensemble = replace(ensemble_of(members), calibration=random_calibration(rng, 1), certainty=certainty)
band = replace(band_model(plan), certainty=certainty)

def compiled():
    found = [item for item in gc.get_objects() if isinstance(item, CPUDispatcher)]
    return {f"{item.py_func.__module__}.{item.py_func.__name__}": len(item.signatures) for item in found}

warm(plan)
before = compiled()
with install_recorder("numba:compile") as events:
    runner, frames = new_runner(Path(sys.argv[1])), synthetic_frames(12.0, seed=5)
    desk = runner.desks[0]
    for start, model in zip(range(1_000, 2_000, 250), (ensemble, band, ensemble, None)):
        drive(runner, frames[start - 250 if start > 1_000 else 0 : start])
        desk.session.account[0][:], desk.session.account[1][0] = 0, 0  # flat, whatever it did
        if model is None:
            desk.deploy(*desk.previous)
        else:
            strategy = model_strategy(model, plan.trading, plan.instrument, "take", plan.venue.fees)
            strategy.forecaster.run(np.zeros((3, len(features)), np.float32), np.ones(3, np.bool_))
            desk.deploy(strategy, model.kind)
    drive(runner, frames[2_000:])
    runner.journal.close()
after = compiled()
late = sorted(name for name in after if after[name] != before.get(name))
print(late, [event.data["dispatcher"] for _, event in events.buffer], desk.bundle_sha, desk.previous.bundle_sha)
"""


def test_swaps_to_an_ensemble_of_three_kinds_to_the_band_and_back_compile_nothing(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", SWAPS, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "[] [] median_band ensemble\n", done.stderr
