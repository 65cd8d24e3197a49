"""A session on a recorded feed: the same however frames come, blind to what comes later, honest about its orders."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtest.engine import Result, Window, fills_frame, run_backtest
from backtest.venue import SimulatedVenue
from labeling.targets import NO_CLASS, classes, label_rows
from market.events import BUY, SELL, Events, aligned_ts
from market.orders import FILL, REPORT
from modeling.certainty import Instant, Sight
from modeling.training_rows import heard_until
from modeling.uncertainty import AdaptiveConformal, class_scores
from tests.builders_labels import label_parameters
from tests.builders_market import COINM_BTC, recorded_events
from tests.builders_trading import CERTAINTY, VENUE, session
from trading.parameters import PolicyKind
from trading.parent import ParentOrder
from trading.session import Session, at, close_row, take_ahead

SECOND = 1_000_000_000
LATENCY = 1_000_000


@pytest.fixture(scope="module")
def tape() -> Events:
    return recorded_events(first_messages=8_000)


def whole(tape: Events) -> Window:
    return Window(int(tape["ingest_ts"][0]), int(tape["ingest_ts"][-1]) + SECOND)


def trading_session(tape: Events, kind: PolicyKind) -> Session:
    """A session with parent orders to work, if its policy works any."""
    trader, first = session(kind), int(tape["ingest_ts"][0])
    spans = [first + place * 10 * SECOND for place in range(1, 40)]
    trader.work(ParentOrder(side, 50, at, at + 9 * SECOND) for at, side in zip(spans, [BUY, SELL] * 20, strict=False))
    return trader


def run(tape: Events, kind: PolicyKind) -> tuple[Result, Session]:
    trader = trading_session(tape, kind)
    return run_backtest(tape, trader, SimulatedVenue(COINM_BTC, VENUE), whole(tape), LATENCY), trader


def micro_batches(tape: Events, rng: np.random.Generator) -> Iterator[Events]:
    cuts = np.sort(rng.integers(0, tape.size, 700))
    yield from np.split(tape, cuts)


@pytest.mark.parametrize("kind", ["probe", "take", "quote", "execute"])
def test_micro_batches_decide_and_fill_as_the_whole_tape_does(tape: Events, kind: PolicyKind) -> None:
    expected, _ = run(tape, kind)
    trader, venue = trading_session(tape, kind), SimulatedVenue(COINM_BTC, VENUE)
    records, intents = [], []
    for batch in micro_batches(tape, np.random.default_rng(3)):
        trader.queue.push(batch.copy())
        newest = int(batch["ingest_ts"][-1]) if batch.size else 0
        while 0 < (row_ts := trader.next_row_ts) < newest:
            decision = close_row(trader, venue, row_ts, at(row_ts + LATENCY)).decision
            records.append(decision.record)
            intents.append(decision.intents)
    decisions = np.concatenate(records)
    assert decisions.size > 1_000
    assert (expected.reports["kind"] == FILL).sum() > 10
    assert decisions.tobytes() == expected.decisions[: decisions.size].tobytes()
    assert np.concatenate(intents).tobytes() == expected.intents[: sum(map(len, intents))].tobytes()


@pytest.mark.parametrize("kind", ["probe", "take"])
def test_what_is_taken_ahead_and_rehearsed_moves_no_decision(tape: Events, kind: PolicyKind) -> None:
    expected, _ = run(tape, kind)
    trader, venue, rng = trading_session(tape, kind), SimulatedVenue(COINM_BTC, VENUE), np.random.default_rng(5)
    decisions, ahead = [], 0
    for batch in micro_batches(tape, rng):
        trader.queue.push(batch.copy())
        if rng.random() < 0.7:
            before = trader.queue.next_ingest_ts
            take_ahead(trader, venue)
            ahead += trader.queue.next_ingest_ts != before
            trader.forecasting.rehearse()
        if rng.random() < 0.05:
            trader, before_kill = trading_session(tape, kind), trader.dump()
            trader.load(before_kill, trader.strategy)
        newest = int(batch["ingest_ts"].max(initial=0))
        while 0 < (row_ts := trader.next_row_ts) < newest:
            decisions.append(close_row(trader, venue, row_ts, at(row_ts + LATENCY)).decision.record)
    made = np.concatenate(decisions)
    assert ahead > 100
    assert made.size > 1_000
    assert made.tobytes() == expected.decisions[: made.size].tobytes()


@pytest.mark.parametrize("kind", ["probe", "take"])
def test_a_poisoned_future_changes_no_decision_before_it(tape: Events, kind: PolicyKind) -> None:
    clean, _ = run(tape, kind)
    poisoned = tape.copy()
    cut = int(tape["ingest_ts"][tape.size // 2])
    later = poisoned["ingest_ts"] > cut
    poisoned["price"][later] += 1_000
    poisoned["qty"][later] *= 3
    dirty, _ = run(poisoned, kind)
    before = clean.decisions["row_ts"] <= cut
    assert before.sum() > 500
    assert clean.decisions[before].tobytes() == dirty.decisions[before].tobytes()
    assert clean.decisions.tobytes() != dirty.decisions.tobytes()


@pytest.mark.parametrize("kind", ["probe", "take"])
def test_position_is_the_sum_of_fills_and_equity_is_the_ledgers(tape: Events, kind: PolicyKind) -> None:
    result, trader = run(tape, kind)
    fills = result.reports[result.reports["kind"] == FILL]
    assert fills.size > 10
    assert trader.position == int((fills["side"].astype(np.int64) * fills["qty"]).sum()) == trader.books.position
    frame = fills_frame(result.reports, COINM_BTC, 0.0, 0.0)
    assert frame["position"][-1] == trader.position
    last = result.decisions[-1]
    mid = 0.5 * (last["best_bid"] + last["best_ask"])
    marked = frame["cash"].sum() + trader.position * COINM_BTC.lot_value / COINM_BTC.tick_size * (-1.0 / mid)
    assert last["equity"] == pytest.approx(marked, abs=1e-12)


def test_no_report_is_known_before_it_is_visible_and_no_fill_before_arrival(tape: Events) -> None:
    result, _ = run(tape, "probe")
    sent = {int(intent["order_id"]): int(intent["sent_ts"]) for intent in result.intents if intent["verb"] == 1}
    for report in result.reports[result.reports["kind"] == FILL]:
        assert report["venue_ts"] >= sent[int(report["order_id"])] + VENUE.order_latency_ns
        assert report["visible_ts"] >= report["venue_ts"] + VENUE.ack_latency_ns


def test_every_decision_on_a_forecast_carries_an_interval_that_learns_and_holds_nine_in_ten(tape: Events) -> None:
    decisions = run(tape, "take")[0].decisions
    ready = decisions["ready"] == 1
    assert ready.sum() > 1_000
    assert np.isnan(decisions["lower_bp"][~ready]).all()
    assert (decisions["lower_bp"][ready] < decisions["upper_bp"][ready]).all()
    assert (decisions["spread_bp"][ready] == 0).all()
    believed = ready & np.isfinite(decisions["mu_bp"]) & np.isfinite(decisions["upper_bp"])
    assert believed.sum() > 900
    sure = decisions[believed]
    assert np.allclose((sure["lower_bp"] + sure["upper_bp"]) / 2, sure["mu_bp"])
    assert np.unique(sure["upper_bp"] - sure["lower_bp"]).size > 100
    mid = 0.5 * (decisions["best_bid"] + decisions["best_ask"])
    first, last = 1, 51  # rows from a decision to where its return begins, 11 ms on, and to where it ends
    gross = 1e4 * (1 - mid[first : -last + first] / mid[last:])  # of an inverse contract
    judged = ready[:-last] & ready[last:]
    held = (decisions["lower_bp"][:-last] <= gross) & (gross <= decisions["upper_bp"][:-last])
    assert held[judged].mean() == pytest.approx(0.9, abs=0.04)


def test_sets_learn_from_the_sessions_own_book_the_classes_that_the_labels_say(tape: Events) -> None:
    decisions = run(tape, "take")[0].decisions
    parameters = replace(label_parameters(horizons_ms=(1_000,)), infer_latency_ms=1.0, order_latency_ms=10.0)
    table = label_rows(tape, decisions["row_ts"], parameters, COINM_BTC, None)
    came, ready = classes(table, 1_000, 0.0, 0.0, "inverse"), decisions["ready"] == 1
    judged = ready & (came != NO_CLASS)
    let_in = decisions["classes"][judged] & (1 << (came[judged] + 1))
    assert judged.sum() > 1_000
    assert set(came[judged].tolist()) == {-1, 0, 1}
    assert (let_in > 0).mean() == pytest.approx(0.9, abs=0.04)
    begins = AdaptiveConformal.from_dict(CERTAINTY.parameters, CERTAINTY.sets).threshold()
    said = np.column_stack([decisions[name][judged] for name in ("p_down", "p_none", "p_up")])
    still = class_scores(said)[np.arange(judged.sum()), came[judged] + 1] <= begins
    assert abs(still.mean() - 0.9) > 0.04


def test_a_session_has_heard_as_much_at_a_row_as_the_rows_of_training(
    tape: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader, heard = trading_session(tape, "take"), list[Instant]()
    after = trader.forecasting.outlooks.after

    def noted(instant: Instant, *said: Any) -> Sight:
        heard.append(instant)
        return after(instant, *said)

    monkeypatch.setattr(trader.forecasting.outlooks, "after", noted)
    run_backtest(tape, trader, SimulatedVenue(COINM_BTC, VENUE), whole(tape), LATENCY)
    row_ts, over_ts = np.array(heard).T
    assert row_ts.size > 1_000
    assert np.array_equal(over_ts, heard_until(row_ts, tape["ingest_ts"], tape["delay_ns"]))


def test_three_clocks_stand_on_every_decision(tape: Events) -> None:
    result, _ = run(tape, "take")
    decisions = result.decisions
    assert (decisions["infer_ts"] == decisions["row_ts"] + LATENCY).all()
    assert (decisions["ingest_ts"] <= decisions["row_ts"]).all()
    at = np.searchsorted(tape["ingest_ts"], decisions["row_ts"], side="right") - 1
    assert (decisions["delay_ns"] == (tape["ingest_ts"] - aligned_ts(tape))[at]).all()


def test_orders_stay_within_the_caps(tape: Events) -> None:
    result, _ = run(tape, "take")
    position = np.abs(
        np.cumsum([int(f["side"]) * int(f["qty"]) for f in result.reports[result.reports["kind"] == FILL]])
    )
    assert position.max() <= 200  # 20,000 USD of 100 USD contracts
    placed = result.intents[result.intents["verb"] == 1]
    assert set(np.unique(placed["side"])) <= {BUY, SELL}
    for sent_ts in placed["sent_ts"][::25]:
        within = (placed["sent_ts"] > sent_ts - SECOND) & (placed["sent_ts"] <= sent_ts)
        assert within.sum() <= 10


def test_makers_pay_the_makers_fee_and_takers_the_takers() -> None:
    trader = session("probe")
    trader.forecasting.strategy = trader.strategy._replace(maker_fee=1e-4, taker_fee=5e-4)
    reports = np.zeros(2, REPORT)
    reports["kind"], reports["side"], reports["price"], reports["qty"] = FILL, BUY, 500_000, [5, 10]
    reports["maker"] = [1, 0]
    trader.on_reports(reports)
    # five contracts of 100 USD at 50,000 are 0.01 BTC
    assert trader.books.fees == pytest.approx(0.01 * 1e-4 + 0.02 * 5e-4)
