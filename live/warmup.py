"""Compiles every kernel of the live path on a synthetic tape, before the first frame: trading compiles nothing."""

from dataclasses import replace
from typing import Final

import numpy as np

from features.catalogue import branch_columns, catalogue
from labeling.quotes import RoundTrip, class_between, quote
from labeling.walks import Sizing
from live.desk import Desk
from live.desk_views import book_view
from live.plan import LivePlan, desks_of
from market.book import Book
from market.instrument import Instrument
from market.reader import FrameReader
from market.simulator import synthetic_capture
from market.sources.capture import split_line
from modeling.adaptive_calibration import AdaptiveCalibration
from modeling.architecture import CnnArchitecture
from modeling.calibration import identity
from modeling.forecast import CLASSES, Cell, ForecastShape
from modeling.moments import mixture
from modeling.parameters import AdaptiveParameters
from modeling.snapshot import CNN, MEDIAN_BAND, ModelSnapshot
from modeling.streaming import forecaster_from
from modeling.uncertainty import class_scores
from trading.account import close_trip
from trading.lights import Moment, gates
from trading.session import at, close_row

TAPE_S: Final = 8.0  # long enough for the probe to come and go
TAPE_START: Final = 1_700_000_000_000_000_000
_TOLD_BY: Final = {"linear": "binance-usdm", "inverse": "binance-coinm", "spot": "binance-spot"}  # as the tape speaks


def warm(plan: LivePlan) -> None:
    """Run scratch desks over a few synthetic seconds and let them stand down; forecast with each kind of model."""
    scratch = replace(plan, features=replace(plan.features, normalizer_min_samples=2))  # rows are valid soon
    scratch = replace(scratch, gateway="paper")
    told = replace(plan.instrument, venue=_TOLD_BY[plan.instrument.contract])
    reader, desks = FrameReader(told, plan.clock), desks_of(scratch)
    for line in synthetic_capture(told, 0, TAPE_START, TAPE_S):
        ingest_ts, frame = split_line(line)
        events = reader.read(frame, ingest_ts)
        for desk in desks:
            desk.session.queue.push(events)
        while 0 < (row_ts := desks[0].session.next_row_ts) < ingest_ts:
            for desk in desks:
                close_row(desk.session, desk.gateway, row_ts, at(row_ts))
    for desk in desks:
        session = desk.session
        close_trip(*session.account[1:], session.books.cash, 0, 1, ingest_ts)
        session.standing_down = True
        session.decide(session.next_row_ts, at(TAPE_START))
    _be_sure()
    _round_trip(session.features.book, plan.instrument)
    _show(desks, plan.instrument)
    columns = len(catalogue(plan.features))
    for model in (_blank_network(plan), _blank_band(plan)):
        forecaster = forecaster_from(model)
        memory = forecaster.new_state()
        forecaster.prepare(memory)
        forecaster.step(memory, np.zeros(columns, np.float32), True)
        forecaster.run(np.zeros((2, columns), np.float32), np.ones(2, np.bool_))


def _be_sure() -> None:
    """What a model that is sure of something says how sure by, and learns from."""
    mixture(np.zeros(CLASSES), np.zeros(CLASSES))
    class_scores(np.zeros(CLASSES))
    learning = AdaptiveCalibration(AdaptiveParameters(0.0, 0.0))
    learning.learn(learning.bend(np.ones(CLASSES)), 0)


def _round_trip(book: Book, instrument: Instrument) -> None:
    """What a session learns a class from."""
    offered = quote(book, Sizing(1.0, 1.0, instrument.inverse, True))
    class_between(offered, offered, RoundTrip("walk", 0.0, 0.0), instrument.inverse)


def _show(desks: list[Desk], instrument: Instrument) -> None:
    """What the page is shown of a desk calls kernels, too."""
    for desk in desks:
        session, now = desk.session, desk.session.next_row_ts
        gates(Moment(session.account, session.strategy.limits, session.seen, 0.0, now, 0))
        book_view(session.features.book, instrument)


def _shape(plan: LivePlan) -> ForecastShape:
    return ForecastShape((Cell(plan.trading.horizon_ms, plan.trading.budget_bp),))


def _blank_network(plan: LivePlan) -> ModelSnapshot:
    shape, columns = _shape(plan), branch_columns(plan.features)
    network = CnnArchitecture(shape, len(catalogue(plan.features)), columns, 64, 0.1, ((1,),) * len(columns), 2)
    weights = {name: np.zeros(extent, np.float32) for name, extent in network.weight_shapes().items()}
    return ModelSnapshot(CNN, network.as_dict(), weights, identity(1))


def _blank_band(plan: LivePlan) -> ModelSnapshot:
    shape = _shape(plan)
    weights = {
        "linear": np.zeros((1, len(catalogue(plan.features)) + 1), np.float32),
        "bands": np.zeros(1, np.float32),
        "tables": np.full((1, 3, 3), 1 / 3, np.float32),
        "returns_bp": np.zeros((1, 3), np.float32),
    }
    return ModelSnapshot(MEDIAN_BAND, shape.as_dict(), weights, identity(1))
