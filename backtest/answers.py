"""What became of everything that was sent: each order and cancel of a journal, or a backtest, beside its answer."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.errors import BacktestError
from market.latency import Legs
from market.orders import (
    ACKED,
    ALREADY_DONE,
    CANCEL_REJECTED,
    NO_ANSWER,
    NO_REASON,
    ORDER_CANCELLED,
    ORDER_REJECTED,
    UNKNOWN_ORDER,
    VENUE_REFUSED,
    Reports,
)
from trading.records import CANCEL, PLACE

PATIENCE_NS: Final = 10_000_000_000  # what is younger than this at the end, and unanswered, still waits
_Z: Final = 1.959963984540054  # 95 % of a normal distribution lie within so many deviations
_LATE: Final = (ALREADY_DONE, UNKNOWN_ORDER)

ANSWER: Final = np.dtype(
    [
        ("order_id", "i8"),
        ("sent_ts", "i8"),
        ("verb", "u1"),  # PLACE or CANCEL
        ("kind", "u2"),  # of the report that answered, 0: none did
        ("reason", "u2"),
        ("venue_ts", "i8"),  # of the answer
        ("visible_ts", "i8"),
        ("feed_ns", "i8"),  # delay of the newest event when it was decided
        ("infer_ns", "i8"),  # from the row's end to the decision
        ("ingest_ts", "i8"),  # newest receive stamp known then
    ]
)


class Share(NamedTuple):
    """How often something happened, with Wilson's 95 % interval; 0 to 1 where nothing was counted.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference
    """

    hits: int
    of: int  # trials

    @property
    def value(self) -> float:
        """Hits per trial, NaN of none."""
        return self.hits / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound.

        >>> [round(bound, 4) for bound in Share(1, 10).interval]
        [0.0179, 0.4042]
        """
        if not self.of:
            return 0.0, 1.0
        n, share, z2 = self.of, self.value, _Z**2
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
        return max(middle - half, 0.0), min(middle + half, 1.0)


class EffectiveRates(NamedTuple):
    """What the venue did to us against our will."""

    orders_refused: Share  # for no reason of ours, of the orders that were answered
    orders_unanswered: Share  # of all orders
    cancels_late: Share  # lost the race: the order was done before, of the cancels that were answered
    cancels_refused: Share  # of the cancels whose order still stood
    cancels_unanswered: Share  # likewise


def answers_of(decisions: NDArray[np.void], intents: NDArray[np.void], reports: Reports) -> NDArray[np.void]:
    """One ``ANSWER`` for each intent, in the order sent.

    decisions, intents, reports : of one desk
    Raises BacktestError if an intent's decision is not among ``decisions``.
    """
    answers = np.zeros(intents.size, ANSWER)
    for name in ("order_id", "sent_ts", "verb"):
        answers[name] = intents[name]
    rows = _decided(decisions, intents)
    answers["feed_ns"], answers["ingest_ts"] = rows["delay_ns"], rows["ingest_ts"]
    answers["infer_ns"] = rows["infer_ts"] - rows["row_ts"]
    _answer_orders(answers, reports)
    _answer_cancels(answers, reports)
    return answers


def _decided(decisions: NDArray[np.void], intents: NDArray[np.void]) -> NDArray[np.void]:
    """The decision of each intent."""
    ids, first = np.unique(decisions["decision_id"], return_index=True)
    known = np.isin(intents["decision_id"], ids)
    if not known.all():
        strange = intents[~known][0]
        raise BacktestError(f"decision {strange['decision_id']} of order {strange['order_id']} is missing")
    return decisions[first[np.searchsorted(ids, intents["decision_id"])]]


def _answer_orders(answers: NDArray[np.void], reports: Reports) -> None:
    """Fill in what the venue said first of each order: taken on, or rejected."""
    first = reports[np.isin(reports["kind"], (ACKED, ORDER_REJECTED))]
    ids, places = np.unique(first["order_id"], return_index=True)
    found = dict(zip(ids.tolist(), places.tolist(), strict=True))
    for place in np.flatnonzero(answers["verb"] == PLACE):
        report = found.pop(int(answers["order_id"][place]), None)
        if report is not None:
            _fill_in(answers, place, first[report])


