"""Short markets told by hand, and what an account makes of each under given rules."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.engine import InferLeg, Result, Window, run_backtest
from backtest.ledger import Ledger
from backtest.venue import SimulatedVenue
from features.stream import FeatureStream
from market.events import Events
from tests.builders_market import COINM_BTC
from tests.builders_trading import FEATURES, VENUE
from tests.builders_venue import snapshot, tape
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters
from trading.ports import Strategy
from trading.session import Session

ROW_MS: Final = 20
FIRST_MS: Final = 100_000
WARM_ROWS: Final = 170  # shown before the moments: windows fill, normalisers take their first sample
QUICK: Final = replace(FEATURES, normalizer_min_samples=2)
MID: Final = 500_000  # ticks, 50,000 USD


class Moment(NamedTuple):
    """What the market shows during one row, and what the model says at its end."""

    mid: int  # ticks; the touch lies a tick to either side
    mean_bp: float  # expected move, certain as far as the rules ask
    depth: int = 1_000  # lots at the touch
    delay_ms: int = 5
    silent: bool = False  # nothing arrives
    confidence: float = 0.8  # of the likeliest class


class Told:
    """A model that says what the moments say, a row each."""

    receptive_rows = 1

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._rows = iter(moments)

    def new_state(self) -> NDArray[np.float32]:
        """One forecast."""
        return np.zeros(8, np.float32)

    def step(self, state: NDArray[np.float32], values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """The next of its forecasts, always ready."""
        moment = next(self._rows)
        likely, other = moment.confidence, 0.5 * (1.0 - moment.confidence)
        state[:] = (other, other, likely, moment.mean_bp, moment.mean_bp, moment.mean_bp, 0.0, 1.0)
        return state


def book_at(moment: Moment, at_ms: int) -> Events:
    """The whole book of a moment: the touch, and twice its depth three ticks behind it."""
    bids = {moment.mid - 1: moment.depth, moment.mid - 4: 2 * moment.depth}
    asks = {moment.mid + 1: moment.depth, moment.mid + 4: 2 * moment.depth}
    return snapshot(at_ms, bids, asks, delay_ms=moment.delay_ms)


def market_of(moments: Sequence[Moment]) -> Events:
    """A message a row, in the middle of it."""
    heard = [(FIRST_MS + ROW_MS * place, moment) for place, moment in enumerate(moments) if not moment.silent]
    return tape(*(book_at(moment, at_ms) for at_ms, moment in heard))


def traded(
    moments: Sequence[Moment],
    rules: TradingParameters,
    kind: PolicyKind = "take",
    infer: InferLeg = 1_000_000,
    prepare: Callable[[Session], object] = lambda session: None,
) -> tuple[float, Result]:
    """What the account is worth at the end, USD at 50,000, and all that it did."""
    limits = limits_of(rules, COINM_BTC, kind, VENUE.fees)
    moments = [*(Moment(MID + place % 2, 0.001 * (place % 3)) for place in range(WARM_ROWS)), *moments]
    session = Session(
        FeatureStream(QUICK), Strategy(Told(moments), np.arange(7), limits, *VENUE.fees), Ledger(COINM_BTC)
    )
    prepare(session)
    events = market_of(moments)
    window = Window(0, int(events["ingest_ts"][-1]) + 1)
    result = run_backtest(events, session, SimulatedVenue(COINM_BTC, VENUE), window, infer)
    return float(result.decisions["equity"][-1]) * 50_000, result
