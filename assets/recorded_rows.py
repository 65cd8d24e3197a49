"""Rows and gross labels of whole recordings, by the functions that the chain makes its tables with; without a lake."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.aligned_events import AlignedDay
from assets.captures import capture_dates, day_importer, import_day
from assets.partitions import Part
from config.settings import Settings
from features.batch import Rows, feature_rows
from features.catalogue import VALID
from features.regimes import new_regime, regimes
from features.step import new_state
from labeling.targets import label_rows
from market.events import Events
from modeling.training_rows import heard_until


class Recorded(NamedTuple):
    """A symbol's rows from the first event of its capture to the last, their labels and regimes."""

    symbol: str
    rows: Rows
    labels: pl.DataFrame  # see labeling.targets
    regimes: NDArray[np.int8]  # of each row
    over_ts: NDArray[np.int64]  # of each row, see modeling.training_rows.heard_until
    lateness_ns: int  # delay that one message in a thousand exceeds, and the clock's error


def recorded(settings: Settings, symbol: str) -> Recorded:
    """All days of a symbol's source in one stretch, nothing held back.

    Raises DataError if the symbol has no source, or one that cannot be read.
    """
    whole = replace(settings, data=replace(settings.data, hold_back_s=0))
    events, lateness_ns = aligned_capture(whole, symbol)
    parameters = settings.features_of(symbol)
    rows = feature_rows(events, new_state(parameters), parameters, int(events["ingest_ts"][-1]))
    labels = label_rows(events, rows.row_ts, settings.labels, settings.instrument(symbol), None)
    mid2 = np.where(rows.status == VALID, rows.best_bid + rows.best_ask, 0)
    known = regimes(new_regime(settings.regimes), rows.row_ts, mid2)
    over_ts = heard_until(rows.row_ts, events["ingest_ts"], events["delay_ns"])
    return Recorded(symbol, rows, labels, known, over_ts, lateness_ns)


def aligned_capture(settings: Settings, symbol: str) -> tuple[Events, int]:
    """Aligned events of all days, the decoder and the clock running on from day to day, and how late they were, ns."""
    dates, importer = capture_dates(settings, symbol), day_importer(settings, symbol)
    batches = (batch for date in dates for batch in import_day(settings, Part(symbol, date), importer, _silent))
    day = AlignedDay(settings.clock, None, dates[0])
    events, facts = np.concatenate(list(day.aligned(batches))), day.facts()
    return events, round((facts["delay_p999_ms"] + facts["clock_error_ms"]) * 1e6)


def _silent(_: str) -> None:
    pass
