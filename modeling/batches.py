"""Batches of dense chunks: each row of a chunk is forecast in one pass, and parts are read when it is their turn.

Shapes: B chunks, T rows of a chunk with its context, R rows forecast, C cells, H horizons, F features.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from features.regimes import HIGH_VOLATILITY, REGIME_NAMES
from modeling.architecture import Architecture
from modeling.augmentation import Mirror, cut_out, mixing_share, partner
from modeling.forecast import Floats
from modeling.parameters import TrainingParameters
from modeling.sampling import learnable
from modeling.survey import Survey, chunk_starts, high_volatility_factor
from modeling.training_parts import TrainingSource
from modeling.training_rows import TrainingSet

Batch = dict[str, Tensor]
Chunk = dict[str, NDArray[Any]]


class DenseBatches(IterableDataset[Batch]):
    """One epoch of batches at each iteration; where it learns, in an order drawn from the seed and the epoch.

    Only chunks move: rows stay in their order of time, and a part's chunks stay together. Of several processes each
    takes its turn of the batches, and as many as the others: of those that would be left over it learns from none, and
    judges all, where the other processes get one that counts for nothing. What it yields while it learns is augmented;
    else it is the rows as they are.
    """

    def __init__(
        self,
        network: Architecture,
        source: TrainingSource,
        found: Survey,
        parameters: TrainingParameters,
        *,
        learning: bool,
        mirror: Mirror | None = None,
    ) -> None:
        self._network, self._source, self._found, self._settings = network, source, found, parameters
        self._learning, self._mirror = learning, mirror
        self.epoch: Callable[[], int] = lambda: 0

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng((self._settings.seed, self.epoch()))
        rank, ranks = _rank()
        count = self._found.batches(self._settings.batch_chunks)
        left = count % ranks
        for number, batch in enumerate(self._all(rng)):
            if number % ranks == rank and (number < count - left or not self._learning):
                yield batch
        if not self._learning and 0 < left <= rank:
            yield batch | {"weights": torch.zeros_like(batch["weights"])}

    def _all(self, rng: np.random.Generator) -> Iterator[Batch]:
        places = rng.permutation(len(self._source)) if self._learning else np.arange(len(self._source))
        for place in places:
            if self._found.chunks[place]:
                for batch in self._of_part(self._source.part(int(place)), rng):
                    yield batch | {"part": torch.tensor(place)}

    def _of_part(self, data: TrainingSet, rng: np.random.Generator) -> Iterator[Batch]:
        part = _Part(self._network, data, self._settings, self._weights(data), self._mirror)
        count, size = len(part.firsts), self._settings.batch_chunks
        order = rng.permutation(count) if self._learning else np.arange(count)
        for first in range(0, count, size):
            chosen = order[first : first + size]
            chunks = [part.augmented(int(c), rng) if self._learning else part.chunk(int(c)) for c in chosen]
            yield {name: torch.from_numpy(np.stack([chunk[name] for chunk in chunks])) for name in chunks[0]}

    def _weights(self, data: TrainingSet) -> Floats:
        """What each row counts: its own weight within the regimes' cap where it teaches, all alike where it judges."""
        if not self._learning:
            return np.ones(len(data), np.float32)
        factor = high_volatility_factor(self._found.weights, self._settings.high_volatility_share)
        return data.weights * np.where(data.regimes == HIGH_VOLATILITY, np.float32(factor), np.float32(1.0))


def _rank() -> tuple[int, int]:
    """This process's number and how many there are."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class _Part:
    """The chunks of one part, each with the rows before it that its first forecast depends on."""

    def __init__(
        self,
        network: Architecture,
        data: TrainingSet,
        parameters: TrainingParameters,
        weights: Floats,
        mirror: Mirror | None,
    ) -> None:
        self._mirror = mirror
        self._context, self._rows, self._settings = network.receptive_rows - 1, parameters.chunk_rows, parameters
        usable = learnable(data, network.receptive_rows)
        self.firsts = chunk_starts(usable, network.receptive_rows, parameters.chunk_rows)
        self._values = data.values
        self._labels: Chunk = {
            "truth": np.where(usable, data.classes, 0).astype(np.int64) + 1,
            "weights": (usable * weights[:, None]).astype(np.float32),
            "gross": data.gross_bp,
            "cost": data.cost_bp,
        }
        self._regimes = np.array([self._regime(data.regimes, first) for first in self.firsts], np.int8)

    def _regime(self, regimes: NDArray[np.int8], first: int) -> int:
        """The regime that most rows of a chunk lie in."""
        return int(np.bincount(regimes[first : first + self._rows], minlength=len(REGIME_NAMES)).argmax())

    def chunk(self, place: int) -> Chunk:
        """The rows as they are; behind the newest row of a part stand rows of zeros that count for nothing."""
        first = self.firsts[place]
        labels = {name: _padded(array[first : first + self._rows], self._rows) for name, array in self._labels.items()}
        x = self._values[first - self._context : first + self._rows]
        return {"x": _padded(x, self._context + self._rows), **labels}

    def augmented(self, place: int, rng: np.random.Generator) -> Chunk:
        """The chunk, mirrored, mixed with another of its regime and cut, each by chance.

        A mixed chunk has the labels of both, by their share.
        """
        settings, chunk = self._settings, self.chunk(place)
        if self._mirror is not None and rng.random() < settings.mirror_share:
            chunk = mirrored(chunk, self._mirror)
        if settings.mixup_alpha > 0:
            share = np.float32(mixing_share(rng, settings.mixup_alpha))
            chunk = mixed(chunk, self.chunk(partner(self._regimes, place, rng)), share)
        if rng.random() < settings.cutout_share:
            chunk["x"] = cut_out(chunk["x"], rng, settings.cutout_least_rows, settings.cutout_most_rows)
        return chunk


def mirrored(chunk: Chunk, mirror: Mirror) -> Chunk:
    """The chunk of the mirrored market: up is down, and what rose fell."""
    turned = {"x": mirror.rows(chunk["x"]), "truth": 2 - chunk["truth"], "gross": -chunk["gross"]}
    return chunk | turned


def mixed(one: Chunk, other: Chunk, share: np.float32) -> Chunk:
    """``share`` of one chunk's rows and the rest of the other's; both their labels, weighted by their shares."""
    rest = np.float32(1.0) - share
    labels = {name: np.concatenate((one[name], other[name])) for name in one if name not in ("x", "weights")}
    weights = np.concatenate((share * one["weights"], rest * other["weights"]))
    return {"x": share * one["x"] + rest * other["x"], "weights": weights, **labels}


def _padded(array: NDArray[Any], rows: int) -> NDArray[Any]:
    missing = rows - len(array)
    if not missing:
        return array
    return np.concatenate((array, np.zeros((missing, *array.shape[1:]), array.dtype)))
