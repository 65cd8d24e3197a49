"""Dense training beside window-per-sample training: forecasts a second, and the validation loss for equal compute.

Needs the repository and torch, numpy, numba, polars and pytorch_lightning; nothing has to be installed:
    python benchmarks/bench_training.py --device cuda --json
With --mode networks it fits every kind of network from several seeds, by the trainer that the chain uses:
    python benchmarks/bench_training.py --mode networks --device cuda --json
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import Figure, print_figures
from benchmarks.planted import COLUMNS, FEATURES, ROW_MS, SHAPE, WINDOWS_MS, planted_rows
from modeling.architecture import architecture, base_dilations
from modeling.batches import Batch
from modeling.parameters import (
    CnnParameters,
    GruParameters,
    NetworkParameters,
    TrainingParameters,
    TransformerParameters,
)
from modeling.snapshot import NETWORKS
from modeling.survey import survey
from modeling.training import dense_loss, fit, start_of
from modeling.training_parts import InMemory
from modeling.training_rows import TrainingSet

SETTINGS: Final = TrainingParameters(
    learning_rate=3e-4,
    weight_decay=1e-5,
    label_smoothing=0.02,
    focal_gamma=1.5,
    huber_delta_sigma=0.5,
    return_weight=0.5,
    cost_weight=0.1,
    gradient_clip=1.0,
    averaging=0.0,
    epochs=16,
    patience=5,
    chunk_rows=4096,
    batch_chunks=1,
    part_rows=1_000_000,
    mixup_alpha=0.0,
    cutout_share=0.0,
    cutout_least_rows=10,
    cutout_most_rows=30,
    mirror_share=0.0,
    high_volatility_share=0.4,
    seed=7,
    accelerator="auto",
    devices=1,
    strategy="auto",
    precision="auto",
)
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
PEAK_TFLOPS: Final = {  # dense, without sparsity, of the vendor's data sheets; fp32 without TF32
    ("H100", "bf16"): 989.0,
    ("H100", "fp32"): 67.0,
    ("H200", "bf16"): 989.0,
    ("H200", "fp32"): 67.0,
    ("A100", "bf16"): 312.0,
    ("A100", "fp32"): 19.5,
}
VAL_ROWS: Final = 100_000
TURNS: Final = 5  # dense and windows train by turns, so that whatever slows the machine slows both


class Bench:
    """One device and dtype, and the rows of Train and Val that lie on it."""

    def __init__(self, options: argparse.Namespace, dtype: str) -> None:
        self.options, self.dtype, self.device = options, dtype, torch.device(options.device)
        self.network = architecture(
            CnnParameters("cnn", options.width, options.depth, 3, 2, 0.1),
            COLUMNS,
            base_dilations(WINDOWS_MS, ROW_MS),
            FEATURES,
            SHAPE,
        )
        self.rows = planted_rows(options.rows, SETTINGS.seed)
        self.train, self.val = self._placed(self.rows), self._placed(planted_rows(VAL_ROWS, SETTINGS.seed + 1))

    def _placed(self, data: TrainingSet) -> Batch:
        arrays = {
            "x": data.values,
            "truth": data.classes.astype(np.int64) + 1,
            "weights": np.repeat(data.weights[:, None], data.classes.shape[1], 1),
            "gross": data.gross_bp,
            "cost": np.ascontiguousarray(data.cost_bp),
        }
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 where that is measured, else nothing."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == "bf16")

    def batches(self, rows: int, count: int) -> Iterator[Batch]:
        """Endless batches of ``count`` chunks at random places, each with ``rows`` forecasts; 1 is a window."""
        context, generator = self.network.receptive_rows - 1, torch.Generator().manual_seed(SETTINGS.seed)
        within, inputs = torch.arange(rows, device=self.device), torch.arange(context + rows, device=self.device)
        while True:
            firsts = torch.randint(context, len(self.rows) - rows, (count, 1), generator=generator).to(self.device)
            batch = {name: tensor[firsts + within] for name, tensor in self.train.items() if name != "x"}
            yield {"x": self.train["x"][firsts - context + inputs], **batch}

    def trainer(self, rows: int, count: int) -> "Trainer":
        """A new network, always the same, and the batches that it is trained on."""
        torch.manual_seed(SETTINGS.seed)
        return Trainer(self, self.batches(rows, count), rows * count)


class Trainer:
    """Steps of the optimiser over one kind of batch."""

    def __init__(self, bench: Bench, batches: Iterator[Batch], forecasts: int) -> None:
        self.bench, self.batches, self.forecasts = bench, batches, forecasts
        found = survey(InMemory(bench.rows), bench.network.receptive_rows, SETTINGS.chunk_rows)
        weight = found.cell_weights.sum(0) / found.rows * forecasts  # of a batch, chunks or windows
        self.batch_weight = torch.from_numpy(weight).float().to(bench.device)
        self.network = start_of(bench.network, found).to(bench.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay
        )
        self.seconds, self.steps = 0.0, 0
        self.step()  # what happens once only, such as the choice of a GPU's kernels, is not timed

    def step(self) -> None:
        """Forward, backward, clipping, update."""
        with self.bench.autocast():
            loss = dense_loss(self.network, next(self.batches), self.batch_weight, SETTINGS)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), SETTINGS.gradient_clip)
        self.optimiser.step()

    def run(self, seconds: float) -> None:
        """Train for so long, and keep count."""
        begin, steps = self._now(), 0
        while self._now(settled=steps % 20 == 0) - begin < seconds:
            self.step()
            steps += 1
        self.seconds += self._now() - begin
        self.steps += steps

    @property
    def rate(self) -> float:
        """Forecasts a second so far."""
        return self.steps * self.forecasts / self.seconds

    def _now(self, settled: bool = True) -> float:
        """Seconds of processor time, which others on the machine do not spend; of the clock on a GPU."""
        if self.bench.device.type != "cuda":
            return time.process_time()
        if settled:  # what is queued must not run ahead of the clock
            torch.cuda.synchronize()
        return time.perf_counter()

    def val_nll(self) -> float:
        """Mean log-loss over the validation rows, nats."""
        self.network.eval()
        context, losses = self.bench.network.receptive_rows - 1, []
        with torch.no_grad():
            for first in range(context, VAL_ROWS, 8192):
                rows = slice(first, min(first + 8192, VAL_ROWS))
                logits, _ = self.network(self.bench.val["x"][None, first - context : rows.stop])
                truth = self.bench.val["truth"][rows].flatten()
                losses.append(functional.cross_entropy(logits.flatten(0, 2).float(), truth, reduction="none"))
        self.network.train()
        return float(torch.cat(losses).mean())

    def flops_per_forecast(self) -> float:
        """Multiplications and additions of matrix products, forward and backward, for each forecast."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops() / self.forecasts


