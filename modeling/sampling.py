"""Rows and labels side by side, cut by time; which rows a model may learn from, and the chunks it learns them in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import VALID
from features.regimes import HIGH_VOLATILITY, REGIME_NAMES, UNKNOWN
from labeling.parameters import LabelParameters
from labeling.targets import NO_CLASS, classes, regression_target
from labeling.uniqueness import mean_weights, uniqueness_by_horizon
from market.errors import ModelError, NotEnoughData
from market.instrument import Contract
from modeling.forecast import CLASSES, Cell, Floats, ForecastShape

Doubles = NDArray[np.float64]

BP = 1e4
_NS_PER_MS = 1_000_000
NOTHING_HEARD: Final = np.iinfo(np.int64).min  # over_ts of rows that nobody asks what they knew: no label ever is


@dataclass(frozen=True)
class TrainingSet:
    """N consecutive rows with the labels of C cells over H horizons; a missing label is NO_CLASS, or NaN."""

    shape: ForecastShape  # the cells and horizons, in the order of the columns below
    row_ts: NDArray[np.int64]  # (N,) ns UTC
    values: Floats  # (N, features)
    valid: NDArray[np.bool_]  # (N,) False also where rows are missing before this one
    classes: NDArray[np.int8]  # (N, C) -1 down, 0 no trade, +1 up
    gross_bp: Floats  # (N, H) of the anchor that trains
    cost_bp: Floats  # (N, H) spread and slippage of the round trip, without fees
    known_ts: NDArray[np.int64]  # (N, H) the last instant that a label reads, the venue's time, ns UTC
    over_ts: NDArray[np.int64]  # (N,) the venue's time up to which a row has heard all; a label up to it is known
    weights: Floats  # (N,) what a row counts in training
    regimes: NDArray[np.int8]  # (N,) a key of features.regimes.REGIME_NAMES

    def __len__(self) -> int:
        return len(self.row_ts)

    def rows(self, chosen: slice | NDArray[np.generic]) -> "TrainingSet":
        """The chosen rows."""
        arrays = {item.name: getattr(self, item.name)[chosen] for item in fields(self) if item.name != "shape"}
        return TrainingSet(self.shape, **arrays)


def cells_of(grid: pl.DataFrame) -> tuple[Cell, ...]:
    """The tradeable cells of a grid of labels, by horizon and budget.

    Raises NotEnoughData if there is none.
    """
    rows = grid.filter(pl.col("tradeable")).sort("horizon_ms", "budget_bp")
    if rows.is_empty():
        raise NotEnoughData(f"none of the {grid.height} cells has enough rows worth a trade")
    return tuple(Cell(int(horizon), float(budget)) for horizon, budget in rows.select("horizon_ms", "budget_bp").rows())


class FeatureRows(Protocol):
    """Rows of the catalogue, as the lake or a stream has them."""

    @property
    def row_ts(self) -> NDArray[np.int64]:
        """(N,) ns UTC."""

    @property
    def status(self) -> NDArray[np.uint8]:
        """(N,) of features.catalogue."""

    @property
    def values(self) -> Floats:
        """(N, features)."""


def training_set(
    rows: FeatureRows,
    labels: pl.DataFrame,
    parameters: LabelParameters,
    cells: Sequence[Cell],
    contract: Contract,
    *,
    row_ns: int,
    regimes: NDArray[np.int8] | None = None,
    over_ts: NDArray[np.int64] | None = None,
) -> TrainingSet:
    """Rows beside their labels, every row counting the same; without regimes none is known.

    row_ns : between two rows of which none is missing
    over_ts : (N,) see ``heard_until``; without it no label is ever known to a row, which is enough to train on

    Raises ModelError if the two are not of the same instants, or no rows are there.
    """
    if not len(rows.row_ts) or not np.array_equal(rows.row_ts, labels["row_ts"].to_numpy()):
        raise ModelError(f"{len(rows.row_ts)} rows and {labels.height} labels must be of the same instants, and some")
    shape = ForecastShape(tuple(cells))
    te, horizons = labels["te"].to_numpy(), shape.horizons_ms
    return TrainingSet(
        shape=shape,
        row_ts=rows.row_ts,
        values=rows.values,
        valid=(rows.status == VALID) & follows(rows.row_ts, row_ns),
        classes=np.column_stack([classes(labels, *cell, parameters.margin_bp, contract) for cell in cells]),
        gross_bp=_in_bp([regression_target(labels, h, parameters.anchor) for h in horizons]),
        cost_bp=_in_bp([(labels[f"spread_{h}"] + labels[f"slippage_{h}"]).to_numpy() for h in horizons]),
        known_ts=np.column_stack([te + h * _NS_PER_MS for h in horizons]),
        over_ts=np.full(len(rows.row_ts), NOTHING_HEARD) if over_ts is None else over_ts,
        weights=np.ones(len(rows.row_ts), np.float32),
        regimes=np.full(len(rows.row_ts), UNKNOWN, np.int8) if regimes is None else regimes,
    )


def heard_until(
    row_ts: NDArray[np.int64], ingest_ts: NDArray[np.int64], delay_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The venue's time up to which each row has heard all, (N,) ns: just before the newest stamp received by then.

    NOTHING_HEARD before the first message. A session reckons the same way (``trading/session.py``).

    ingest_ts, delay_ns : of messages in the order of arrival

    >>> heard_until(np.array([20, 40, 60]), np.array([25, 38, 41]), np.array([5, 3, 9])).tolist()[1:]
    [34, 34]
    """
    newest = np.maximum.accumulate(np.concatenate(([NOTHING_HEARD + 1], ingest_ts - delay_ns)))
    return newest[np.searchsorted(ingest_ts, row_ts, side="right")] - 1


