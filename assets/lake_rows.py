"""Rows and labels of a span of time, read from the days of the lake that it touches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.features import REGIME
from backtest.compiled import Rows
from backtest.engine import Window
from config.settings import Settings
from features.catalogue import feature_names
from market.errors import NotEnoughData
from market.units import NS_PER_MS
from modeling.forecast import Cell
from modeling.training_rows import TrainingSet, heard_until, training_set
from storage.lake import Lake

_NS_PER_S = 1_000_000_000
HEARD_BEFORE_NS: Final = 10 * _NS_PER_S  # before the first row that messages are read from


def days_of(lake: Lake, symbol: str, start: int, end: int) -> list[str]:
    """Dates of a symbol's partitions that reach into [start, end), oldest first."""
    first, last = utc_date(start), utc_date(end - 1)
    return [day for day in lake.dates("features", symbol) if first <= day <= last]


def utc_date(ts: int) -> str:
    """The date of an instant, ns UTC."""
    return str(datetime.fromtimestamp(ts // _NS_PER_S, UTC).date())


def stored_rows(settings: Settings, lake: Lake, symbol: str, days: Sequence[str], span: Window) -> Rows:
    """The lake's rows of a window, in order. Raises NotEnoughData if there is none."""
    names = feature_names(settings.features_of(symbol))
    heads = ["row_ts", "status", "best_bid", "best_ask", REGIME]
    frame = lake.scan("features", symbol, days).filter(_within(span)).select(*heads, *names).collect()
    if not frame.height:
        raise NotEnoughData(f"the lake holds no row of {symbol} in [{span.start}, {span.end}) ns")
    row_ts, status, best_bid, best_ask, regime = (frame[name].to_numpy(writable=True) for name in heads)
    values = frame.select(names).to_numpy().astype(np.float32, order="C")
    return Rows(row_ts, status, best_bid, best_ask, values, regime)


def stored_labels(lake: Lake, symbol: str, span: Window) -> pl.DataFrame:
    """The lake's labels of a window, in order; of a span without a day too."""
    days = days_of(lake, symbol, *span) or lake.dates("labels", symbol)[:1]
    return lake.scan("labels", symbol, days).filter(_within(span)).collect()


def labelled_rows(settings: Settings, lake: Lake, symbol: str, span: Window, cells: Sequence[Cell]) -> TrainingSet:
    """Rows of a window beside their labels. Raises NotEnoughData if there is none."""
    rows = stored_rows(settings, lake, symbol, days_of(lake, symbol, *span), span)
    labels, contract = stored_labels(lake, symbol, span), settings.instrument(symbol).contract
    row_ns = settings.features.row_interval_ms * NS_PER_MS
    return training_set(rows, labels, settings.labels, cells, contract, row_ns=row_ns, regimes=rows.regime)


def heard_rows(settings: Settings, lake: Lake, symbol: str, span: Window, cells: Sequence[Cell]) -> TrainingSet:
    """Rows of a window beside their labels, each with what it had heard of the venue; raises as ``labelled_rows``."""
    rows = labelled_rows(settings, lake, symbol, span, cells)
    return replace(rows, over_ts=heard_by(lake, symbol, rows.row_ts))


def heard_by(lake: Lake, symbol: str, row_ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The venue's time up to which each of some rows has heard all, ns."""
    first, last = int(row_ts[0]), int(row_ts[-1])
    days, came = days_of(lake, symbol, first - HEARD_BEFORE_NS, last + 1), pl.col("ingest_ts")
    span = came.is_between(first - HEARD_BEFORE_NS, last)
    found = lake.scan("aligned_events", symbol, days).filter(span).select("ingest_ts", "delay_ns").collect()
    return heard_until(row_ts, found["ingest_ts"].to_numpy(), found["delay_ns"].to_numpy())


def _within(span: Window) -> pl.Expr:
    return pl.col("row_ts").is_between(span.start, span.end, closed="left")
