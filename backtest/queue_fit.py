"""Which queue model our own resting orders obeyed: the orders of a journal replayed under each, by likelihood.

The matching kernel itself says when each model would have filled an order, so what is fitted is what is simulated.
At every print that reached an order while it rested, a model says "filled by now" or "not yet", and is wrong with a
probability of its own: the likelihood of the fill times is that of those answers.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.answers import recorded_legs
from backtest.latency import RecordedLatency
from backtest.parameters import QueueModel, VenueParameters
from backtest.venue import SimulatedVenue
from market.events import TRADE, Events, aligned_ts
from market.instrument import Instrument
from market.orders import (
    ACKED,
    CANCEL_REJECTED,
    FILL,
    ORDER_CANCELLED,
    ORDER_REJECTED,
    Reports,
)
from trading.records import PLACE

_NEVER: Final = np.iinfo(np.int64).max
_FOREVER: Final = np.iinfo(np.int64).max // 2


class QueueCandidate(NamedTuple):
    """One queue model; ``power`` counts for the model power alone."""

    model: QueueModel
    power: float


class DeskTape(NamedTuple):
    """What one desk saw, sent and was told."""

    events: Events  # in the order received
    intents: NDArray[np.void]
    answers: NDArray[np.void]  # ``answers_of`` them
    reports: Reports


class Verdicts(NamedTuple):
    """How each candidate judged each resting order."""

    mistakes: NDArray[np.int64]  # shape (candidates, orders): prints at which the model was wrong
    prints: NDArray[np.int64]  # shape (orders,): prints that reached the order while it rested
    filled: NDArray[np.bool_]  # shape (orders,): whether it was filled


class QueueFit(NamedTuple):
    """The likeliest candidate, and how sure that is."""

    model: QueueModel
    power: float  # likeliest n of the model power, whichever model won
    power_interval: tuple[float, float]  # 90 % of the n that resampled orders prefer
    support: float  # share of resamples that prefer the same model, 0 to 1
    log_likelihoods: dict[str, float]  # by candidate
    orders: int  # that rested and were reached by a print
    fills: int  # of them


def candidates_of(powers: Sequence[float]) -> list[QueueCandidate]:
    """Every model, the most pessimistic first; the model power once for each n."""
    return [
        QueueCandidate("risk_averse", 1.0),
        QueueCandidate("log", 1.0),
        *(QueueCandidate("power", power) for power in powers),
        QueueCandidate("front", 1.0),
    ]


def verdicts(
    desk: DeskTape, instrument: Instrument, parameters: VenueParameters, candidates: Sequence[QueueCandidate]
) -> Verdicts:
    """Replay the desk's orders under each candidate and compare when they were filled.

    Orders that a replay does not take on, as before the tape's first snapshot, are left out.
    """
    told = [_replayed(desk, instrument, _under(parameters, candidate)) for candidate in candidates]
    resting = _resting(desk, told)
    seen, ended = _first_fills(desk.reports, resting["order_id"]), _ended(desk.reports, resting["order_id"])
    printed = _Prints(desk.events)
    stamps = [
        printed.between(order, min(int(end), int(fill)), int(fill))
        for order, end, fill in zip(resting, ended, seen, strict=True)
    ]
    mistakes = np.zeros((len(candidates), resting.size), np.int64)
    for row, reports in enumerate(told):
        expected = _first_fills(reports, resting["order_id"])
        pairs = zip(stamps, expected, seen, strict=True)
        mistakes[row] = [_mistakes(at, int(model), int(fill)) for at, model, fill in pairs]
    return Verdicts(mistakes, np.array([at.size for at in stamps], np.int64), seen != _NEVER)


def joined(parts: Sequence[Verdicts]) -> Verdicts:
    """The verdicts on several desks as one."""
    mistakes, prints, filled = zip(*parts, strict=True)
    return Verdicts(np.concatenate(mistakes, axis=1), np.concatenate(prints), np.concatenate(filled))


def likeliest(
    found: Verdicts, candidates: Sequence[QueueCandidate], resamples: int, random: np.random.Generator
) -> QueueFit:
    """The candidate of the largest likelihood, the first of equal ones, with intervals over resampled orders."""
    orders = found.prints.size
    total = log_likelihoods(found.mistakes.sum(axis=1), int(found.prints.sum()))
    drawn = random.multinomial(orders, np.full(orders, 1 / orders), resamples)
    again = log_likelihoods(drawn @ found.mistakes.T, (drawn @ found.prints)[:, None])
    best, powers = candidates[int(total.argmax())], _powers(candidates)
    return QueueFit(
        best.model,
        candidates[int(powers[total[powers].argmax()])].power,
        _power_interval(again[:, powers], np.array([candidates[int(place)].power for place in powers])),
        _support(again, candidates, best),
        {_name(candidate): float(value) for candidate, value in zip(candidates, total, strict=True)},
        int((found.prints > 0).sum()),
        int(found.filled.sum()),
    )


def _powers(candidates: Sequence[QueueCandidate]) -> NDArray[np.intp]:
    return np.flatnonzero([candidate.model == "power" for candidate in candidates])


def _power_interval(again: NDArray[np.float64], powers: NDArray[np.float64]) -> tuple[float, float]:
    """Of the powers that each resample likes best, the lowest and the highest of equal ones: 5 and 95 % of them."""
    tied = _tied(again)
    lowest, highest = powers[tied.argmax(axis=1)], powers[::-1][tied[:, ::-1].argmax(axis=1)]
    low = np.quantile(lowest, 0.05, method="inverted_cdf")
    return float(low), float(np.quantile(highest, 0.95, method="inverted_cdf"))


def _support(again: NDArray[np.float64], candidates: Sequence[QueueCandidate], best: QueueCandidate) -> float:
    """Share of resamples that no other model beats the best one in, nor equals it."""
    own = np.array([candidate.model == best.model for candidate in candidates])
    tied = _tied(again)
    return float((tied[:, own].any(axis=1) & ~tied[:, ~own].any(axis=1)).mean())


def _tied(again: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Candidates that a resample cannot tell from the best one."""
    found: NDArray[np.bool_] = again >= again.max(axis=1, keepdims=True) - 1e-9
    return found