def _answer_cancels(answers: NDArray[np.void], reports: Reports) -> None:
    """Cancels of an order are answered in turn; where answers are missing, each belongs to the newest cancel sent."""
    ended = (reports["kind"] == ORDER_CANCELLED) & (reports["reason"] == NO_REASON)
    outcomes = reports[ended | (reports["kind"] == CANCEL_REJECTED)]
    by_order, sent = _by_order(outcomes), _by_order(answers, np.flatnonzero(answers["verb"] == CANCEL))
    for order_id, cancels in sent.items():
        told = by_order.get(order_id, [])
        whole = len(told) == len(cancels)
        for report in told:
            earlier = [place for place in cancels if answers["sent_ts"][place] <= outcomes["venue_ts"][report]]
            if earlier:
                chosen = earlier[0] if whole else earlier[-1]
                cancels.remove(chosen)
                _fill_in(answers, chosen, outcomes[report])


def _by_order(rows: NDArray[np.void], places: Iterable[int] | None = None) -> dict[int, list[int]]:
    found = defaultdict(list)
    for place in range(rows.size) if places is None else places:
        found[int(rows["order_id"][place])].append(int(place))
    return found


def _fill_in(answers: NDArray[np.void], place: int, report: Any) -> None:
    for name in ("kind", "reason", "venue_ts", "visible_ts"):
        answers[name][place] = report[name]


def effective_rates(answers: NDArray[np.void], until: int) -> EffectiveRates:
    """What became of orders and cancels, counted; what is still under way at ``until`` (ns UTC) is left out."""
    waits = (answers["kind"] == 0) & (answers["sent_ts"] > until - PATIENCE_NS)
    over = answers[~waits]
    orders, cancels = over[over["verb"] == PLACE], over[over["verb"] == CANCEL]
    silent = (cancels["kind"] == 0) | (cancels["reason"] == NO_ANSWER)
    late = (cancels["kind"] == CANCEL_REJECTED) & np.isin(cancels["reason"], _LATE)
    stood = int((~late).sum())
    return EffectiveRates(
        Share(int((orders["reason"] == VENUE_REFUSED).sum()), int((orders["kind"] != 0).sum())),
        Share(int((orders["kind"] == 0).sum()), orders.size),
        Share(int(late.sum()), int((~silent).sum())),
        Share(int((cancels["reason"] == VENUE_REFUSED).sum()), stood),
        Share(int(silent.sum()), stood),
    )


def timed(answers: NDArray[np.void]) -> NDArray[np.void]:
    """The answers that tell how long both ways took, oldest first.

    A cancel that came too late, or that we had to ask after, is answered by something else than its arrival.
    """
    late = (answers["kind"] == CANCEL_REJECTED) & (answers["reason"] != VENUE_REFUSED)
    told = answers[(answers["kind"] != 0) & ~late]
    return told[np.argsort(told["sent_ts"], kind="stable")]


def legs_of_answers(answers: NDArray[np.void]) -> NDArray[np.int64]:
    """Feed, inference, entry and acknowledgement leg of each answer, shape (answers, 4), ns."""
    entry, ack = answers["venue_ts"] - answers["sent_ts"], answers["visible_ts"] - answers["venue_ts"]
    return np.stack([answers["feed_ns"], answers["infer_ns"], entry, ack], axis=1)


def recorded_legs(answers: NDArray[np.void]) -> dict[tuple[int, int], Legs]:
    """The legs of every answered order and cancel by (order id, time it left), for ``RecordedLatency``."""
    told = answers[answers["kind"] != 0]
    keys = zip(told["order_id"].tolist(), told["sent_ts"].tolist(), strict=True)
    return {key: Legs(*legs) for key, legs in zip(keys, legs_of_answers(told).tolist(), strict=True)}
