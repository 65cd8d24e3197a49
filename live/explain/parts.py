"""The parts of an explanation that need no replay of their own: features, forecast, gates, latencies, queue, fills."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backtest.engine import fills_frame
from backtest.markouts import move_bp
from backtest.mids import MidPath
from features.catalogue import VALID, catalogue
from features.parameters import FeatureParameters
from features.stream import Row
from live.desk_views import class_names
from live.explain.answer import (
    ExplainedFill,
    FeatureDeviation,
    Forecast,
    Leg,
    Markout,
    MemberForecast,
    Queue,
    QueuePoint,
)
from live.explain.outcomes import Terms
from live.explain.playing import Standing
from live.plan import LivePlan
from live.views import GateView
from market.instrument import Instrument
from market.orders import FILL, Reports
from market.units import NS_PER_MS
from modeling.moments import mixture
from trading.account import Account
from trading.lights import Moment, gates

SHOWN_FEATURES: Final = 12
SHOWN_POINTS: Final = 200


def deviations(rows: Sequence[Row], parameters: FeatureParameters) -> tuple[FeatureDeviation, ...]:
    """The features that lie furthest from the median of their own trailing rows, furthest first.

    In median absolute deviations; where half of the rows are alike and there is none, in mean absolute deviations.
    """
    newest = rows[-1]
    raw = np.array([row.raw for row in rows if row.status == VALID], np.float64)
    if newest.status != VALID:
        return ()
    norm = np.median(raw, axis=0)
    away = np.abs(raw - norm)
    middle = np.median(away, axis=0)
    scale = np.where(middle > 0.0, middle, away.mean(axis=0))
    score = np.divide(raw[-1] - norm, scale, out=np.zeros_like(norm), where=scale > 0.0)
    features = catalogue(parameters)
    return tuple(
        FeatureDeviation(
            name=features[column].name,
            unit=features[column].unit,
            window_ms=features[column].window_ms,
            value=float(raw[-1, column]),
            norm=float(norm[column]),
            deviation=float(score[column]),
            seen=float(newest.values[column]),
        )
        for column in np.argsort(-np.abs(score), kind="stable")[:SHOWN_FEATURES]
    )


def forecast_of(record: np.void, members: NDArray[np.float64], horizon_ms: int) -> Forecast:
    """What the decision went by, and what each member said."""
    ready = bool(record["ready"])

    def told(name: str) -> float | None:
        known = ready and math.isfinite(record[name])
        return float(record[name]) if known else None

    return Forecast(
        ready=ready,
        horizon_ms=horizon_ms,
        p_down=told("p_down"),
        p_none=told("p_none"),
        p_up=told("p_up"),
        mu_bp=told("mu_bp"),
        sigma_bp=told("sigma_bp"),
        lower_bp=told("lower_bp"),
        upper_bp=told("upper_bp"),
        spread_bp=told("spread_bp"),
        classes=class_names(int(record["classes"])) if ready else (),
        members=tuple(_member(member) for member in members) if ready else (),
    )


def _member(member: NDArray[np.float64]) -> MemberForecast:
    down, none, up = (float(value) for value in member[:3])
    return MemberForecast(down, none, up, float(mixture(member[:3], member[3:6])[0]))


def gates_of(
    record: np.void, account: Account, limits: NDArray[np.float64], view: NDArray[np.int64]
) -> tuple[GateView, ...]:
    """Every gate as it stood when the decision was made."""
    now = int(record["infer_ts"])
    moment = Moment(account, limits, view, float(record["equity"]), now, now - int(record["row_ts"]))
    return tuple(GateView(*gate) for gate in gates(moment))


def legs_of(record: np.void, intent: np.void, reports: Reports) -> tuple[Leg, ...]:
    """From the venue's event to the news of our order, in order."""
    legs = [
        Leg("the venue's event reaches us", int(record["delay_ns"]) / 1e6),
        Leg("it waits for its row to close", int(record["row_ts"] - record["ingest_ts"]) / 1e6),
        Leg("the row closes, we decide", int(record["infer_ts"] - record["row_ts"]) / 1e6),
    ]
    if reports.size:
        first = reports[0]
        legs.append(Leg("the order reaches the venue", int(first["venue_ts"] - intent["sent_ts"]) / 1e6))
        legs.append(Leg("its answer reaches us", int(first["visible_ts"] - first["venue_ts"]) / 1e6))
    fills = reports[reports["kind"] == FILL]
    if fills.size:
        legs.append(Leg("it stands until its first fill", int(fills["venue_ts"][0] - reports["venue_ts"][0]) / 1e6))
        legs.append(Leg("that fill reaches us", int(fills["visible_ts"][0] - fills["venue_ts"][0]) / 1e6))
    return tuple(legs)


def order_latency_ns(intent: np.void, reports: Reports, plan: LivePlan) -> int:
    """From sending to the venue's first answer; as configured where there was none, ns."""
    return int(reports["venue_ts"][0] - intent["sent_ts"]) if reports.size else plan.venue.order_latency_ns


def open_queue(standings: Sequence[Standing], reports: Reports, instrument: Instrument) -> Queue | None:
    """Its way through the queue; None if it never rested."""
    if not standings or standings[0].leaves == 0:
        return None
    lot = instrument.lot_size
    full = standings[0].leaves
    waiting = [standing for standing in standings if standing.leaves == full]
    filled = bool((reports["kind"] == FILL).any()) if reports.size else False
    shown = waiting[:: max(1, -(-len(waiting) // SHOWN_POINTS))]
    return Queue(
        joined_ts=standings[0].ts,
        joined_behind=standings[0].ahead * lot,
        before_fill=waiting[-1].ahead * lot if filled else None,
        path=tuple(QueuePoint(standing.ts, standing.ahead * lot) for standing in shown),
    )


def fills_of(reports: Reports, terms: Terms, mids: MidPath, horizons_ms: Sequence[int]) -> tuple[ExplainedFill, ...]:
    """Each fill with its fee and what became of the price after it."""
    fills = fills_frame(reports, terms.instrument, terms.maker_fee, terms.taker_fee)
    side, ts = fills["side"].to_numpy(), fills["venue_ts"].to_numpy()
    ticks = fills["price"].to_numpy() / terms.instrument.tick_size
    moved = [move_bp(side, ticks, mids.at(ts + ms * NS_PER_MS), terms.instrument.inverse) for ms in horizons_ms]
    return tuple(
        ExplainedFill(
            price=fill["price"],
            quantity=fill["qty"] * terms.instrument.lot_size,
            maker=fill["maker"],
            venue_ts=fill["venue_ts"],
            visible_ts=fill["visible_ts"],
            fee_bp=1e4 * fill["fee"] / fill["notional"],
            fee=fill["fee"],
            markouts=tuple(
                Markout(ms, float(bp[place]) if math.isfinite(bp[place]) else None)
                for ms, bp in zip(horizons_ms, moved, strict=True)
            ),
        )
        for place, fill in enumerate(fills.to_dicts())
    )
