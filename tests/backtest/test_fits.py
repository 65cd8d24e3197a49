"""Models that were planted in a journal come out of its fit, with intervals; too little of anything is called so."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from backtest.answers import Share
from backtest.fits import block_rows_of, fit_venue, fitted_parameters, sources_of, spacing_of
from backtest.latency import SampledLatency
from backtest.parameters import QueueModel
from backtest.queue_fit import DeskTape, QueueCandidate, Verdicts, candidates_of, likeliest, verdicts
from market.events import Events
from market.latency import latency_table, message_stamps
from tests.builders_desk import FIT, INFER_NS, resting_desk
from tests.builders_market import COINM_BTC, synthetic_events
from tests.builders_trading import VENUE

MS = 1_000_000
CANDIDATES = candidates_of(FIT.queue_powers)


@cache
def _market() -> Events:
    return synthetic_events(40.0, 3)


@pytest.mark.parametrize(
    ("model", "power"), [("risk_averse", 1.0), ("log", 1.0), ("power", 1.0), ("power", 4.0), ("front", 1.0)]
)
def test_a_planted_queue_model_is_found_without_one_mistake(model: QueueModel, power: float) -> None:
    desk = resting_desk(_market(), replace(VENUE, queue_model=model, queue_power=power))
    found = verdicts(desk, COINM_BTC, VENUE, CANDIDATES)
    fit = likeliest(found, CANDIDATES, 100, np.random.default_rng(0))
    planted = CANDIDATES.index(QueueCandidate(model, power))
    assert found.mistakes[planted].sum() == 0
    others = [row for row, candidate in enumerate(CANDIDATES) if candidate.model != model]
    assert (found.mistakes[others].sum(axis=1) > 0).all()
    assert (fit.model, fit.fills > 50) == (model, True)
    assert model != "power" or fit.power_interval[0] <= power <= fit.power_interval[1]


def test_the_likelihood_counts_prints_by_hand() -> None:
    candidates = [QueueCandidate("risk_averse", 1.0), QueueCandidate("power", 1.0), QueueCandidate("power", 2.0)]
    mistakes, orders = np.array([[5] * 40, [1] * 40, [1] * 40]), 40
    fit = likeliest(
        Verdicts(mistakes, np.full(orders, 10), np.ones(orders, np.bool_)), candidates, 50, np.random.default_rng(1)
    )
    assert fit.model == "power"
    assert fit.power_interval == (1.0, 2.0)  # nothing tells the two apart
    assert fit.support == 1.0
    assert fit.log_likelihoods["risk_averse"] == pytest.approx(400 * np.log(0.5))
    assert fit.log_likelihoods["power(2)"] == pytest.approx(40 * np.log(0.1) + 360 * np.log(0.9))


def test_planted_latencies_come_back_row_by_row() -> None:
    rows = np.random.default_rng(2).integers(1, 60, (30, 4)) * MS
    planted = latency_table(rows, np.zeros(30), spacing_ns=100 * MS, block_rows=5)
    market = _market()
    desk = resting_desk(market, VENUE, SampledLatency(planted, 4, message_stamps(market)))
    fit = fit_venue([desk], COINM_BTC, VENUE, FIT)
    assert fit.latency is not None
    assert set(fit.latency.infer_ns.tolist()) == {INFER_NS}
    # an order meets the first message past its arrival, and is seen no sooner than that message
    waits = fit.latency.entry_ns[:, None] - rows[:, 2]
    nearest = np.where(waits >= 0, waits, 10**12).argmin(axis=1)
    assert (np.take_along_axis(waits, nearest[:, None], 1) < 30 * MS).all()
    assert (fit.latency.ack_ns > 0).all()
    p50 = fit.leg_quantiles["entry_ns"]["p50"]
    assert p50.low <= p50.value <= p50.high
    assert p50.low < p50.high
    assert p50.value == np.median(fit.latency.entry_ns)


def test_planted_failures_lie_within_their_intervals() -> None:
    failing = replace(VENUE, reject_share=0.15, cancel_reject_share=0.2, cancel_lost_share=0.1)
    fit = fit_venue([resting_desk(_market(), failing)], COINM_BTC, VENUE, FIT)
    assert not fit.lacking
    for share, planted in zip(
        (fit.rates.orders_refused, fit.rates.cancels_refused, fit.rates.cancels_unanswered),
        (0.15, 0.2, 0.1),
        strict=True,
    ):
        assert share.interval[0] <= planted <= share.interval[1]
        assert share.hits > 0
    fitted = fitted_parameters(VENUE, fit)
    assert fitted.reject_share == fit.rates.orders_refused.value
    assert fitted.cancel_lost_share == fit.rates.cancels_unanswered.value
    assert fitted.queue_model == "risk_averse"


def test_too_little_is_insufficient_with_its_count_and_the_constants_stay() -> None:
    desk = resting_desk(_market()[:3_000], VENUE)
    few = replace(FIT, min_orders=10_000, min_cancels=10_000, min_fills=10_000)
    fit = fit_venue([desk], COINM_BTC, VENUE, few)
    assert set(fit.lacking) == {"latency", "refusals", "cancels", "queue"}
    assert fit.latency is None
    assert fit.queue is None
    assert fit.lacking["queue"].startswith("insufficient: ")
    assert fit.lacking["queue"].endswith("filled resting orders, 10000 are needed")
    assert fitted_parameters(VENUE, fit) == VENUE
    assert all(source.startswith("configured: insufficient") for source in sources_of(fit).values())


def test_two_desks_are_fitted_as_one_venue() -> None:
    desk = resting_desk(_market(), VENUE)
    one, two = (fit_venue(desks, COINM_BTC, VENUE, FIT) for desks in ([desk], [desk, desk]))
    assert two.rates.orders_refused == Share(2 * one.rates.orders_refused.hits, 2 * one.rates.orders_refused.of)
    assert one.queue is not None
    assert two.queue is not None
    assert two.queue.fills == 2 * one.queue.fills


def test_an_answer_before_its_order_is_left_out_and_counted() -> None:
    desk = resting_desk(_market(), VENUE)
    early = desk.answers.copy()
    told = np.flatnonzero(early["kind"])[:3]
    early["venue_ts"][told] = early["sent_ts"][told] - 1
    fit = fit_venue([DeskTape(desk.events, desk.intents, early, desk.reports)], COINM_BTC, VENUE, FIT)
    assert fit.left_out == 3


def test_rows_kept_together_follow_the_autocorrelation() -> None:
    random = np.random.default_rng(5)
    noise = random.integers(0, 1_000, 2_000)
    slow = np.repeat(random.integers(0, 1_000, 100), 20)
    assert block_rows_of(noise) <= 4
    assert 20 <= block_rows_of(slow) <= 60


def test_spacing_is_that_of_orders_and_not_of_pauses() -> None:
    assert spacing_of(np.array([0, 10, 20, 30, 5_000])) == 10
    assert spacing_of(np.array([7])) == 1_000_000_000