def speed(options: argparse.Namespace) -> list[Figure]:
    """Forecasts a second and validation losses for every dtype."""
    return [figure for dtype in options.dtype for figure in _speed_at(Bench(options, dtype), dtype)]


def _speed_at(bench: Bench, dtype: str) -> list[Figure]:
    options = bench.options
    prior = _prior_nll(bench)
    dense, windows = bench.trainer(options.chunk_rows, options.chunks), bench.trainer(1, options.windows)
    for _ in range(TURNS):
        dense.run(options.seconds / TURNS)
        windows.run(options.seconds / TURNS)
    ours, theirs = dense.val_nll(), windows.val_nll()
    flops = dense.flops_per_forecast()
    figures = [
        Figure(f"dense training beside window per sample, {dtype}", dense.rate, windows.rate, "forecasts/s", ">= 100x"),
        Figure(f"validation loss, {options.seconds:g} s of training each, {dtype}", ours, theirs, "nats", "<= 0 %"),
        Figure(f"validation loss beside the class prior's, {dtype}", ours, prior, "nats"),
        Figure(f"arithmetic of dense training, {dtype}", flops * dense.rate / 1e12, None, "TFLOP/s"),
    ]
    peak = _peak(options, dtype)
    return [
        *figures,
        *([Figure(f"share of peak, {dtype}", 100 * flops * dense.rate / peak, None, "%")] if peak else []),
    ]


def networks(options: argparse.Namespace) -> list[Figure]:
    """Validation losses of every kind of network, dtype and seed, beside the class prior's; lines as they come."""
    train, val = planted_rows(options.rows, SETTINGS.seed), planted_rows(VAL_ROWS, SETTINGS.seed + 1)
    found = []
    for kind, dtype in product(options.kinds, options.dtype):
        fits = [_fit(options, kind, dtype, seed, train, val) for seed in range(options.seeds)]
        losses = [nll for nll, _, _ in fits]
        name = f"{kind}, width {options.width}, {dtype}"
        found += [
            Figure(
                f"{name}: validation loss, mean of {options.seeds} seeds", float(np.mean(losses)), fits[0][1], "nats"
            ),
            Figure(f"{name}: spread of the seeds", float(np.ptp(losses)), None, "nats"),
            Figure(f"{name}: trained and validated", float(np.median([rate for _, _, rate in fits])), None, "rows/s"),
        ]
    return found


