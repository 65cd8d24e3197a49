"""Dense training by Lightning: a chunk of rows gets all its forecasts in one pass. Only heavy callers import this."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from market.errors import ModelError
from modeling.architecture import Architecture
from modeling.calibration import identity
from modeling.forecast import CLASSES
from modeling.losses import cost_loss, focal_loss, return_loss
from modeling.networks.network import Network, network_weights
from modeling.parameters import TrainingParameters
from modeling.sampling import TrainingSet, learnable, require_classes
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from

Report = Callable[[int, float], None]  # epoch and its validation loss, nats; may raise to end the fit
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One line of a training curve."""

    train_loss: float
    val_nll: float  # mean log-loss over cells, nats, unweighted


@dataclass(frozen=True)
class Fit:
    """A trained network, uncalibrated, and how it got there."""

    model: ModelSnapshot
    history: tuple[Epoch, ...]
    best_epoch: int

    @property
    def val_nll(self) -> float:
        """Validation loss of the weights that were kept."""
        return self.history[self.best_epoch].val_nll


def fit(
    network: Architecture,
    train: TrainingSet,
    val: TrainingSet,
    parameters: TrainingParameters,
    report: Report | None = None,
) -> Fit:
    """Train until the validation loss stops falling and keep the best weights; the same bytes from the same seed.

    Raises NotEnoughData if a cell lacks a class to learn or check on, ModelError if the loss is not a number.
    """
    require_classes(train, network.receptive_rows)
    loaders = [_loader(network, data, parameters, shuffle) for data, shuffle in ((train, True), (val, False))]
    with _reproducible(parameters.seed):
        module = _DenseFit(network, train, parameters, report)
        _trainer(parameters).fit(module, *loaders)
    module.network.load_state_dict(module.best_weights)
    model = ModelSnapshot(
        network.kind, network.as_dict(), network_weights(module.network), identity(len(train.shape.cells))
    )
    _require_agreement(module.network, model, val)
    return Fit(model, tuple(module.history), module.best_epoch)


def _trainer(parameters: TrainingParameters) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=parameters.epochs,
        gradient_clip_val=parameters.gradient_clip,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread, one seed, no chatter; the process's random state, threads and log levels come back afterwards."""
    threads, logger = torch.get_num_threads(), logging.getLogger("pytorch_lightning")
    level, deterministic = logger.level, torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
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


class _DenseChunks(Dataset[Batch]):
    """Chunks of rows, each with the rows before it that its first forecast depends on."""

    def __init__(self, network: Architecture, data: TrainingSet, chunk_rows: int) -> None:
        self.context, self.chunk_rows = network.receptive_rows - 1, chunk_rows
        usable = learnable(data, network.receptive_rows)
        firsts = range(self.context, len(data), chunk_rows)
        self.firsts = [first for first in firsts if usable[first : first + chunk_rows].any()]
        self.values = _padded(data.values, chunk_rows)
        self.labels = {
            "truth": _padded(np.where(usable, data.classes, 0).astype(np.int64) + 1, chunk_rows),
            "weights": _padded(usable * data.weights[:, None], chunk_rows),
            "gross": _padded(data.gross_bp, chunk_rows),
            "cost": _padded(data.cost_bp, chunk_rows),
        }

    def __len__(self) -> int:
        return len(self.firsts)

    def __getitem__(self, place: int) -> Batch:
        first = self.firsts[place]
        rows = slice(first, first + self.chunk_rows)
        x = self.values[first - self.context : first + self.chunk_rows]
        return {"x": x, **{name: tensor[rows] for name, tensor in self.labels.items()}}


def _padded(array: NDArray[Any], rows: int) -> Tensor:
    """A tensor with ``rows`` zero rows behind, so that every chunk is as long; their weight is zero as well."""
    return torch.from_numpy(np.concatenate((array, np.zeros((rows, *array.shape[1:]), array.dtype))))


def _loader(
    network: Architecture, data: TrainingSet, parameters: TrainingParameters, shuffle: bool
) -> DataLoader[Batch]:
    chunks = _DenseChunks(network, data, parameters.chunk_rows)
    if not len(chunks):
        require_classes(data, network.receptive_rows)
    order = torch.Generator().manual_seed(parameters.seed)
    return DataLoader(chunks, batch_size=parameters.batch_chunks, shuffle=shuffle, generator=order)