def _in_bp(columns: list[NDArray[np.float32]]) -> Floats:
    return (np.column_stack(columns) * BP).astype(np.float32)


def follows(row_ts: NDArray[np.int64], row_ns: int) -> NDArray[np.bool_]:
    """Whether no row is missing before each; nothing is known of the first.

    >>> follows(np.array([20, 40, 80]), 20).tolist()
    [True, True, False]
    """
    return np.concatenate(([True], np.diff(row_ts) == row_ns))[: len(row_ts)]


def window(data: TrainingSet, start: int, end: int, context_rows: int = 0) -> TrainingSet:
    """The rows with ``start <= row_ts < end`` (ns), and some before them whose labels are hidden.

    The context fills a model's memory; it is features alone, which know nothing of later rows.
    Raises NotEnoughData if the window itself is empty.
    """
    first, last = np.searchsorted(data.row_ts, (start, end))
    if first >= last:
        raise NotEnoughData(f"none of {len(data)} rows lies between {start} and {end} ns")
    begin = max(0, first - context_rows)
    part = data.rows(slice(begin, last))
    hidden = np.arange(len(part)) < first - begin
    return TrainingSet(
        **{
            **vars(part),
            "classes": np.where(hidden[:, None], np.int8(NO_CLASS), part.classes),
            "gross_bp": np.where(hidden[:, None], np.float32(np.nan), part.gross_bp),
        }
    )


def weighted_by_uniqueness(data: TrainingSet) -> TrainingSet:
    """The same rows, each weighing what its labels say that the labels beside them do not; 1 on average.

    A row of which no label is known keeps its weight: it teaches nothing either way.
    """
    found = uniqueness_of(data)
    return weighted(data, found, found.sum(axis=0) / np.maximum(np.isfinite(data.gross_bp).sum(axis=0), 1))


def uniqueness_of(data: TrainingSet) -> Doubles:
    """Average uniqueness of each row's label at each horizon, (N, H); 0 where it is not known."""
    spans = np.array(data.shape.horizons_ms, np.int64) * _NS_PER_MS
    return uniqueness_by_horizon(data.known_ts[:, 0] - spans[0], data.known_ts, np.isfinite(data.gross_bp))


def weighted(data: TrainingSet, uniqueness: Doubles, means: Doubles) -> TrainingSet:
    """The rows weighing their uniqueness (N, H) over its means (H,) in all of Train; without a label as before."""
    known = np.isfinite(data.gross_bp)
    weights = mean_weights(uniqueness, known, means)
    return replace(data, weights=np.where(known.any(axis=1), weights, data.weights).astype(np.float32))


def ready_rows(valid: NDArray[np.bool_], receptive_rows: int) -> NDArray[np.bool_]:
    """Where the last ``receptive_rows`` rows are all valid: where a forecaster's ready is 1.

    >>> ready_rows(np.array([True, True, False, True, True, True]), 2).tolist()
    [False, True, False, False, True, True]
    """
    places = np.arange(len(valid))
    newest_invalid = np.maximum.accumulate(np.where(valid, -1, places)) if len(valid) else places
    return places - newest_invalid >= receptive_rows


def class_counts(data: TrainingSet, receptive_rows: int) -> NDArray[np.int64]:
    """Learnable rows of each class, (C, 3); those of parts add up."""
    return _class_counts(data, learnable(data, receptive_rows))


