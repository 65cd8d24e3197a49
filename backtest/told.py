"""One desk of a journal as arrays: its market, its rows and forecasts, what it sent, was told and booked."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.answers import ANSWER, answers_of
from backtest.compiled import Rows
from backtest.parameters import VenueParameters
from backtest.performance import minute_profits
from backtest.resampling import Floats
from backtest.stamps import on_our_clock
from features.parameters import FeatureParameters
from market.events import Events
from market.instrument import Instrument
from market.orders import FILL, Reports
from modeling.forecast import Floats as Forecasts
from trading.ports import Strategy


class Change(NamedTuple):
    """What was done to a desk before a row."""

    row_ts: int  # ns UTC
    strategy: Strategy | None  # that decides from here on; None: the kill switch was latched
    aside: bool  # whether it stands in for a model that is gone, whatever is held


@dataclass(frozen=True, slots=True)
class Told:
    """One desk of a journal, as it ran; N rows."""

    instrument: Instrument
    features: FeatureParameters
    venue: VenueParameters  # of the journal's plan
    tape: Events  # in the order received
    rows: Rows  # (N,)
    forecasts: Forecasts  # (N, 8): the traded cell's seven numbers, and 1 where they may be used
    decisions: NDArray[np.void]  # (N,), DECISION
    intents: NDArray[np.void]  # INTENT, in the order sent
    reports: Reports
    report_rows: NDArray[np.int64]  # row that saw each report, ns UTC
    opening: Strategy  # that decided at first
    changes: tuple[Change, ...]  # oldest first

    @property
    def fills(self) -> int:
        """Fills that the desk was told of."""
        return int((self.reports["kind"] == FILL).sum())

    @property
    def answers(self) -> NDArray[np.void]:
        """What became of everything that it sent, by our clock; see ``backtest.answers``."""
        if not self.intents.size:
            return np.zeros(0, ANSWER)
        return answers_of(self.decisions, self.intents, on_our_clock(self.reports, self.tape))

    def minutes(self, equity: Floats) -> pl.DataFrame:
        """Profit of each UTC minute of an equity after each row, (N,): see ``minute_profits``."""
        return minute_profits(self.decisions["row_ts"], equity)
