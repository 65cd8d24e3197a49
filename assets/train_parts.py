"""Train of a slice in parts: one pass over its labels for cells and weights, then rows whenever it is their turn."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.lake_rows import labelled_rows, stored_labels
from backtest.engine import Window
from config.settings import Settings
from labeling.targets import class_counts as label_counts
from labeling.targets import grid_of_counts, regression_target
from labeling.uniqueness import uniqueness_by_horizon
from market.errors import NotEnoughData
from market.units import NS_PER_MS
from modeling.forecast import CLASSES, Cell, ForecastShape
from modeling.sampling import Doubles, class_counts, weighted
from modeling.training_parts import LazyParts, TrainingSource, equal_spans, kept
from modeling.training_rows import TrainingSet, cells_of, window
from storage.lake import Lake

_NS_PER_S = 1_000_000_000


class Train(NamedTuple):
    """Where Train lies in the lake, and how much of it is read at once."""

    settings: Settings
    lake: Lake
    symbol: str
    span: Window
    memory_rows: int  # kept before each part; the longest memory of any model

    @property
    def spans(self) -> tuple[Window, ...]:
        """The parts, each of as many rows as memory may hold, those without a row left out."""
        longest = self.settings.models.training.part_rows * self.row_ns
        spans = [Window(*span) for span in equal_spans(*self.span, longest)]
        return tuple(span for span in spans if self.labels(span).height)

    @property
    def row_ns(self) -> int:
        """Time between two rows."""
        return self.settings.features.row_interval_ms * NS_PER_MS

    def labels(self, span: Window) -> pl.DataFrame:
        """The labels of a span, as far as it lies in Train."""
        return stored_labels(self.lake, self.symbol, self.within(span))

    def within(self, span: Window) -> Window:
        """The span as far as it lies in Train."""
        return Window(max(span.start, self.span.start), min(span.end, self.span.end))

    def rows(self, span: Window, cells: Sequence[Cell]) -> TrainingSet:
        """Rows and labels of a part behind those that fill a model's memory, all weighing the same."""
        with_memory = self.within(Window(span.start - self.memory_rows * self.row_ns, span.end))
        read = labelled_rows(self.settings, self.lake, self.symbol, with_memory, cells)
        return window(read, span.start, span.end, self.memory_rows)


def train_source(train: Train) -> TrainingSource:
    """Train's rows, with the cells that it finds tradeable and can teach, weighted by uniqueness.

    Memory holds one part at a time; Train of a single part is kept.
    Raises NotEnoughData if the traded cell is not among its cells.
    """
    spans = train.spans
    cells = learnable_cells(train, spans, tradeable_cells(train, spans))
    shape = ForecastShape(cells)
    means = uniqueness_means(train, spans, shape)
    return kept(LazyParts(shape, spans, partial(_read, train, shape, means)))


def _read(train: Train, shape: ForecastShape, means: Doubles, start: int, end: int) -> TrainingSet:
    return weighted_part(train, Window(start, end), shape, means)


def tradeable_cells(train: Train, spans: Sequence[Window]) -> tuple[Cell, ...]:
    """The cells at the trained horizons of which enough of Train's labels are worth a trade."""
    parameters, contract = train.settings.trained_labels, train.settings.instrument(train.symbol).contract
    counts = np.zeros((len(parameters.horizons_ms), len(parameters.fee_budgets_bp), CLASSES), np.int64)
    for span in spans:
        counts += label_counts(train.labels(span), parameters, contract)
    return cells_of(grid_of_counts(counts, parameters))


def learnable_cells(train: Train, spans: Sequence[Window], cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells of which Train has enough rows of all three classes, each behind enough valid ones to be forecast.

    Raises NotEnoughData if the traded cell is not among them.
    """
    counts = np.zeros((len(cells), CLASSES), np.int64)
    for span in spans:
        counts += class_counts(train.rows(span, cells), train.memory_rows)
    least = train.settings.models.least_class_rows
    found = tuple(cell for cell, fewest in zip(cells, counts.min(axis=1), strict=True) if fewest >= least)
    traded = traded_cell(train.settings)
    if traded not in found:
        names = ", ".join(cell.name for cell in found)
        raise NotEnoughData(
            f"Train of {train.symbol} cannot teach the traded cell {traded.name}, only {names or 'none'}"
        )
    return found


def traded_cell(settings: Settings) -> Cell:
    """The question that the policy asks a model."""
    return Cell(settings.trading.horizon_ms, float(settings.trading.budget_bp))


def uniqueness_means(train: Train, spans: Sequence[Window], shape: ForecastShape) -> Doubles:
    """Mean average uniqueness of the known labels of each horizon over all of Train, (H,)."""
    sums, counts = np.zeros(len(shape.horizons_ms)), np.zeros(len(shape.horizons_ms), np.int64)
    for span in spans:
        found, known = uniqueness_in(train, span, shape)
        sums += found.sum(axis=0)
        counts += known.sum(axis=0)
    return sums / np.maximum(counts, 1)


def uniqueness_in(train: Train, span: Window, shape: ForecastShape) -> tuple[Doubles, NDArray[np.bool_]]:
    """Average uniqueness of the labels of a span, and which are known, both (N, H).

    Labels beside the span live at the same time: those within a purge, which covers every label's life, are read too.
    """
    reach = round(train.settings.models.walk_forward.purge_s * _NS_PER_S)
    labels = train.labels(Window(span.start - reach, span.end + reach))
    anchor, te = train.settings.labels.anchor, labels["te"].to_numpy()
    known = np.column_stack([np.isfinite(regression_target(labels, h, anchor)) for h in shape.horizons_ms])
    tx = np.column_stack([te + h * NS_PER_MS for h in shape.horizons_ms])
    inside = labels["row_ts"].is_between(span.start, span.end, closed="left").to_numpy()
    return uniqueness_by_horizon(te, tx, known)[inside], known[inside]


def weighted_part(train: Train, span: Window, shape: ForecastShape, means: Doubles) -> TrainingSet:
    """The rows of a part, each weighing its uniqueness; the memory before it weighs 1, and teaches nothing."""
    part, (found, _) = train.rows(span, shape.cells), uniqueness_in(train, span, shape)
    before = np.zeros((len(part) - len(found), found.shape[1]))
    return weighted(part, np.concatenate((before, found)), means)