def newest_rows(source: "TrainingSource", rows: int) -> TrainingSet:
    """The newest parts of a source that together hold at least ``rows`` rows, or all of them, with their context."""
    parts: list[TrainingSet] = []
    for place in reversed(range(len(source))):
        parts.insert(0, source.part(place))
        if sum(map(len, parts)) >= rows:
            break
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Sequence[TrainingSet]) -> TrainingSet:
    """Parts behind each other, each without the context that repeats the rows of the one before."""
    own = [parts[0], *(part.rows(part.row_ts > before.row_ts[-1]) for before, part in pairwise(parts))]
    arrays = {item.name: [getattr(part, item.name) for part in own] for item in fields(TrainingSet)}
    return TrainingSet(
        **{name: found[0] if name == "shape" else np.concatenate(found) for name, found in arrays.items()}
    )


def learnable(data: TrainingSet, receptive_rows: int) -> NDArray[np.bool_]:
    """Which classes a model can be asked for and checked on, shape (N, C)."""
    return ready_rows(data.valid, receptive_rows)[:, None] & (data.classes != NO_CLASS)


class TrainingSource(Protocol):
    """Training rows in parts that follow each other in time, each read when it is its turn: more than memory holds."""

    @property
    def shape(self) -> ForecastShape:
        """The cells and horizons."""

    def __len__(self) -> int:
        """How many parts."""

    def part(self, place: int) -> TrainingSet:
        """The rows of one part, behind earlier ones that fill a model's memory and whose labels are hidden."""


@dataclass(frozen=True)
class InMemory:
    """A training set as a source of one part."""

    data: TrainingSet

    @property
    def shape(self) -> ForecastShape:
        """The cells and horizons."""
        return self.data.shape

    def __len__(self) -> int:
        return 1

    def part(self, place: int) -> TrainingSet:
        """The whole of it."""
        return self.data


@dataclass(frozen=True)
class LazyParts:
    """Spans of time that are read anew whenever they are asked for; none is kept."""

    shape: ForecastShape
    spans: tuple[tuple[int, int], ...]  # half-open [start, end), ns UTC, in order
    read: Callable[[int, int], TrainingSet]  # the rows of a span with their context

    def __len__(self) -> int:
        return len(self.spans)

    def part(self, place: int) -> TrainingSet:
        """The rows of one span."""
        return self.read(*self.spans[place])


def kept(parts: LazyParts) -> TrainingSource:
    """A source of a single part keeps it; one of several reads each when it is its turn."""
    return InMemory(parts.part(0)) if len(parts) == 1 else parts


def equal_spans(start: int, end: int, longest: int) -> tuple[tuple[int, int], ...]:
    """[start, end) cut into spans of ``longest``, the last one shorter; all in ns.

    >>> equal_spans(0, 10, 4)
    ((0, 4), (4, 8), (8, 10))
    """
    return tuple((at, min(at + longest, end)) for at in range(start, end, longest))


