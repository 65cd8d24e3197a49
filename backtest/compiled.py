"""A stretch of market compiled once for many runs: tape, feature rows and mids, and how a session is run over them.

Rows do not depend on what we do, so a sweep makes them once, and a model's forecasts once. Session, policy, venue and
ledger are those of every other way of trading; only the making of rows and forecasts is left out. That a run over
a compiled stretch equals one that makes every row as it comes is a test.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.engine import Market, Result, Window, run_backtest
from backtest.latency import SampledLatency, TracedLatency
from backtest.ledger import Ledger
from backtest.mids import MidPath
from backtest.orders import CLOCK, WHOLE
from backtest.parameters import VenueParameters
from backtest.portfolio import PortfolioGateway
from backtest.venue import SimulatedVenue
from features.catalogue import VALID
from features.parameters import FeatureParameters
from features.stream import Row
from market.book import Book, apply_events
from market.events import Events
from market.instrument import Instrument
from market.latency import LatencyTable, message_stamps
from market.orders import Orders
from modeling.forecast import Floats
from modeling.streaming import Forecaster
from trading.ports import Strategy
from trading.session import Session

_NOTHING = np.zeros(0, np.float32)


class Rows(NamedTuple):
    """Feature rows in order of time, as far as a session looks at them; N rows, F features."""

    row_ts: NDArray[np.int64]  # (N,) ns UTC
    status: NDArray[np.uint8]  # (N,) features.catalogue.STATUS_NAMES
    best_bid: NDArray[np.int64]  # (N,) ticks, 0: none, or the book is closed
    best_ask: NDArray[np.int64]  # (N,) ticks, likewise
    values: NDArray[np.float32]  # (N, F), normalised
    regime: NDArray[np.int8]  # (N,), see features.regimes


class Compiled(NamedTuple):
    """What the market did over a window and the warm-up before it; arrays only, not to be changed."""

    tape: Events  # from where the rows begin, to a second behind the window
    venue: dict[str, NDArray[Any]]  # a venue's dump, as it stood before the tape
    book: Book  # ours, likewise
    rows: Rows  # every row that closes up to the window's end
    mids: MidPath  # runs on behind the window, for what is judged after the fact


class Terms(NamedTuple):
    """On what terms a strategy trades: with whom, when, and how long it thinks."""

    instrument: Instrument
    venue: VenueParameters
    window: Window
    infer_latency_ns: int
    latency: LatencyTable | TracedLatency | None = None  # where the other three legs come from; None: the constants


class Trace(NamedTuple):
    """A run and every order it sent."""

    result: Result
    orders: Orders


class CompiledStream:
    """Stands for a feature stream over compiled rows; hands out, as a row's values, what the model forecast on it."""

    def __init__(self, book: Book, rows: Rows, forecasts: Floats, parameters: FeatureParameters) -> None:
        """``book``: ours, as it stood before the first row; copied."""
        self.parameters = parameters
        self._book: Book = tuple(array.copy() for array in book)  # type: ignore[assignment]
        self._rows, self._forecasts, self._next = rows, forecasts, 0

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns; one step behind the last row once all are closed."""
        stamps = self._rows.row_ts
        if self._next < stamps.size:
            return int(stamps[self._next])
        return int(stamps[-1]) + self.parameters.row_interval_ms * 1_000_000 if stamps.size else 0

    @property
    def book(self) -> Book:
        """Our own book, as we have received it."""
        return self._book

    def push(self, events: Events) -> None:
        """Take in events of the open row."""
        if events.size:
            apply_events(self._book, events)

    def close(self, row_ts: int) -> Row:
        """The open row; ``row_ts`` must be its own."""
        rows, place = self._rows, self._next
        self._next += 1
        touch = int(rows.best_bid[place]), int(rows.best_ask[place])
        return Row(row_ts, int(rows.status[place]), *touch, _NOTHING, self._forecasts[place])


class Known:
    """A forecaster over compiled rows: their values are the forecasts."""

    receptive_rows = 1

    def new_state(self) -> None:
        """Nothing to remember."""

    def step(self, state: None, values: Floats, valid: bool) -> Floats:
        """The forecast itself."""
        return values


def forecasts_on(compiled: Compiled, forecaster: Forecaster) -> Floats:
    """What a model says on every compiled row, (rows, forecast size); the first ``receptive_rows`` may not be ready."""
    return forecaster.run(compiled.rows.values, compiled.rows.status == VALID)


def run_compiled(
    compiled: Compiled, forecasts: Floats, strategy: Strategy, terms: Terms, parameters: FeatureParameters
) -> Trace:
    """A strategy over the window; its forecaster is ``Known``.

    Raises BacktestError as ``run_backtest`` does.
    """
    drawn = legs_in_force(terms, compiled.tape)
    venue = opened(SimulatedVenue(terms.instrument, terms.venue, drawn), compiled.venue)
    tape, session, _, _ = market_on(compiled, forecasts, strategy, parameters, venue)
    infer = drawn.infer_ns if drawn else terms.infer_latency_ns
    return Trace(run_backtest(tape, session, venue, terms.window, infer), venue.orders)


def market_on(
    compiled: Compiled,
    forecasts: Floats,
    strategy: Strategy,
    parameters: FeatureParameters,
    gateway: PortfolioGateway | SimulatedVenue,
) -> Market:
    """A compiled stretch as a market of a run; its gateway must be opened as the stretch begins."""
    stream = CompiledStream(compiled.book, compiled.rows, forecasts, parameters)
    session = Session(stream, strategy, Ledger(gateway.instrument))
    return Market(compiled.tape, session, gateway)


def legs_in_force(terms: Terms, tape: Events) -> SampledLatency | TracedLatency | None:
    """The legs of a run with a latency table or a trace; the feed leg is in the tape that the rows were made from."""
    if terms.latency is None or isinstance(terms.latency, TracedLatency):
        return terms.latency
    return SampledLatency(terms.latency, terms.venue.seed, message_stamps(tape))


def opened(venue: SimulatedVenue, dump: Mapping[str, NDArray[Any]]) -> SimulatedVenue:
    """A new venue with the book and the clock of a dump, whatever queue model and latencies that one had."""
    own = venue.dump()
    own["meta"][CLOCK : WHOLE + 1] = dump["meta"][CLOCK : WHOLE + 1]
    venue.load(own | {name: dump[name] for name in ("ladder", "spill", "head")})
    return venue
