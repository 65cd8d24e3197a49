"""Orders and cancels beside their answers, by hand: who was answered by what, how long it took, what failed."""

import numpy as np
import pytest

from backtest.answers import PATIENCE_NS, Share, answers_of, effective_rates, recorded_legs, timed
from market.errors import BacktestError
from market.latency import Legs
from market.orders import (
    ACKED,
    ALREADY_DONE,
    CANCEL_REJECTED,
    FILL,
    NO_ANSWER,
    NO_REASON,
    ORDER_CANCELLED,
    ORDER_REJECTED,
    REPORT,
    VENUE_REFUSED,
    WOULD_CROSS,
)
from trading.records import CANCEL, DECISION, INTENT, PLACE

Sent = tuple[int, int, int]  # verb, order id, sent
Told = tuple[int, int, int, int, int]  # kind, reason, order id, venue's time, visible


def answered(sent: list[Sent], told: list[Told]) -> np.ndarray:
    """One decision a request: on the row 5 ns before it, its newest event 3 ns under way."""
    decisions, intents, reports = (
        np.zeros(len(sent), DECISION),
        np.zeros(len(sent), INTENT),
        np.zeros(len(told), REPORT),
    )
    decisions["decision_id"] = intents["decision_id"] = np.arange(len(sent)) + 7
    intents["verb"], intents["order_id"], intents["sent_ts"] = np.array(sent).T
    decisions["infer_ts"], decisions["row_ts"] = intents["sent_ts"], intents["sent_ts"] - 5
    decisions["delay_ns"], decisions["ingest_ts"] = 3, intents["sent_ts"] - 6
    for row, (kind, reason, order_id, venue_ts, visible_ts) in zip(reports, told, strict=True):
        row["kind"], row["reason"], row["order_id"] = kind, reason, order_id
        row["venue_ts"], row["visible_ts"] = venue_ts, visible_ts
    return answers_of(decisions, intents, reports)


def test_an_order_is_answered_by_what_the_venue_said_first() -> None:
    answers = answered(
        [(PLACE, 1, 100), (PLACE, 2, 110), (PLACE, 3, 120)],
        [
            (ACKED, NO_REASON, 1, 130, 150),
            (FILL, NO_REASON, 1, 130, 150),
            (ORDER_REJECTED, WOULD_CROSS, 2, 131, 141),
        ],
    )
    assert answers["kind"].tolist() == [ACKED, ORDER_REJECTED, 0]
    assert recorded_legs(answers) == {(1, 100): Legs(3, 5, 30, 20), (2, 110): Legs(3, 5, 21, 10)}
    assert answers["ingest_ts"].tolist() == [94, 104, 114]


def test_cancels_of_one_order_are_answered_in_turn() -> None:
    answers = answered(
        [(CANCEL, 1, 100), (CANCEL, 1, 101)],
        [(ORDER_CANCELLED, NO_REASON, 1, 120, 121), (CANCEL_REJECTED, ALREADY_DONE, 1, 122, 123)],
    )
    assert answers["kind"].tolist() == [ORDER_CANCELLED, CANCEL_REJECTED]
    assert timed(answers)["sent_ts"].tolist() == [100]  # the second says nothing of the way there


def test_an_answer_belongs_to_the_newest_cancel_where_one_was_lost() -> None:
    answers = answered([(CANCEL, 1, 100), (CANCEL, 1, 500)], [(ORDER_CANCELLED, NO_REASON, 1, 520, 521)])
    assert answers["kind"].tolist() == [0, ORDER_CANCELLED]


def test_an_order_that_its_own_modify_ended_answers_no_cancel() -> None:
    answers = answered([(CANCEL, 1, 100)], [(ORDER_CANCELLED, WOULD_CROSS, 1, 120, 121)])
    assert answers["kind"].tolist() == [0]


def test_rates_count_what_went_against_us_and_leave_out_what_is_under_way() -> None:
    places = [(PLACE, order_id, 100) for order_id in range(4)]
    cancels = [(CANCEL, order_id, 200) for order_id in range(5)]
    told = [
        (ORDER_REJECTED, VENUE_REFUSED, 0, 110, 120),
        (ORDER_REJECTED, WOULD_CROSS, 1, 110, 120),
        (ACKED, NO_REASON, 2, 110, 120),
        (CANCEL_REJECTED, ALREADY_DONE, 0, 210, 220),
        (CANCEL_REJECTED, VENUE_REFUSED, 1, 210, 220),
        (CANCEL_REJECTED, NO_ANSWER, 2, 210, 220),
        (ORDER_CANCELLED, NO_REASON, 3, 210, 220),
    ]
    newest = 200 + PATIENCE_NS + 1
    rates = effective_rates(answered([*places, *cancels, (PLACE, 9, newest - 50)], told), newest)
    assert rates.orders_refused == Share(1, 3)
    assert rates.orders_unanswered == Share(1, 4)
    assert rates.cancels_late == Share(1, 3)
    assert rates.cancels_refused == Share(1, 4)
    assert rates.cancels_unanswered == Share(2, 4)


def test_an_interval_is_wilsons_and_knows_nothing_of_nothing() -> None:
    assert Share(0, 0).interval == (0.0, 1.0)
    assert Share(0, 100).interval == pytest.approx((0.0, 0.036994), abs=1e-6)
    assert Share(50, 100).interval == pytest.approx((0.403832, 0.596168), abs=1e-6)


def test_an_order_without_its_decision_is_refused() -> None:
    intents = np.zeros(1, INTENT)
    intents["order_id"], intents["decision_id"] = 4, 12
    with pytest.raises(BacktestError, match="decision 12 of order 4 is missing"):
        answers_of(np.zeros(0, DECISION), intents, np.zeros(0, REPORT))