@dataclass
class Survey:
    """What training has to know of all rows before the first step; gathered part by part."""

    shape: ForecastShape
    rows: int
    counts: NDArray[np.int64]  # (C, 3) learnable rows by class
    sums: NDArray[np.float64]  # (H, 3) gross return by class of the anchor cell, bp
    squares: NDArray[np.float64]  # (H,) of those returns
    known: NDArray[np.int64]  # (H, 3) how many those are
    weights: NDArray[np.float64]  # (regimes,) total weight of learnable rows
    cell_weights: NDArray[np.float64]  # (regimes, C) of those with a label of the cell
    chunks: list[int]  # of each part

    def batches(self, batch_chunks: int) -> int:
        """Batches of an epoch; none holds chunks of two parts."""
        return sum(-(-count // batch_chunks) for count in self.chunks)

    def batch_weight(self, batch_chunks: int, high_volatility_share: float) -> NDArray[np.float64]:
        """What the rows of a batch weigh on average over an epoch, (C,), within the regimes' cap."""
        factors = np.ones(len(self.weights))
        factors[HIGH_VOLATILITY] = high_volatility_factor(self.weights, high_volatility_share)
        return factors @ self.cell_weights / self.batches(batch_chunks)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Class shares, (C, 3)."""
        return self.counts / self.counts.sum(1, keepdims=True)

    @property
    def mean_returns_bp(self) -> NDArray[np.float64]:
        """Mean gross return of each class, (H, 3); 0 where a class has none."""
        return self.sums / np.maximum(self.known, 1)

    @property
    def deviation_bp(self) -> NDArray[np.float64]:
        """Standard deviation of gross returns, (H,): the unit of the return loss."""
        count = np.maximum(self.known.sum(1), 1)
        variance = self.squares / count - (self.sums.sum(1) / count) ** 2
        return np.sqrt(np.maximum(variance, 1e-12))


def survey(source: TrainingSource, receptive_rows: int, chunk_rows: int) -> Survey:
    """One pass over all parts.

    Raises NotEnoughData if none of its rows has a class.
    """
    cells, horizons, regimes = len(source.shape.cells), len(source.shape.horizons_ms), len(REGIME_NAMES)
    zeros = np.zeros((cells, CLASSES), np.int64), np.zeros((horizons, CLASSES)), np.zeros(horizons)
    known, weights = np.zeros((horizons, CLASSES), np.int64), (np.zeros(regimes), np.zeros((regimes, cells)))
    found = Survey(source.shape, 0, *zeros, known, *weights, [])
    for place in range(len(source)):
        _count(found, source.part(place), receptive_rows, chunk_rows)
    _require_rows(found.counts, found.rows, receptive_rows)
    return found


def _count(found: Survey, data: TrainingSet, receptive_rows: int, chunk_rows: int) -> None:
    usable = learnable(data, receptive_rows)
    found.rows += len(data)
    found.counts += _class_counts(data, usable)
    for horizon, anchor in enumerate(data.shape.anchors):
        known = usable[:, anchor] & np.isfinite(data.gross_bp[:, horizon])
        gross = data.gross_bp[known, horizon].astype(np.float64)
        classes = data.classes[known, anchor].astype(np.int64) + 1
        found.sums[horizon] += np.bincount(classes, gross, CLASSES)
        found.known[horizon] += np.bincount(classes, minlength=CLASSES)
        found.squares[horizon] += gross @ gross
    weight = data.weights * usable.any(1)
    found.weights += np.bincount(data.regimes, weight, len(REGIME_NAMES))
    for cell, labelled in enumerate(usable.T):
        found.cell_weights[:, cell] += np.bincount(data.regimes, data.weights * labelled, len(REGIME_NAMES))
    found.chunks.append(len(chunk_starts(usable, receptive_rows, chunk_rows)))


def chunk_starts(usable: NDArray[np.bool_], receptive_rows: int, chunk_rows: int) -> list[int]:
    """The first forecast row of every chunk that has anything to learn, one behind the other from the first row on."""
    firsts = range(receptive_rows - 1, len(usable), chunk_rows)
    return [first for first in firsts if usable[first : first + chunk_rows].any()]


def high_volatility_factor(weights: NDArray[np.float64], most: float) -> float:
    """What rows of high volatility are multiplied by so that they hold at most a share of the total weight.

    weights : (regimes,) total weight by regime

    >>> round(high_volatility_factor(np.array([0.0, 3.0, 1.0, 6.0]), 0.4), 6)
    0.444444
    """
    high, rest = weights[HIGH_VOLATILITY], weights.sum() - weights[HIGH_VOLATILITY]
    if high <= most * (high + rest) or rest == 0:
        return 1.0
    return float(most * rest / ((1 - most) * high))


def require_classes(data: TrainingSet, receptive_rows: int) -> None:
    """Raise NotEnoughData unless every cell has rows of all three classes to learn from."""
    counts = class_counts(data, receptive_rows)
    _require_rows(counts, len(data), receptive_rows)
    require_every_class(counts, data.shape)


def _class_counts(data: TrainingSet, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    kinds = np.arange(CLASSES, dtype=np.int8) - 1
    return np.stack([((data.classes == kind) & usable).sum(0) for kind in kinds], 1)


def _require_rows(counts: NDArray[np.int64], rows: int, receptive_rows: int) -> None:
    if not counts.any():
        raise NotEnoughData(f"none of {rows} rows is labelled and follows {receptive_rows} valid rows")


def require_every_class(counts: NDArray[np.int64], shape: ForecastShape) -> None:
    """Raise NotEnoughData unless every cell has rows of all three classes; counts (C, 3). Learning needs that.

    Checking does not: Val may be too short for a rare class, and its log-loss says as much without it.
    """
    for cell, (down, no_trade, up) in zip(shape.cells, counts.tolist(), strict=True):
        if not (down and no_trade and up):
            raise NotEnoughData(f"cell {cell.name} lacks a class: {down} rows down, {no_trade} no trade, {up} up")
