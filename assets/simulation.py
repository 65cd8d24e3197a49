"""The desk that a configuration describes: one model under the rules, fees and latencies in force, over one window."""

from backtest.compiled import Terms
from backtest.engine import Window
from backtest.runs import Asked
from backtest.surface import Desk
from config.settings import Settings
from modeling.certainty import Certainty
from modeling.forecast import ForecastShape
from trading.parameters import PolicyKind

WARM_MARGIN_ROWS = 100  # beyond the receptive field, so that the first decision has a forecast


def desk_of(
    settings: Settings,
    symbol: str,
    shape: ForecastShape,
    kind: PolicyKind,
    span: Window,
    certainty: Certainty | None = None,
) -> Desk:
    """Who decides, and on what terms, over a window."""
    infer_ns, instrument = round(settings.labels.infer_latency_ms * 1e6), settings.instrument(symbol)
    return Desk(
        terms=Terms(instrument, settings.venue.charged(instrument.venue, *span), span, infer_ns),
        trading=settings.trading,
        kind=kind,
        features=settings.features_of(symbol),
        shape=shape,
        asked=Asked(
            settings.trading.horizon_ms, settings.reports.markouts_ms, certainty.delay_ms if certainty else 0.0
        ),
        certainty=certainty,
    )
