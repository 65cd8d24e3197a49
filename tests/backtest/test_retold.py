"""A journal run again: nothing planted gives the same profit to the last bit, whatever is planted shows in its bar."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.booked import booked_beside, rebooked
from backtest.retold import CAUSES, NOTHING, Backtests
from backtest.told import Told
from live.profits import Asked, causes_of, in_band, profits_of
from market.orders import FILL
from monitoring.profit_parity import FAILED, PASSED, Waterfall, distance, side_by_side
from tests.builders_parity import BAR, LosingVenue, assumed, probed
from tests.builders_runner import quick_plan

SECONDS = 12.0
LATENCY = frozenset({"latency"})
ASKED = Asked(replace(BAR, min_fills=20), True, 4, 3)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    found = probed(tmp_path_factory.mktemp("probed"), SECONDS)
    assert found.fills > 20
    return found


def backtests(told: Told, **changes: Any) -> Backtests:
    return Backtests(told, assumed(quick_plan(), **changes))


def bars_of(waterfall: Waterfall) -> dict[str, float]:
    return {bar.cause: bar.amount for bar in waterfall.bars}


def off(told: Told, runs: Backtests, recorded: frozenset[str] = LATENCY) -> float:
    """Level 3's figure."""
    return distance(side_by_side(told.minutes(told.decisions["equity"]), told.minutes(runs.equity(recorded))))


def test_with_the_recorded_latencies_every_row_has_the_equity_that_was_written(told: Told) -> None:
    equity = backtests(told).equity(LATENCY)
    assert equity.tobytes() == told.decisions["equity"].tobytes()
    assert np.ptp(equity) > 0
    assert profits_of(told, assumed(quick_plan()), ASKED).levels[0].verdict == PASSED


def test_books_made_again_from_reports_and_events_are_those_that_were_written(told: Told) -> None:
    assert rebooked(told).tobytes() == told.decisions["equity"].tobytes()
    beside = booked_beside(told)
    assert (beside.maker_fee, beside.taker_fee, beside.funding.any()) == (0.0, 0.0, False)


def test_where_the_assumptions_are_the_facts_every_bar_is_zero(told: Told) -> None:
    exact = replace(told, decisions=told.decisions.copy())
    exact.decisions["equity"] = backtests(told).equity(LATENCY)
    bars = bars_of(causes_of(backtests(exact)))
    assert [bars[cause] for cause in ("fees", "funding", "queue", "rejects", "residual")] == [0.0] * 5


def test_a_wrong_fee_in_the_backtest_shows_in_the_bar_of_fees(told: Told) -> None:
    wrong = backtests(told, maker_fee=1e-4)
    causes = causes_of(wrong)
    right = causes_of(backtests(told))
    bars, others = bars_of(causes), bars_of(right)
    assert bars["fees"] > 0
    for cause in CAUSES[1:]:
        assert bars[cause] == pytest.approx(others[cause], abs=1e-12)
    assert profits_of(told, assumed(quick_plan(), maker_fee=1e-4), ASKED).levels[0].verdict == FAILED


def test_a_fee_that_was_booked_and_not_agreed_shows_in_the_bar_of_fees(told: Told) -> None:
    notional = np.zeros(told.decisions.size)
    for report, row_ts in zip(told.reports, told.report_rows, strict=True):
        if report["kind"] == FILL:
            worth = told.instrument.notional(int(report["price"]), int(report["qty"]))
            notional[np.searchsorted(told.rows.row_ts, row_ts)] += worth
    booked = replace(told, decisions=told.decisions.copy())
    booked.decisions["equity"] -= 1e-4 * np.cumsum(notional)
    assert booked_beside(booked).maker_fee == pytest.approx(1e-4)
    bars = bars_of(causes_of(backtests(booked)))
    others = bars_of(causes_of(backtests(told)))
    assert bars["fees"] < 0
    for cause in ("queue", "rejects", "residual"):
        assert bars[cause] == pytest.approx(others[cause], abs=1e-12)
    assert off(booked, backtests(booked)) > BAR.most_distance


def test_funding_that_no_feed_told_of_shows_in_the_bar_of_funding(told: Told) -> None:
    seen = set(told.report_rows.tolist())
    row = next(place for place in range(told.rows.row_ts.size // 2, 10**6) if told.rows.row_ts[place] not in seen)
    paid = replace(told, decisions=told.decisions.copy())
    paid.decisions["equity"][row:] -= 0.01
    bars = bars_of(causes_of(backtests(paid)))
    assert bars["funding"] == pytest.approx(-0.01)
    assert bars["residual"] == pytest.approx(0.0, abs=1e-12)
    assert off(paid, backtests(told)) > BAR.most_distance


def test_a_longer_way_than_assumed_shows_in_the_bar_of_latency(tmp_path: Path) -> None:
    slow = probed(tmp_path, SECONDS, order_latency_ms=150.0)
    runs = backtests(slow)
    bars = bars_of(causes_of(runs))
    assert bars["latency"] != 0
    assert [bars[cause] for cause in ("fees", "funding", "queue", "rejects", "residual")] == [0.0] * 5
    assert off(slow, runs, NOTHING) > BAR.most_distance
    assert off(slow, runs) == 0


def test_legs_longer_than_orders_took_turn_level_3_red(told: Told) -> None:
    late = replace(told, reports=told.reports.copy())
    for name in ("venue_ts", "visible_ts"):
        late.reports[name] += 150_000_000
    assert profits_of(late, assumed(quick_plan()), ASKED).levels[0].verdict == FAILED


def test_a_lost_fill_shows_in_the_bar_of_the_queue_and_turns_level_3_red(tmp_path: Path) -> None:
    lossy = probed(tmp_path, SECONDS, lambda venue: LosingVenue(venue, 6))
    found = profits_of(lossy, assumed(quick_plan()), replace_fills(ASKED, 5))
    bars = bars_of(found.causes)
    assert bars["queue"] != 0
    assert bars["residual"] == pytest.approx(0.0, abs=1e-15)
    assert found.levels[0].verdict == FAILED


def replace_fills(asked: Asked, fewest: int) -> Asked:
    return asked._replace(bar=replace(asked.bar, min_fills=fewest))


def test_refusals_by_the_venue_show_in_the_bar_of_rejects(tmp_path: Path) -> None:
    refused = probed(tmp_path, SECONDS, reject_share=0.2)
    bars = bars_of(causes_of(backtests(refused)))
    assert bars["rejects"] != 0
    assert bars["residual"] == pytest.approx(0.0, abs=1e-15)
    assert off(refused, backtests(refused)) > BAR.most_distance


def test_bars_sum_to_the_whole_difference(tmp_path: Path) -> None:
    odd = probed(tmp_path, SECONDS, order_latency_ms=80.0, reject_share=0.1, queue_model="front")
    causes = causes_of(backtests(odd, maker_fee=2e-5))
    assert causes.assumed + sum(bar.amount for bar in causes.bars) == pytest.approx(causes.made, abs=1e-15)
    assert len({bar.amount for bar in causes.bars}) > 3


def test_a_run_lies_in_the_band_of_its_own_latencies(told: Told) -> None:
    level, minutes = in_band(backtests(told), Asked(BAR, True, 4, 4))
    assert level.verdict == PASSED, level.why
    assert minutes is not None
    assert minutes["inside"].all()


def test_too_few_answers_draw_no_latency(told: Told) -> None:
    few = Asked(replace(BAR, min_answers=100_000), True, 4, 4)
    level, minutes = in_band(backtests(told), few)
    assert (level.verdict, minutes) == ("insufficient", None)
