"""One row through the default ensemble, beside ONNX Runtime on a window of its receptive field; features excluded.

Times are of the processor, on one thread: a core that somebody else holds is not waited for.
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, peer_module, print_figures
from config.loading import load_settings
from config.settings import Settings
from features.catalogue import branch_columns, feature_names
from modeling.architecture import Architecture, architecture, base_dilations
from modeling.calibration import identity
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import GruParameters, NetworkParameters, TransformerParameters
from modeling.snapshot import ModelSnapshot, ensemble_of
from modeling.streaming import forecaster_from

MEMBERS: Final = 3
STEPS: Final = 20_000
TURNS: Final = 20  # streaming and its peer are timed by turns, so that whatever slows the machine slows both


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="rows that are timed")
    print_figures(figures(load_settings("dev"), parser.parse_args(arguments).steps))


def figures(settings: Settings, steps: int) -> list[Figure]:
    """The default ensemble against both bars, then one network of each kind."""
    width, dropout = settings.models.network.width, settings.models.network.dropout
    transformer = TransformerParameters("transformer", width, 2, 4, 256, 2, dropout)
    gru = GruParameters("gru", width, 1, 512, dropout)
    name = f"ensemble of {MEMBERS} {settings.models.network.kind}, width {width}"
    found = _timed(name, default_ensemble(settings), steps, True)
    for parameters in (settings.models.network, transformer, gru):
        found += _timed(
            f"one {parameters.kind}, width {width}", _random_model(_network(settings, parameters), 0), steps, False
        )
    return found


def default_ensemble(settings: Settings) -> ModelSnapshot:
    """The ensemble of the configuration, with weights that nobody trained."""
    return ensemble_of([_random_model(_network(settings, settings.models.network), seed) for seed in range(MEMBERS)])


def _network(settings: Settings, parameters: NetworkParameters) -> Architecture:
    features = settings.features
    bases = base_dilations(features.windows_ms, features.row_interval_ms)
    shape = ForecastShape(tuple(Cell(horizon, 0.0) for horizon in settings.labels.horizons_ms))
    return architecture(parameters, branch_columns(features), bases, len(feature_names(features)), shape)


def _random_model(network: Architecture, seed: int) -> ModelSnapshot:
    """Weights of a sensible scale; what they are does not change how long they take."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(0, (shape[0] if name.endswith("weight") else 100) ** -0.5, shape).astype(np.float32)
        for name, shape in network.weight_shapes().items()
    }
    return ModelSnapshot(network.kind, network.as_dict(), weights, identity(len(network.forecast.cells)))


def _timed(name: str, model: ModelSnapshot, steps: int, judged: bool) -> list[Figure]:
    """Median and 99th percentile of a streaming step, and how many of them ONNX Runtime's median takes; us."""
    forecaster = forecaster_from(model)
    rows = np.random.default_rng(1).normal(size=(steps, forecaster.features)).astype(np.float32)
    state, place = forecaster.new_state(), iter(rows)
    forecaster.run(rows[: forecaster.receptive_rows], np.ones(forecaster.receptive_rows, np.bool_), state)
    peer = _peer(model, rows)
    ours, theirs = [], []
    gc.collect()
    gc.freeze()
    for _ in range(TURNS):
        ours.append(_durations(lambda: forecaster.step(state, next(place), True), steps // TURNS))
        theirs.append(_durations(peer, 20))
    p50, p99 = np.percentile(np.concatenate(ours), (50, 99))
    bars = ("<= 60", "<= 250", ">= 20x") if judged else (None, None, None)
    rates = 1e6 / p50, 1e6 / float(np.median(np.concatenate(theirs)))
    return [
        Figure(f"{name}, p50", p50, None, "us", bars[0]),
        Figure(f"{name}, p99", p99, None, "us", bars[1]),
        Figure(f"{name}, beside ONNX Runtime on a window of {forecaster.receptive_rows}", *rates, "rows/s", bars[2]),
    ]


def _peer(model: ModelSnapshot, rows: NDArray[np.float32]) -> Callable[[], object]:
    """ONNX Runtime, one thread, on one window."""
    runtime = peer_module("onnxruntime")
    from modeling.export import INPUT, OUTPUT, export_onnx

    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(export_onnx(model, rows), options, providers=["CPUExecutionProvider"])
    window = rows[None, : forecaster_from(model).receptive_rows]
    return lambda: session.run([OUTPUT], {INPUT: window})


def _durations(call: Callable[[], object], count: int) -> NDArray[np.float64]:
    """Microseconds of the processor that each of so many calls takes."""
    found = np.empty(count)
    for place in range(count):
        begin = time.thread_time_ns()
        call()
        found[place] = time.thread_time_ns() - begin
    return found / 1e3


if __name__ == "__main__":
    main()
