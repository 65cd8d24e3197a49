"""A venue's models fitted from a journal: latency, refusals, lost cancels, queue; each with interval and count, or with
what it lacks. A part that is insufficient leaves the configured constant in force, and says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.answers import ANSWER, EffectiveRates, Share, effective_rates, legs_of_answers, timed
from backtest.parameters import VenueModelParameters, VenueParameters
from backtest.queue_fit import DeskTape, QueueFit, candidates_of, joined, likeliest, verdicts
from market.events import Events
from market.instrument import Instrument
from market.latency import LatencyTable, Legs, latency_table, legs_in, message_rates, message_stamps
from market.orders import FILL

QUANTILES: Final = (0.5, 0.95, 0.99)
PARTS: Final = ("latency", "refusals", "cancels", "queue")


class Interval(NamedTuple):
    """An estimate with its 90 % interval."""

    value: float
    low: float
    high: float


class VenueFit(NamedTuple):
    """What a journal says of its venue."""

    latency: LatencyTable | None
    leg_quantiles: dict[str, dict[str, Interval]]  # leg -> "p50", "p95", "p99" -> ns; empty without a table
    rates: EffectiveRates
    queue: QueueFit | None
    lacking: dict[str, str]  # part -> why it is insufficient
    left_out: int  # answers with a leg below 0, which no table can hold


def fit_venue(
    desks: Sequence[DeskTape], instrument: Instrument, venue: VenueParameters, fit: VenueModelParameters
) -> VenueFit:
    """Every model of the venue that the journal's desks have enough answers for.

    venue : what the replays under each queue model take over, but for the queue itself and all chance
    """
    random = np.random.default_rng(fit.seed)
    answers = np.concatenate([np.zeros(0, ANSWER), *(desk.answers for desk in desks)])
    rates = _rates(desks)
    lacking = _lacking(desks, answers, rates, fit)
    told, left_out = usable(timed(answers))
    table = None if "latency" in lacking else table_of(told, legs_of_answers(told), desks[0].events, fit.rate_buckets)
    return VenueFit(
        table,
        _leg_quantiles(table, fit.resamples, random) if table else {},
        rates,
        None if "queue" in lacking else _queue(desks, instrument, venue, fit, random),
        lacking,
        left_out,
    )


def fitted_parameters(venue: VenueParameters, fit: VenueFit) -> VenueParameters:
    """The configured venue with every part that was fitted in place of its constants, latency excepted."""
    fitted: dict[str, Any] = {}
    if "refusals" not in fit.lacking:
        fitted["reject_share"] = fit.rates.orders_refused.value
    if "cancels" not in fit.lacking:
        fitted["cancel_reject_share"] = fit.rates.cancels_refused.value
        fitted["cancel_lost_share"] = fit.rates.cancels_unanswered.value
    if fit.queue is not None:
        fitted["queue_model"], fitted["queue_power"] = fit.queue.model, fit.queue.power
    return replace(venue, **fitted)


def sources_of(fit: VenueFit) -> dict[str, str]:
    """Where each part of the venue comes from: the fit, or the configuration and why."""
    return {part: f"configured: {fit.lacking[part]}" if part in fit.lacking else "fitted" for part in PARTS}


def _lacking(
    desks: Sequence[DeskTape], answers: NDArray[np.void], rates: EffectiveRates, fit: VenueModelParameters
) -> dict[str, str]:
    fills = sum(np.unique(_maker_fills(desk)["order_id"]).size for desk in desks)
    found = {
        "latency": (usable(timed(answers))[0].size, fit.min_orders, "answered orders and cancels"),
        "refusals": (rates.orders_refused.of, fit.min_orders, "answered orders"),
        "cancels": (rates.cancels_refused.of, fit.min_cancels, "cancels of orders that still stood"),
        "queue": (fills, fit.min_fills, "filled resting orders"),
    }
    return {
        part: f"insufficient: {count} {what}, {least} are needed"
        for part, (count, least, what) in found.items()
        if count < least
    }


def _maker_fills(desk: DeskTape) -> NDArray[np.void]:
    return desk.reports[(desk.reports["kind"] == FILL) & (desk.reports["maker"] == 1)]


def _rates(desks: Sequence[DeskTape]) -> EffectiveRates:
    """The rates of all desks together."""
    until = max((int(desk.events["ingest_ts"].max(initial=0)) for desk in desks), default=0)
    parts = [effective_rates(desk.answers, until) for desk in desks]
    return EffectiveRates(*(Share(*np.sum(shares, axis=0, dtype=int).tolist()) for shares in zip(*parts, strict=True)))


def usable(answers: NDArray[np.void]) -> tuple[NDArray[np.void], int]:
    """Answers whose legs can all be true, and how many cannot: a clock that is off puts an answer before its order."""
    possible = (legs_of_answers(answers) >= 0).all(axis=1)
    return answers[possible], int((~possible).sum())


def table_of(answers: NDArray[np.void], legs: NDArray[np.int64], events: Events, rate_buckets: int) -> LatencyTable:
    """Every answer's ``legs`` a row, by as many parts of the message rate that ``events`` tell."""
    rates = message_rates(message_stamps(events), answers["ingest_ts"])
    edges = np.unique(np.quantile(rates, np.arange(1, rate_buckets) / rate_buckets))
    edges = edges[edges > rates.min()]
    return latency_table(legs, rates, edges, spacing_of(answers["sent_ts"]), block_rows_of(legs.sum(axis=1)))