def _fit(
    options: argparse.Namespace, kind: str, dtype: str, seed: int, train: TrainingSet, val: TrainingSet
) -> tuple[float, float, float]:
    """Validation loss, the prior's over the same rows, and rows a second."""
    network = architecture(_kinds(options)[kind], COLUMNS, base_dilations(WINDOWS_MS, ROW_MS), FEATURES, SHAPE)
    accelerator = "gpu" if options.device == "cuda" else "cpu"
    sizes = {"chunk_rows": options.fit_rows, "batch_chunks": options.fit_chunks, "epochs": options.epochs}
    settings = replace(SETTINGS, seed=seed, precision=dtype, accelerator=accelerator, **sizes)
    begin = time.perf_counter()
    result = fit(network, train, val, settings)
    rate = len(result.history) * (len(train) + len(val)) / (time.perf_counter() - begin)
    shares = survey(InMemory(train), network.receptive_rows, 1).shares
    truth = survey(InMemory(val), network.receptive_rows, 1).shares
    prior = float(-(truth * np.log(shares)).sum(1).mean())
    curve = " ".join(f"{epoch.val_nll:.4f}" for epoch in result.history)
    print(f"{kind} {dtype} seed {seed}: {result.val_nll:.4f} (prior {prior:.4f}), {curve}", file=sys.stderr, flush=True)
    return result.val_nll, prior, rate


def _kinds(options: argparse.Namespace) -> dict[str, NetworkParameters]:
    """Settings of each kind of network, of one width."""
    return {
        "cnn": CnnParameters("cnn", options.width, options.depth, 3, 2, 0.1),
        "transformer": TransformerParameters("transformer", options.width, 2, 4, 256, 2, 0.1),
        "gru": GruParameters("gru", options.width, 1, 512, 0.1),
    }


def _prior_nll(bench: Bench) -> float:
    """Validation loss of the class shares of Train, nats."""
    losses = []
    for cell in range(len(SHAPE.cells)):
        shares = torch.bincount(bench.train["truth"][:, cell], minlength=3).double() / len(bench.rows)
        losses.append(-shares.log()[bench.val["truth"][bench.network.receptive_rows - 1 :, cell]].mean())
    return float(torch.stack(losses).mean())


def _peak(options: argparse.Namespace, dtype: str) -> float | None:
    """FLOP/s that the device can reach; None where nobody says."""
    if options.peak_tflops:
        return float(options.peak_tflops) * 1e12
    name = torch.cuda.get_device_name() if options.device == "cuda" else ""
    return next((tflops * 1e12 for (part, kind), tflops in PEAK_TFLOPS.items() if part in name and kind == dtype), None)


MODES: Final[dict[str, Callable[[argparse.Namespace], list[Figure]]]] = {"speed": speed, "networks": networks}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    figures = MODES[options.mode](options)
    if options.json:
        device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
        facts = {"device": device, "torch": torch.__version__, **vars(options)}
        rows = [asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in figures]
        print(json.dumps({"run": facts, "figures": rows}, indent=1))
    else:
        print_figures(figures)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=sorted(MODES), default="speed")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", nargs="+", choices=sorted(DTYPES), help="fp32 on a CPU, both on a GPU")
    parser.add_argument("--width", type=int, default=64, help="channels of the network")
    parser.add_argument("--depth", type=int, default=3, help="blocks of each branch")
    parser.add_argument("--rows", type=int, help="of Train")
    parser.add_argument("--chunk-rows", type=int, default=4096, help="forecasts of a dense chunk")
    parser.add_argument("--chunks", type=int, help="in a dense batch")
    parser.add_argument("--windows", type=int, help="in a batch of windows")
    parser.add_argument("--seconds", type=float, help="of training, each way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=NETWORKS, default=NETWORKS, help="of --mode networks")
    parser.add_argument("--seeds", type=int, default=3, help="of --mode networks")
    parser.add_argument("--epochs", type=int, help="of --mode networks, at most")
    parser.add_argument("--fit-rows", type=int, default=1024, help="forecasts of a chunk, of --mode networks")
    parser.add_argument("--fit-chunks", type=int, help="in a batch, of --mode networks")
    parser.add_argument("--peak-tflops", type=float, help="of the device, where it is not known here")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return _sized(parser.parse_args(arguments))


def _sized(options: argparse.Namespace) -> argparse.Namespace:
    """The options with whatever was left out as large as the device takes it."""
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    large = options.device == "cuda"
    sizes = {
        "dtype": ["fp32", "bf16"] if large else ["fp32"],
        "rows": 2_000_000 if large else (1_000_000 if options.mode == "speed" else 50_000),
    }
    sizes |= {
        "chunk_rows": 4096 if large else 1024,
        "chunks": 16 if large else 1,
        "windows": 1024 if large else 64,
        "seconds": 20.0,
        "epochs": 6 if large else 1,
        "fit_chunks": 16 if large else 1,
    }
    for name, value in sizes.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    main()
