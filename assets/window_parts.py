"""Val and Test of a slice in parts: rows, labels and what was heard by then, read whenever it is their turn."""

from dataclasses import dataclass

import polars as pl

from assets.lake_rows import days_of, heard_rows
from backtest.engine import Window
from config.settings import Settings
from market.errors import NotEnoughData
from market.units import NS_PER_MS
from modeling.forecast import Cell, ForecastShape
from modeling.training_parts import LazyParts, equal_spans
from modeling.training_rows import TrainingSet, window
from storage.lake import Lake


@dataclass(frozen=True)
class LaterWindow:
    """A window behind Train, where it lies in the lake, and for which cells it is labelled."""

    settings: Settings
    lake: Lake
    symbol: str
    span: Window
    cells: tuple[Cell, ...]
    context_rows: int  # kept before each part; the longest memory of any model

    def source(self) -> LazyParts:
        """The window in parts of as many rows as memory may hold, those without a row left out.

        Raises NotEnoughData if there is no other.
        """
        longest = self.settings.models.training.part_rows * self._row_ns
        spans = tuple(span for span in equal_spans(*self.span, longest) if self._holds(Window(*span)))
        if not spans:
            raise NotEnoughData(f"{self.symbol} has no row in [{self.span.start}, {self.span.end}) ns")
        return LazyParts(ForecastShape(self.cells), spans, self._rows)

    @property
    def _row_ns(self) -> int:
        return self.settings.features.row_interval_ms * NS_PER_MS

    def _rows(self, start: int, end: int) -> TrainingSet:
        """A part behind its context."""
        reach = Window(start - self.context_rows * self._row_ns, end)
        read = heard_rows(self.settings, self.lake, self.symbol, reach, self.cells)
        return window(read, start, end, self.context_rows)

    def _holds(self, span: Window) -> bool:
        days = days_of(self.lake, self.symbol, *span)
        if not days:
            return False
        inside = pl.col("row_ts").is_between(*span, closed="left")
        return bool(self.lake.scan("features", self.symbol, days).filter(inside).select(pl.len()).collect().item())