def spacing_of(sent_ts: NDArray[np.int64]) -> int:
    """Time between two orders, ns, at least 1: the median gap between instants, shared by those sent in each.

    >>> spacing_of(np.array([0, 0, 100, 100, 200, 200, 90_000]))
    57
    """
    instants = np.unique(sent_ts)
    if instants.size < 2:
        return 1_000_000_000
    return max(int(np.median(np.diff(instants)) * instants.size / sent_ts.size), 1)


def block_rows_of(series: NDArray[np.int64]) -> int:
    """Rows to keep together: twice the first lag at which the autocorrelation is lost in noise, at most a quarter.

    >>> block_rows_of(np.array([5, 5, 5, 5])), block_rows_of(np.arange(100))
    (1, 25)
    """
    away, longest = series - series.mean(), max(series.size // 4, 1)
    power = float(away @ away)
    if power == 0:
        return 1
    noise = 2 / np.sqrt(series.size)
    for lag in range(1, longest):
        if abs(float(away[lag:] @ away[:-lag])) < noise * power:
            return min(2 * lag, longest) if lag > 1 else 1
    return longest


def _leg_quantiles(table: LatencyTable, resamples: int, random: np.random.Generator) -> dict[str, dict[str, Interval]]:
    """Quantiles of each leg, ns, with intervals from circular blocks of the journal's rows."""
    legs = legs_in(table)
    rows, size = legs.shape[0], table.block_rows
    starts = random.integers(0, rows, (resamples, -(-rows // size)))
    drawn = [
        np.quantile(legs[((start[:, None] + np.arange(size)) % rows).ravel()[:rows]], QUANTILES, axis=0)
        for start in starts
    ]
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    value = np.quantile(legs, QUANTILES, axis=0)
    return {
        leg: {
            f"p{round(100 * q)}": Interval(*(float(bound[row, place]) for bound in (value, low, high)))
            for row, q in enumerate(QUANTILES)
        }
        for place, leg in enumerate(Legs._fields)
    }


def _queue(
    desks: Sequence[DeskTape],
    instrument: Instrument,
    venue: VenueParameters,
    fit: VenueModelParameters,
    random: np.random.Generator,
) -> QueueFit:
    candidates = candidates_of(fit.queue_powers)
    found = joined([verdicts(desk, instrument, venue, candidates) for desk in desks])
    return likeliest(found, candidates, fit.resamples, random)