def dense_loss(network: Network, batch: Batch, parameters: TrainingParameters) -> Tensor:
    """What a step of the optimiser minimises: class loss, return loss and cost penalty, each by its weight.

    batch : x (B, T, F); truth, weights (B, R, C) and gross, cost (B, R, H) of the newest R rows that x allows
    """
    forecast, scale = network.architecture.forecast, network.return_scale
    anchors, horizon_of_cell = list(forecast.anchors), list(forecast.horizon_of_cell)
    budgets = scale.new_tensor([cell.budget_bp for cell in forecast.cells])
    logits, returns = (output.flatten(0, 1).float() for output in network(batch["x"]))
    truth, weights, gross, cost = (batch[name].flatten(0, 1) for name in ("truth", "weights", "gross", "cost"))
    predicted = returns.gather(-1, truth[:, anchors, None])[..., 0]
    probabilities = logits.softmax(-1)
    edge = (probabilities * returns[:, horizon_of_cell]).sum(-1)
    cell_scale, cell_cost = scale[horizon_of_cell], cost[:, horizon_of_cell] + budgets
    loss = focal_loss(logits, truth, weights, parameters.focal_gamma, parameters.label_smoothing)
    loss = loss + parameters.return_weight * return_loss(
        predicted / scale, gross / scale, weights[:, anchors], parameters.huber_delta_sigma
    )
    penalty = cost_loss(probabilities, edge / cell_scale, cell_cost / cell_scale, weights)
    return loss + parameters.cost_weight * penalty


class _DenseFit(lightning.LightningModule):
    """The network, its loss, and the best weights so far."""

    def __init__(
        self, network: Architecture, train: TrainingSet, parameters: TrainingParameters, report: Report | None
    ) -> None:
        super().__init__()
        self.network, self.settings, self.report = Network(network), parameters, report
        self.network.start_from(*class_moments(train, network))
        self.history: list[Epoch] = []
        self.best_epoch, self.best_weights = -1, self.network.state_dict()
        self._train_losses: list[float] = []
        self._val_sums = torch.zeros(2, dtype=torch.float64)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.settings
        return torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = dense_loss(self.network, batch, self.settings)
        if not torch.isfinite(loss):
            raise ModelError(f"the training loss is {loss.item()} in epoch {self.current_epoch}")
        self._train_losses.append(loss.item())
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        logits, _returns = self.network(batch["x"])
        nll = functional.cross_entropy(logits.flatten(0, 2), batch["truth"].flatten(), reduction="none")
        known = batch["weights"].flatten() > 0
        self._val_sums += torch.stack((nll[known].double().sum(), known.sum().double()))

    def on_validation_epoch_end(self) -> None:
        val_nll = float(self._val_sums[0] / self._val_sums[1])
        self._val_sums.zero_()
        if not np.isfinite(val_nll):
            raise ModelError(f"the validation loss is {val_nll} in epoch {self.current_epoch}")
        self.history.append(Epoch(float(np.mean(self._train_losses)), val_nll))
        self._train_losses.clear()
        if val_nll < self.history[self.best_epoch].val_nll or len(self.history) == 1:
            self.best_epoch = len(self.history) - 1
            self.best_weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.trainer.should_stop = len(self.history) - 1 - self.best_epoch >= self.settings.patience
        if self.report is not None:
            self.report(len(self.history) - 1, val_nll)


def class_moments(train: TrainingSet, network: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    """Class shares (cells, 3), mean gross return of each class (horizons, 3) and its deviation (horizons,) [bp]."""
    usable = learnable(train, network.receptive_rows)
    kinds = np.arange(CLASSES) - 1
    shares = [[np.mean(train.classes[usable[:, c], c] == kind) for kind in kinds] for c in range(usable.shape[1])]
    returns, scales = [], []
    for horizon, anchor in enumerate(network.forecast.anchors):
        gross, classes = train.gross_bp[usable[:, anchor], horizon], train.classes[usable[:, anchor], anchor]
        returns.append([gross[classes == kind].mean() for kind in kinds])
        scales.append(max(float(gross.std()), 1e-6))
    return torch.tensor(np.array(shares)).float(), torch.tensor(np.array(returns)).float(), torch.tensor(scales)


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
