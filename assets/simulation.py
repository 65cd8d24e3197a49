"""The desk that a configuration describes: one model under the rules, fees and latencies in force, over one window."""

from dataclasses import replace

from assets.lake_rows import stored_labels
from assets.train_parts import traded_cell
from backtest.compiled import Terms
from backtest.engine import Window
from backtest.runs import Asked
from backtest.served import NOTHING_CAME, Came
from backtest.surface import Desk
from config.settings import Settings
from labeling.targets import classes
from modeling.certainty import Certainty
from modeling.forecast import ForecastShape
from storage.lake import Lake
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


def labelled(desk: Desk, came: Came) -> Desk:
    """The desk with what its sets of classes are judged by."""
    return replace(desk, asked=desk.asked._replace(came=came))


def came_of(settings: Settings, lake: Lake, symbol: str, span: Window) -> Came:
    """What came of the rows of a window in the traded cell, by the lake's labels; nothing where it holds none."""
    if not lake.dates("labels", symbol):
        return NOTHING_CAME
    labels, contract = stored_labels(lake, symbol, span), settings.instrument(symbol).contract
    found = classes(labels, *traded_cell(settings), settings.labels.margin_bp, contract)
    return Came(labels["row_ts"].to_numpy(), found)
