"""One strategy over one window: session, simulated venue, ledger and figures."""

from assets.slice_data import Opening
from backtest.engine import Window, fills_frame, run_backtest
from backtest.ledger import Ledger
from backtest.performance import performance
from backtest.report import Run
from backtest.venue import SimulatedVenue
from config.settings import Settings
from features.stream import FeatureStream, load_state
from modeling.snapshot import ModelSnapshot
from trading.parameters import PolicyKind
from trading.session import Session, Strategy
from trading.strategy import model_strategy

WARM_MARGIN_ROWS = 100  # beyond the receptive field, so that the first decision has a forecast


def strategy_of(settings: Settings, symbol: str, model: ModelSnapshot, kind: PolicyKind) -> Strategy:
    """A model under the configured rules and fees. Raises ModelError if it has no answer for the traded cell."""
    return model_strategy(model, settings.trading, settings.instrument(symbol), kind, settings.venue.fees)


def simulate(settings: Settings, symbol: str, opening: Opening, strategy: Strategy, named: str, span: Window) -> Run:
    """Decisions, fills and figures of a strategy over a window."""
    instrument, parameters = settings.instrument(symbol), settings.venue
    venue = SimulatedVenue(instrument, parameters)
    venue.load(opening.venue)
    stream = FeatureStream(settings.features_of(symbol), load_state(opening.features))
    stream.follow(opening.leader)
    session = Session(stream, strategy, Ledger(instrument))
    infer_ns = round(settings.labels.infer_latency_ms * 1e6)
    result = run_backtest(opening.tape, session, venue, span, infer_ns)
    fills = fills_frame(result.reports, instrument, parameters.maker_fee, parameters.taker_fee)
    figures = performance(result.decisions, len(result.intents), fills, instrument, result.end_reason)
    return Run(named, result, fills, figures)
