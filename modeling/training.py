"""Dense training by Lightning: a chunk of rows gets all its forecasts in one pass. Only heavy callers import this."""

import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from market.errors import ModelError
from modeling.architecture import Architecture, other_architecture
from modeling.augmentation import Mirror
from modeling.batches import Batch, DenseBatches
from modeling.calibration import identity
from modeling.losses import cost_loss, focal_loss, return_loss
from modeling.networks.network import Network, load_weights, network_weights
from modeling.parameters import TrainingParameters
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from modeling.survey import Survey, require_every_class, survey
from modeling.training_parts import InMemory, TrainingSource
from modeling.training_rows import TrainingSet

Clock = Callable[[], float]
Report = Callable[[int, float], None]  # epoch and its validation loss, nats; may raise to end the fit
CHECKPOINT: Final = "last.ckpt"  # in the folder of a fit that can be resumed
_PRECISIONS: Final = {"fp32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Epoch:
    """One line of a training curve."""

    train_loss: float
    val_nll: float  # mean log-loss over cells, nats, unweighted
    learning_rate: float  # of the epoch's last step
    rows: int  # that were forecast to learn from them
    seconds: float | None = field(compare=False)  # of learning, without the check on Val; None without a clock

    @property
    def predictions_per_s(self) -> float | None:
        """Rows that were forecast to learn from them, a second."""
        return self.rows / self.seconds if self.seconds else None


@dataclass(frozen=True)
class Fit:
    """A trained network, uncalibrated, and how it got there."""

    model: ModelSnapshot
    history: tuple[Epoch, ...]
    best_epoch: int
    train_rows: int  # that it was fitted on

    @property
    def val_nll(self) -> float:
        """Validation loss of the weights that were kept."""
        return self.history[self.best_epoch].val_nll


def fit(
    network: Architecture,
    train: TrainingSet | TrainingSource,
    val: TrainingSet | TrainingSource,
    parameters: TrainingParameters,
    report: Report | None = None,
    *,
    folder: Path | None = None,
    before: ModelSnapshot | None = None,
    clock: Clock | None = None,
    mirror: Mirror | None = None,
) -> Fit:
    """Train until the validation loss stops falling and keep the best weights; on a CPU the same bytes from one seed.

    A source of several parts is read part by part, epoch by epoch. Validation counts every row alike.

    folder : where each epoch's end is kept; a fit that was killed goes on from there, to the same bytes
    before : a network of the same architecture, whose weights it starts from in place of random ones
    clock : by which epochs are timed, seconds
    mirror : of the features; without it no chunk is mirrored
    Raises NotEnoughData if a cell lacks a class to learn, or Val a row to check on, ModelError if the loss is not a
    number, the folder holds another fit or a torn one, ``before`` is another network, memory runs out, or devices lack
    their processes or a batch of Train each.
    """
    _require_launcher(parameters.devices)
    sources = [InMemory(data) if isinstance(data, TrainingSet) else data for data in (train, val)]
    surveys = [survey(source, network.receptive_rows, parameters.chunk_rows) for source in sources]
    require_every_class(surveys[0].counts, network.forecast)
    _require_a_batch_each(surveys[0].batches(parameters.batch_chunks), parameters.devices)
    resumed = None if folder is None else _whole_checkpoint(folder / CHECKPOINT)
    weight = surveys[0].batch_weight(parameters.batch_chunks, parameters.high_volatility_share)
    with _reproducible(parameters.seed), _memory_told():
        module = _DenseFit(start_of(network, surveys[0], before), weight, parameters, report, clock)
        learnt, judged = (
            DenseBatches(network, *pair, parameters, learning=learning, mirror=mirror)
            for learning, pair in zip((True, False), zip(sources, surveys, strict=True), strict=True)
        )
        learnt.epoch = lambda: len(module.history)  # Lightning's own count lags while a fit is resumed
        _trainer(parameters, folder).fit(module, _loader(learnt), _loader(judged), ckpt_path=resumed)
    return _fit_of(module, surveys[0].rows, sources[1].part(0))


def _fit_of(module: "_DenseFit", train_rows: int, judged: TrainingSet) -> Fit:
    """The best weights as a model, once torch and the streaming runtime agree about it on ``judged``."""
    network = module.network.cpu()
    network.load_state_dict(module.best_weights)
    shape = network.architecture
    model = ModelSnapshot(shape.kind, shape.as_dict(), network_weights(network), identity(len(shape.forecast.cells)))
    _require_agreement(network, model, judged)
    return Fit(model, tuple(module.history), module.best_epoch, train_rows)


def _require_launcher(devices: int) -> None:
    """Raise ModelError where Lightning would start processes itself: each would run the whole command once more."""
    if devices > 1 and not torch.distributed.is_torchelastic_launched():
        raise ModelError(f"devices={devices} needs as many processes: torchrun --nproc-per-node {devices}; else set 1")


def _require_a_batch_each(batches: int, devices: int) -> None:
    """Raise ModelError where a device would have nothing to learn from."""
    if batches < devices:
        raise ModelError(f"Train makes {batches} batches, fewer than devices={devices}: set fewer, or shorter chunks")


def _whole_checkpoint(path: Path) -> Path | None:
    """The file of a fit that goes on, None where there is none. Raises ModelError if it is torn."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
    except zipfile.BadZipFile:
        torn = CHECKPOINT
    if torn is not None:
        raise ModelError(f"{path} is torn; remove it to begin anew")
    return path


@contextmanager
def _memory_told() -> Iterator[None]:
    """ModelError, one line, where torch finds no memory: on a GPU, or as a plain RuntimeError on the machine."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise ModelError(f"training ran out of memory: {str(error).splitlines()[0]}") from None


def _loader(batches: DenseBatches) -> DataLoader[Batch]:
    """Its own generator, from which torch draws a number at each iteration: dropout's must not depend on that."""
    return DataLoader(batches, batch_size=None, generator=torch.Generator())


def _trainer(parameters: TrainingParameters, folder: Path | None) -> lightning.Trainer:
    accelerator, precision = parameters.accelerator, parameters.precision
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bf16" if accelerator == "gpu" else "fp32"
    return lightning.Trainer(
        accelerator=accelerator,
        devices=parameters.devices,
        strategy=parameters.strategy,
        precision=_PRECISIONS[precision],
        max_epochs=parameters.epochs,
        gradient_clip_val=parameters.gradient_clip,
        deterministic=accelerator == "cpu",
        callbacks=[] if folder is None else [_KeepEpochs(folder)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


class _KeepEpochs(lightning.Callback):
    """Writes the state behind every epoch in place of the one before."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / CHECKPOINT

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        unfinished = self._path.with_suffix(".part")
        trainer.save_checkpoint(unfinished)
        if trainer.is_global_zero:
            with unfinished.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(unfinished, self._path)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread, one seed, no chatter; the process's random state, threads and log levels come back afterwards."""
    threads, logger = torch.get_num_threads(), logging.getLogger("pytorch_lightning")
    level, deterministic = logger.level, torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        logger.setLevel(logging.ERROR)
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
            logger.setLevel(level)


def dense_loss(network: Network, batch: Batch, batch_weight: Tensor, parameters: TrainingParameters) -> Tensor:
    """What a step of the optimiser minimises: class loss, return loss and cost penalty, each by its weight.

    batch : x (B, T, F); truth, weights (B, R, C) and gross, cost (B, R, H) of the newest R rows that x allows, or of
        a multiple of R: a mixed chunk answers to the labels of both its parts
    batch_weight : (C,) what the rows of a batch of Train weigh on average
    """
    forecast, scale = network.architecture.forecast, network.return_scale
    anchors, horizon_of_cell = list(forecast.anchors), list(forecast.horizon_of_cell)
    budgets = scale.new_tensor([cell.budget_bp for cell in forecast.cells])
    said = network(batch["x"])
    copies = batch["truth"].shape[1] // said[0].shape[1]
    logits, returns = (torch.cat([output] * copies, 1).flatten(0, 1).float() for output in said)
    truth, weights, gross, cost = (batch[name].flatten(0, 1) for name in ("truth", "weights", "gross", "cost"))
    predicted = returns.gather(-1, truth[:, anchors, None])[..., 0]
    probabilities = logits.softmax(-1)
    edge = (probabilities * returns[:, horizon_of_cell]).sum(-1)
    cell_scale, cell_cost = scale[horizon_of_cell], cost[:, horizon_of_cell] + budgets
    loss = focal_loss(logits, truth, weights, batch_weight, parameters.focal_gamma, parameters.label_smoothing)
    loss = loss + parameters.return_weight * return_loss(
        predicted / scale, gross / scale, weights[:, anchors], batch_weight[anchors], parameters.huber_delta_sigma
    )
    penalty = cost_loss(probabilities, edge / cell_scale, cell_cost / cell_scale, weights, batch_weight)
    return loss + parameters.cost_weight * penalty


def start_of(network: Architecture, found: Survey, before: ModelSnapshot | None = None) -> Network:
    """A new network that begins at the class shares and mean returns of Train, or at the weights of another.

    Raises ModelError if the other is of another architecture.
    """
    module = Network(network)
    moments = (found.shares, found.mean_returns_bp, found.deviation_bp)
    module.start_from(*(torch.from_numpy(moment).float() for moment in moments))
    if before is not None:
        if difference := other_architecture(network, before.kind, before.spec):
            raise ModelError(f"cannot start from the weights of another network: {difference}")
        load_weights(module, before.weights)
    return module


class _Step(NamedTuple):
    """What a step of the optimiser came to."""

    loss: Tensor
    part: Tensor  # of the source, counted from 0


class _DenseFit(lightning.LightningModule):
    """The network, its loss, and the best weights so far."""

    batch_weight: Tensor

    def __init__(
        self,
        network: Network,
        batch_weight: NDArray[np.float64],
        parameters: TrainingParameters,
        report: Report | None,
        clock: Clock | None,
    ) -> None:
        super().__init__()
        self.register_buffer("batch_weight", torch.from_numpy(batch_weight).float(), persistent=False)
        self.network, self.settings, self.report, self.clock = network, parameters, report, clock
        self.averaged = deepcopy(network).requires_grad_(False)  # a running mean of the weights, judged and kept
        self.history: list[Epoch] = []
        self.best_epoch, self.best_weights = -1, self._weights()
        self._losses: list[_Step] = []
        self._rows, self._began, self._seconds = 0, 0.0, None if clock is None else 0.0
        self._val_sums = torch.zeros(2, dtype=torch.float64)

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.averaged.state_dict().items()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.settings
        return torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def on_train_epoch_start(self) -> None:
        """Dropout draws from the seed and the epoch alone, so that a resumed fit draws what a whole one does."""
        torch.manual_seed((self.settings.seed + 1) * 1_000_003 + len(self.history) * 1_009 + self.global_rank)
        self._losses, self._rows = [], 0
        self._began = self.clock() if self.clock else 0.0

    def training_step(self, batch: Batch, _: int) -> Tensor:
        if self._losses:
            self._require_a_number(len(self._losses) - 1)
        loss = dense_loss(self.network, batch, self.batch_weight, self.settings)
        self._losses.append(_Step(loss.detach(), batch["part"]))
        self._rows += batch["x"].shape[0] * (batch["x"].shape[1] - self.network.architecture.receptive_rows + 1)
        return loss

    def _require_a_number(self, step: int) -> None:
        """Raise ModelError if a step's loss is none. One step late, so that a GPU need not be waited for."""
        loss, part = self._losses[step]
        if not torch.isfinite(loss):
            place = f"epoch {len(self.history)}, step {step}, part {int(part)}"
            raise ModelError(f"the training loss is {float(loss)} in {place}")

    def on_validation_epoch_start(self) -> None:
        """The last step has nobody behind it; and what follows is no learning."""
        self._require_a_number(len(self._losses) - 1)
        self._seconds = self.clock() - self._began if self.clock else None

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the mean on; it is younger than its settings say until it has seen some steps."""
        kept = min(self.settings.averaging, (self.global_step - 1) / (self.global_step + 8))
        for mean, newest in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(newest.detach(), 1 - kept)

    def validation_step(self, batch: Batch, _: int) -> None:
        logits, _returns = self.averaged(batch["x"])
        nll = functional.cross_entropy(logits.float().flatten(0, 2), batch["truth"].flatten(), reduction="none")
        known = batch["weights"].flatten() > 0
        sums = torch.stack((nll[known].double().sum(), known.sum().double()))
        self._val_sums = self._val_sums.to(sums.device) + sums

    def on_validation_epoch_end(self) -> None:
        sums = (torch.stack([step.loss for step in self._losses]).double().mean(), *self._val_sums)
        train, nll, rows = (float(self.trainer.strategy.reduce(value, reduce_op="sum")) for value in sums)
        val_nll, ranks = nll / rows, self.trainer.world_size
        if not np.isfinite(val_nll):
            raise ModelError(f"the validation loss is {val_nll} in epoch {len(self.history)}")
        self._val_sums.zero_()
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.history.append(Epoch(train / ranks, val_nll, rate, self._rows * ranks, self._seconds))
        if len(self.history) == 1 or val_nll < self.history[self.best_epoch].val_nll:
            self.best_epoch, self.best_weights = len(self.history) - 1, self._weights()
        self.trainer.should_stop = len(self.history) - 1 - self.best_epoch >= self.settings.patience

    def on_train_epoch_end(self) -> None:
        """Tell whoever waits, once the epoch is kept."""
        if self.report is not None:
            self.report(len(self.history) - 1, self.history[-1].val_nll)

    def _identity(self) -> dict[str, Any]:
        return {"network": self.network.architecture.as_dict(), "training": asdict(self.settings)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What a resumed fit needs beside Lightning's own."""
        checkpoint["fit"] = self._identity()
        checkpoint["history"] = [asdict(epoch) for epoch in self.history]
        checkpoint["best"] = {"epoch": self.best_epoch, "weights": self.best_weights}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up where it was left. Raises ModelError if that was another fit."""
        if checkpoint["fit"] != self._identity():
            raise ModelError(f"{CHECKPOINT} is of a fit with other settings; remove it to begin anew")
        self.history = [Epoch(**epoch) for epoch in checkpoint["history"]]
        self.best_epoch, self.best_weights = checkpoint["best"]["epoch"], checkpoint["best"]["weights"]


def _require_agreement(network: Network, model: ModelSnapshot, data: TrainingSet) -> None:
    """Raise ModelError unless torch and the streaming runtime forecast the same, to 1e-5."""
    worst = disagreement(network, model, data.values[: 2 * network.architecture.receptive_rows])
    if not worst <= 1e-5:
        raise ModelError(f"torch and the streaming runtime differ by {worst:.3g}, allowed is 1e-5")


def disagreement(network: Network, model: ModelSnapshot, values: NDArray[np.float32]) -> float:
    """Largest difference between torch's forecasts and the streaming runtime's; returns relative to their size."""
    forecaster = forecaster_from(model)
    streamed = forecaster.run(values, np.ones(len(values), np.bool_))[forecaster.receptive_rows - 1 :]
    network.eval()
    with torch.no_grad():
        logits, returns = network(torch.from_numpy(values)[None])
    expected = returns[0].numpy()
    apart = np.abs(forecaster.shape.returns_bp(streamed) - expected) / np.maximum(np.abs(expected), 1.0)
    probabilities = np.abs(forecaster.shape.probabilities(streamed) - logits[0].softmax(-1).numpy())
    return float(max(probabilities.max(), apart.max()))
