"""Rows that drift is judged on: live ones made anew from the journal, the champion's of its Train, thinned alike."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.features import REGIME
from assets.journal_tables import EVENTS_TABLE
from assets.lake_rows import days_of
from assets.partitions import WHOLE, Part
from assets.slice_data import slice_of
from config.settings import Settings
from features.batch import Rows, frame_to_rows, row_batches
from features.catalogue import VALID, catalogue_sha
from features.parameters import FeatureParameters
from features.regimes import new_regime, regimes
from features.step import new_state
from market.errors import DataError
from market.events import Events
from market.schema import frame_to_events
from market.units import NS_PER_MS
from monitoring.drift import Sample
from storage.lake import Lake

NS_PER_S: Final = 1_000_000_000


def live_sample(settings: Settings, lake: Lake, symbol: str) -> Sample:
    """Normalised valid rows of the present journal, of the newest windows, recomputed by the compiled step.

    Raises DataError if the journal was written under another catalogue.
    """
    journal = lake.scan("live_journal", symbol, [WHOLE]).collect()
    parameters = settings.features_of(symbol)
    if set(journal["catalogue_sha"]) != {catalogue_sha(parameters)}:
        raise DataError(f"the journal of {symbol} was written under another feature catalogue than the settings'")
    end, window_ns = live_until(lake, symbol), round(settings.drift.window_s * NS_PER_S)
    since = (end // window_ns - settings.drift.of_windows) * window_ns
    state = new_regime(settings.regimes)
    kept = []
    for rows in row_batches(_segments(lake, symbol, journal), new_state(parameters), parameters, end):
        mid2 = np.where(rows.status == VALID, rows.best_bid + rows.best_ask, 0)
        found = _thinned(settings, rows, regimes(state, rows.row_ts, mid2))
        kept.append(found.between(since, end + 1))
    return Sample(*(np.concatenate([getattr(part, name) for part in kept]) for name in ("row_ts", "regimes", "values")))


def reference_sample(settings: Settings, lake: Lake, part: Part) -> Sample:
    """Normalised valid rows of a slice's Train, newest ``reference_s`` seconds."""
    parameters, rules = settings.features_of(part.symbol), settings.drift
    start, end = slice_of(lake, part).train
    start = max(start, end - round(rules.reference_s * NS_PER_S))
    within = pl.col("row_ts").is_between(start, end, closed="left") & (pl.col("status") == VALID)
    sampled = on_sample(pl.col("row_ts"), rules.sample_ms, parameters)
    days = days_of(lake, part.symbol, start, end)
    frame = lake.scan("features", part.symbol, days).filter(within & sampled).collect()
    rows = frame_to_rows(frame.drop(REGIME), parameters)
    return Sample(rows.row_ts, frame[REGIME].to_numpy(), rows.values)


def live_until(lake: Lake, symbol: str) -> int:
    """Stamp of the newest record of the present journal, ns UTC."""
    return int(lake.scan("live_journal", symbol, [WHOLE]).collect()["last_ts"].max())  # type: ignore[arg-type]


def on_sample(row_ts: Any, sample_ms: int, parameters: FeatureParameters) -> Any:
    """Whether each row is the first of a sampling instant, whatever the phase of the symbol's rows.

    row_ts : an array or a polars expression, ns
    """
    return row_ts % (sample_ms * NS_PER_MS) < parameters.row_interval_ms * NS_PER_MS


def _thinned(settings: Settings, rows: Rows, codes: NDArray[np.int8]) -> Sample:
    parameters = settings.features_of(settings.live.symbol)
    kept = (rows.status == VALID) & on_sample(rows.row_ts, settings.drift.sample_ms, parameters)
    return Sample(rows.row_ts[kept], codes[kept], rows.values[kept])


def _segments(lake: Lake, symbol: str, journal: pl.DataFrame) -> Iterator[Events]:
    """The journal's events, segment by segment: it may be longer than memory."""
    for key in journal["segment"]:
        yield frame_to_events(lake.scan(EVENTS_TABLE, symbol, [key]).collect())