def log_likelihoods(mistakes: NDArray[np.int64], prints: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Log-likelihood of right and wrong answers, each model's share of wrong ones being its own; at most a half.

    >>> log_likelihoods(np.array([0, 10]), 100).round(2).tolist()
    [-0.5, -32.51]
    """
    asked = np.maximum(prints, 1)
    wrong = np.clip(mistakes / asked, 0.5 / asked, 0.5)
    likelihood: NDArray[np.float64] = mistakes * np.log(wrong) + (asked - mistakes) * np.log1p(-wrong)
    return likelihood


def _name(candidate: QueueCandidate) -> str:
    return f"power({candidate.power:g})" if candidate.model == "power" else candidate.model


def _under(parameters: VenueParameters, candidate: QueueCandidate) -> VenueParameters:
    """The venue with a candidate's queue, and without chance: what it refused or lost is not sent again."""
    sure = replace(parameters, reject_share=0.0, cancel_reject_share=0.0, cancel_lost_share=0.0)
    return replace(sure, queue_model=candidate.model, queue_power=candidate.power)


def _resting(desk: DeskTape, told: Sequence[Reports]) -> NDArray[np.void]:
    """Orders that came to rest, then and in every replay: id, side, price, and when they were accepted."""
    chosen = (desk.answers["verb"] == PLACE) & (desk.answers["kind"] == ACKED)
    for reports in (desk.reports, *told):
        takers = (reports["kind"] == FILL) & (reports["maker"] == 0)
        chosen &= ~np.isin(desk.answers["order_id"], reports["order_id"][takers])
        chosen &= np.isin(desk.answers["order_id"], reports["order_id"][reports["kind"] == ACKED])
    rows = np.zeros(int(chosen.sum()), [("order_id", "i8"), ("side", "i8"), ("price", "i8"), ("accepted_ts", "i8")])
    for name in ("order_id", "side", "price"):
        rows[name] = desk.intents[name][chosen]
    rows["accepted_ts"] = desk.answers["venue_ts"][chosen]
    return rows


def _first_fills(reports: Reports, order_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """When each order was first filled as a maker, venue's ns; ``_NEVER`` if it was not."""
    return _first(reports[(reports["kind"] == FILL) & (reports["maker"] == 1)], order_ids)


def _ended(reports: Reports, order_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """When each order was cancelled or expired, venue's ns; ``_NEVER`` if it was not."""
    going_on = (ACKED, FILL, ORDER_REJECTED, CANCEL_REJECTED)
    return _first(reports[(reports["leaves"] == 0) & ~np.isin(reports["kind"], going_on)], order_ids)


def _first(reports: Reports, order_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    ids, first = np.unique(reports["order_id"], return_index=True)
    found = dict(zip(ids.tolist(), reports["venue_ts"][first].tolist(), strict=True))
    return np.array([found.get(order_id, _NEVER) for order_id in order_ids.tolist()], np.int64)


class _Prints:
    """The tape's trades by the venue's clock as it ran."""

    def __init__(self, events: Events) -> None:
        printed = events["kind"] == TRADE
        self._clock = np.maximum.accumulate(aligned_ts(events))[printed]
        self._side = events["side"][printed].astype(np.int64)
        self._price = events["price"][printed]

    def between(self, order: np.void, until: int, fill: int) -> NDArray[np.int64]:
        """Instants up to ``until`` at which a print reached the resting order, that of its fill among them."""
        start, stop = np.searchsorted(self._clock, [int(order["accepted_ts"]), until], side="right")
        side = int(order["side"])
        reaches = side * (int(order["price"]) - self._price[start:stop]) >= 0
        hits = self._clock[start:stop][reaches & (self._side[start:stop] == -side)]
        return np.unique(np.append(hits, fill) if fill <= until and fill != _NEVER else hits)


def _mistakes(stamps: NDArray[np.int64], expected: int, seen: int) -> int:
    """Prints at which a model that expects the fill at ``expected`` was wrong about one seen at ``seen``."""
    early = int(((stamps >= expected) & (stamps < seen)).sum())
    return early + int(seen < expected and seen != _NEVER)


def _replayed(desk: DeskTape, instrument: Instrument, parameters: VenueParameters) -> Reports:
    """Reports on the desk's answered orders and cancels, met by the book when they were met then."""
    venue = SimulatedVenue(instrument, parameters, RecordedLatency(recorded_legs(desk.answers)))
    stamps, done = np.maximum.accumulate(desk.events["ingest_ts"]), 0
    for place in np.flatnonzero(_met(desk.answers)):
        intent = desk.intents[place]
        order_id, sent_ts = int(intent["order_id"]), int(intent["sent_ts"])
        stop = int(np.searchsorted(stamps, sent_ts, side="right"))
        venue.on_events(desk.events[done:stop])
        done = max(done, stop)
        if intent["verb"] == PLACE:
            side, price, qty = int(intent["side"]), int(intent["price"]), int(intent["qty"])
            venue.place(order_id, side, price, qty, int(intent["tif"]), sent_ts)
        else:
            venue.cancel(order_id, sent_ts)
    venue.on_events(desk.events[done:])
    return venue.reports(_FOREVER)


def _met(answers: NDArray[np.void]) -> NDArray[np.bool_]:
    """What the book itself met: orders taken on, and cancels that ended one."""
    return np.isin(answers["kind"], (ACKED, ORDER_CANCELLED))
